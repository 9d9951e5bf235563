# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publish a recorded plan once more, in the rhythm in which it was made."""

import time

from . import bag
from .schemas import require_current
from .topics import LIVE, SEARCH


def replay(folder, publish, wait, rate=1.0):
    """
    Publish what a recording holds of the planner's topics; return how many iterations.

    :param publish: called with each bag Item when its time has come.
    :param wait: called with the seconds until then, at least once an iteration; False = stop.
    :param rate: how many times as fast as it was, above 0.
    :raise ValueError: it was recorded with other message definitions.
    """
    began, first, iterations = time.monotonic(), None, 0
    for item in bag.read(folder, LIVE):
        first = item.time if first is None else first
        due = began + (item.time - first) * 1e-9 / rate
        if not wait(max(due - time.monotonic(), 0.0)):
            break
        require_current(item.topic)
        publish(item)
        iterations += item.topic.role == SEARCH
    return iterations


def count_iterations(folder) -> int:
    """Return how many iterations a recording holds."""
    return sum(1 for _ in bag.read(folder, (SEARCH,)))
