# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A planned command within the limits of step, turn and workspace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .config import Limits
from .reasons import Reason, RunEnd
from ..planning.actions import to_action

MARGIN = 0.02  # m that a measured pose may be outside the workspace: servos overshoot
EXACT = 1e-9


@dataclass(frozen=True)
class LimitedStep:
    """What the arm is to do: vectors as command and state of the package, robot base frame."""

    target: NDArray[np.float64]  # [7] state: x y z [m], roll pitch yaw [rad], closedness
    command: NDArray[np.float64]  # [7] that leads there
    names: tuple[str, ...]  # of the limits that changed the command


def limit_step(
    state: NDArray[np.float64],
    command: NDArray[np.float64],
    limits: Limits,
    has_gripper: bool = True,
) -> LimitedStep:
    """
    Return the step of a command [7] from a measured state [7], within the limits.

    A translation or turn that is too large is shortened and keeps its direction; a target outside
    the workspace is moved to its nearest point. RunEnd PLANNER_ERROR if a number of the command is
    not finite, WORKSPACE if the state is outside already.

    :param has_gripper: whether there is a gripper to move; without one it stays.
    """
    if command.shape != (7,) or not np.isfinite(command).all():
        text = f'command = {command.tolist()}: allowed: seven finite numbers'
        raise RunEnd(Reason.PLANNER_ERROR, text)
    check_inside(state, limits)
    action, names = to_action(command), []
    move, length = action[:3], float(np.linalg.norm(action[:3]))
    if length > limits.max_step + EXACT:
        names.append('max_step')
        move = move * (limits.max_step / length)
    turn = Rotation.from_euler('xyz', action[3:6])
    if turn.magnitude() > limits.max_turn + EXACT:
        names.append('max_turn')
        turn = Rotation.from_rotvec(turn.as_rotvec() * (limits.max_turn / turn.magnitude()))
    lows, highs = limits.workspace[::2], limits.workspace[1::2]
    # A pose that overshoots the box a little stays where it is.
    place = np.clip(state[:3] + move, np.minimum(lows, state[:3]), np.maximum(highs, state[:3]))
    if abs(place - state[:3] - move).max() > EXACT:
        names.append('workspace')
    if action[6] and not has_gripper:
        names.append('gripper')
    closedness = float(np.clip(state[6] + action[6], 0.0, 1.0)) if has_gripper else state[6]
    orientation = turn * Rotation.from_euler('xyz', state[3:6])
    return LimitedStep(
        target=np.array([*place, *orientation.as_euler('xyz'), closedness]),
        command=np.array([*(place - state[:3]), *turn.as_euler('xyz'), state[6] - closedness]),
        names=tuple(names),
    )


def check_inside(state: NDArray[np.float64], limits: Limits) -> None:
    """Raise RunEnd WORKSPACE if a measured state [7] is outside the workspace by over MARGIN."""
    for axis, value, low, high in zip('xyz', state, limits.workspace[::2], limits.workspace[1::2]):
        if not low - MARGIN <= value <= high + MARGIN:
            raise RunEnd(
                Reason.WORKSPACE,
                f'the measured {axis} = {value:.3f} m: allowed: {low:g} to {high:g} '
                '(limits.workspace); move the arm inside, or change the box',
            )
