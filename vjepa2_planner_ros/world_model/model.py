# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The world model as the planner sees it: encode pictures, roll candidate actions out."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from . import checkpoints, poses, preprocessing
from .catalogue import model_spec, ModelSpec
from .devices import free_memory, pick_device, pick_dtype
from .errors import ModelNotFoundError
from .networks import ActionConditionedPredictor, VisionTransformer


class WorldModel(Protocol):
    """What planning needs of a world model."""

    name: str
    action_dim: int  # 7, or 3 where only translations can be planned
    action_bounds: tuple[float, ...]  # [7] largest change per axis [m, rad, closedness]
    frame_period: float  # s between the frames of a context
    device: torch.device
    dtype: torch.dtype

    def encode(self, frames) -> Tensor:
        """Return the layer-normed latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""

    def observe(self, frames) -> Tensor:
        """Return what rollout needs to know of uint8 frames [T, H, W, 3] RGB, [T, ...]."""

    def rollout(self, context: Tensor, states, actions: Tensor) -> Tensor:
        """
        Return the layer-normed latents [S, N, D] predicted after H actions.

        :param context: [T, ...] what observe returned of the frames, the current one last.
        :param states: [T, 7] end-effector states at these frames; the actions between them are
            derived from them.
        :param actions: [S, H, 7] candidates.
        """

    def model_input(self, frame) -> np.ndarray:
        """Return the uint8 [size, size, 3] RGB picture that the encoder sees of a frame."""


def layer_norm(latents: Tensor) -> Tensor:
    """Normalise each token over its channels without affine (eps 1e-5), as V-JEPA 2-AC does."""
    return F.layer_norm(latents, latents.shape[-1:])


class VJepa2WorldModel:
    """A V-JEPA 2 encoder with its action-conditioned predictor; see the WorldModel protocol."""

    action_dim = 7

    def __init__(self, spec: ModelSpec, encoder: VisionTransformer,
                 predictor: ActionConditionedPredictor):
        self.spec = spec
        self.encoder = encoder.eval().requires_grad_(False)
        self.predictor = predictor.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def action_bounds(self) -> tuple[float, ...]:
        return self.spec.action_bounds

    @property
    def frame_period(self) -> float:
        return self.spec.frame_period

    @property
    def device(self) -> torch.device:
        return self.encoder.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.norm.weight.dtype

    def model_input(self, frame) -> np.ndarray:
        """Return the uint8 [size, size, 3] RGB picture that the encoder sees of a frame."""
        return preprocessing.model_input(frame, self.spec.image_size, self.spec.crop)

    def encode(self, frames) -> Tensor:
        """Return the layer-normed latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""
        return self.encode_pixels(preprocessing.crop_and_resize(
            frames, self.spec.image_size, self.spec.crop, self.device))

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Return the same of pixels [T, 3, size, size], 0..255, cropped and resized before."""
        return layer_norm(self.encoder(preprocessing.normalise(pixels)))

    def observe(self, frames) -> Tensor:
        """Return the latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""
        return self.encode(frames)

    @torch.inference_mode()
    def rollout(self, context: Tensor, states, actions) -> Tensor:
        """
        Return the layer-normed latents [S, N, D] predicted after H actions.

        Frames go through the predictor one at a time, each once: the context before the current
        frame once for all candidates, then one frame a step for each batch of candidates. Every
        frame sees all frames before it through the key/value cache, so no mask is needed.
        """
        context = context.to(self.device)
        states = torch.as_tensor(states, dtype=torch.float32).to(self.device)
        actions = torch.as_tensor(actions, dtype=torch.float32).to(self.device)
        if len(context) != len(states) or states.shape[1:] != (7,) or actions.shape[2:] != (7,):
            raise ValueError(
                f'context {list(context.shape)}, states {list(states.shape)}, '
                f'actions {list(actions.shape)}; allowed: [T, N, D], [T, 7], [S, H, 7]')
        if self.spec.reference_rotation is not None:
            reference = torch.tensor(self.spec.reference_rotation, device=self.device)
            states = poses.rotate_from(states, reference)
        cache = None
        past_actions = poses.difference(states[:-1], states[1:])
        for t, action in enumerate(past_actions):
            _, cache = self.predictor.step(
                context[t:t + 1], action[None], states[t:t + 1], t, cache)
        batch = self.batch_size(len(context), actions.shape[1])
        return torch.cat([self._rollout_batch(context[-1:], states[-1:], some, len(context), cache)
                          for some in actions.split(batch)])

    def _rollout_batch(self, latents, state, actions, frames, cache) -> Tensor:
        """Roll candidates [S, H, 7] out from the current frame, the last of ``frames``."""
        horizon = actions.shape[1]
        state = state.expand(len(actions), -1)
        for h in range(horizon):
            latents, cache = self.predictor.step(
                latents, actions[:, h], state, frames - 1 + h, cache,
                keep_cache=h + 1 < horizon)
            latents = layer_norm(latents)
            state = poses.compose(state, actions[:, h])
        return latents

    def batch_size(self, frames: int, horizon: int) -> int:
        """Return how many candidates go through the predictor at once."""
        size, tokens = self.spec.predictor, 2 + self.spec.grid[0] * self.spec.grid[1]
        # Alive at once in a block: the residual and normed streams, q, k, v, rotated copies and
        # the widened MLP; and the cache of every frame before the last.
        channels = 8 * size.dim + 2 * size.mlp_hidden
        cached = 2 * size.dim * size.depth * (horizon - 1) + 2 * size.dim * (frames + horizon)
        per_candidate = tokens * (channels + cached) * self.encoder.norm.weight.element_size()
        on_cpu = self.device.type == 'cpu'
        budget = CPU_WORKING_SET if on_cpu else free_memory(self.device) // 2
        return max(1, int(budget // per_candidate))


# Batches beyond the last-level cache gain nothing on a CPU and cost memory traffic.
CPU_WORKING_SET = 32 << 20


def load_world_model(name: str, *, device: str = 'auto', dtype: str = 'auto',
                     checkpoint: str | Path | None = None,
                     progress: Callable[[float], None] | None = None) -> VJepa2WorldModel:
    """
    Load a model of the catalogue.

    :param name: for example 'sim-panda-ac' or 'vit-giant-ac'.
    :param device: 'auto' (CUDA, then MPS, then CPU) or a torch device.
    :param dtype: 'auto' (by device), 'float32', 'bfloat16' or 'float16'.
    :param checkpoint: weights to load instead of the packaged ones (.pt of Meta, .safetensors).
    :param progress: called with 0..1 while loading.
    :raise ModelNotFoundError: no such model, or no weights for it.
    :raise ModelLoadError: the file is damaged or of another model.
    :raise ValueError: no such device or dtype here.
    """
    spec = model_spec(name)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    path = Path(checkpoint) if checkpoint else spec.weights
    if path is None:
        raise ModelNotFoundError(
            f"model '{name}' has no packaged weights: name its file in 'checkpoint'")
    report = progress or (lambda fraction: None)
    report(0.0)
    parts = checkpoints.read_checkpoint(path)
    encoder, predictor = build_networks(spec, device='meta')
    for i, (part, module) in enumerate((('encoder', encoder), ('predictor', predictor))):
        checkpoints.load_into(module, parts.pop(part), part, path)
        module.to(torch_device, torch_dtype)
        report((i + 1) / 2)
    return VJepa2WorldModel(spec, encoder, predictor)


def build_networks(spec: ModelSpec, device=None):
    """Return the encoder and predictor of a model, initialised as torch does."""
    with torch.device(device or 'cpu'):
        return (VisionTransformer(spec.encoder),
                ActionConditionedPredictor(spec.encoder.dim, spec.predictor, spec.grid))
