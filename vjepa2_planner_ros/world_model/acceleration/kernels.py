# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Operations of a transformer block for CUDA, each in one pass over memory.

Written in Triton, which comes with PyTorch on Linux and needs a C compiler; `blocks` imports this
where it is used. Numbers are read in their dtype and computed with in float32. Compiled
kernels are kept in a folder of torch.hub's (TORCH_HOME), or in TRITON_CACHE_DIR.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn, Tensor

from ..rotary import Table

os.environ.setdefault('TRITON_CACHE_DIR', str(Path(torch.hub.get_dir()) / 'triton'))
import triton  # noqa: E402, I100, it may look for its folder at once
import triton.language as tl  # noqa: E402


def rotate_(x: Tensor, table: Table, head_dim: int) -> Tensor:
    """Rotate x [B, N, C], whose last axis is contiguous, in place as rotary.rotate does."""
    cos, sin = table
    batch, tokens, channels = x.shape
    with torch.cuda.device_of(x):
        _rotate[(batch * tokens,)](
            x,
            cos,
            sin,
            tokens,
            x.stride(0),
            x.stride(1),
            cos.stride(0),
            channels,
            head_dim,
            triton.next_power_of_2(channels),
        )
    return x


@triton.jit(do_not_specialize=['tokens'])
def _rotate(
    x,
    cos,
    sin,
    tokens,
    batch_stride,
    token_stride,
    table_stride,
    channels: tl.constexpr,
    head_dim: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    token = row % tokens
    channel = tl.arange(0, block)
    inside = channel < channels
    here = x + row // tokens * batch_stride + token * token_stride + channel
    angle = token * table_stride + channel % head_dim  # all heads turn alike
    value = tl.load(here, mask=inside).to(tl.float32)
    even, odd = tl.split(value.reshape(block // 2, 2))
    neighbour = tl.join(odd, even).reshape(block)
    turned = value * tl.load(cos + angle, mask=inside).to(tl.float32) + neighbour * tl.load(
        sin + angle, mask=inside
    ).to(tl.float32)
    tl.store(here, turned.to(x.dtype.element_ty), mask=inside)


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Return layer(x) of x [..., C]."""
    x = x.contiguous()
    out, channels = torch.empty_like(x), x.shape[-1]
    with torch.cuda.device_of(x):
        _norm[(x.numel() // channels,)](
            x,
            layer.weight,
            layer.bias,
            out,
            layer.eps,
            channels,
            triton.next_power_of_2(channels),
            num_warps=2,
        )
    return out


@triton.jit
def _norm(x, weight, bias, out, eps, channels: tl.constexpr, block: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * channels
    channel = tl.arange(0, block)
    inside = channel < channels
    value = tl.load(x + row + channel, mask=inside, other=0.0).to(tl.float32)
    centred = tl.where(inside, value - tl.sum(value) / channels, 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred) / channels + eps)
    weight = tl.load(weight + channel, mask=inside).to(tl.float32)
    bias = tl.load(bias + channel, mask=inside).to(tl.float32)
    tl.store(
        out + row + channel,
        (centred * scale * weight + bias).to(out.dtype.element_ty),
        mask=inside,
    )


def try_out() -> None:
    """Run each kernel once on small tensors; raise what Triton raises."""
    x = torch.zeros(1, 2, 32, device='cuda')
    norm(rotate_(x, (x[0], x[0]), 32), nn.LayerNorm(32, device='cuda'))
