# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models that are an encoder alone plan translations with a camera on the hand, or say why not."""

import math

import numpy as np
from planner_rig import START
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo
import torch
from toy_world_model import ToyWorldModel

from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.error_codes import ErrorCode
from vjepa2_planner_ros.world_model import ModelSpec, VJepa2WorldModel
from vjepa2_planner_ros.world_model.geometric import TRANSLATION_BOUND
from vjepa2_planner_ros.world_model.networks import EncoderSize, VisionTransformer

SPEC = ModelSpec(
    name='tiny', encoder=EncoderSize(24, 1, 2, 48), predictor=None, image_size=32,
    crop='center_square', action_bounds=(0.1,) * 3 + (0.0,) * 4)
MOUNT = [0.05, 0.0, 0.0, math.pi, 0.0, 0.0]  # START has the tool upright
INTRINSICS = [30.0, 30.0, 15.5, 15.5]  # of the toy's pictures of 32 x 32


def load_encoder(name, **options):
    torch.manual_seed(0)
    return VJepa2WorldModel(SPEC, VisionTransformer(SPEC.encoder), None)


@pytest.fixture
def make_hand(make_robot):
    """Return a function that makes a Robot whose model is an encoder alone."""
    def make(**parameters):
        return make_robot(load_encoder, image_timeout=2.0, **parameters).ready()
    return make


def publish_info(robot, size=32, k=None):
    """Publish the CameraInfo beside the frames for as long as the robot lives."""
    fx, fy, cx, cy = INTRINSICS
    message = CameraInfo(height=size, width=size, k=k or [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0])
    publisher = robot.node.create_publisher(
        CameraInfo, 'planner/camera_info', qos_profile_sensor_data)
    robot.node.create_timer(0.05, lambda: publisher.publish(message))


def failure_of(robot):
    with pytest.raises(PlanFailed) as failure:
        robot.plan(iterations=2)
    return failure.value


def check(result):
    """Check that a plan moves, but only by translations within the bounds."""
    assert (np.asarray(result.command[3:]) == 0.0).all()
    assert 0.0 < np.abs(result.command[:3]).max() <= TRANSLATION_BOUND + 1e-6
    assert result.energy <= result.start_energy and 0.0 <= result.confidence <= 1.0


def test_plans_translations_with_the_camera_info_beside_the_frames(make_hand):
    robot = make_hand(camera__main__mount=MOUNT)
    publish_info(robot)
    found = robot.plan(iterations=3)
    check(found)
    # The same through the parameter, which needs no CameraInfo.
    check(make_hand(camera__main__mount=MOUNT, camera__main__intrinsics=INTRINSICS).plan(
        iterations=3))
    check(robot.plan(iterations=2, current_image=ToyWorldModel.picture(START)))


def test_camera_that_is_not_on_the_hand(make_hand):
    failure = failure_of(make_hand(camera__main__intrinsics=INTRINSICS))
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'camera.main.mount = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]' in failure.message


def test_missing_and_useless_camera_info(make_hand):
    robot = make_hand(camera__main__mount=MOUNT)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.NO_IMAGE
    assert '/planner/camera_info' in failure.message
    assert 'camera.main.intrinsics is not set' in failure.message
    publish_info(robot, size=64)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert '64 x 64 pixels: allowed: 32 x 32' in failure.message


def test_uncalibrated_camera(make_hand):
    robot = make_hand(camera__main__mount=MOUNT)
    publish_info(robot, k=[0.0] * 9)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'of a calibrated camera, or set camera.main.intrinsics' in failure.message


def test_camera_below_the_plane(make_hand):
    failure = failure_of(make_hand(
        camera__main__mount=MOUNT, camera__main__intrinsics=INTRINSICS,
        camera__main__plane_height=float(START[2])))
    assert failure.code == ErrorCode.INVALID_STATE
    assert f'plane_height = {START[2]:g} m: allowed: 0.02 m or more' in failure.message


def test_gripper_alone_cannot_be_searched(make_hand):
    failure = failure_of(make_hand(
        camera__main__mount=MOUNT, camera__main__intrinsics=INTRINSICS, cem__search=['gripper']))
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'cem.search is gripper' in failure.message


@pytest.mark.parametrize('name, value, allowed', [
    ('mount', [0.1] * 7, 'six numbers'), ('mount', [math.nan] * 6, '-3.14159 to 3.14159'),
    ('intrinsics', [1.0] * 3, 'four numbers'), ('intrinsics', [0.0, 9.0, 9.0, 9.0], 'above 0'),
    ('plane_height', 4.0, '')])
def test_wrong_parameter_is_refused_by_name(make_robot, name, value, allowed):
    with pytest.raises(Exception, match=f'camera.main.{name}.*{allowed}'):
        make_robot(**{f'camera__main__{name}': value})


def test_camera_info_beside_compressed_frames(make_robot):
    robot = make_robot(
        camera__main__mount=MOUNT, camera__main__topic='/cell/hand/image_raw/compressed',
        camera__main__compressed=True, sending=())
    assert '/cell/hand/camera_info' in [
        subscription.topic_name for subscription in robot.planner.subscriptions]
