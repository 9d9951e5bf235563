# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time calls in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch


@dataclass(frozen=True)
class Times:
    """Seconds that repeated calls took."""

    median: float
    lowest: float
    highest: float
    repeats: int


def in_turn(
    calls: dict[str, Callable[[], float]],
    *,
    repeats: int = 7,
    budget: float = 6.0,
    warm_up: bool = True,
) -> dict[str, Times]:
    """
    Make calls alternately, so that other work of the machine slows all of them alike.

    :param calls: each returns the seconds it took.
    :param repeats: of each call, at most.
    :param budget: s for all of them; no round begins after it, but two are always made.
    :param warm_up: call each once before, untimed.
    """
    for call in calls.values() if warm_up else ():
        call()
    taken = {name: [] for name in calls}
    began = perf_counter()
    for done in range(repeats):
        if done >= 2 and perf_counter() - began > budget:
            break
        for name, call in calls.items():
            taken[name].append(call())
    return {
        name: Times(median(each), min(each), max(each), len(each)) for name, each in taken.items()
    }


def seconds(call: Callable, device: torch.device) -> float:
    """Return how long a call takes on a device that has nothing else to do."""
    synchronise(device)
    start = perf_counter()
    call()
    synchronise(device)
    return perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait until a device has done all it was given."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    elif device.type == 'mps':
        torch.mps.synchronize()
