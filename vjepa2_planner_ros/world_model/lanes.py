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
from contextlib import contextmanager
from functools import lru_cache
from threading import Barrier

import torch
from torch import Tensor

from .devices import keep_freed_memory


def side_by_side(
    function: Callable[[Tensor], Tensor], parts: Iterable[Tensor], lanes: int
) -> Tensor:
    """Return function(part) of each part, so many at once, put together; in inference mode."""
    function, parts = torch.inference_mode()(function), list(parts)
    if lanes == 1:
        return torch.cat([function(part) for part in parts])
    if len(parts) == 1:
        with alone():
            return function(*parts)
    found = list(_pool(lanes).map(function, parts))
    with alone(sum(some.numel() for some in found)):
        return torch.cat(found)


@lru_cache
def _pool(lanes: int) -> ThreadPoolExecutor:
    """Return a pool of threads in each of which torch has no other threads."""
    keep_freed_memory()
    pool = ThreadPoolExecutor(lanes, thread_name_prefix='lane', initializer=_work_alone)
    all_are_there = Barrier(lanes)
    for one in [pool.submit(all_are_there.wait) for _ in range(lanes)]:
        one.result()
    torch.set_num_threads(lanes)  # or threads that are still to come would begin with 1, too
    return pool


@contextmanager
def alone(numbers: int = 0):
    """Keep torch's operations in this thread, unless they are on more than FEW numbers at once."""
    threads = torch.get_num_threads()
    if numbers <= FEW:
        _work_alone()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _work_alone():
    torch.get_num_threads()  # the first look gives the thread everybody's number
    torch.set_num_threads(1)


FEW = 1 << 21  # numbers in a tensor that one thread has done before others are awake
