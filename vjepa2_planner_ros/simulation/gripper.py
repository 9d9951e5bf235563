# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""A controller of the simulated gripper that knows whether it has arrived or is stalled."""

from typing import NamedTuple

import numpy as np

from .panda import FINGER_TRAVEL, MAX_FORCE, PandaSim

SPEED = 0.1  # m/s, of each finger
TOLERANCE = 0.001  # m, of the position that was reached
STILL = 0.001, 0.2  # below this speed (m/s) for this time (s) the fingers are stalled


class GripperStatus(NamedTuple):
    """Where the fingers are (m), the force of their servo (N), and whether they are done."""

    position: float
    force: float
    stalled: bool
    reached: bool


class GripperController:
    """Moves the fingers to positions (m, of each finger: 0.04 open .. 0 closed)."""

    def __init__(self, sim: PandaSim) -> None:
        """Control a PandaSim."""
        self._sim = sim
        self._goal = self._last = sim.finger().position
        self._still = 0.0  # s

    def move(self, position: float, force: float = 0.0) -> None:
        """
        Let the fingers move to a position, with a force (N) at most; 0 = as strong as they are.

        ValueError: see check().
        """
        self.check(position, force)
        self._sim.set_target_finger(position, SPEED, min(force, MAX_FORCE) or MAX_FORCE)
        self._goal, self._still = position, 0.0

    @staticmethod
    def check(position: float, force: float = 0.0) -> None:
        """Raise ValueError, if fingers cannot move to a position (m) with a force (N)."""
        if not 0.0 <= position <= FINGER_TRAVEL:
            raise ValueError(
                f'position = {position!r}: allowed: 0 (closed) to {FINGER_TRAVEL:g} m (open)'
            )
        if not (force >= 0.0 and np.isfinite(force)):
            raise ValueError(f'max_effort = {force!r}: allowed: 0 (the own) or more, in N')

    def hold(self) -> None:
        """Let the fingers stay where they are."""
        self.move(float(np.clip(self._sim.finger().position, 0.0, FINGER_TRAVEL)))

    def advance(self, duration: float) -> GripperStatus:
        """Note that time (s) has passed in the PandaSim; return the status after it."""
        finger = self._sim.finger()
        slow = abs(finger.position - self._last) < STILL[0] * duration
        self._still = self._still + duration if slow and not finger.moving else 0.0
        self._last = finger.position
        reached = not finger.moving and abs(finger.position - self._goal) <= TOLERANCE
        stalled = self._still >= STILL[1] and not reached
        return GripperStatus(finger.position, finger.force, stalled, reached)
