# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Calls of a small model side by side, a thread each.

Threads that share the operations of a small model wait for each other longer than they compute:
asleep, they wake up late; awake, they take the cores from whoever else needs them. So each
computes something of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier

import torch
from torch import Tensor


def side_by_side(function: Callable[[Tensor], Tensor], parts: Iterable[Tensor],
                 lanes: int) -> Tensor:
    """Return function(part) of each part, so many at once, put together; in inference mode."""
    each = _pool(lanes).map if lanes > 1 else map
    return torch.cat(list(each(torch.inference_mode()(function), parts)))


@lru_cache
def _pool(lanes: int) -> ThreadPoolExecutor:
    """Return a pool of threads in each of which torch has no other threads."""
    pool = ThreadPoolExecutor(lanes, thread_name_prefix='lane',
                              initializer=torch.set_num_threads, initargs=(1,))
    all_are_there = Barrier(lanes)
    for one in [pool.submit(all_are_there.wait) for _ in range(lanes)]:
        one.result()
    torch.set_num_threads(lanes)  # or threads that are still to come would begin with 1, too
    return pool
