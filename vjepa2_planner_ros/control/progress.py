# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The energies of one sub-goal, step after step: whether it has settled, or goes wrong."""

from __future__ import annotations

from typing import Protocol

from .config import Ending
from .reasons import Reason, RunEnd
from .stop_rule import Confident, StopRule


class Judged(Confident, Protocol):
    """What Progress reads of a plan: a PlanResult of the client."""

    @property
    def surprise(self) -> float | None:
        """Return the surprise at what the step before led to; None = not known."""


class Progress:
    """Decides from the plans made toward one sub-goal whether it is worth another step."""

    def __init__(self, ending: Ending):
        self._ending = ending
        self._rule = StopRule(ending.min_confidence, ending.min_probability, ending.patience)
        self._unsure = 'min_confidence'  # name of the limit that a plan was below
        self._first: float | None = None  # energy at the start
        self._energy = self._promised = 0.0  # the newest, and the one predicted after the step

    def update(self, energy: float, predicted: float, plan: Judged) -> tuple[float, Reason | None]:
        """
        Return the rise, and why not to execute the plan's step (None = execute it).

        RunEnd SURPRISE if the picture, or its energy, is far from the one predicted.

        :param energy: of the frame planned from.
        :param predicted: after the plan.
        """
        ending, rise = self._ending, 0.0
        if self._first is None:
            self._first = energy
        elif self._first > 0.0:
            rise = (energy - self._promised) / self._first
        self._energy, self._promised = energy, predicted
        if plan.surprise is not None and plan.surprise > ending.max_surprise:
            raise RunEnd(
                Reason.SURPRISE,
                f'after the step the picture is {plan.surprise:.1f} times as far from the '
                f'predicted one as is usual: allowed: ending.max_surprise = '
                f'{ending.max_surprise:g}; did something get in the way, or move?',
            )
        if rise > ending.max_energy_rise:
            raise RunEnd(
                Reason.SURPRISE,
                f'after the step the energy is {energy:.4f}, above the predicted one by '
                f'{rise:.2f} of that at the start: allowed: ending.max_energy_rise = '
                f'{ending.max_energy_rise:g}; did something get in the way, or move?',
            )
        if not self._rule.update(energy, plan):
            return rise, None
        if energy <= (1.0 - ending.min_drop) * self._first:
            return rise, Reason.SETTLED
        self._unsure = 'min_probability' if plan.confidence_calibrated else 'min_confidence'
        return rise, Reason.UNSURE if self._rule.unsure(plan) else Reason.NO_PROGRESS

    def why(self, reason: Reason, confidence: float) -> str:
        """Return the text for an update's reason; '' for SETTLED."""
        ending = self._ending
        fell = 1.0 - self._energy / self._first if self._first else 0.0
        if reason == Reason.SETTLED:
            return ''
        text = f'the energy fell by {fell:.0%}: allowed: ending.min_drop = {ending.min_drop:.0%} '
        if reason == Reason.UNSURE:
            return (
                f'{text}or more before the confidence, {confidence:.3f}, is below '
                f'ending.{self._unsure} = {getattr(ending, self._unsure):g}; either the picture '
                'is reached already, or the model does not see a way to it'
            )
        return f'{text}or more by the time it stops falling; a nearer sub-goal may help'
