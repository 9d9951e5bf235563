# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of the planner and its machine, measured without a node."""

from collections import Counter
import os
import time
from types import SimpleNamespace

import psutil
import pytest
from rclpy.clock import Clock
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_planner_ros.nodes import metrics

AGES = {'image': 0.25, 'state': None}


@pytest.fixture
def plans():
    """Return what a Meter reads of a GoalServer."""
    return SimpleNamespace(outcomes=Counter(), last_time=float('nan'))


def test_processor_time_is_what_the_system_counts(plans):
    def used():
        return sum(os.times()[:2])

    meter = metrics.Meter(Clock(), plans)
    began, before = time.monotonic(), used()
    while used() - before < 0.5:
        sum(range(1000))
    found = meter.measure(AGES, None)
    expected = 100.0 * (used() - before) / (time.monotonic() - began)
    assert found.process_cpu == pytest.approx(expected, rel=0.2)
    assert expected / psutil.cpu_count() * 0.8 < found.system_cpu <= 100.0


def test_plans_are_counted_over_ten_seconds(plans, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(metrics.time, 'monotonic', lambda: now[0])
    meter, rates = metrics.Meter(Clock(), plans), []
    for succeeded in [2] * 15 + [0] * 10:
        now[0] += 1.0
        plans.outcomes['succeeded'] += succeeded
        rates.append(meter.measure(AGES, None).plan_rate)
    assert rates[:15] == [2.0] * 15
    assert rates[15:] == pytest.approx([2.0 - 0.2 * step for step in range(1, 11)])


def test_what_is_not_known_is_minus_one(plans):
    meter = metrics.Meter(Clock(), plans)
    found = meter.measure(AGES, ToyWorldModel())
    assert (found.image_age, found.state_age) == (0.25, -1.0)
    unknown = (
        'plan_time',
        'iteration_rate',
        'gpu_utilization',
        'process_gpu_memory',
        'gpu_memory',
    )
    assert [getattr(found, name) for name in unknown] == [-1.0] * len(unknown)
    plans.last_time, meter.iteration_rate = 0.5, 8.0
    found = meter.measure(AGES, None)
    assert (found.plan_time, found.iteration_rate) == (0.5, 8.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA device')
def test_memory_of_the_gpu(plans):
    held = torch.empty(64 << 20, dtype=torch.uint8, device='cuda')
    found = metrics.Meter(Clock(), plans).measure(AGES, SimpleNamespace(device=held.device))
    assert found.gpu_memory > found.process_gpu_memory >= 64 * 1.048576
    assert -1.0 <= found.gpu_utilization <= 100.0
