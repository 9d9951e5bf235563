# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a successful goal is answered with."""

from conftest import GOAL, START
import numpy as np


def test_plan_reaches_the_known_optimum(robot):
    result = robot.plan(iterations=8)
    print(result)
    step = GOAL - START
    assert np.allclose(result.command, [*step[:6], -step[6]], atol=5e-3)
