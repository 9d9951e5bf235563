# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The world model as the planner sees it: encode pictures, roll candidate actions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
import logging
from math import ceil
import traceback
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from . import poses, preprocessing
from .catalogue import ModelSpec
from .devices import free_memory, is_out_of_memory, release_memory
from .errors import WorldModelError
from .fused import pack, unfused_attention
from .graphs import Graphs
from .lanes import alone, side_by_side
from .networks import ActionConditionedPredictor, VisionTransformer

log = logging.getLogger(__name__)


class WorldModel(Protocol):
    """What planning needs of a world model."""

    name: str
    action_dim: int  # 7, or 3 where only translations can be planned
    action_bounds: tuple[float, ...]  # [7] largest change per axis [m, rad, closedness]
    frame_period: float  # s between the frames of a context
    device: torch.device
    dtype: torch.dtype
    memory: int  # bytes that the weights take on the device
    memory_shortages: int  # rollouts that ran out of memory and went on with smaller batches

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

    def drop_weights(self) -> None:
        """Let go of the weights, whoever still holds the model: it cannot be used any more."""


def layer_norm(latents: Tensor) -> Tensor:
    """Normalise each token over its channels without affine (eps 1e-5), as V-JEPA 2-AC does."""
    return F.layer_norm(latents, latents.shape[-1:])


class VJepa2WorldModel:
    """
    A V-JEPA 2 encoder with its action-conditioned predictor; see the WorldModel protocol.

    Without a predictor it encodes, but cannot tell where an action leads.
    """

    def __init__(
        self,
        spec: ModelSpec,
        encoder: VisionTransformer,
        predictor: ActionConditionedPredictor | None,
    ):
        self.spec = spec
        self.encoder, self.predictor = encoder, predictor
        for network in self._networks:
            network.eval().requires_grad_(False)
        self.device, self.dtype = encoder.norm.weight.device, encoder.norm.weight.dtype
        self.memory = sum(
            parameter.nbytes for module in self._networks for parameter in module.parameters()
        )
        self._small = self.device.type == 'cpu' and self.memory <= SMALL
        self._graphs = Graphs() if self.device.type == 'cuda' else None
        self.memory_shortages = 0
        self._largest_batch: int | None = None  # candidates; None until memory ran out

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def action_dim(self) -> int:
        return self.spec.action_dim

    @property
    def action_bounds(self) -> tuple[float, ...]:
        return self.spec.action_bounds

    @property
    def frame_period(self) -> float:
        return self.spec.frame_period

    @property
    def _networks(self):
        return [network for network in (self.encoder, self.predictor) if network is not None]

    @property
    def lanes(self) -> int:
        """Return how many calls run side by side: torch's threads for small models on a CPU."""
        return torch.get_num_threads() if self._small else 1

    def model_input(self, frame) -> np.ndarray:
        """Return the uint8 [size, size, 3] RGB picture that the encoder sees of a frame."""
        frame = torch.as_tensor(frame)
        with alone(frame.numel()):
            return preprocessing.model_input(frame, self.spec.image_size, self.spec.crop)

    def drop_weights(self) -> None:
        """Let go of the weights, whoever still holds the model: it cannot be used any more."""
        self._graphs = self.encoder = self.predictor = None

    def pack(self) -> None:
        """Make a small model on a CPU faster, for twice the memory; its weights must stay."""
        if self._small:
            self.memory += sum(pack(network) for network in self._networks)

    def encode(self, frames) -> Tensor:
        """Return the layer-normed latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""
        lanes = self.lanes
        return side_by_side(
            lambda some: self.encode_pixels(
                preprocessing.crop_and_resize(
                    some, self.spec.image_size, self.spec.crop, self.device
                )
            ),
            torch.as_tensor(frames).chunk(lanes),
            lanes,
        )

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Return the same of pixels [T, 3, size, size], 0..255, cropped and resized before."""
        return self._run(
            self._encode_images,
            len(pixels) * self.picture_bytes(),
            preprocessing.normalise(pixels),
        )

    def _encode_images(self, images: Tensor) -> Tensor:
        return layer_norm(self.encoder(images))

    def _records(self, needed: int) -> bool:
        """Return whether what takes so many bytes goes by CUDA graphs."""
        return self._graphs is not None and needed <= GRAPHED

    def _run(self, function: Callable[..., Tensor], needed: int, *inputs: Tensor) -> Tensor:
        """Return function(*inputs), which takes so many bytes; by a CUDA graph if they are few."""
        if self._records(needed):
            try:
                return self._graphs(function, *inputs)
            except RuntimeError as error:
                log.warning('CUDA graphs are not used any more: %s', error)
                self._graphs = None
        return function(*inputs)

    def encode_each(self, pictures) -> Iterator[Tensor]:
        """
        Yield the layer-normed latents [N, D] of uint8 pictures [H, W, 3] RGB, of any sizes.

        As many go through the encoder at once as working memory has room for, 32 at most.
        """
        pictures = iter(pictures)
        batch = max(1, min(32, self.working_memory() // self.picture_bytes()))
        while some := list(islice(pictures, batch)):
            yield from self.encode_pixels(
                torch.cat(
                    [
                        preprocessing.crop_and_resize(
                            picture[None], self.spec.image_size, self.spec.crop, self.device
                        )
                        for picture in some
                    ]
                )
            )

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
        if self.predictor is None:
            raise WorldModelError(
                f"model '{self.name}' is an encoder alone: it cannot predict where an action leads"
            )
        context = context.to(self.device)
        states = torch.as_tensor(states, dtype=torch.float32).to(self.device)
        actions = torch.as_tensor(actions, dtype=torch.float32).to(self.device)
        if len(context) != len(states) or states.shape[1:] != (7,) or actions.shape[2:] != (7,):
            raise ValueError(
                f'context {list(context.shape)}, states {list(states.shape)}, '
                f'actions {list(actions.shape)}; allowed: [T, N, D], [T, 7], [S, H, 7]'
            )
        if self.spec.reference_rotation is not None:
            reference = torch.tensor(self.spec.reference_rotation, device=self.device)
            states = poses.rotate_from(states, reference)
        frames, horizon = len(context), actions.shape[1]
        needed = len(actions) * self.candidate_bytes(frames, horizon)
        if self._records(needed):
            return self._run(self._predict, needed, context, states, actions)
        past = None
        if frames > 1:
            past = self._run(self._past, self.candidate_bytes(frames, 1), context, states)
        return self.in_batches(
            partial(self._predict, context, states, past=past),
            actions,
            self.batch_size(frames, horizon),
        )

    def in_batches(
        self, predict: Callable[[Tensor], Tensor], candidates: Tensor, batch: int
    ) -> Tensor:
        """
        Return predict(some) of candidates [S, ...], so many at once, put together.

        Should memory run out all the same, it is tried once more with half the batch, which later
        calls keep.
        """
        lanes = self.lanes
        used = max(1, min(lanes, len(candidates) // FEWEST))
        rounds = ceil(len(candidates) / used / min(self._largest_batch or batch, batch))
        batch = ceil(len(candidates) / used / rounds)
        try:
            return side_by_side(predict, candidates.split(batch), lanes)
        except Exception as error:
            if batch == 1 or not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled it
            log.warning(
                'memory of %s ran out with %d candidates at once; going on with %d: %s',
                self.device,
                batch,
                batch // 2,
                error,
            )
        self.memory_shortages += 1
        self._largest_batch = batch // 2
        release_memory()
        return side_by_side(predict, candidates.split(batch // 2), lanes)

    def _past(self, context: Tensor, states: Tensor) -> Tensor:
        """Return the keys and values [blocks, 2, 1, heads, M, hd] of what the last frame sees."""
        cache = None
        for t, action in enumerate(poses.difference(states[:-1], states[1:])):
            _, cache = self.predictor.step(
                context[t : t + 1], action[None], states[t : t + 1], t, cache
            )
        return torch.stack([torch.stack(keys_values) for keys_values in cache])

    def _predict(
        self, context: Tensor, states: Tensor, actions: Tensor, *, past: Tensor | None = None
    ) -> Tensor:
        """Roll candidates [S, H, 7] out; past is what _past returns, made here if not given."""
        frames, horizon = len(context), actions.shape[1]
        latents, state, cache = context[-1:], states[-1:], past
        if frames > 1 and past is None:
            cache = self._past(context, states)
        for h in range(horizon):
            latents, cache = self.predictor.step(
                latents, actions[:, h], state, frames - 1 + h, cache, keep_cache=h + 1 < horizon
            )
            latents = layer_norm(latents)
            if h + 1 < horizon:
                state = poses.compose(state, actions[:, h])
        return latents

    def batch_size(self, frames: int, horizon: int) -> int:
        """Return how many candidates go through the predictor at once."""
        return max(1, self.working_memory() // self.candidate_bytes(frames, horizon))

    def working_memory(self) -> int:
        """Return the bytes that one batch may take."""
        if self.device.type == 'cpu':
            return CPU_WORKING_SET
        return min(GPU_WORKING_SET, free_memory(self.device) // 2)

    def picture_bytes(self) -> int:
        """Return an upper bound of the memory that a picture takes while it is encoded."""
        size, (rows, columns) = self.spec.encoder, self.spec.grid
        # Alive at once in a block: as in candidate_bytes.
        return rows * columns * (8 * size.dim + 2 * size.mlp_hidden) * self.dtype.itemsize

    def candidate_bytes(self, frames: int, horizon: int) -> int:
        """Return an upper bound of the memory that a candidate takes while it is rolled out."""
        size, tokens = self.spec.predictor, 2 + self.spec.grid[0] * self.spec.grid[1]
        # Alive at once in a block: the residual and normed streams, q, k, v, rotated copies and
        # the widened MLP; the keys and values of all frames; the latents before and after.
        channels = (
            8 * size.dim
            + 2 * size.mlp_hidden
            + 2 * size.dim * (frames + horizon)
            + 3 * self.spec.encoder.dim
        )
        if horizon > 1:  # every block's cache, old and grown; a first one is a view of q, k, v
            kept = frames + horizon - 2
            channels += size.depth * size.dim * (2 * kept + (2 * kept if horizon > 2 else 3))
        if self.device.type == 'mps' or unfused_attention(self.dtype, self.device):
            channels += 2 * size.heads * tokens * (frames + horizon)
        return tokens * channels * self.dtype.itemsize


# Bytes of one batch on a CPU: bigger ones leave the caches, smaller ones wait for Python.
CPU_WORKING_SET = 32 << 20
GPU_WORKING_SET = 6 << 30  # 130,000 tokens of vit-giant-ac fill any card; others need memory too
GRAPHED = 512 << 20  # bytes: what takes more keeps a GPU busy while Python launches what follows
SMALL = 64 << 20  # bytes of weights: the larger ones keep all threads busy with each operation
FEWEST = 8  # candidates that are worth a lane of their own
