# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rotary position embedding of V-JEPA 2 and 2.1: three axes, and a quirk of the former."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

TRAINED_SIDE = 15  # last row and column of the pictures of 256 px that V-JEPA 2.1 began with

Table = tuple[Tensor, Tensor]  # cosine and signed sine [N, 2 * heads * head_dim] of N tokens


@cache
@torch.inference_mode(False)  # training may use a table that planning has made
def frame_table(
    grid: tuple[int, int],
    frame: int,
    head_dim: int,
    heads: int,
    dtype: torch.dtype,
    device: torch.device,
    interpolated: bool = False,
) -> Table:
    """
    Return the table of one frame's tokens: action and state, which have no place, patches.

    :param interpolated: V-JEPA 2.1: positions as if there were 16 rows and columns, and both
        channels of a pair turned by one angle.
    """
    conditioning = torch.tensor([[frame, torch.nan, torch.nan]]).expand(2, 3)
    patches = patch_positions(*grid, frame).float()
    if interpolated:
        sides = torch.tensor([max(side - 1, 1) for side in grid])
        patches[:, 1:] = patches[:, 1:] * TRAINED_SIDE / sides
    cos, sin = rotary_table(
        torch.cat([conditioning, patches]), head_dim, heads, interleaved=interpolated
    )
    return cos.to(device, dtype), sin.to(device, dtype)


def rotary_table(positions: Tensor, head_dim: int, heads: int, interleaved: bool = False) -> Table:
    """
    Return the cosine and signed sine tables of the three-axis RoPE.

    Each is [N, 2 * heads * head_dim], for queries and keys of all heads side by side.

    :param positions: [N, 3] depth, row and column of every token; NaN leaves that axis unrotated.
    :param interleaved: give both channels of a pair the same angle, as V-JEPA 2.1 does.

    A head is laid out [depth | row | column | rest]; each axis takes 2 * ((head_dim // 3) // 2)
    channels. V-JEPA 2 tiles the D/2 angles of an axis as [f, f] although the rotation acts on
    neighbouring channels, so the two channels of a pair turn by different angles. The sine
    carries the sign of the pair rotation (-x2, x1).
    """
    axis_dim = 2 * ((head_dim // 3) // 2)
    if axis_dim < 4:
        raise ValueError(f'head_dim is {head_dim}; the three-axis RoPE needs at least 12')
    half = axis_dim // 2
    device = positions.device
    omega = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=device) / half)
    angles = positions.float().nan_to_num(nan=0.0)[:, :, None] * omega  # [N, 3, half]
    if interleaved:
        angles = angles.repeat_interleave(2, dim=-1)
    else:
        angles = torch.cat([angles, angles], dim=-1)
    angles = angles.flatten(1)  # [N, 3 * axis_dim]
    angles = F.pad(angles, (0, head_dim - 3 * axis_dim)).tile(2 * heads)
    sign = torch.tensor([-1.0, 1.0], device=device).repeat(heads * head_dim)
    return angles.cos(), angles.sin() * sign


def rotate(x: Tensor, table: Table) -> Tensor:
    """Rotate queries and keys [..., N, 2 * heads * head_dim] by a table of the same dtype."""
    cos, sin = table
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)  # (x2, x1) of every pair of channels
    return (x * cos).addcmul_(swapped, sin)


def patch_positions(
    rows: int, columns: int, depth: int, device: torch.device | None = None
) -> Tensor:
    """Return the [rows * columns, 3] positions of the patches of one frame, in raster order."""
    row, column = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing='ij'
    )
    return torch.stack([torch.full_like(row, depth), row, column], dim=-1).flatten(0, 1)
