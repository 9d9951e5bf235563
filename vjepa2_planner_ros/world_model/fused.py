# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The operations of a transformer block, in the form that is fastest where they run.

After a linear layer oneDNN adds bias, residual and GELU while it still holds the products, and
cuBLAS bias and GELU. PyTorch has these operations for its own compiler, thus their names with an
underscore; where there are none, the plain ones give the same. On CUDA, our own kernels (see
kernels) normalise and rotate.
"""

from __future__ import annotations

from functools import lru_cache
import logging
from math import log
from weakref import WeakKeyDictionary

import torch
from torch import nn, Tensor
from torch.nn import functional as F  # noqa: N812

from . import rotary

try:
    from . import cpu_kernels
except ImportError:  # another processor, or no compiler where this was installed
    cpu_kernels = None

logger = logging.getLogger(__name__)
try:
    LINEAR = torch.ops.mkldnn._linear_pointwise
    BFLOAT16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
except (AttributeError, RuntimeError):
    LINEAR, BFLOAT16 = None, False
AMX = torch.cpu.get_capabilities().get('amx_bf16', False)


def linear(
    x: Tensor, layer: nn.Linear, *, gelu: bool = False, residual: Tensor | None = None
) -> Tensor:
    """Return layer(x), then GELU if gelu, then plus residual if there is one."""
    if _fuses(x):
        weight = _packed.get(layer, layer.weight)
        if residual is not None and not gelu:
            return LINEAR.binary(x, residual, weight, layer.bias, 'add')
        if residual is None:
            return LINEAR(
                x, weight, layer.bias, *(('gelu', [], 'none') if gelu else ('none', [], ''))
            )
    if (
        gelu
        and residual is None
        and _on_gpu(x)
        and x.itemsize == 2
        and x.dtype == layer.weight.dtype
    ):
        # cuBLAS has GELU in its tanh form: 3e-4 of the result, a twentieth of bfloat16's rounding.
        y = torch._addmm_activation(layer.bias, x.flatten(0, -2), layer.weight.mT, use_gelu=True)
        return y.unflatten(0, x.shape[:-1])
    y = layer(x)
    y = F.gelu(y) if gelu else y
    return y if residual is None else residual + y


@torch.no_grad()
def pack(network: nn.Module) -> int:
    """
    Let a network keep its weights in the order of the products on a CPU, too.

    Putting them into it takes a noticeable share of a short product. They must not change any
    more, nor move.

    :return: the bytes that this takes.
    """
    packed, inside = {}, set()
    for layer in network.modules():
        if cpu_kernels is not None and not AMX and cpu_kernels.PackedBlock.fits(layer):
            packed[layer] = cpu_kernels.PackedBlock(layer)
            inside.update(layer.modules())
        elif isinstance(layer, nn.Linear) and layer not in inside and _fuses(layer.weight):
            packed[layer] = torch.ops.mkldnn._reorder_linear_weight(layer.weight, ROWS)
    _packed.update(packed)
    return sum(
        layer.weight.nbytes if isinstance(layer, nn.Linear) else some.nbytes
        for layer, some in packed.items()
    )


ROWS = 528  # of a product: 8 candidates
_packed = WeakKeyDictionary()  # not in the layers, whose copies and pickles have other weights


def packed_block(block: nn.Module, x: Tensor, table):
    """Return the PackedBlock that does a block's work on x, if there is one and it may."""
    if torch.is_grad_enabled() or torch.get_num_threads() > 1 or table[0].ndim != 2:
        return None
    return _packed.get(block) if x.dtype == torch.bfloat16 else None


def norm(x: Tensor, layer: nn.LayerNorm) -> Tensor:
    """Return layer(x) of x [..., C]."""
    kernels = _kernels() if _on_gpu(x) else None
    return layer(x) if kernels is None else kernels.norm(x, layer)


def rotate(x: Tensor, table: tuple[Tensor, Tensor], head_dim: int) -> Tensor:
    """Return what rotary.rotate makes of x [B, N, C] with a table, maybe in place."""
    kernels = _kernels() if _on_gpu(x) and table[0].ndim == 2 else None
    if kernels is None:
        return rotary.rotate(x, table)
    return kernels.rotate_(x, table, head_dim)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the attention [B, N, heads * hd] of q [B, heads, N, hd] to k, v [B, heads, M, hd]."""
    if mask is None and unfused_attention(q.dtype, q.device):
        out = _multiplied_out(*(some.flatten(0, 1) for some in (q, k, v))).view_as(q)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def _multiplied_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """
    Return the attention [B, N, hd] of q [B, N, hd] to k, v [B, M, hd] by way of its scores.

    A softmax first looks for each row's largest score, lest the powers leave the range of numbers.
    bfloat16 has the range of float32, so they hardly ever do, and are simply watched.
    """
    scale = q.shape[-1] ** -0.5
    weights = _products(q, k, scale / log(2)).exp2_()
    total = weights.sum(-1, keepdim=True)
    least, most = total.aminmax()
    if 1 / IN_RANGE < float(least) and float(most) < IN_RANGE:
        return torch.bmm(weights, v).div_(total)
    return torch.bmm(_products(q, k, scale).softmax(-1), v)


def _products(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Return the products [B, N, M] of q [B, N, hd] and k [B, M, hd], times scale."""
    return torch.baddbmm(q.new_empty(1, 1, 1), q, k.mT, beta=0, alpha=scale)


IN_RANGE = 2.0**96  # bfloat16 reaches to 2 ** 128


def unfused_attention(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether attention keeps its scores: fused in bfloat16 it is slow on many CPUs."""
    return device.type == 'cpu' and dtype == torch.bfloat16 and BFLOAT16 and not AMX


def _on_gpu(x: Tensor) -> bool:
    return x.device.type == 'cuda' and not torch.is_grad_enabled()


@lru_cache
def _kernels():
    """Return the module kernels, None where it does not work."""
    try:
        from . import kernels

        kernels.try_out()
    except Exception as error:  # no Triton, no C compiler, a GPU too old for it
        logger.warning(
            "PyTorch's operations are used, which take a third longer than the kernels "
            'of this package, for these cannot be compiled: %s',
            error,
        )
        return None
    return kernels


def _fuses(x: Tensor) -> bool:
    return (
        LINEAR is not None
        and x.device.type == 'cpu'
        and not torch.is_grad_enabled()
        and (x.dtype == torch.float32 or x.dtype == torch.bfloat16 and BFLOAT16)
    )
