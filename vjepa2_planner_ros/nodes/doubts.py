# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What no check refuses and yet makes plans useless, found in what was planned: told once."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from .goal_reader import PlanRequest
from .settings import Settings

CLOSED = 0.95  # closedness from which a gripper counts as closed
OPENING = 0.1  # closedness that a command takes away
PLANS = 5  # that open a gripper which does not move
PATIENCE = 2.0  # s that they take; a gripper may be slow to begin


class Doubts:
    """Warns once of a model of another robot, and of a gripper that stays closed when opened."""

    def __init__(self, logger: Any):
        self._logger = logger
        self._told: set[str] = set()
        self._still: list[float] = []  # times [s] of the plans that opened a closed gripper

    def look_at(
        self, model: Any, request: PlanRequest, live: bool, command: Sequence[float]
    ) -> None:
        """
        Look at a plan that was made.

        :param request: the goal's, complete.
        :param live: whether its state is the robot's.
        :param command: [7], in the convention of ROS commands.
        """
        settings = request.settings
        if why := why_another_robot(model, settings):
            self._tell('robot', why)
        if live:
            self._look_at_gripper(float(request.states[-1][6]), float(command[6]), settings)

    def _look_at_gripper(self, closedness: float, opening: float, settings: Settings) -> None:
        if closedness < CLOSED or opening < OPENING:
            self._still.clear()
            return
        self._still.append(monotonic())
        if len(self._still) > PLANS and self._still[-1] - self._still[0] > PATIENCE:
            gripper = settings.gripper
            self._tell(
                'gripper',
                f'{len(self._still)} plans in a row opened a gripper that is still read as closed '
                f'({closedness:.2f}): do commands reach it, and are gripper.joint = '
                f'{gripper.joint!r}, gripper.open_position = {gripper.open_position:g} and '
                f'gripper.closed_position = {gripper.closed_position:g} those of the gripper?',
            )

    def _tell(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._logger.warning(text)


def why_another_robot(model: Any, settings: Settings) -> str:
    """Return why a model's plans mean nothing on the robot of settings, or ''."""
    trained = getattr(getattr(model, 'spec', None), 'base_frame', '')
    if trained in ('', settings.base_frame, *settings.base_frame_aliases):
        return ''
    return (
        f"model '{model.name}' knows one robot alone, in the simulator, whose base frame is "
        f"'{trained}', not base_frame = '{settings.base_frame}': its plans mean nothing on "
        'another one; choose another model'
    )
