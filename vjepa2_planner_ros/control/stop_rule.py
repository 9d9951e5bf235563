# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When to stop planning step after step toward a goal picture."""

from __future__ import annotations

from typing import Protocol


class Confident(Protocol):
    """What StopRule reads of a plan: a Plan, or a PlanResult of the client."""

    @property
    def confidence(self) -> float:
        """Return the confidence, 0..1."""

    @property
    def confidence_calibrated(self) -> bool:
        """Return whether it is the probability that the step leads nearer to the goal."""


class StopRule:
    """
    Decides from energies alone when another step would not bring the arm nearer to the goal.

    Near the goal the energies of different actions hardly differ, and the arm would wander. The
    loop stops when a step is hardly more likely to lead nearer than away (its confidence, see
    PlanAction.action, is a probability below min_probability), or when, without a probability, the
    plan predicts almost no gain (its confidence is below min_confidence), or when the energy of
    the current frame has not fallen for patience steps and is close to its lowest, so not just
    after a bad step.

    :param min_confidence: 0..1; a plan below it is not worth a step, unless it has a probability.
    :param min_probability: 0..1, the same for one that has.
    :param patience: steps without a new lowest energy after which to stop.
    :param min_drop: share by which the energy must fall to count as a new lowest.
    :param near_lowest: largest energy, in units of the lowest, at which patience may stop.

    The defaults were chosen on simulated episodes that are not among those of the evaluation.
    """

    def __init__(
        self,
        min_confidence: float = 0.03,
        min_probability: float = 0.6,
        patience: int = 3,
        min_drop: float = 0.01,
        near_lowest: float = 1.2,
    ):
        self.min_confidence, self.min_probability = min_confidence, min_probability
        self.patience = patience
        self.min_drop = min_drop
        self.near_lowest = near_lowest
        self._lowest = float('inf')
        self._without_drop = 0

    def update(self, energy_now: float, plan: Confident) -> bool:
        """
        Return whether to stop instead of executing plan's first action.

        :param energy_now: energy of the frame that was planned from.
        :param plan: the plan made from that frame.
        """
        if energy_now < self._lowest * (1.0 - self.min_drop):
            self._lowest = energy_now
            self._without_drop = 0
        else:
            self._without_drop += 1
        settled = (
            self._without_drop >= self.patience and energy_now <= self.near_lowest * self._lowest
        )
        return settled or self.unsure(plan)

    def unsure(self, plan: Confident) -> bool:
        """Return whether the plan's confidence says that it is not worth a step."""
        calibrated = plan.confidence_calibrated
        return plan.confidence < (self.min_probability if calibrated else self.min_confidence)
