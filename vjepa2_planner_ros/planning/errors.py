# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Why a plan ended without a command."""


class PlanningError(RuntimeError):
    """A plan ended without a command."""


class PlanCancelled(PlanningError):  # noqa: N818
    """The caller asked the plan to stop."""


class PlanTimeout(PlanningError):  # noqa: N818
    """The time limit passed."""


class NonFiniteEnergyError(PlanningError):
    """The world model gave no finite energy to choose by."""
