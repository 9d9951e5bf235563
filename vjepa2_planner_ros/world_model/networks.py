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


# --- rotary position embedding -----------------------------------------------------------------

def rotary_table(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """
    Return the cosine and signed sine tables, each [N, head_dim], of the three-axis RoPE.

    :param positions: [N, 3] depth, row and column of every token; NaN leaves that axis unrotated.

    A head is laid out [depth | row | column | rest]; each axis takes 2 * ((head_dim // 3) // 2)
    channels. The released weights tile the D/2 angles of an axis as [f, f] although the rotation
    acts on neighbouring channels, so the two channels of a pair turn by different angles. The
    sine carries the sign of the pair rotation (-x2, x1).
    """
    axis_dim = 2 * ((head_dim // 3) // 2)
    if axis_dim < 4:
        raise ValueError(f'head_dim is {head_dim}; the three-axis RoPE needs at least 12')
    half = axis_dim // 2
    device = positions.device
    omega = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    angles = positions.float().nan_to_num(nan=0.0)[:, :, None] * omega  # [N, 3, half]
    angles = torch.cat([angles, angles], dim=-1).flatten(1)  # [N, 3 * axis_dim]
    angles = F.pad(angles, (0, head_dim - 3 * axis_dim))
    sign = torch.tensor([-1.0, 1.0], device=device).repeat(head_dim // 2)
    return angles.cos(), angles.sin() * sign


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries or keys [..., N, head_dim] by a table of the same dtype."""
    cos, sin = table
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * cos, swapped, sin)


def patch_positions(rows: int, columns: int, depth: int, device=None) -> Tensor:
    """Return the [rows * columns, 3] positions of the patches of one frame, in raster order."""
    row, column = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing='ij')
    return torch.stack([torch.full_like(row, depth), row, column], dim=-1).flatten(0, 1)


# --- transformer blocks ------------------------------------------------------------------------

class Attention(nn.Module):
    """Multi-head self-attention with rotary positions and an optional key/value cache."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, table, *, mask=None, past=None):
        """
        Attend within x [B, N, D] and, where given, to the cached frames before it.

        :param past: (keys, values), each [B or 1, heads, M, head_dim], already rotated.
        :return: output [B, N, D] and the (keys, values) of past and x together.
        """
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, table), rotate(k, table)
        if past is not None:
            k, v = (torch.cat([old.expand(len(new), -1, -1, -1), new], dim=2)
                    for old, new in zip(past, (k, v)))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2)), (k, v)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, mlp_hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_hidden)

    def forward(self, x: Tensor, table, *, mask=None, past=None):
        """Return the block's output and its (keys, values); see Attention.forward."""
        attended, cache = self.attn(self.norm1(x), table, mask=mask, past=past)
        x = x + attended
        return x + self.mlp(self.norm2(x)), cache


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
        the multiplications of the clip.
        """
        kernel = self.proj.weight.sum(dim=2)
        x = F.conv2d(images.to(kernel.dtype), kernel, self.proj.bias, stride=self.patch_size)
        return x.permute(0, 2, 3, 1)


class VisionTransformer(nn.Module):
    """The V-JEPA 2 encoder for single images: pre-norm, three-axis RoPE, no class token."""

    def __init__(self, size: EncoderSize):
        super().__init__()
        self.head_dim = size.dim // size.heads
        self.patch_embed = PatchEmbed(size.patch_size, size.dim)
        self.blocks = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(size.depth))
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
        cos, sin = rotary_table(
            patch_positions(x.shape[1], x.shape[2], 0, x.device), self.head_dim)
        table = cos.to(x.dtype), sin.to(x.dtype)
        x = x.flatten(1, 2)
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
            table = tuple(t[keep][:, None] for t in table)  # [B, 1, K, head_dim]
        for block in self.blocks:
            x, _ = block(x, table)
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
        self.head_dim = size.dim // size.heads
        self.predictor_embed = nn.Linear(latent_dim, size.dim)
        self.action_encoder = nn.Linear(ACTION_DIM, size.dim)
        self.state_encoder = nn.Linear(STATE_DIM, size.dim)
        self.extrinsics_encoder = nn.Linear(EXTRINSICS_DIM, size.dim)  # in checkpoints, unused
        self.predictor_blocks = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(size.depth))
        self.predictor_norm = nn.LayerNorm(size.dim, eps=1e-6)
        self.predictor_proj = nn.Linear(size.dim, latent_dim)

    def frame_table(self, frame: int, dtype, device) -> tuple[Tensor, Tensor]:
        """Return the rotary table of one frame's [action, state, patches] tokens."""
        patches = patch_positions(*self.grid, frame, device).float()
        conditioning = torch.tensor([[frame, torch.nan, torch.nan]], device=device)
        cos, sin = rotary_table(torch.cat([conditioning.expand(2, 3), patches]), self.head_dim)
        return cos.to(dtype), sin.to(dtype)

    def embed(self, latents: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Return tokens [..., 2 + N, D] of latents [..., N, D'], actions and states [..., 7]."""
        dtype = self.predictor_embed.weight.dtype
        x = self.predictor_embed(latents.to(dtype))
        action = self.action_encoder(actions.to(dtype))
        state = self.state_encoder(states.to(dtype))
        conditioning = torch.stack([action, state], dim=-2)
        return torch.cat([conditioning, x.expand(*action.shape[:-1], -1, -1)], dim=-2)

    def step(self, latents: Tensor, action: Tensor, state: Tensor, frame: int, cache=None,
             *, keep_cache: bool = True):
        """
        Predict frame + 1 from one frame and the cache of all frames before it.

        :param latents: [B or 1, N, D'] of this frame; action, state: [B, 7].
        :param cache: what the previous call returned, its batch B or 1; None at frame 0.
        :return: latents [B, N, D'] (not layer-normed) and the cache that includes this frame
            (None unless keep_cache: the keys and values of a last frame are never read).
        """
        x = self.embed(latents, action, state)
        table = self.frame_table(frame, x.dtype, x.device)
        grown = []
        for i, block in enumerate(self.predictor_blocks):
            x, keys_values = block(x, table, past=cache[i] if cache else None)
            if keep_cache:
                grown.append(keys_values)
        return self.predictor_proj(self.predictor_norm(x[:, 2:])), grown or None

    def forward(self, latents: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """
        Predict the next frame of every frame of a sequence at once (teacher forcing).

        :param latents: [B, T, N, D'] of frames 0..T-1; actions, states: [B, T, 7].
        :return: [B, T, N, D'] predictions of frames 1..T (not layer-normed).
        """
        x = self.embed(latents, actions, states)  # [B, T, 2 + N, D]
        frames, tokens = x.shape[1:3]
        tables = [self.frame_table(t, x.dtype, x.device) for t in range(frames)]
        table = tuple(torch.cat(parts) for parts in zip(*tables))
        mask = None
        if frames > 1:
            frame = torch.arange(frames, device=x.device).repeat_interleave(tokens)
            mask = frame[:, None] >= frame[None, :]
        x = x.flatten(1, 2)
        for block in self.predictor_blocks:
            x, _ = block(x, table, mask=mask)
        x = x.unflatten(1, (frames, tokens))[:, :, 2:]
        return self.predictor_proj(self.predictor_norm(x))
