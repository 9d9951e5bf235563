# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Why a plan ended without a command."""


class PlanningError(RuntimeError):
    """A plan ended without a command."""


class PlanTimeout(PlanningError):
    """The time limit [s] passed after some of the iterations; progress says how many."""

    def __init__(self, limit: float, done: int, iterations: int):
        self.progress = f'after {done} of {iterations} iterations'
        super().__init__(f'time limit of {limit} s passed {self.progress}')


class NonFiniteEnergyError(PlanningError):
    """The world model gave no finite energy to choose by."""
