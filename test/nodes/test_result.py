# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a successful goal is answered with."""

from array import array
import io
import time

import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START, to_image, to_state_message
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image
from tools.toy_world_model import ToyWorldModel

STEP = GOAL - START
COMMAND = [*STEP[:6], -STEP[6]]  # the gripper's sign is turned on topics


@pytest.mark.case(10, 11)
def test_plan_reaches_the_known_optimum_inside_the_bounds(robot):
    result = robot.plan(iterations=10)
    assert np.allclose(result.command, COMMAND, atol=5e-3)
    assert result.energy < 0.01 * result.start_energy
    assert (abs(result.command) <= np.array(ToyWorldModel.action_bounds) + 1e-9).all()
    assert np.isclose(result.start_energy, abs(STEP).mean(), atol=1e-3)
    assert len(result.iteration_energies) == result.iterations == 10
    assert list(result.iteration_energies) == sorted(result.iteration_energies, reverse=True)
    assert 0.5 < result.confidence <= 1.0
    assert result.model == 'toy' and len(result.plan_id) == 16


def test_trust_region_finds_the_same_with_fewer_candidates(robot):
    feedback = []
    result = robot.plan(optimizer='trust_region', on_feedback=feedback.append)
    assert np.allclose(result.command, COMMAND, atol=1e-2)
    energies = [f.iteration.energies for f in feedback if f.phase == f.OPTIMIZING]
    assert [len(some) for some in energies] == [16, 16, 16, 16]
    assert len(robot.plan(optimizer='trust_region', iterations=2).iteration_energies) == 2


@pytest.mark.case(10)
def test_goal_out_of_reach_gives_a_command_on_the_bounds(robot):
    result = robot.client.plan(ToyWorldModel.picture(START + 0.5), iterations=20, timeout=60.0)
    bounds = np.array(ToyWorldModel.action_bounds)
    assert (abs(result.command) <= bounds + 1e-9).all()
    assert np.allclose(result.command[:3], bounds[:3], atol=2e-3)


@pytest.mark.case(11)
def test_stamp_is_that_of_the_frame_and_frame_is_the_base(robot):
    # Every frame is stamped when it is sent, so the newest before the goal bounds the stamp.
    before = robot.node.get_clock().now().nanoseconds
    result = robot.plan()
    stamp = result.stamp.sec * 10**9 + result.stamp.nanosec
    assert before - 1e9 < stamp <= robot.node.get_clock().now().nanoseconds
    assert result.frame_id == 'panda_link0'
    picture = ToyWorldModel.picture(START)
    current = to_image(picture)
    current.header.stamp.sec, current.header.stamp.nanosec = 1234, 567
    result = robot.plan(current_image=current, start_state=to_state_message(START))
    assert (result.stamp.sec, result.stamp.nanosec) == (1234, 567)


@pytest.mark.case(13)
def test_horizon_is_planned_and_starts_with_the_command(robot):
    goal = START + [0.08, 0.0, -0.06, 0, 0, 0, 0.0]
    result = robot.client.plan(
        ToyWorldModel.picture(goal), horizon=2, samples=1000, iterations=15, timeout=60.0
    )
    assert result.plan.shape == (2, 7)
    assert np.array_equal(result.plan[0], result.command)
    assert np.allclose(result.plan.sum(axis=0)[:3], (goal - START)[:3], atol=0.01)


@pytest.mark.case(12)
def test_same_seed_same_command_and_other_seed_another(robot):
    first, again, other = (
        robot.plan(
            seed=seed,
            current_image=ToyWorldModel.picture(START),
            start_state=to_state_message(START),
        ).command
        for seed in (2**64 - 1, 2**64 - 1, 8)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_target_pose_is_the_start_pose_composed_with_the_command(make_robot):
    robot = make_robot(search__axes=['x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper']).ready()
    goal = START + [0.03, -0.02, 0.04, 0.10, -0.05, 0.08, 0.5]
    result = robot.client.plan(ToyWorldModel.picture(goal), iterations=8, timeout=60.0)
    assert abs(result.command[3:6]).min() > 0.01
    pose = result.target_pose.pose
    expected = Rotation.from_euler('xyz', result.command[3:6]) * Rotation.from_euler(
        'xyz', START[3:6]
    )
    found = Rotation.from_quat([getattr(pose.orientation, axis) for axis in 'xyzw'])
    assert (found.inv() * expected).magnitude() < 1e-6
    assert np.allclose(
        [pose.position.x, pose.position.y, pose.position.z],
        START[:3] + result.command[:3],
        atol=1e-9,
    )
    assert result.target_pose.header.frame_id == 'panda_link0'
    assert result.target_pose.header.stamp == result.stamp


def test_the_result_says_where_the_gripper_should_go(robot):
    result = robot.plan()
    expected = START[6] - result.command[6]  # a command's gripper is + to open
    assert result.target_gripper == pytest.approx(expected, abs=1e-6)
    assert result.target_gripper_position == pytest.approx(0.04 * (1.0 - expected), abs=1e-6)


def test_live_state_comes_from_pose_and_gripper(robot):
    robot.state = START + [0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    def starts_there():
        result = robot.plan(iterations=1)
        start = result.target_pose.pose.position.x - result.command[0]
        return np.isclose(start, robot.state[0], atol=1e-6)

    eventually(starts_there)


@pytest.mark.case(38)
def test_given_picture_and_state_need_no_streams(robot):
    robot.sending = set()
    start = START + [0.01, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0]
    result = robot.plan(
        current_image=ToyWorldModel.picture(start),
        start_state=to_state_message(start),
        iterations=8,
    )
    assert np.allclose(result.command[:3], (GOAL - start)[:3], atol=5e-3)


def test_compressed_goal_gives_the_same_command(robot):
    buffer = io.BytesIO()
    Picture.fromarray(ToyWorldModel.picture(GOAL)).save(buffer, 'PNG')
    given = {'current_image': ToyWorldModel.picture(START), 'start_state': to_state_message(START)}
    png = CompressedImage(format='png', data=array('B', buffer.getvalue()))
    assert np.array_equal(
        robot.client.plan(png, timeout=60.0, **given).command, robot.plan(**given).command
    )


def test_times_add_up(robot):
    robot.model.delay = 0.02
    result = robot.plan(iterations=4)
    assert result.optimization_time >= 0.08
    assert result.planning_time >= result.optimization_time + result.encoding_time


def test_pictures_as_the_encoder_saw_them_are_latched(robot):
    robot.plan()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    arrived = {}
    subscriptions = [
        robot.node.create_subscription(
            Image,
            f'planner/{name}',
            lambda image, name=name: arrived.update({name: image}),
            latched,
        )
        for name in ('goal_image', 'model_input')
    ]
    eventually(lambda: len(arrived) == 2)
    for name, state in (('goal_image', GOAL), ('model_input', START)):
        pixels = np.array(arrived[name].data, np.uint8).reshape(32, 32, 3)
        assert np.array_equal(pixels, ToyWorldModel.picture(state))
    for subscription in subscriptions:
        robot.node.destroy_subscription(subscription)


def test_answer_that_comes_while_the_goal_is_still_being_sent_is_not_lost(robot, monkeypatch):
    robot.plan()

    def slow_future():  # ActionClient makes one before sending and, in rclpy 9.1, one after it
        time.sleep(0.1)
        return Future()

    monkeypatch.setattr('rclpy.action.client.Future', slow_future)
    robot.client.plan(ToyWorldModel.picture(GOAL), timeout=10.0)
