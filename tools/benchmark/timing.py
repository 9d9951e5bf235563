# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time calls in turn, and fit lines to what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
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
    Make calls alternately, so that whatever else the machine does meets them alike.

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
        name: Times(float(np.median(some)), min(some), max(some), len(some))
        for name, some in taken.items()
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


def line(x, y) -> tuple[float, float]:
    """Return (offset, slope) of the line through points, by least squares."""
    slope, offset = np.polyfit(x, y, 1)
    return float(offset), float(slope)
