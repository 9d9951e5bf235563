# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is watched while the arm moves: that it follows, stays inside, and comes to rest."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from .config import Arrival, Limits
from .limits import check_inside
from .path import distance
from .reasons import Reason, RunEnd

WAITING = 2.0  # s that a target waits for the arm
MOVES = 0.002, 0.02  # m and rad beyond which the measured pose is not frozen
TURN = 0.3  # rad that the measured orientation may jump, and lag beyond the largest turn of a step


class Watch:
    """Judges the measured poses of one motion."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._last: NDArray[np.float64] | None = None
        self._waited = 0.0  # s

    def check(self, measured: NDArray[np.float64], target: NDArray[np.float64]) -> None:
        """
        Raise RunEnd if a measured state [7] is not what the target [6] of now should lead to.

        WORKSPACE as check_place; NOT_FOLLOWING: it is too far from the target.
        """
        self.check_place(measured)
        limits, (lag, turned) = self._limits, distance(measured, target)
        if lag > limits.max_lag or turned > limits.max_turn + TURN:
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'the arm is {lag:.3f} m and {turned:.2f} rad from its target: allowed: '
                f'limits.max_lag = {limits.max_lag:g} m, {limits.max_turn + TURN:g} rad; is it '
                'blocked, or does its controller not take targets?',
            )

    def check_place(self, measured: NDArray[np.float64]) -> None:
        """Raise RunEnd WORKSPACE if a measured state [7] has jumped or is outside."""
        limits, last, self._last = self._limits, self._last, measured
        moved, turned = (0.0, 0.0) if last is None else distance(measured, last)
        if moved > limits.max_jump or turned > TURN:
            raise RunEnd(
                Reason.WORKSPACE,
                f'the measured pose jumped by {moved:.3f} m and {turned:.2f} rad: allowed: '
                f'limits.max_jump = {limits.max_jump:g} m, {TURN:g} rad; check what publishes it',
            )
        check_inside(measured, limits)

    def waits(
        self, measured: NDArray[np.float64], target: NDArray[np.float64], elapsed: float
    ) -> bool:
        """
        Return whether the target has to wait for the arm: it is half of max_lag behind.

        So a slow arm is not outrun, and a blocked one not pushed hard. RunEnd NOT_FOLLOWING if it
        has had to wait for WAITING seconds.

        :param elapsed: s since the last call.
        """
        lag = distance(measured, target)[0]
        behind = lag > 0.5 * self._limits.max_lag
        self._waited = self._waited + elapsed if behind else 0.0
        if self._waited > WAITING:
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'the arm has stayed {lag:.3f} m behind its target for {WAITING:g} s: allowed: '
                f'half of limits.max_lag = {self._limits.max_lag:g} m; is it blocked, or does its '
                'controller not take targets?',
            )
        return behind


class Push:
    """
    How far twists have told the arm to move since its measured pose last did, over all motions.

    A target stands still somewhere, while an arm goes on as long as it gets a twist: if its pose
    is frozen, nobody knows where to.
    """

    def __init__(self) -> None:
        self._place: NDArray[np.float64] | None = None  # where the arm was when it last moved
        self._pushed = np.zeros(2)  # m and rad since then

    def add(
        self,
        measured: NDArray[np.float64],
        velocity: NDArray[np.float64],
        elapsed: float,
        limits: Limits,
    ) -> None:
        """
        Raise RunEnd NOT_FOLLOWING if a pose [7] has not moved, as far as it may be behind.

        :param velocity: told to the arm, linear [m/s] and angular [rad/s].
        :param elapsed: s for which it was.
        """
        moved = (0.0, 0.0) if self._place is None else distance(measured, self._place)
        if self._place is None or moved[0] > MOVES[0] or moved[1] > MOVES[1]:
            self._place, self._pushed = measured, np.zeros(2)
        self._pushed += np.linalg.norm(velocity.reshape(2, 3), axis=1) * elapsed
        move, turn = self._pushed
        if move > limits.max_lag or turn > limits.max_turn + TURN:
            self._pushed = np.zeros(2)  # somebody has to look now
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'twists of {move:.3f} m and {turn:.2f} rad have not moved the measured pose: '
                f'allowed: limits.max_lag = {limits.max_lag:g} m, '
                f'{limits.max_turn + TURN:g} rad; is it blocked, or its pose frozen?',
            )


class Rest:
    """
    Whether arm and gripper have come to rest at a target; times [s] are of a steady clock.

    :param start: measured state [7] before the motion.
    :param target: state [7] to arrive at.
    :param now: when the target stopped.
    """

    def __init__(
        self, arrival: Arrival, start: NDArray[np.float64], target: NDArray[np.float64], now: float
    ):
        self._arrival, self._start, self._target, self._began = arrival, start, target, now
        self._seen: deque[tuple[float, NDArray[np.float64]]] = deque()

    def add(self, now: float, measured: NDArray[np.float64]) -> bool:
        """
        Add a measured state [7]; return whether arm and gripper are at rest.

        They have arrived then, or arrival.timeout is over: what is in the way is seen in the next
        picture. RunEnd NOT_FOLLOWING if something still moves after twice that time.
        """
        still, late = self._is_still(now, measured), now - self._began
        if late > 2.0 * self._arrival.timeout and not still:
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'arm or gripper still move {late:.1f} s after the target has stopped: allowed: '
                f'twice arrival.timeout = {self._arrival.timeout:g} s',
            )
        arrived = self._arm_arrived(measured) and self._gripper_arrived(measured, late)
        return still and (arrived or late > self._arrival.timeout)

    def _is_still(self, now: float, measured: NDArray[np.float64]) -> bool:
        arrival, seen = self._arrival, self._seen
        seen.append((now, measured))
        while len(seen) > 1 and now - seen[1][0] >= arrival.rest_time:
            seen.popleft()
        if now - seen[0][0] < arrival.rest_time:
            return False
        spread = np.ptp(np.array([state for _, state in seen]), axis=0)
        return bool(spread[:3].max() <= arrival.rest_distance and spread[6] <= arrival.rest_travel)

    def _arm_arrived(self, measured: NDArray[np.float64]) -> bool:
        away, turned = distance(measured, self._target)
        return away <= self._arrival.tolerance and turned <= self._arrival.turn_tolerance

    def _gripper_arrived(self, measured: NDArray[np.float64], late: float) -> bool:
        """Return whether the gripper has arrived, or moved and met something, or will not."""
        travel = self._arrival.rest_travel
        arrived = abs(measured[6] - self._target[6]) <= travel
        begun = abs(measured[6] - self._start[6]) > travel
        return bool(arrived or begun or late > self._arrival.gripper_delay)
