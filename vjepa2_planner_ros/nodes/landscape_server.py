# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action server `compute_energy_landscape`, and its pictures on topics."""

from dataclasses import dataclass
import math
import time

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ComputeEnergyLandscape

from . import parameters
from .errors import GoalError
from .goal_reader import read_inputs
from .goal_server import GoalServer
from .images import to_image
from .landscape_messages import to_cloud, to_landscape_result
from .markers import no_markers, slice_markers
from .reporting import InputReport
from .request_reader import read_request
from ..error_codes import ErrorCode
from ..landscape import AXES, Landscape, make_grid
from ..landscape_picture import draw

# So a picture of one panel takes 495 kB. Subscribers that ask for best effort, as rqt_image_view,
# got every one of up to 520 kB over Fast DDS, and one in four of 771 kB.
TOPIC_DPI = 80


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
        self._topics.tell(
            self._feedback, ComputeEnergyLandscape.Feedback(progress=share))


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
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = node.create_publisher(Image, '~/landscape/image', latched)
        self._points = node.create_publisher(PointCloud2, '~/landscape/points', latched)
        self._markers = node.create_publisher(MarkerArray, '~/landscape/markers', latched)
        self.goals = GoalServer(node, ComputeEnergyLandscape, 'compute_energy_landscape',
                                self._compute, _summary)

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
        report = LandscapeReport(
            job, self._topics, Header(stamp=header.stamp, frame_id=camera))
        landscape = self._evaluate(job, torch, request, command, report)
        job.raise_if_stopped()
        self._publish(landscape, request.states[-1], header)
        return to_landscape_result(
            landscape, header, request.states[-1], torch.model.name,
            last and last.result.plan_id, time.monotonic() - began)

    def _request(self, goal, job, model, last):
        """Return the Request that a goal asks for, its Header and its camera."""
        if not goal.use_last_plan:
            settings = parameters.read(self._node)
            inputs = read_inputs(goal, settings)
            return *read_request(inputs, self._observations, model, job.raise_if_stopped,
                                 math.inf), inputs.camera
        if last is None:
            raise GoalError(ErrorCode.INVALID_SETTINGS, (
                f"use_last_plan = True: allowed: after a plan of model '{model.name}'"))
        return last.request, last.result.header, last.camera

    def _evaluate(self, job, torch, request, command, report):
        """Return the Landscape that a goal asks for; it marks a plan's command unless None."""
        goal, grid = job.handle.request, None
        marked = np.zeros((1 if command is None else 2, len(AXES)))
        marked[1:] = command

        def commands_within(bounds):
            nonlocal grid
            grid = make_grid(goal.axes, goal.lowest, goal.highest, goal.resolution, goal.offset,
                             bounds)
            return np.concatenate([grid.commands(), marked])

        batch = self._node.get_parameter('landscape.batch').value
        energies = torch.energies(request, commands_within, batch, report)
        found = energies[:-len(marked)].reshape(grid.shape)
        if not np.isfinite(found).any():
            raise GoalError(ErrorCode.NON_FINITE_ENERGY,
                            f'none of {found.size} energies is finite')
        start_energy, *command_energy = energies[-len(marked):].tolist()
        return Landscape(grid, found, start_energy, command, *command_energy)

    def _publish(self, landscape, start, header):
        self._image.publish(to_image(draw(landscape, TOPIC_DPI), header))
        corner = start[:3] + landscape.grid.offset[:3]
        spatial = landscape.translations()
        self._points.publish(to_cloud(spatial, corner, header))
        self._markers.publish(
            no_markers(header.frame_id) if spatial is None else
            slice_markers(spatial, corner, header.frame_id))


def check_model(goal, model):
    """Raise GoalError if a goal names another model than the loaded one, or there is none."""
    if model is None:
        raise GoalError(ErrorCode.MODEL_NOT_FOUND, 'no model is loaded: a plan or ~/load_model '
                        'loads one')
    if goal.model not in ('', model.name):
        raise GoalError(ErrorCode.MODEL_NOT_FOUND, (
            f"model = '{goal.model}': allowed: '{model.name}' (the loaded model) or ''"))


def _summary(result):
    axes = ' '.join(f'{axis.name} {len(axis.values)}' for axis in result.axes)
    return (f'landscape over {axes}, energy {result.start_energy:.4f}, lowest '
            f'{result.minimum:.4f}')
