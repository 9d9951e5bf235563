# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The peer: Meta's modules, driven as Meta's planner drives them.

The modules come from the package cc-vjepa2, which is not needed for anything else at run time.
Every step recomputes all frames of all candidates under the mask, in float32; poses are composed
one candidate at a time with SciPy. The planner itself is written here from its description in
arXiv 2506.09985 and from the behaviour of the released one.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
import sys
import types
from unittest import mock

import numpy as np
from scipy.spatial.transform import Rotation
from tools.benchmark.timing import seconds
import torch
from torch import multiprocessing, nn, Tensor
from torch.nn import functional as F  # noqa: N812
from vjepa2_planner_ros.world_model import VJepa2WorldModel
from vjepa2_planner_ros.world_model.preprocessing import preprocess

FRAMES = 8  # of the longest sequence: context and horizon


def available() -> bool:
    """Return whether what the peer needs is installed."""
    return all(find_spec(name) for name in ('vjepa2', 'einops', 'scipy'))


def reference_modules():
    """Return what is needed of cc-vjepa2, which itself needs nothing of timm but drop_path."""
    stubs = {name: types.ModuleType(name) for name in ('timm', 'timm.models')}
    stubs['timm.models.layers'] = layers = types.ModuleType('timm.models.layers')
    layers.drop_path = lambda x, p=0.0, training=False: x
    # Only while importing: others look for a real timm.
    with mock.patch.dict(sys.modules, stubs):
        from vjepa2.models.ac_predictor import vit_ac_predictor
        from vjepa2.models.utils.modules import build_action_block_causal_attention_mask
        from vjepa2.models.vision_transformer import VisionTransformer
    return VisionTransformer, vit_ac_predictor, build_action_block_causal_attention_mask


class Peer:
    """Meta's modules with the weights of a float32 world model, whose MLPs are 4 x as wide."""

    def __init__(self, world_model: VJepa2WorldModel):
        self.spec, self.device = world_model.spec, world_model.device
        spec = self.spec
        encoder, predictor = spec.encoder, spec.predictor
        vision_transformer, vit_ac_predictor, causal_mask = reference_modules()
        side = (spec.image_size,) * 2
        with torch.device(self.device):
            self.encoder = vision_transformer(
                img_size=side,
                patch_size=encoder.patch_size,
                num_frames=2,
                tubelet_size=2,
                embed_dim=encoder.dim,
                depth=encoder.depth,
                num_heads=encoder.heads,
                mlp_ratio=encoder.mlp_hidden / encoder.dim,
                qkv_bias=True,
                use_rope=True,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
            )
            self.predictor = vit_ac_predictor(
                img_size=side,
                patch_size=encoder.patch_size,
                num_frames=2,
                tubelet_size=2,
                embed_dim=encoder.dim,
                predictor_embed_dim=predictor.dim,
                depth=predictor.depth,
                num_heads=predictor.heads,
            )
        self.predictor.attn_mask = causal_mask(FRAMES, *spec.grid, add_tokens=2)
        for ours, theirs in (
            (world_model.encoder, self.encoder),
            (world_model.predictor, self.predictor),
        ):
            theirs.load_state_dict(ours.state_dict(), assign=True)
            theirs.eval().requires_grad_(False)
        self.elites = []  # [K] of every iteration of the last plan

    @torch.inference_mode()
    def encode(self, frames) -> Tensor:
        """Return the layer-normed latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""
        images = preprocess(frames, self.spec.image_size, self.spec.crop, self.device)
        return _norm(self.encoder(images[:, :, None].repeat(1, 1, 2, 1, 1)))

    @torch.inference_mode()
    def rollout(self, context: Tensor, states, actions: Tensor) -> Tensor:
        """Return the layer-normed latents [S, N, D] after H actions, as WorldModel.rollout."""
        samples, tokens = len(actions), context.shape[1]
        frames = context.to(self.device).flatten(0, 1).repeat(samples, 1, 1)
        past = np.stack([between(*pair) for pair in zip(states, states[1:])] or [np.zeros(7)])
        states = np.repeat(np.asarray(states)[None], samples, 0)
        taken = np.repeat(past[None, : states.shape[1] - 1], samples, 0)
        for h in range(actions.shape[1]):
            action = actions[:, h].double().cpu().numpy()
            taken = np.concatenate([taken, action[:, None]], 1)
            predicted = self.predictor(frames, self._tensor(taken), self._tensor(states))
            frames = torch.cat([frames, _norm(predicted[:, -tokens:])], 1)
            composed = np.stack([compose(s, a) for s, a in zip(states[:, -1], action)])
            states = np.concatenate([states, composed[:, None]], 1)
        return frames[:, -tokens:]

    def _tensor(self, values) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def plan(
        self,
        frame,
        states,
        goal,
        *,
        samples: int,
        iterations: int,
        topk: int,
        horizon: int,
        seed: int,
    ) -> Tensor:
        """
        Return the plan [H, 4] on x, y, z, gripper between pictures, uint8 [1, H, W, 3].

        Momenta are zero; bounds are the model's.
        """
        context, target = self.encode(frame), self.encode(goal)[0]
        bounds = torch.tensor(self.spec.action_bounds)[[0, 1, 2, 6]]
        mean, std = torch.zeros(horizon, 4), bounds.repeat(horizon, 1)
        generator, self.elites = torch.Generator().manual_seed(seed), []
        for _ in range(iterations):
            steps = [torch.randn(samples, 4, generator=generator) for _ in range(horizon)]
            noise = torch.stack(steps, dim=1)
            searched = (noise * std + mean).clamp(-bounds, bounds)
            actions = torch.zeros(samples, horizon, 7)
            actions[..., [0, 1, 2, 6]] = searched
            predicted = self.rollout(context, states, actions)
            energies = (predicted - target).abs().mean(dim=(1, 2)).cpu()
            self.elites.append(energies.topk(topk, largest=False).indices)
            elites = searched[self.elites[-1]]
            mean, std = elites.mean(0), elites.std(0)
        return mean


class PeerProcess:
    """The peer in its own process, because the threads of this one are set up for our models."""

    def __init__(self, world_model: VJepa2WorldModel, threads: int):
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context('spawn'), _begin, (world_model, threads)
        )

    def seconds(self, call: Callable[[Peer], object]) -> float:
        """Return how long a call takes, one that can be pickled."""
        return self._pool.submit(_seconds, call).result()

    def close(self) -> None:
        """
        End the process.

        Left to Python's exit, the pool may be woken by way of a pipe that it has just closed:
        OSError, bad file descriptor.
        """
        self._pool.shutdown()

    def elites(self) -> list[np.ndarray]:
        """Return the elites [K] of every iteration of the last plan."""
        return self._pool.submit(_elites).result()


_peer = None  # in the peer's process


def _begin(world_model, threads):
    global _peer
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # float32 throughout, as ours
    _peer = Peer(world_model)


def _seconds(call):
    return seconds(partial(call, _peer), _peer.device)


def _elites():
    return [elites.numpy() for elites in _peer.elites]


def _norm(latents: Tensor) -> Tensor:
    return F.layer_norm(latents, latents.shape[-1:])


def compose(state, action):
    """Return the state [7] after an action [7]; rotations about fixed axes."""
    turned = Rotation.from_euler('xyz', action[3:6]) * Rotation.from_euler('xyz', state[3:6])
    return np.concatenate(
        [state[:3] + action[:3], turned.as_euler('xyz'), np.clip(state[6:] + action[6:], 0, 1)]
    )


def between(state, after):
    """Return the action [7] that leads from a state to the one after it."""
    turn = Rotation.from_euler('xyz', after[3:6]) * Rotation.from_euler('xyz', state[3:6]).inv()
    return np.concatenate([after[:3] - state[:3], turn.as_euler('xyz'), after[6:] - state[6:]])
