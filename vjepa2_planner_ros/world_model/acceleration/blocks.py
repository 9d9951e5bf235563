# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Layers of the networks in a faster form for CUDA.

A layer gets another class and keeps its parameters and their names, as in
torch.nn.utils.parametrize; copies and pickles of a network have the faster layers too. With
gradients they do what the plain ones do.
"""

from __future__ import annotations

from functools import cache
import logging
from types import ModuleType

import torch
from torch import nn, Tensor

from ..networks import Attention, Mlp
from ..rotary import Table

log = logging.getLogger(__name__)


def accelerate_blocks(network: nn.Module) -> None:
    """Exchange the layers of a network for faster ones that work here."""
    faster = faster_layers()
    for module in network.modules():
        module.__class__ = faster.get(type(module), type(module))


def faster_layers() -> dict[type[nn.Module], type[nn.Module]]:
    """Return the faster form of each kind of layer that has one here."""
    return FASTER if kernels() is not None else {Mlp: TanhMlp}


@cache
def kernels() -> ModuleType | None:
    """Return the module kernels, None where it does not work; the log says so once."""
    try:
        from . import kernels

        kernels.try_out()
    except Exception as error:  # no Triton, no C compiler, a GPU too old for it
        log.warning(
            "PyTorch's operations are used, which take a third longer than the kernels "
            'of this package, because these cannot be compiled: %s',
            error,
        )
        return None
    return kernels


class KernelLayerNorm(nn.LayerNorm):
    """LayerNorm by a kernel of this package."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised x [..., D]."""
        module = kernels()
        if module is None or torch.is_grad_enabled():
            return super().forward(x)
        return module.norm(x, self)


class KernelAttention(Attention):
    """Attention whose queries and keys are rotated in one pass by a kernel of this package."""

    def rotated_qkv(self, x: Tensor, table: Table | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rotated queries and keys and the values; see Attention."""
        module = kernels()
        if module is None or torch.is_grad_enabled() or table is None or table[0].ndim > 2:
            return super().rotated_qkv(x, table)
        qkv = self.qkv(x)  # [B, N, 3 D]
        module.rotate_(qkv[..., : 2 * x.shape[-1]], table, x.shape[-1] // self.heads)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v


class TanhMlp(Mlp):
    """
    MLP whose GELU cuBLAS adds inside the first product, in half precision.

    It has the tanh form, which differs by 3e-4 of the result: a twentieth of bfloat16's rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the output [B, N, D] for x [B, N, D]."""
        weight, bias = self.fc1.weight, self.fc1.bias
        if torch.is_grad_enabled() or x.itemsize != 2 or x.dtype != weight.dtype:
            return super().forward(x)
        # The underscore says that PyTorch has it for its own compiler.
        hidden = torch._addmm_activation(bias, x.flatten(0, -2), weight.mT, use_gelu=True)
        return self.fc2(hidden.unflatten(0, x.shape[:-1]))


FASTER: dict[type[nn.Module], type[nn.Module]] = {
    nn.LayerNorm: KernelLayerNorm,
    Attention: KernelAttention,
    Mlp: TanhMlp,
}
