# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Linear layers with what follows them in one pass over memory, where PyTorch has that.

On a CPU oneDNN adds bias, residual and GELU while it still holds the products, which saves about
a third of the time that small layers take. PyTorch has these operations for its own compiler,
thus their names with an underscore; where there are none, the plain ones give the same.
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


def _fuses(x: Tensor) -> bool:
    return (LINEAR is not None and x.device.type == 'cpu' and not torch.is_grad_enabled()
            and (x.dtype == torch.float32 or x.dtype == torch.bfloat16 and BFLOAT16))
