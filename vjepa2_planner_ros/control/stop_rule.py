# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When to stop planning step after step toward a goal picture."""

from __future__ import annotations


class StopRule:
    """
    Tells when another step would not bring the arm nearer, from energies alone.

    Near the goal the energies of different actions hardly differ, and the arm would wander. Two
    signs of that: the plan promises next to nothing (its confidence, see PlanAction.action, is
    below min_confidence), or the energy of where the arm is has not fallen for patience steps. The
    second ends it only where the energy is close to its lowest: not just after a bad step.

    :param min_confidence: 0..1; a plan below it is not worth a step.
    :param patience: steps without a new lowest energy after which it ends.
    :param min_drop: share by which the energy must fall to count as a new lowest.
    :param near_lowest: energy, in units of the lowest, up to which patience may end it.

    The defaults were chosen on simulated episodes that are not among those of the evaluation.
    """

    def __init__(
        self,
        min_confidence: float = 0.03,
        patience: int = 3,
        min_drop: float = 0.01,
        near_lowest: float = 1.2,
    ):
        self.min_confidence = min_confidence
        self.patience = patience
        self.min_drop = min_drop
        self.near_lowest = near_lowest
        self._lowest = float('inf')
        self._without_drop = 0

    def update(self, energy_now: float, plan) -> bool:
        """
        Return whether to stop instead of executing plan's first action.

        :param energy_now: energy of the frame that was planned from.
        :param plan: a Plan, or a PlanResult of the client; only its confidence is read.
        """
        if energy_now < self._lowest * (1.0 - self.min_drop):
            self._lowest = energy_now
            self._without_drop = 0
        else:
            self._without_drop += 1
        settled = (
            self._without_drop >= self.patience and energy_now <= self.near_lowest * self._lowest
        )
        return settled or plan.confidence < self.min_confidence
