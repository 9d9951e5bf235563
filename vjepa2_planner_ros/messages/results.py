# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the planner's action answers, as Python objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
import numpy as np
from numpy.typing import NDArray
from vjepa2_interfaces.action import PlanAction

from .commands import command_of
from .error_codes import ErrorCode
from .times import seconds


class PlanFailed(RuntimeError):  # noqa: N818
    """
    A goal ended without a command.

    code is an ErrorCode (PlanAction.action says what each means), NONE if the goal was cancelled;
    message is the server's error_msg.
    """

    def __init__(self, code: ErrorCode, message: str):
        super().__init__(message if code == ErrorCode.NONE else f'{code.name}: {message}')
        self.code = code
        self.message = message

    @property
    def cancelled(self) -> bool:
        """Return whether the goal was cancelled."""
        return self.code == ErrorCode.NONE


@dataclass(frozen=True)
class PlanResult:
    """A plan; vectors are x y z [m], roll pitch yaw [rad], gripper (-1 close .. +1 open)."""

    command: NDArray[np.float64]  # [7], the first step
    plan: NDArray[np.float64]  # [H, 7], the whole horizon
    stamp: Time  # of the frame planned from
    frame_id: str  # robot base frame
    target_pose: PoseStamped | None  # where command leads
    target_gripper: float  # where command leads: 0 open .. 1 closed
    target_gripper_position: float  # the same as a position of the gripper's joint
    energy: float  # predicted after the plan
    start_energy: float  # predicted after doing nothing
    confidence: float  # 0..1, see PlanAction
    confidence_calibrated: bool  # it is a probability
    near_energy: float  # usual 1 to 3 cm from a goal, see PlanAction; 0 = not known
    surprise: float | None  # at what the step before led to, see PlanAction; None = not known
    calibration: str  # of the camera, '' = none
    imagined_error: float | None  # of ~/imagined at least, 0..255; None = nothing was imagined
    iteration_energies: tuple[float, ...]  # best so far after each iteration
    iterations: int
    model: str
    plan_id: bytes
    planning_time: float  # s
    encoding_time: float  # s
    optimization_time: float  # s


def confidence_text(found: Any) -> str:
    """Return the confidence of a PlanResult, PlanRecord or ReachStep, and what it is."""
    kind = 'probability' if found.confidence_calibrated else 'not calibrated'
    return f'{found.confidence:.2f} ({kind})'


def imagined_text(found: Any) -> str:
    """Return what to say of the imagined picture of a PlanRecord or Result, which has one."""
    return (
        'what the model expects to see after the command; drawn pictures are off by '
        f'{found.imagined_error:.1f} of 255 even where the model is right'
    )


def known_code(number: int) -> ErrorCode:
    """Return the ErrorCode of a number; UNKNOWN for one of a newer server."""
    return ErrorCode(number) if number in ErrorCode.__members__.values() else ErrorCode.UNKNOWN


def to_result(result: PlanAction.Result) -> PlanResult:
    """Return the PlanResult of a PlanAction Result."""
    return PlanResult(
        command=np.array(result.command),
        plan=np.array([command_of(step) for step in result.plan]),
        stamp=result.header.stamp,
        frame_id=result.header.frame_id,
        target_pose=result.target_pose if result.has_target_pose else None,
        target_gripper=result.target_gripper,
        target_gripper_position=result.target_gripper_position,
        energy=result.energy,
        start_energy=result.start_energy,
        confidence=result.confidence,
        confidence_calibrated=result.confidence_calibrated,
        near_energy=result.near_energy,
        surprise=result.surprise if result.has_surprise else None,
        calibration=result.calibration,
        imagined_error=result.imagined_error if result.has_imagined else None,
        iteration_energies=tuple(result.iteration_energies),
        iterations=result.iterations,
        model=result.model,
        plan_id=bytes(result.plan_id.uuid),
        planning_time=seconds(result.planning_time),
        encoding_time=seconds(result.encoding_time),
        optimization_time=seconds(result.optimization_time),
    )
