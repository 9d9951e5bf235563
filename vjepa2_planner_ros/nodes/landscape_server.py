# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action server `compute_energy_landscape`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rclpy.node import Node
from vjepa2_interfaces.action import ComputeEnergyLandscape, PlanAction

from . import parameters
from .action_server import GoalServer
from .errors import GoalError
from .goal import Goal
from .goal_reader import complete, PlanRequest, read_request
from .landscape_topics import LandscapeTopics
from .model_server import ModelServer
from .observations import Observations
from .reporting import InputReport, Topics
from .settings import Settings, with_preset
from .worker import Worker
from ..messages.error_codes import ErrorCode
from ..messages.landscapes import to_landscape_result
from ..planning.actions import AXES
from ..planning.landscape import DEFAULT_AXES, Grid, Landscape, make_grid


@dataclass(frozen=True)
class LastPlan:
    """What the newest plan was computed from, and its Result."""

    request: PlanRequest
    result: PlanAction.Result


class LandscapeReport(InputReport):
    """Sends the client of one goal the progress of its landscape."""

    def encoding(self, share: float) -> None:
        """Report nothing: the pictures are a small part of the work."""

    def evaluated(self, share: float) -> None:
        """Send the share of the points that has been evaluated."""
        self._topics.show(self._feedback, ComputeEnergyLandscape.Feedback(progress=share))


class LandscapeServer:
    """Computes energy landscapes between plans; see ComputeEnergyLandscape.action."""

    def __init__(
        self,
        node: Node,
        observations: Observations,
        topics: Topics,
        worker: Worker,
        models: ModelServer,
    ):
        self._node, self._observations = node, observations
        self._topics, self._worker, self._models = topics, worker, models
        self._last: LastPlan | None = None
        self._shown = LandscapeTopics(node)
        self.goals = GoalServer(
            node,
            ComputeEnergyLandscape,
            'compute_energy_landscape',
            self._compute,
            _summary,
            self._show,
        )

    def remember(self, request: PlanRequest, result: PlanAction.Result) -> None:
        """Keep a plan: landscapes can start from its request, and mark its command."""
        self._last = LastPlan(request, result)

    def _compute(self, goal: Goal) -> ComputeEnergyLandscape.Result:
        """Return the Result of a goal; GoalError or GoalStopped if there is none."""
        began = time.monotonic()
        last = self._last
        model = self._model(goal, last)
        if last is not None and last.result.model != model.name:
            last = None  # another model may not move the same axes
        request = self._request(goal, model, last)
        command = None if last is None else np.array(last.result.command)
        report = LandscapeReport(goal, self._topics, request.image_header)
        landscape = self._evaluate(goal.request, request, command, model.name, report)
        return to_landscape_result(
            landscape,
            request.header,
            request.states[-1],
            model.name,
            last and last.result.plan_id,
            time.monotonic() - began,
        )

    def _model(self, goal: Goal, last: LastPlan | None) -> Any:
        """
        Return the loaded model, if it is the one that a goal is for.

        That is the one that it names, that of the last plan if it starts from it, or the chosen
        one, which may be loaded again for it.
        """
        model, wanted = self._worker.model, goal.request.model
        if last is not None and goal.request.use_last_plan:
            wanted = wanted or last.result.model
        if model is not None and wanted != model.name:
            with self._models.chosen(goal.check_stop) as loaded:
                model = loaded.world_model
        check_model(goal.request, model)
        return model

    def _request(self, goal: Goal, model: Any, last: LastPlan | None) -> PlanRequest:
        """Return the PlanRequest that a goal starts from."""
        if not goal.request.use_last_plan:
            settings = with_preset(parameters.read(self._node, Settings))
            request = read_request(goal.request, settings)
            return complete(request, self._observations, model, goal.check_stop)
        if last is None:
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                f"use_last_plan = True: allowed: after a plan of model '{model.name}'",
            )
        return last.request

    def _evaluate(
        self,
        message: ComputeEnergyLandscape.Goal,
        request: PlanRequest,
        command: NDArray[np.float64] | None,
        model: str,
        report: LandscapeReport,
    ) -> Landscape:
        """Return the Landscape that a goal asks for; it marks a plan's command unless None."""
        grids: list[Grid] = []
        marked = np.zeros((1 if command is None else 2, len(AXES)))
        marked[1:] = command

        def commands_within(bounds: Sequence[float]) -> NDArray[np.float64]:
            grid = make_grid(
                message.axes,
                message.lowest,
                message.highest,
                message.resolution,
                step_beside(message, command, bounds),
                bounds,
            )
            grids.append(grid)
            return np.concatenate([grid.commands(), marked])

        batch = self._node.get_parameter('landscape.batch').value
        energies = self._worker.energies(request, commands_within, batch, model, report)
        (grid,) = grids
        found = energies[: -len(marked)].reshape(grid.shape)
        if not np.isfinite(found).any():
            raise GoalError(
                ErrorCode.NON_FINITE_ENERGY, f'none of {found.size} energies is finite'
            )
        start_energy, *command_energy = energies[-len(marked) :].tolist()
        return Landscape(grid, found, start_energy, command, *command_energy)

    def _show(self, goal: Goal, result: ComputeEnergyLandscape.Result, outcome: str) -> None:
        if outcome == 'succeeded':
            self._shown.show(result)


def step_beside(
    goal: ComputeEnergyLandscape.Goal, command: NDArray[np.float64] | None, bounds: Sequence[float]
) -> ArrayLike:
    """
    Return the step [7] on the axes that are not drawn.

    With use_last_plan and an offset of zeros it is the plan's command: only then does the map hold
    the command's energy.
    """
    if command is None or not goal.use_last_plan or np.any(goal.offset):
        return goal.offset
    axes = goal.axes or DEFAULT_AXES
    # Clipped: the command went through float32.
    return np.where(np.isin(AXES, axes), 0.0, np.clip(command, -np.array(bounds), bounds))


def check_model(goal: ComputeEnergyLandscape.Goal, model: Any) -> None:
    """Raise GoalError if a goal names another model than the loaded one, or there is none."""
    if model is None:
        raise GoalError(
            ErrorCode.MODEL_NOT_FOUND, 'no model is loaded: a plan or ~/load_model loads one'
        )
    if goal.model not in ('', model.name):
        raise GoalError(
            ErrorCode.MODEL_NOT_FOUND,
            f"model = '{goal.model}': allowed: '{model.name}' (the loaded model) or ''",
        )


def _summary(result: ComputeEnergyLandscape.Result) -> str:
    axes = ' '.join(f'{axis.name} {len(axis.values)}' for axis in result.axes)
    return f'landscape over {axes}, energy {result.start_energy:.4f}, lowest {result.minimum:.4f}'
