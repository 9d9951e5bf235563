# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rotary position embedding of V-JEPA 2: three axes, and a quirk of the released weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

WORDS = {2: torch.int32, 4: torch.int64}  # as wide as two numbers of so many bytes


class FrameTables:
    """The rotary tables of frames, each made once: they stay where they are as long as this."""

    def __init__(self, head_dim: int, heads: int):
        self._head_dim, self._heads, self._made = head_dim, heads, {}

    @torch.inference_mode(False)  # training may meet what planning has left here
    def __call__(
        self, rows: int, columns: int, frame: int, dtype: torch.dtype, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the table of one frame's tokens: two without a place in it, its patches."""
        key = rows, columns, frame, dtype, device
        if key not in self._made:
            patches = patch_positions(rows, columns, frame).float()
            conditioning = torch.tensor([[frame, torch.nan, torch.nan]]).expand(2, 3)
            table = rotary_table(torch.cat([conditioning, patches]), self._head_dim, self._heads)
            self._made[key] = tuple(half.to(device, dtype) for half in table)
        return self._made[key]


def rotary_table(positions: Tensor, head_dim: int, heads: int) -> tuple[Tensor, Tensor]:
    """
    Return the cosine and signed sine tables of the three-axis RoPE.

    Each is [N, 2 * heads * head_dim], for queries and keys of all heads side by side.

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
    angles = F.pad(angles, (0, head_dim - 3 * axis_dim)).tile(2 * heads)
    sign = torch.tensor([-1.0, 1.0], device=device).repeat(heads * head_dim)
    return angles.cos(), angles.sin() * sign


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate queries and keys [..., N, 2 * heads * head_dim] by a table of the same dtype."""
    cos, sin = table
    return swap_neighbours(x).mul_(sin).addcmul_(x, cos)


def swap_neighbours(x: Tensor) -> Tensor:
    """Return a copy of x in which neighbouring channels have changed places."""
    if x.device.type != 'cpu' or x.itemsize not in WORDS or torch.is_grad_enabled():
        return x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    # Turning the words that hold two channels by half their width is vectorised, flip is not.
    words, bits = x.view(WORDS[x.itemsize]), 8 * x.itemsize
    turned = (words >> bits).bitwise_and_((1 << bits) - 1)
    if bits == 16:
        turned.add_(words, alpha=1 << bits)
    else:  # int64 has no such vectors
        turned.bitwise_or_(words << bits)
    return turned.view(x.dtype)


def patch_positions(rows: int, columns: int, depth: int, device=None) -> Tensor:
    """Return the [rows * columns, 3] positions of the patches of one frame, in raster order."""
    row, column = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing='ij'
    )
    return torch.stack([torch.full_like(row, depth), row, column], dim=-1).flatten(0, 1)
