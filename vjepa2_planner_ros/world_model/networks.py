# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The networks of V-JEPA 2-AC: a vision transformer and an action-conditioned predictor.

Module and parameter names are those of Meta's checkpoints, so that their state dicts load
strictly and unchanged. Every module runs natively in the dtype of its parameters (fp32, bf16 or
fp16): inputs are cast once where they enter, and the rotary tables are made in float32 and cast
to the dtype of the queries. Architecture: V-JEPA 2, arXiv 2506.09985.

Shapes: B batch, T frames, N patches of one frame, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from .fused import linear
from .rotary import FrameTables
from .transformer import Block

ACTION_DIM = 7
STATE_DIM = 7
EXTRINSICS_DIM = 6


@dataclass(frozen=True)
class EncoderSize:
    """Size of a vision transformer; ``mlp_hidden`` is the width inside each MLP."""

    dim: int
    depth: int
    heads: int
    mlp_hidden: int
    patch_size: int = 16


@dataclass(frozen=True)
class PredictorSize:
    """Size of an action-conditioned predictor."""

    dim: int
    depth: int
    heads: int
    mlp_hidden: int


# --- encoder -----------------------------------------------------------------------------------


class PatchEmbed(nn.Module):
    """Cut clips into tubelets of 2 frames x patch x patch and embed each linearly."""

    def __init__(self, patch_size: int, dim: int):
        super().__init__()
        self.patch_size = patch_size
        kernel = (2, patch_size, patch_size)
        self.proj = nn.Conv3d(3, dim, kernel_size=kernel, stride=kernel)

    def forward(self, images: Tensor) -> Tensor:
        """
        Embed still images [B, 3, H, W] as clips of one repeated frame, to [B, rows, columns, D].

        A tubelet of two equal frames meets the sum of the two temporal kernels, which costs half
        the multiplications of the clip. Patches do not overlap, so one product of matrices does.
        """
        weight, patch = self.proj.weight, self.patch_size
        kernel = weight[:, :, 0] + weight[:, :, 1]
        patches = images.to(kernel.dtype).unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
        return F.linear(
            patches.permute(0, 2, 4, 1, 3, 5).flatten(3), kernel.flatten(1), self.proj.bias
        )


class VisionTransformer(nn.Module):
    """The V-JEPA 2 encoder for single images: pre-norm, three-axis RoPE, no class token."""

    def __init__(self, size: EncoderSize):
        super().__init__()
        self.heads, self.head_dim = size.heads, size.dim // size.heads
        self._tables = FrameTables(self.head_dim, self.heads)
        self.patch_embed = PatchEmbed(size.patch_size, size.dim)
        self.blocks = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(size.depth)
        )
        self.norm = nn.LayerNorm(size.dim, eps=1e-6)

    def forward(self, images: Tensor, keep: Tensor | None = None) -> Tensor:
        """
        Encode normalised images.

        :param images: [B, 3, H, W], sides multiples of the patch size, any dtype.
        :param keep: [B, K] indices of the patches to look at (masked training); None is all.
        :return: tokens [B, N, D] in raster order, N = H/patch * W/patch (or K).
        """
        height, width = images.shape[-2:]
        patch = self.patch_embed.patch_size
        if height % patch or width % patch:
            raise ValueError(f'image is {height}x{width}; sides must be multiples of {patch}')
        x = self.patch_embed(images)
        table = self._tables(*x.shape[1:3], 0, x.dtype, x.device)
        table = [half[2:] for half in table]  # no tokens but patches
        x = x.flatten(1, 2)
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
            table = [half[keep] for half in table]  # [B, K, ...]
        for block in self.blocks:
            x, _ = block(x, table, keep_cache=False)
        return self.norm(x)


# --- action-conditioned predictor --------------------------------------------------------------


class ActionConditionedPredictor(nn.Module):
    """
    Predict the latents of the next frame from latents, states and actions.

    The tokens of a frame are [action, state, patches]. A frame attends to itself and to every
    earlier frame. Positions are absolute: the first context frame is frame 0.
    """

    def __init__(self, latent_dim: int, size: PredictorSize, grid: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.heads, self.head_dim = size.heads, size.dim // size.heads
        self._tables = FrameTables(self.head_dim, self.heads)
        self.predictor_embed = nn.Linear(latent_dim, size.dim)
        self.action_encoder = nn.Linear(ACTION_DIM, size.dim)
        self.state_encoder = nn.Linear(STATE_DIM, size.dim)
        self.extrinsics_encoder = nn.Linear(EXTRINSICS_DIM, size.dim)  # in checkpoints, unused
        self.predictor_blocks = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(size.depth)
        )
        self.predictor_norm = nn.LayerNorm(size.dim, eps=1e-6)
        self.predictor_proj = nn.Linear(size.dim, latent_dim)

    def frame_table(self, frame: int) -> tuple[Tensor, Tensor]:
        """Return the rotary table of one frame's [action, state, patches] tokens."""
        weight = self.predictor_embed.weight
        return self._tables(*self.grid, frame, weight.dtype, weight.device)

    def embed(self, latents: Tensor, actions: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return the tokens of actions [..., 1, D] and those of states and patches [..., 1 + N, D].

        :param latents: [..., N, D']; actions and states: [..., 7].
        """
        dtype = self.predictor_embed.weight.dtype
        patches = self.predictor_embed(latents.to(dtype))
        action = self.action_encoder(actions.to(dtype)).unsqueeze(-2)
        state = self.state_encoder(states.to(dtype)).unsqueeze(-2)
        return action, torch.cat([state, patches], dim=-2)

    def step(
        self,
        latents: Tensor,
        action: Tensor,
        state: Tensor,
        frame: int,
        cache=None,
        *,
        keep_cache: bool = True,
    ):
        """
        Predict frame + 1 from one frame and the cache of all frames before it.

        :param latents: [B or 1, N, D'] of this frame; action: [B, 7]; state: [B or 1, 7].
            Latents and state are of the same batch.
        :param cache: what the previous call returned, its batch that of latents or 1: keys and
            values of every block. None at frame 0.
        :return: latents [B, N, D'] (not layer-normed) and the cache that includes this frame
            (None unless keep_cache: the keys and values of a last frame are never read).
        """
        table = self.frame_table(frame)
        own, shared = self.embed(latents, action, state)
        if cache is None:
            cache = [None] * len(self.predictor_blocks)
        first, *blocks = zip(self.predictor_blocks, cache)
        if len(shared) < len(own):
            x, keys_values = first[0].forward_shared(
                own, shared, table, past=first[1], keep_cache=keep_cache
            )
        else:
            x, keys_values = first[0](
                torch.cat([own, shared], dim=1), table, past=first[1], keep_cache=keep_cache
            )
        grown = [keys_values]
        for block, past in blocks:
            x, keys_values = block(x, table, past=past, keep_cache=keep_cache)
            grown.append(keys_values)
        return self.decode(x[:, 2:]), grown if keep_cache else None

    def decode(self, x: Tensor) -> Tensor:
        """Return latents [..., D'] of the last block's tokens [..., D]."""
        return linear(self.predictor_norm(x), self.predictor_proj)

    def forward(self, latents: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """
        Predict the next frame of every frame of a sequence at once (teacher forcing).

        :param latents: [B, T, N, D'] of frames 0..T-1; actions, states: [B, T, 7].
        :return: [B, T, N, D'] predictions of frames 1..T (not layer-normed).
        """
        x = torch.cat(self.embed(latents, actions, states), dim=-2)  # [B, T, 2 + N, D]
        frames, tokens = x.shape[1:3]
        tables = [self.frame_table(t) for t in range(frames)]
        table = tuple(torch.cat(parts) for parts in zip(*tables))
        mask = None
        if frames > 1:
            frame = torch.arange(frames, device=x.device).repeat_interleave(tokens)
            mask = frame[:, None] >= frame[None, :]
        x = x.flatten(1, 2)
        for block in self.predictor_blocks:
            x, _ = block(x, table, mask=mask, keep_cache=False)
        x = x.unflatten(1, (frames, tokens))[:, :, 2:]
        return self.decode(x)
