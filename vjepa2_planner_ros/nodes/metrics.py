# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of the planner and of the machine it runs on."""

from __future__ import annotations

from collections import deque
import math
import time
from typing import Any

import psutil
from rclpy.clock import Clock
from std_msgs.msg import Header
from vjepa2_interfaces.msg import Metrics

from .action_server import GoalServer
from .goal import OUTCOMES

RATE_WINDOW = 10  # s over which plans are counted; one measurement a second
UNKNOWN = -1.0  # not NaN: rqt_plot cannot scale the axis of a curve that has one
MB = 1e6


class Meter:
    """
    Measures, once a second, what Metrics.msg lists.

    :param plans: the GoalServer of plans.
    """

    def __init__(self, clock: Clock, plans: GoalServer):
        self._clock = clock
        self._plans = plans
        self._process = psutil.Process()
        self._process.cpu_percent()  # the next call returns the use since this one
        self._idle = deque([_idle_time()], maxlen=2)
        self._succeeded = deque([(time.monotonic(), 0)], maxlen=RATE_WINDOW + 1)
        self.iteration_rate = math.nan  # of the newest plan [1/s]

    def measure(self, ages: dict[str, float | None], model: Any) -> Metrics:
        """
        Return the Metrics of now.

        :param ages: s of the newest 'image' and 'state', None = there was none.
        :param model: the loaded world model or None.
        """
        memory, ended = psutil.virtual_memory(), self._plans.outcomes
        utilization, process_gpu_memory, gpu_memory = _gpu(model)
        return Metrics(
            header=Header(stamp=self._clock.now().to_msg()),
            process_cpu=self._process.cpu_percent(),
            system_cpu=self._system_cpu(),
            process_memory=self._process.memory_info().rss / MB,
            system_memory=(memory.total - memory.available) / MB,
            gpu_utilization=utilization,
            process_gpu_memory=process_gpu_memory,
            gpu_memory=gpu_memory,
            plan_rate=self._plan_rate(),
            plan_time=known(self._plans.last_time),
            iteration_rate=known(self.iteration_rate),
            image_age=known(ages['image']),
            state_age=known(ages['state']),
            **{f'goals_{outcome}': ended[outcome] for outcome in OUTCOMES},
        )

    def _system_cpu(self) -> float:
        # psutil.cpu_percent() counts since the same thread's last call, but timers change threads.
        self._idle.append(_idle_time())
        (before, idle_before), (now, idle) = self._idle
        capacity = (now - before) * psutil.cpu_count()
        return min(max(100.0 * (1.0 - (idle - idle_before) / capacity), 0.0), 100.0)

    def _plan_rate(self) -> float:
        self._succeeded.append((time.monotonic(), self._plans.outcomes['succeeded']))
        (before, count_before), (now, count) = self._succeeded[0], self._succeeded[-1]
        return (count - count_before) / (now - before)


def _idle_time() -> tuple[float, float]:
    """Return the time now and the idle time of all cores together [s]."""
    times = psutil.cpu_times()
    return time.monotonic(), times.idle + getattr(times, 'iowait', 0.0)


def _gpu(model: Any) -> tuple[float, ...]:
    """Return the use of a model's GPU [%], and its memory [MB]: of this process, of all."""
    if model is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    from ..world_model import devices  # needs torch: with a model it is there

    memory = (devices.used_memory(model.device), devices.memory_in_use(model.device))
    return (
        known(devices.gpu_utilization(model.device)),
        *(UNKNOWN if amount is None else amount / MB for amount in memory),
    )


def known(value: float | None) -> float:
    """Return a figure as a float, UNKNOWN if it is None or NaN."""
    return UNKNOWN if value is None or math.isnan(value) else float(value)
