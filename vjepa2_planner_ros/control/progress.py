# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The energies of one sub-goal, step after step: whether it has settled, or goes wrong."""

from __future__ import annotations

from .config import Ending
from .reasons import Reason, RunEnd
from .stop_rule import Confident, StopRule


class Progress:
    """Decides from the plans made toward one sub-goal whether it is worth another step."""

    def __init__(self, ending: Ending):
        self._ending = ending
        self._rule = StopRule(ending.min_confidence, ending.patience)
        self._first: float | None = None  # energy at the start
        self._energy = self._promised = 0.0  # the newest, and the one predicted after the step

    def update(
        self, energy: float, predicted: float, plan: Confident
    ) -> tuple[float, Reason | None]:
        """
        Return the rise, and why not to execute the plan's step (None = execute it).

        RunEnd SURPRISE if the energy is far above the one predicted.

        :param energy: of the frame planned from.
        :param predicted: after the plan.
        """
        ending, rise = self._ending, 0.0
        if self._first is None:
            self._first = energy
        elif self._first > 0.0:
            rise = (energy - self._promised) / self._first
        self._energy, self._promised = energy, predicted
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
        unsure = plan.confidence < ending.min_confidence
        return rise, Reason.UNSURE if unsure else Reason.NO_PROGRESS

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
                f'ending.min_confidence = {ending.min_confidence:g}; either the picture is '
                'reached already, or the model does not see a way to it'
            )
        return f'{text}or more by the time it stops falling; a nearer sub-goal may help'
