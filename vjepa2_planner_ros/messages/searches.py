# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results and iterations of the search as ROS messages."""

from __future__ import annotations

from array import array
from typing import Any, TYPE_CHECKING

from geometry_msgs.msg import Point, Pose, PoseStamped
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration

from .commands import command_numbers, to_command_message
from .results import confidence_text
from .states import quaternion_of_rpy, to_position
from .times import to_duration

if TYPE_CHECKING:  # it needs torch
    from ..planning.search import SearchIteration as Iteration


def to_pose_message(state: NDArray[np.float64], header: Header) -> PoseStamped:
    """Return the PoseStamped of a state [7]."""
    x, y, z, *rpy = (float(value) for value in state[:6])
    return PoseStamped(
        header=header,
        pose=Pose(position=Point(x=x, y=y, z=z), orientation=quaternion_of_rpy(*rpy)),
    )


def to_iteration_message(iteration: Iteration, plan_id: UUID, header: Header) -> SearchIteration:
    """Return the SearchIteration message of a planning.SearchIteration in command convention."""
    energies = np.asarray(iteration.energies, np.float32)
    finite = energies[np.isfinite(energies)].astype(np.float64)
    elites = energies[iteration.elites].astype(np.float64)
    return SearchIteration(
        header=header,
        plan_id=plan_id,
        iteration=iteration.iteration,
        iterations_total=iteration.iterations,
        energy_min=finite.min(),
        energy_best=float(iteration.energy_best),
        energy_elite_mean=elites.mean(),
        energy_elite_std=elites.std(),
        energy_mean=finite.mean(),
        energy_max=finite.max(),
        elapsed=float(iteration.elapsed),
        mean=command_numbers(iteration.mean[0]),
        std=command_numbers(iteration.std[0]),
        energies=array('f', energies.tobytes()),
    )


def to_candidates_message(iteration: Iteration, plan_id: UUID) -> SearchCandidates:
    """Return the SearchCandidates message of a planning.SearchIteration in command convention."""
    samples, horizon, _ = iteration.actions.shape
    return SearchCandidates(
        plan_id=plan_id,
        iteration=iteration.iteration,
        samples=samples,
        horizon=horizon,
        actions=array('f', np.asarray(iteration.actions, np.float32).tobytes()),
        energies=array('f', np.asarray(iteration.energies, np.float32).tobytes()),
        elites=array('I', np.asarray(iteration.elites, np.uint32).tobytes()),
    )


def to_result_message(
    answer: Any, request: Any, model: str, plan_id: UUID, planning_time: float
) -> PlanAction.Result:
    """Return the Result of a nodes.loaded_model.Answer to a nodes.goal_reader.PlanRequest."""
    header = request.header
    found = answer.plan
    commands = [to_command_message(command, header) for command in answer.commands]
    return PlanAction.Result(
        header=header,
        command=command_numbers(answer.commands[0]),
        plan=commands,
        has_target_pose=True,
        target_pose=to_pose_message(answer.target, header),
        target_gripper=float(answer.target[6]),
        target_gripper_position=to_position(float(answer.target[6]), request.settings.gripper),
        energy=float(found.energy),
        start_energy=float(found.start_energy),
        confidence=float(found.confidence),
        confidence_calibrated=found.confidence_calibrated,
        near_energy=found.near_energy,
        has_surprise=answer.surprise is not None,
        surprise=answer.surprise or 0.0,
        calibration=answer.calibration,
        has_imagined=answer.imagined_error is not None,
        imagined_error=answer.imagined_error or 0.0,
        iteration_energies=[float(energy) for energy in found.iteration_energies],
        iterations=len(found.iteration_energies),
        model=model,
        plan_id=plan_id,
        planning_time=to_duration(planning_time),
        encoding_time=to_duration(answer.encoding_time),
        optimization_time=to_duration(answer.optimization_time),
    )


def plan_summary(result: PlanAction.Result) -> str:
    """Return a PlanAction Result in one line, for the log."""
    command = ' '.join(f'{value:+.3f}' for value in result.command)
    return (
        f'energy {result.start_energy:.4f} -> {result.energy:.4f}, confidence '
        f'{confidence_text(result)}, command {command}'
    )
