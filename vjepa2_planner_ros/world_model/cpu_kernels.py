# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Transformer blocks of small models in bfloat16, on a processor with AVX-512 BF16, in one thread.

The kernels are in _cpu_kernels.c; setup.py compiles them where there is a compiler. They take
tensors by their addresses, so all that they rely on is seen to here.
"""

from __future__ import annotations

import torch
from torch import nn, Tensor

from ._cpu_kernels import attend, finish

LANES, PANEL = 16, 64  # as in _cpu_kernels.c


class PackedBlock:
    """A Block with a copy of its weights in the order in which the kernels multiply."""

    @torch.no_grad()
    def __init__(self, block):
        attention, mlp = block.attn, block.mlp
        self.heads, self.dim = attention.heads, attention.proj.out_features
        self._tensors = []
        self._norm1, self._norm2 = self._norm(block.norm1), self._norm(block.norm2)
        self._qkv, self._proj = self._linear(attention.qkv), self._linear(attention.proj)
        self._fc1, self._fc2 = self._linear(mlp.fc1), self._linear(mlp.fc2)
        self._hidden = mlp.fc1.out_features

    @staticmethod
    def fits(layer: nn.Module) -> bool:
        """Return whether a layer is a Block that the kernels can do."""
        if not (hasattr(layer, 'attn') and hasattr(layer, 'mlp')):
            return False
        dim, hidden = layer.attn.proj.out_features, layer.mlp.fc1.out_features
        return (
            all(p.dtype == torch.bfloat16 and p.device.type == 'cpu' for p in layer.parameters())
            and dim % PANEL == hidden % PANEL == dim // layer.attn.heads % (2 * LANES) == 0
        )

    @property
    def nbytes(self) -> int:
        """Return the bytes of the copy."""
        return sum(tensor.nbytes for tensor in self._tensors)

    def _keep(self, tensor: Tensor) -> int:
        self._tensors.append(tensor)
        return tensor.data_ptr()

    def _norm(self, layer: nn.LayerNorm):
        return self._keep(layer.weight.clone()), self._keep(layer.bias.clone()), layer.eps

    def _linear(self, layer: nn.Linear):
        panels = layer.weight.unflatten(0, (-1, PANEL)).unflatten(2, (-1, 2)).transpose(1, 2)
        return self._keep(panels.contiguous()), self._keep(layer.bias.clone())

    def attend(self, x: Tensor, table: tuple[Tensor, Tensor], past, keep_cache: bool):
        """Return what the output layer of the attention to x [B, N, D] gets, and the cache."""
        batch, tokens, head_dim = *x.shape[:2], self.dim // self.heads
        x, cos, sin = x.contiguous(), *(half.contiguous() for half in table)
        length, before = 0, (0, 0, 0, False)
        if past is not None:
            old_keys, old_values = (some.contiguous() for some in past)
            length = old_keys.shape[2]
            before = old_keys.data_ptr(), old_values.data_ptr(), length, len(old_keys) < batch
        cache = (
            tuple(x.new_empty(batch, self.heads, length + tokens, head_dim) for _ in range(2))
            if keep_cache
            else None
        )
        out = torch.empty_like(x)
        attend(
            self._norm1,
            self._qkv,
            (self.heads, head_dim),
            x.data_ptr(),
            (cos.data_ptr(), sin.data_ptr()),
            before,
            tuple(some.data_ptr() for some in cache or ()) or (0, 0),
            out.data_ptr(),
            (batch, tokens),
        )
        return out, cache

    def finish(self, attended: Tensor, residual: Tensor) -> Tensor:
        """Return the block's output [B, N, D] of its attention and its input, both [B, N, D]."""
        attended, residual = attended.contiguous(), residual.contiguous()
        out = torch.empty_like(residual)
        finish(
            self._proj,
            self._norm2,
            self._fc1,
            self._fc2,
            (self.dim, self._hidden),
            attended.data_ptr(),
            residual.data_ptr(),
            out.data_ptr(),
            residual.numel() // self.dim,
        )
        return out
