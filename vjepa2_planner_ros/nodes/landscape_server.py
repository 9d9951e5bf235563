# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action server `compute_energy_landscape`."""

from dataclasses import dataclass
import math
import time

import numpy as np
from std_msgs.msg import Header
from vjepa2_interfaces.action import ComputeEnergyLandscape

from . import parameters
from .errors import GoalError
from .goal_reader import read_inputs
from .goal_server import GoalServer
from .landscape_topics import LandscapeTopics
from .reporting import InputReport
from .request_reader import read_request
from ..messages.error_codes import ErrorCode
from ..messages.landscapes import to_landscape_result
from ..planning.landscape import AXES, DEFAULT_AXES, Landscape, make_grid


@dataclass(frozen=True)
class LastPlan:
    """What the newest plan was computed from, and its Result."""

    request: object  # Request of the torch thread
    camera: str
    result: object  # PlanAction.Result


class LandscapeReport(InputReport):
    """Tells the client of one goal how its landscape goes on."""

    def encoding(self, share):
        """Take note of nothing: the pictures are a small part of the work."""

    def evaluated(self, share):
        """Tell which share of the points has been evaluated."""
        self._topics.tell(self._feedback, ComputeEnergyLandscape.Feedback(progress=share))


class LandscapeServer:
    """
    Computes energy landscapes between plans; see ComputeEnergyLandscape.action.

    :param torch: returns the node's TorchThread.
    """

    def __init__(self, node, observations, topics, torch):
        self._node = node
        self._observations = observations
        self._topics = topics
        self._torch = torch
        self._last = None
        self._shown = LandscapeTopics(node)
        self.goals = GoalServer(
            node,
            ComputeEnergyLandscape,
            'compute_energy_landscape',
            self._compute,
            _summary,
            self._show,
        )

    def remember(self, request, camera, result):
        """Keep a plan, for landscapes of what it saw and to mark its command."""
        self._last = LastPlan(request, camera, result)

    def _compute(self, job):
        """Return the Result of a goal; GoalError or GoalStopped if there is none."""
        began = time.monotonic()
        torch, last, goal = self._torch(), self._last, job.handle.request
        check_model(goal, torch.model)
        if last is not None and last.result.model != torch.model.name:
            last = None  # another model may not even move the same axes
        request, header, camera = self._request(goal, job, torch.model, last)
        command = None if last is None else np.array(last.result.command)
        report = LandscapeReport(job, self._topics, Header(stamp=header.stamp, frame_id=camera))
        landscape = self._evaluate(job, torch, request, command, report)
        return to_landscape_result(
            landscape,
            header,
            request.states[-1],
            torch.model.name,
            last and last.result.plan_id,
            time.monotonic() - began,
        )

    def _request(self, goal, job, model, last):
        """Return the Request that a goal asks for, its Header and its camera."""
        if not goal.use_last_plan:
            settings = parameters.read(self._node)
            inputs = read_inputs(goal, settings)
            return *read_request(
                inputs, self._observations, model, job.raise_if_stopped, math.inf
            ), inputs.camera
        if last is None:
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                (f"use_last_plan = True: allowed: after a plan of model '{model.name}'"),
            )
        return last.request, last.result.header, last.camera

    def _evaluate(self, job, torch, request, command, report):
        """Return the Landscape that a goal asks for; it marks a plan's command unless None."""
        goal, grid = job.handle.request, None
        marked = np.zeros((1 if command is None else 2, len(AXES)))
        marked[1:] = command

        def commands_within(bounds):
            nonlocal grid
            grid = make_grid(
                goal.axes,
                goal.lowest,
                goal.highest,
                goal.resolution,
                step_beside(goal, command, bounds),
                bounds,
            )
            return np.concatenate([grid.commands(), marked])

        batch = self._node.get_parameter('landscape.batch').value
        energies = torch.energies(request, commands_within, batch, report)
        found = energies[: -len(marked)].reshape(grid.shape)
        if not np.isfinite(found).any():
            raise GoalError(
                ErrorCode.NON_FINITE_ENERGY, f'none of {found.size} energies is finite'
            )
        start_energy, *command_energy = energies[-len(marked) :].tolist()
        return Landscape(grid, found, start_energy, command, *command_energy)

    def _show(self, job, result, outcome):
        if outcome == 'succeeded':
            self._shown.show(result)


def step_beside(goal, command, bounds):
    """
    Return the step [7] on the axes that are not drawn.

    Of the last plan it is the plan's command unless the goal has one: only there does the map hold
    the command's energy.
    """
    if not goal.use_last_plan or np.any(goal.offset):
        return goal.offset
    axes = goal.axes or DEFAULT_AXES
    # Within the bounds: the command went through float32.
    return np.where(np.isin(AXES, axes), 0.0, np.clip(command, -np.array(bounds), bounds))


def check_model(goal, model):
    """Raise GoalError if a goal names another model than the loaded one, or there is none."""
    if model is None:
        raise GoalError(
            ErrorCode.MODEL_NOT_FOUND, 'no model is loaded: a plan or ~/load_model loads one'
        )
    if goal.model not in ('', model.name):
        raise GoalError(
            ErrorCode.MODEL_NOT_FOUND,
            (f"model = '{goal.model}': allowed: '{model.name}' (the loaded model) or ''"),
        )


def _summary(result):
    axes = ' '.join(f'{axis.name} {len(axis.values)}' for axis in result.axes)
    return f'landscape over {axes}, energy {result.start_energy:.4f}, lowest {result.minimum:.4f}'
