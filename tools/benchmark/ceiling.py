# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the machine can do at best, measured: multiply matrices and copy memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tools.benchmark.timing import in_turn, seconds
import torch

SIDE = {'cpu': 2048, 'cuda': 8192, 'mps': 4096}  # of the matrices
COPY_BYTES = {'cpu': 256 << 20, 'cuda': 4 << 30, 'mps': 256 << 20}  # beyond every cache


@dataclass(frozen=True)
class Ceiling:
    """The best that was measured."""

    matmul: dict[torch.dtype, float]  # operations a second, an addition and a product are two
    copy: float  # bytes a second, read and written


@torch.inference_mode()
def measure(device: torch.device, dtypes) -> Ceiling:
    """Return the fastest of several matrix products in each dtype, and of several copies."""
    side = SIDE[device.type]
    matrices = {dtype: torch.randn(side, side, device=device).to(dtype) for dtype in dtypes}
    source = torch.empty(COPY_BYTES[device.type] // 2, dtype=torch.uint8, device=device).zero_()
    target = torch.empty_like(source)
    work = {dtype: lambda m=m: m @ m for dtype, m in matrices.items()}
    work['copy'] = lambda: target.copy_(source)
    times = in_turn(
        {what: partial(seconds, call, device) for what, call in work.items()}, repeats=15
    )
    return Ceiling(
        {dtype: 2 * side**3 / times[dtype].lowest for dtype in matrices},
        2 * source.nbytes / times['copy'].lowest,
    )
