# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The service ~/compute_energy: how far a picture is from a goal; see ComputeEnergy.srv."""

from __future__ import annotations

from functools import partial

from builtin_interfaces.msg import Time
import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from vjepa2_interfaces.srv import ComputeEnergy

from . import parameters
from .errors import checked, GoalError
from .goal_reader import either_picture, read_camera
from .model_server import ModelServer
from .observations import Observations
from .services import serve
from .settings import Settings, with_preset
from .worker import ModelReplaced, Worker
from ..messages.error_codes import ErrorCode
from ..messages.times import to_stamp


class EnergyService:
    """Computes the energy between two pictures while a model is loaded."""

    def __init__(
        self, node: Node, observations: Observations, worker: Worker, models: ModelServer
    ):
        self._node, self._observations = node, observations
        self._worker, self._models = worker, models
        # One request at a time: requests that wait for a plan take one thread of the executor.
        group = MutuallyExclusiveCallbackGroup()
        serve(node, ComputeEnergy, '~/compute_energy', self._answer, group)

    def _answer(
        self, request: ComputeEnergy.Request, response: ComputeEnergy.Response
    ) -> ComputeEnergy.Response:
        try:
            self._compute(request, response)
        except GoalError as error:
            response.error_code, response.error_msg = int(error.code), str(error)
        return response

    def _compute(self, request: ComputeEnergy.Request, response: ComputeEnergy.Response) -> None:
        settings = with_preset(parameters.read(self._node, Settings))
        crop = self._observations.crop(read_camera(request, settings))
        goal = checked(ErrorCode.INVALID_GOAL_IMAGE, either_picture, request, 'goal_image')
        picture, response.stamp = self._picture(request, settings)
        check, ask = self._worker.require_model, partial(self._worker.energy, goal, picture)
        with self._models.chosen(check) as model:
            pass  # a plan may come between the two pictures
        try:
            response.energy = ask(settings.search, crop, model)
        except ModelReplaced:  # by that plan: the next one waits for both
            with self._models.chosen(check) as model:
                response.energy = ask(settings.search, crop, model)
        response.model = model.world_model.name

    def _picture(
        self, request: ComputeEnergy.Request, settings: Settings
    ) -> tuple[NDArray[np.uint8], Time]:
        """Return the picture to compare and its stamp."""
        if request.use_current_image:
            picture = checked(
                ErrorCode.INVALID_GOAL_IMAGE, either_picture, request, 'current_image'
            )
            message = request.current_image
            if not message.data:
                message = request.current_image_compressed
            return picture, message.header.stamp
        camera = read_camera(request, settings)
        moment = self._observations.wait(camera, False, settings, self._worker.require_model)
        picture, stamp = self._observations.frame(camera, moment, settings)
        return picture, to_stamp(stamp)
