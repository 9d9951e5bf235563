# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The world model as the planner sees it: encode pictures, roll candidate actions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
import logging
from math import ceil
import traceback
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from . import poses, preprocessing
from .catalogue import ModelSpec
from .devices import free_memory, is_out_of_memory, release_memory
from .errors import WorldModelError
from .networks import ActionConditionedPredictor, VisionTransformer
from .parallel import side_by_side

log = logging.getLogger(__name__)

# Bytes of one batch on a CPU: bigger ones get new pages from the system at every operation,
# smaller ones wait for Python.
CPU_WORKING_SET = 20 << 20
GPU_WORKING_SET = 6 << 30  # 130,000 tokens of vit-giant-ac fill any card; others need memory too
SMALL = 64 << 20  # bytes of weights: larger models keep all threads busy with each operation
FEWEST = 8  # candidates that are worth a thread


class WorldModel(Protocol):
    """What planning needs of a world model."""

    @property
    def action_bounds(self) -> tuple[float, ...]:
        """Return the largest change per axis and step [7] in m, rad and closedness."""

    @property
    def search_axes(self) -> tuple[str, ...]:
        """Return the names of the axes that are searched unless settings say otherwise."""

    @property
    def cost(self) -> str:
        """Return how plans compare latents unless settings say otherwise."""

    def rollout(self, context: Tensor, states: ArrayLike, actions: Tensor) -> Tensor:
        """
        Return the layer-normed latents [S, N, D] predicted after H actions.

        :param context: [T, ...] what the model observed of the frames, the current one last.
        :param states: [T, 7] end-effector states at these frames; the actions between them are
            derived from them.
        :param actions: [S, H, 7] candidates.
        """


def layer_norm(latents: Tensor) -> Tensor:
    """Normalise each token over its channels without affine (eps 1e-5), as V-JEPA 2-AC does."""
    return F.layer_norm(latents, latents.shape[-1:])


class VJepa2WorldModel:
    """
    A V-JEPA 2 encoder with its action-conditioned predictor.

    Without a predictor it encodes, but cannot tell where an action leads.
    """

    def __init__(
        self,
        spec: ModelSpec,
        encoder: VisionTransformer,
        predictor: ActionConditionedPredictor | None,
    ):
        self.spec, self.encoder, self.predictor = spec, encoder, predictor
        networks: list[nn.Module] = [encoder] if predictor is None else [encoder, predictor]
        for network in networks:
            network.eval().requires_grad_(False)
        self.name, self.frame_period = spec.name, spec.frame_period
        self.action_dim, self.action_bounds = spec.action_dim, spec.action_bounds
        self.search_axes, self.cost = spec.search_axes, spec.cost
        self.device, self.dtype = encoder.norm.weight.device, encoder.norm.weight.dtype
        self.memory = sum(p.nbytes for network in networks for p in network.parameters())
        self.memory_shortages = 0  # rollouts that ran out of memory and went on with less at once
        self._largest_batch: int | None = None  # candidates; None until memory ran out

    def drop_weights(self) -> None:
        """Free the weights, even if the model is still referenced: it cannot be used any more."""
        del self.encoder, self.predictor

    def model_input(
        self, frame: ArrayLike | Tensor, crop: preprocessing.Crop = ''
    ) -> NDArray[np.uint8]:
        """Return the uint8 [size, size, 3] RGB picture that the encoder sees of a frame."""
        return preprocessing.model_input(frame, self.spec.image_size, crop or self.spec.crop)

    # --- encoding: the part of a picture that is seen is crop, '' = that of the spec -------------

    def encode(self, frames: ArrayLike | Tensor, crop: preprocessing.Crop = '') -> Tensor:
        """Return the layer-normed latents [T, N, D] of uint8 frames [T, H, W, 3] RGB."""
        return self.in_batches(
            lambda batch: self.encode_pixels(self._pixels(batch, crop)),
            torch.as_tensor(frames),
            self.picture_batch_size(),
        )

    def observe(self, frames: ArrayLike | Tensor, crop: preprocessing.Crop = '') -> Tensor:
        """Return what rollout needs to know of frames: here the same as encode."""
        return self.encode(frames, crop)

    def encode_each(
        self, pictures: Iterable[ArrayLike | Tensor], crop: preprocessing.Crop = ''
    ) -> Iterator[Tensor]:
        """
        Yield the layer-normed latents [N, D] of uint8 pictures [H, W, 3] RGB, of any sizes.

        As many go through the encoder at once as working memory has room for, 32 at most.
        """
        pixels = (self._pixels(torch.as_tensor(picture)[None], crop) for picture in pictures)
        batch_size = self.picture_batch_size()
        while batch := list(islice(pixels, min(32, batch_size))):
            yield from self.in_batches(self.encode_pixels, torch.cat(batch), batch_size)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Return the same of one batch of pixels [T, 3, size, size], 0..255, on this thread."""
        return self._encode(preprocessing.normalise(pixels))

    def _pixels(self, frames: ArrayLike | Tensor, crop: preprocessing.Crop) -> Tensor:
        crop = crop or self.spec.crop
        return preprocessing.crop_and_resize(frames, self.spec.image_size, crop, self.device)

    def _encode(self, images: Tensor) -> Tensor:
        return layer_norm(self.encoder(images))

    # --- rolling out ---------------------------------------------------------------------------

    @torch.inference_mode()
    def rollout(self, context: Tensor, states: ArrayLike, actions: ArrayLike | Tensor) -> Tensor:
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
        past = self._past(context, states) if len(context) > 1 else None
        return self.in_batches(
            lambda candidates: self._predict(context, states, candidates, past),
            actions,
            self.batch_size(len(context), actions.shape[1]),
        )

    def _past(self, context: Tensor, states: Tensor) -> Tensor:
        """Return the keys and values [blocks, 2, 1, heads, M, hd] of what the last frame sees."""
        assert self.predictor is not None
        cache = None
        for t, action in enumerate(poses.difference(states[:-1], states[1:])):
            _, cache = self.predictor.step(
                context[t : t + 1], action[None], states[t : t + 1], t, cache
            )
        assert cache is not None
        return torch.stack([torch.stack(keys_values) for keys_values in cache])

    def _predict(
        self, context: Tensor, states: Tensor, actions: Tensor, past: Tensor | None
    ) -> Tensor:
        """Roll candidates [S, H, 7] out; past is what _past returns, None for a single frame."""
        assert self.predictor is not None
        frames, horizon = len(context), actions.shape[1]
        latents, state = context[-1:], states[-1:]
        cache = None if past is None else [(keys, values) for keys, values in past]
        for h in range(horizon):
            latents, cache = self.predictor.step(
                latents, actions[:, h], state, frames - 1 + h, cache, keep_cache=h + 1 < horizon
            )
            latents = layer_norm(latents)
            if h + 1 < horizon:
                state = poses.compose(state, actions[:, h])
        return latents

    # --- batches -------------------------------------------------------------------------------

    def in_batches(
        self, predict: Callable[[Tensor], Tensor], candidates: Tensor, batch_size: int
    ) -> Tensor:
        """
        Return predict(batch) of candidates [S, ...], at most batch_size at once, concatenated.

        If memory runs out all the same, it is tried once more with half of that, which later
        calls keep.
        """
        threads, batch_size = self._threads, min(batch_size, self._largest_batch or batch_size)
        rounds = ceil(len(candidates) / threads / batch_size)
        batch_size = max(ceil(len(candidates) / threads / rounds), min(FEWEST, batch_size))
        try:
            return side_by_side(predict, candidates.split(batch_size), threads)
        except Exception as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled it
            log.warning(
                'memory of %s ran out with %d candidates at once; going on with %d: %s',
                self.device,
                batch_size,
                batch_size // 2,
                error,
            )
        self.memory_shortages += 1
        self._largest_batch = batch_size // 2
        release_memory()
        return side_by_side(predict, candidates.split(batch_size // 2), threads)

    @property
    def _threads(self) -> int:
        """Return how many batches run side by side: torch's threads for small models on a CPU."""
        small = self.device.type == 'cpu' and self.memory <= SMALL
        return torch.get_num_threads() if small else 1

    def batch_size(self, frames: int, horizon: int) -> int:
        """Return how many candidates go through the predictor at once."""
        return max(1, self.working_memory() // self.candidate_bytes(frames, horizon))

    def picture_batch_size(self) -> int:
        """Return how many pictures go through the encoder at once."""
        return max(1, self.working_memory() // self.picture_bytes())

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
        assert size is not None
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
        if self.device.type == 'mps':  # whose attention keeps its scores
            channels += 2 * size.heads * tokens * (frames + horizon)
        return tokens * channels * self.dtype.itemsize
