# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The networks of V-JEPA 2, 2.1 and 2-AC: a vision transformer and an action-conditioned predictor.

Module and parameter names are those of Meta's checkpoints of V-JEPA 2, so that their state dicts
load strictly and unchanged; `layouts` says what other files call them. Every module runs natively
in the dtype of its parameters (fp32, bf16 or fp16): inputs are cast once where they enter, and the
rotary tables are made in float32 and cast.
Architecture: V-JEPA 2, arXiv 2506.09985.

Shapes: B batch, T frames, N tokens (patches of one frame), D channels, M tokens of past frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from .rotary import frame_table, rotate, Table

ACTION_DIM = 7
STATE_DIM = 7
EXTRINSICS_DIM = 6

KeysValues = tuple[Tensor, Tensor]  # of one block, each [B, heads, M, head_dim]


@dataclass(frozen=True)
class EncoderSize:
    """
    Size of a vision transformer; ``mlp_hidden`` is the width inside each MLP.

    release: of V-JEPA, '2' or '2.1'. 2.1 embeds a still image by weights of its own with a kernel
    of one frame, adds a learned offset that says that it is one, and has another rotary embedding.
    """

    dim: int
    depth: int
    heads: int
    mlp_hidden: int
    patch_size: int = 16
    release: str = '2'


@dataclass(frozen=True)
class PredictorSize:
    """
    Size of an action-conditioned predictor.

    state_token: false for predictors that see actions, but neither states nor extrinsics.
    """

    dim: int
    depth: int
    heads: int
    mlp_hidden: int
    state_token: bool = True


# --- transformer -------------------------------------------------------------------------------


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions and an optional key/value cache."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        x: Tensor,
        table: Table | None,
        mask: Tensor | None = None,
        past: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """
        Attend within x [B, N, D] and, where given, to the cached frames before it.

        :param table: of the tokens, [N, 2 D], or [B, N, 2 D] if sequences differ; None where
            positions are in x already.
        :param mask: [N, N], true where a token may look; None is everywhere.
        :param past: keys and values, each [B or 1, heads, M, head_dim], already rotated.
        :return: [B, N, D], and the keys and values of past and x.
        """
        q, k, v = self.rotated_qkv(x, table)
        if past is not None:
            k, v = (
                torch.cat([old.expand(len(new), -1, -1, -1), new], dim=2)
                for old, new in zip(past, (k, v))
            )
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(y.transpose(1, 2).flatten(2)), (k, v)

    def rotated_qkv(self, x: Tensor, table: Table | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rotated queries and keys and the values of x, each [B, heads, N, hd]."""
        dim = x.shape[-1]
        qk, v = self.qkv(x).split([2 * dim, dim], dim=-1)
        qk = qk if table is None else rotate(qk, table)
        q, k = qk.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output [B, N, D] for x [B, N, D]."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, mlp_hidden: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, mlp_hidden)

    def forward(
        self,
        x: Tensor,
        table: Table | None,
        mask: Tensor | None = None,
        past: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """Return the output [B, N, D] and the keys and values; see Attention."""
        y, keys_values = self.attn(self.norm1(x), table, mask, past)
        x = x + y
        return x + self.mlp(self.norm2(x)), keys_values


# --- encoder -----------------------------------------------------------------------------------


class PatchEmbed(nn.Module):
    """Cut clips into tubelets of 1 or 2 frames x patch x patch and embed each linearly."""

    def __init__(self, patch_size: int, dim: int, frames: int = 2):
        super().__init__()
        self.patch_size = patch_size
        kernel = (frames, patch_size, patch_size)
        self.proj = nn.Conv3d(3, dim, kernel_size=kernel, stride=kernel)

    def forward(self, images: Tensor) -> Tensor:
        """
        Embed still images [B, 3, H, W] as clips of one repeated frame, to [B, rows, columns, D].

        A tubelet of equal frames meets the sum of the temporal kernels, which costs half
        the multiplications of the clip. Patches do not overlap, so one matrix product is enough.
        """
        weight, patch = self.proj.weight.sum(2), self.patch_size
        x = images.to(weight.dtype).unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3)  # [B, rows, columns, 3 * patch * patch]
        return F.linear(x, weight.flatten(1), self.proj.bias)


class VisionTransformer(nn.Module):
    """The V-JEPA 2 or 2.1 encoder for single images: pre-norm, three-axis RoPE, no class token."""

    def __init__(self, size: EncoderSize):
        super().__init__()
        self.heads, self.head_dim = size.heads, size.dim // size.heads
        self.interpolated = size.release == '2.1'
        self.patch_embed = PatchEmbed(size.patch_size, size.dim, 1 if self.interpolated else 2)
        self.img_mod_embed = (
            nn.Parameter(torch.zeros(1, 1, size.dim)) if self.interpolated else None
        )
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
        x = self.patch_embed(images)  # [B, rows, columns, D]
        grid = x.shape[1], x.shape[2]
        cos, sin = frame_table(
            grid, 0, self.head_dim, self.heads, x.dtype, x.device, self.interpolated
        )
        table = cos[2:], sin[2:]  # the patches alone
        x = x.flatten(1, 2)
        if self.img_mod_embed is not None:
            x = x + self.img_mod_embed
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
            table = table[0][keep], table[1][keep]  # [B, K, 2 D]
        for block in self.blocks:
            x, _ = block(x, table)
        return self.norm(x)


# --- action-conditioned predictor --------------------------------------------------------------


class ActionConditionedPredictor(nn.Module):
    """
    Predict the latents of the next frame from latents, states and actions.

    The tokens of a frame are [action, state, patches], without the state in some models. A frame
    attends to itself and to every earlier frame. Positions are absolute: the first context frame
    is frame 0.
    """

    def __init__(self, latent_dim: int, size: PredictorSize, grid: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.heads, self.head_dim = size.heads, size.dim // size.heads
        self.predictor_embed = nn.Linear(latent_dim, size.dim)
        self.action_encoder = nn.Linear(ACTION_DIM, size.dim)
        self.conditioning = 1 + size.state_token  # tokens of a frame before its patches
        self.state_encoder = nn.Linear(STATE_DIM, size.dim) if size.state_token else None
        if size.state_token:
            self.extrinsics_encoder = nn.Linear(EXTRINSICS_DIM, size.dim)  # in files, unused
        self.predictor_blocks = nn.ModuleList(
            Block(size.dim, size.heads, size.mlp_hidden) for _ in range(size.depth)
        )
        self.predictor_norm = nn.LayerNorm(size.dim, eps=1e-6)
        self.predictor_proj = nn.Linear(size.dim, latent_dim)

    def step(
        self,
        latents: Tensor,
        action: Tensor,
        state: Tensor,
        frame: int,
        cache: list[KeysValues] | None = None,
        *,
        keep_cache: bool = True,
    ) -> tuple[Tensor, list[KeysValues] | None]:
        """
        Predict frame + 1 from one frame and the cache of all frames before it.

        :param latents: [B or 1, N, D'] of this frame; action: [B, 7]; state: [B or 1, 7].
        :param cache: what the previous call returned, its batch B or 1: the keys and values of
            every block. None at frame 0.
        :param keep_cache: false for a last frame, whose keys and values are never read.
        :return: latents [B, N, D'] (not layer-normed) and the cache that includes this frame
            (None unless keep_cache).
        """
        x = self._embed(latents, action, state)
        table = self._table(frame)
        grown = []
        for i, block in enumerate(self.predictor_blocks):
            x, keys_values = block(x, table, past=cache[i] if cache else None)
            if keep_cache:
                grown.append(keys_values)
        return self._decode(x[:, self.conditioning :]), grown if keep_cache else None

    def forward(self, latents: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """
        Predict the next frame of every frame of a sequence at once (teacher forcing).

        :param latents: [B, T, N, D'] of frames 0..T-1; actions, states: [B, T, 7].
        :return: [B, T, N, D'] predictions of frames 1..T (not layer-normed).
        """
        x = self._embed(latents, actions, states)  # [B, T, conditioning + N, D]
        frames, tokens = x.shape[1:3]
        cos, sin = zip(*(self._table(t) for t in range(frames)))
        frame = torch.arange(frames, device=x.device).repeat_interleave(tokens)
        mask = frame[:, None] >= frame[None, :]
        x = x.flatten(1, 2)
        for block in self.predictor_blocks:
            x, _ = block(x, (torch.cat(cos), torch.cat(sin)), mask)
        return self._decode(x.unflatten(1, (frames, tokens))[:, :, self.conditioning :])

    def _embed(self, latents: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Return the tokens [..., C + N, D] of latents [..., N, D'], actions, states [..., 7]."""
        dtype = self.predictor_embed.weight.dtype
        action = self.action_encoder(actions.to(dtype)).unsqueeze(-2)
        tokens = [self.predictor_embed(latents.to(dtype))]
        if self.state_encoder is not None:
            tokens.insert(0, self.state_encoder(states.to(dtype)).unsqueeze(-2))
        tokens = [x.expand(*action.shape[:-2], -1, -1) for x in tokens]
        return torch.cat([action, *tokens], dim=-2)

    def _decode(self, x: Tensor) -> Tensor:
        """Return latents [..., D'] of the last block's tokens [..., D]."""
        return self.predictor_proj(self.predictor_norm(x))

    def _table(self, frame: int) -> Table:
        """Return the rotary table of one frame's tokens."""
        weight = self.predictor_embed.weight
        cos, sin = frame_table(
            self.grid, frame, self.head_dim, self.heads, weight.dtype, weight.device
        )
        first = 2 - self.conditioning
        return cos[first:], sin[first:]
