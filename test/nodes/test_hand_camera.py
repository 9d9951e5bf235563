# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models that are an encoder alone plan translations with a camera on the hand, or say why not."""

from concurrent.futures import wait
import math
import time

import numpy as np
from planner_rig import START, to_goal, Toy
import pytest
from rclpy.qos import qos_profile_sensor_data
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo
import torch
from vjepa2_interfaces.action import ComputeEnergyLandscape, LoadModel
from vjepa2_interfaces.srv import UnloadModel
from vjepa2_planner_ros.client import GoalClient, PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.world_model import ModelSpec, VJepa2WorldModel
from vjepa2_planner_ros.world_model.geometric import TRANSLATION_BOUND
from vjepa2_planner_ros.world_model.networks import EncoderSize, VisionTransformer

SPEC = ModelSpec(
    name='tiny',
    encoder=EncoderSize(48, 1, 2, 96),
    predictor=None,
    image_size=64,
    crop='center_square',
    action_bounds=(0.1,) * 3 + (0.0,) * 4,
)
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


def publish_info(robot, size=32, intrinsics=INTRINSICS):
    """Publish the CameraInfo beside the frames for as long as the robot lives."""
    fx, fy, cx, cy = intrinsics
    message = CameraInfo(height=size, width=size, k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0])
    publisher = robot.node.create_publisher(
        CameraInfo, 'planner/camera_info', qos_profile_sensor_data
    )
    robot.node.create_timer(0.05, lambda: publisher.publish(message))


def failure_of(robot):
    with pytest.raises(PlanFailed) as failure:
        robot.plan(iterations=2)
    return failure.value


def pictures_of_a_plane(intrinsics, plane_height, move):
    """Return pictures uint8 [64, 64, 3] of a plane at START and after a move, by ray casting."""

    def coarse(x, y):  # smooth colours of the plane [m]
        return np.stack([np.sin(17 * x + 3 * y), np.sin(23 * y - 5 * x), np.cos(13 * (x + y))], -1)

    fx, fy, cx, cy = intrinsics
    hand = Rotation.from_euler('xyz', START[3:6])
    rotation = hand * Rotation.from_euler('xyz', MOUNT[3:])
    column, row = np.meshgrid(np.arange(64.0), np.arange(64.0))
    rays = rotation.apply(
        np.stack([(column - cx) / fx, (row - cy) / fy, np.ones_like(row)], -1).reshape(-1, 3)
    )
    assert rays[:, 2].max() < 0.0
    pictures = []
    for offset in (np.zeros(3), np.asarray(move)):
        camera = START[:3] + offset + hand.apply(MOUNT[:3])
        points = camera + rays * ((plane_height - camera[2]) / rays[:, 2])[:, None]
        colours = 127.5 + 120.0 * coarse(points[:, 0], points[:, 1])
        pictures.append(colours.reshape(64, 64, 3).astype(np.uint8))
    return pictures


@pytest.mark.parametrize('by_parameter', [False, True])
def test_command_leads_to_where_the_goal_was_photographed(make_hand, by_parameter):
    intrinsics, move = [80.0, 84.0, 30.0, 33.0], (0.02, -0.03, -0.015)
    parameters = {'camera__main__intrinsics': intrinsics} if by_parameter else {}
    robot = make_hand(camera__main__mount=MOUNT, camera__main__plane_height=-0.1, **parameters)
    if not by_parameter:
        publish_info(robot, 64, intrinsics)
    now, goal = pictures_of_a_plane(intrinsics, -0.1, move)
    found = robot.client.plan(goal, timeout=60.0, current_image=now)
    np.testing.assert_allclose(found.command[:3], move, atol=0.006)
    assert (np.asarray(found.command[3:]) == 0.0).all()
    assert found.energy < 0.5 * found.start_energy and found.confidence > 0.3


def test_plans_from_the_live_stream(make_hand):
    robot = make_hand(camera__main__mount=MOUNT)
    publish_info(robot)
    found = robot.plan(iterations=2)
    assert (np.asarray(found.command[3:]) == 0.0).all()
    assert np.abs(found.command[:3]).max() <= TRANSLATION_BOUND + 1e-6


def test_camera_that_is_not_on_the_hand(make_hand):
    failure = failure_of(make_hand(camera__main__intrinsics=INTRINSICS))
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'camera.main.mount = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]' in failure.message


@pytest.mark.slow
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
    publish_info(robot, intrinsics=[0.0] * 4)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'of a calibrated camera, or set camera.main.intrinsics' in failure.message


def test_camera_below_the_plane(make_hand):
    failure = failure_of(
        make_hand(
            camera__main__mount=MOUNT,
            camera__main__intrinsics=INTRINSICS,
            camera__main__plane_height=float(START[2]),
        )
    )
    assert failure.code == ErrorCode.INVALID_STATE
    assert f'plane_height = {START[2]:g} m: allowed: 0.02 m or more' in failure.message


def test_gripper_alone_cannot_be_searched(make_hand):
    failure = failure_of(
        make_hand(
            camera__main__mount=MOUNT,
            camera__main__intrinsics=INTRINSICS,
            search__axes=['gripper'],
        )
    )
    assert failure.code == ErrorCode.INVALID_SETTINGS
    assert 'search.axes = gripper' in failure.message


@pytest.mark.parametrize(
    'name, value, allowed',
    [
        ('mount', [0.1] * 7, '6 numbers'),
        ('mount', [math.nan] * 6, '-3.14159 to 3.14159'),
        ('intrinsics', [1.0] * 3, '4 numbers'),
        ('intrinsics', [0.0, 9.0, 9.0, 9.0], 'above 0'),
        ('plane_height', 4.0, ''),
    ],
)
def test_wrong_parameter_is_refused_by_name(make_robot, name, value, allowed):
    with pytest.raises(Exception, match=f'camera.main.{name}.*{allowed}'):
        make_robot(**{f'camera__main__{name}': value})


def test_camera_info_beside_compressed_frames(make_robot):
    robot = make_robot(
        camera__main__mount=MOUNT,
        camera__main__topic='/cell/hand/image_raw/compressed',
        camera__main__compressed=True,
        sending=(),
    )
    assert '/cell/hand/camera_info' in [
        subscription.topic_name for subscription in robot.planner.subscriptions
    ]


@pytest.mark.slow
def test_what_is_asked_while_such_models_come_and_go_gets_a_code_of_its_own(make_robot):
    def load(name, **options):
        return load_encoder(name) if name == 'sim-panda' else Toy()

    robot = make_robot(load, camera__main__mount=MOUNT, camera__main__intrinsics=INTRINSICS)
    unload = robot.ready().node.create_client(UnloadModel, 'planner/unload_model')
    assert unload.wait_for_service(60.0)
    picture, rng, answers, futures = to_goal().goal_image, np.random.default_rng(8), [], []
    space = robot.node.get_namespace()
    landscape = ComputeEnergyLandscape.Goal(
        goal_image=picture, axes=['x', 'y'], resolution=[12, 12]
    )
    with (
        GoalClient(LoadModel, f'{space}/planner/load_model', robot.node) as loads,
        GoalClient(
            ComputeEnergyLandscape, f'{space}/compute_energy_landscape', robot.node
        ) as landscapes,
    ):
        asks = (
            lambda: answers.append(unload.call_async(UnloadModel.Request())),
            lambda: loads.send(LoadModel.Goal(name='sim-panda')),
            lambda: loads.send(LoadModel.Goal(name='sim-panda-ac')),
            lambda: futures.append(landscapes.send(landscape)),
            lambda: futures.append(robot.client.plan_async(picture, iterations=2)),
        )
        for number in range(60):
            futures.append(landscapes.send(landscape))
            asks[rng.integers(len(asks))]()
            time.sleep(rng.uniform(0.0, 0.02))
            if number % 5 == 0:
                wait(futures, 60.0)
        errors = [future.exception(60.0) for future in futures]
    found = {error.code for error in errors if error is not None}
    assert ErrorCode.UNKNOWN not in found, {str(error) for error in errors}
    assert None in errors and ErrorCode.MODEL_NOT_FOUND in found
    assert not robot.errors()
