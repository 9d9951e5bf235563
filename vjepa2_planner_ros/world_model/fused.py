# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The operations of a transformer block, in the form that is fastest where they run.

After a linear layer oneDNN adds bias, residual and GELU while it still holds the products. PyTorch
has these operations for its own compiler, thus their names with an underscore; where there are
none, the plain ones give the same.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

try:
    LINEAR = torch.ops.mkldnn._linear_pointwise
    BFLOAT16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
except (AttributeError, RuntimeError):
    LINEAR, BFLOAT16 = None, False
AMX = torch.cpu.get_capabilities().get('amx_bf16', False)


def linear(x: Tensor, layer: nn.Linear, *, gelu: bool = False,
           residual: Tensor | None = None) -> Tensor:
    """Return layer(x), then exact GELU if gelu, then plus residual if there is one."""
    if _fuses(x):
        if residual is not None and not gelu:
            return LINEAR.binary(x, residual, layer.weight, layer.bias, 'add')
        if residual is None:
            return LINEAR(x, layer.weight, layer.bias, *(
                ('gelu', [], 'none') if gelu else ('none', [], '')))
    y = layer(x)
    y = F.gelu(y) if gelu else y
    return y if residual is None else residual + y


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the attention [B, N, heads * hd] of q [B, heads, N, hd] to k, v [B, heads, M, hd]."""
    if mask is None and unfused_attention(q.dtype, q.device):
        queries, keys, values = (some.flatten(0, 1) for some in (q, k, v))
        scores = torch.baddbmm(q.new_empty(1, 1, 1), queries, keys.mT, beta=0,
                               alpha=q.shape[-1] ** -0.5)
        out = torch.bmm(scores.softmax(dim=-1), values).view_as(q)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def unfused_attention(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether attention keeps its scores: fused in bfloat16 it is slow on many CPUs."""
    return device.type == 'cpu' and dtype == torch.bfloat16 and BFLOAT16 and not AMX


def _fuses(x: Tensor) -> bool:
    return (LINEAR is not None and x.device.type == 'cpu' and not torch.is_grad_enabled()
            and (x.dtype == torch.float32 or x.dtype == torch.bfloat16 and BFLOAT16))
