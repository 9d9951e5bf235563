# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The service ~/compute_energy: how far a picture is from a goal; see ComputeEnergy.srv."""

import math
import traceback

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from vjepa2_interfaces.srv import ComputeEnergy

from . import parameters
from .errors import GoalError
from .goal_reader import check_camera, checked, either_picture
from ..messages.error_codes import ErrorCode
from ..messages.times import to_stamp


class EnergyService:
    """
    Answers what an energy is, for as long as a model is loaded.

    :param torch_thread: returns the node's TorchThread, or None.
    """

    def __init__(self, node, observations, torch_thread):
        self._node = node
        self._observations = observations
        self._torch_thread = torch_thread
        # One request at a time: however many wait for a plan to end, the executor keeps threads
        # for everything else.
        node.create_service(
            ComputeEnergy,
            '~/compute_energy',
            self._answer,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def _answer(self, request, response):
        try:
            self._compute(request, response)
        except GoalError as error:
            response.error_code, response.error_msg = int(error.code), str(error)
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            response.error_code = int(ErrorCode.UNKNOWN)
            response.error_msg = f'{type(error).__name__}: {error}'
        return response

    def _compute(self, request, response):
        settings = parameters.read(self._node)
        goal = checked(ErrorCode.INVALID_GOAL_IMAGE, either_picture, request, 'goal_image')
        picture, response.stamp = self._picture(request, settings)
        response.energy, response.model = self._loaded().energy(goal, picture)

    def _picture(self, request, settings):
        """Return the picture to compare and its stamp."""
        if request.use_current_image:
            picture = checked(
                ErrorCode.INVALID_GOAL_IMAGE, either_picture, request, 'current_image'
            )
            message = request.current_image
            if not message.data:
                message = request.current_image_compressed
            return picture, message.header.stamp
        check_camera(request.camera, settings)
        camera = request.camera or settings.cameras[0]
        self._observations.wait(camera, False, settings, self._loaded, math.inf)
        picture, stamp = self._observations.frame(camera, settings)
        return picture, to_stamp(stamp)

    def _loaded(self):
        """Return the TorchThread; GoalError if there is none or none any more."""
        torch_thread = self._torch_thread()
        if torch_thread is None:
            raise GoalError(ErrorCode.NODE_DEACTIVATED, 'no model is loaded: configure the node')
        return torch_thread
