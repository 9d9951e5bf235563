# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Batches of a small model side by side on a CPU, one thread each.

The operations of a small model are so short that threads which share one wait for each other
longer than they compute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor


def side_by_side(
    function: Callable[[Tensor], Tensor], batches: Sequence[Tensor], threads: int
) -> Tensor:
    """
    Return function(batch) of each batch, concatenated; in inference mode.

    :param threads: 1 calls it here, with all threads that torch has; more call it on as many
        threads, in each of which torch has no others. It must not call side_by_side itself.
    """
    function = torch.inference_mode()(function)
    if threads == 1:
        return torch.cat([function(batch) for batch in batches])
    before = torch.get_num_threads()
    try:
        return torch.cat(list(_pool(threads).map(function, batches)))
    finally:
        torch.set_num_threads(before)  # else the pool's 1 is what later threads begin with


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, 'world_model', _use_one_thread)


def _use_one_thread() -> None:
    torch.get_num_threads()  # the first call in a thread sets the number of the process
    torch.set_num_threads(1)
