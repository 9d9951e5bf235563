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

    @property
    def near_energy(self) -> float:
        """Return the energy that is usual 1 to 3 cm from a goal; 0 = not known."""


class Progress:
    """Decides from the plans made toward one sub-goal whether it is worth another step."""

    def __init__(self, ending: Ending):
        self._ending = ending
        self._rule = StopRule(ending.min_confidence, ending.min_probability, ending.patience)
        self._first: float | None = None  # energy at the start
        self._promised = 0.0  # energy predicted after the step

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
        elif scale := max(self._first, plan.near_energy):
            rise = (energy - self._promised) / scale
        self._promised = predicted
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
        if energy <= self._reached(plan):
            return rise, Reason.SETTLED
        return rise, Reason.UNSURE if self._rule.unsure(plan) else Reason.NO_PROGRESS

    def _reached(self, plan: Judged) -> float:
        """Return the highest energy that counts as reached."""
        if plan.near_energy:
            return self._ending.reached_energy * plan.near_energy
        return (1.0 - self._ending.min_drop) * (self._first or 0.0)

    def why(self, reason: Reason, plan: Judged, energy: float) -> str:
        """Return the text for an update's reason, which was not SETTLED."""
        ending, way = self._ending, 'the model does not see a way to the picture'
        if plan.near_energy:
            name = f'ending.reached_energy = {ending.reached_energy:g} times that near a goal'
        else:
            name = f'ending.min_drop = {ending.min_drop:.0%} below that at the start'
            way = f'either the picture is reached already, or {way}'
        text = f'the energy is {energy:.4f}: allowed: {self._reached(plan):.4f} ({name}) '
        if reason == Reason.UNSURE:
            limit = 'min_probability' if plan.confidence_calibrated else 'min_confidence'
            return (
                f'{text}before the confidence, {plan.confidence:.3f}, is below '
                f'ending.{limit} = {getattr(ending, limit):g}; {way}'
            )
        return f'{text}by the time it stops falling; a nearer sub-goal may help'
