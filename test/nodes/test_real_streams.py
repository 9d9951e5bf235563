# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Streams as real robots send them, and what /diagnostics says of them."""

from contextlib import contextmanager
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
from planner_rig import eventually, fill_pose, GOAL, START, to_image
import pytest
import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, JointState
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode

ARM = [f'panda_joint{number}' for number in range(1, 8)]
FINGER = 'panda_finger_joint1'


def joint_state(robot, names, positions):
    """Return a JointState of now."""
    message = JointState(name=names, position=[float(position) for position in positions])
    message.header.stamp = robot.stamp('state')
    return message


def pose(robot, frame='panda_link0', state=START):
    """Return the PoseStamped of a state, of now."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = robot.stamp('state'), frame
    fill_pose(message.pose, state)
    return message


@contextmanager
def sent(rate, *sends):
    """Call functions at a rate [Hz] on a thread of their own."""
    ended = threading.Event()

    def run():
        due = time.monotonic()
        while not ended.is_set():
            for send in sends:
                send()
            due = max(due + 1.0 / rate, time.monotonic() - 0.1)
            ended.wait(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def started(robot):
    """Wait until the planner plans and has seen its streams, whatever their stamps."""
    assert robot.client.wait_until_ready(60.0)
    streams = robot.planner._streams
    eventually(
        lambda: streams.age_of_frame('main') is not None and streams.age_of_state() is not None
    )
    return robot


def poses_of(robot, **fields):
    return lambda: robot.poses.publish(pose(robot, **fields))


def gripper_of(robot, position=0.03, name=FINGER):
    return lambda: robot.grippers.publish(joint_state(robot, [name], [position]))


@pytest.mark.parametrize('rate', [500, 1000])
@pytest.mark.slow
def test_arm_and_gripper_on_one_topic(make_robot, rate):
    robot = make_robot(sending=['image'], image_timeout=5.0, max_skew=1.0, gripper__max_age=1.0)
    stamps, positions = set(), iter(np.linspace(0.0, 0.04, 100000))
    streams = robot.planner._streams

    def look():
        newest = streams.grippers.newest
        if newest is not None:
            stamps.add(newest.stamp)

    sent_positions = []

    def send_gripper():
        sent_positions.append(next(positions))
        gripper_of(robot, sent_positions[-1])()

    arm = [lambda: robot.grippers.publish(joint_state(robot, ARM, [0.5] * 7))]
    with sent(100, poses_of(robot)), sent(30, send_gripper), sent(rate, *arm), sent(200, look):
        robot.ready()
        eventually(lambda: streams.grippers.newest is not None)
        stamps.clear()
        sent_positions.clear()
        for _ in range(10):
            assert np.isfinite(robot.plan(iterations=2).command).all()
        eventually(lambda: len(sent_positions) >= 60)
    # Hardly one is lost between those of the arm; one of sixteen or more would be seen by chance.
    assert len(stamps) > 0.6 * len(sent_positions)


@pytest.mark.parametrize('rate', [2, 5])
def test_a_slow_gripper_does_not_break_the_skew_of_the_pose(make_robot, rate):
    robot = make_robot(sending=['image'], image_timeout=5.0, max_skew=0.25, gripper__max_age=2.0)
    with sent(100, poses_of(robot)), sent(rate, gripper_of(robot)):
        robot.ready()
        for _ in range(5):
            assert np.isfinite(robot.plan(iterations=2).command).all()


@pytest.mark.case(42)
def test_a_state_that_matches_later_is_waited_for(make_robot):
    robot = make_robot(sending=(), max_skew=0.5)
    robot.delay = {'image': 0.0, 'state': 2.0}
    robot.sending = {'image', 'state'}
    future = started(robot).client.plan_async(ToyWorldModel.picture(GOAL))
    eventually(lambda: robot.planner._plans.slot._running is not None)
    time.sleep(0.5)
    assert not future.done()
    robot.delay['state'] = 0.0
    assert np.isfinite(future.result(60.0).command).all()


@pytest.mark.case(42)
def test_both_ages_of_what_does_not_match_are_named(make_robot):
    robot = make_robot(sending=(), max_skew=0.5, image_timeout=0.5)
    robot.delay = {'image': 0.0, 'state': 3.0}
    robot.sending = {'image', 'state'}
    started(robot)
    began = time.monotonic()
    with pytest.raises(
        PlanFailed, match='the frame is [-0.]+.* s old, the nearest pose [23]'
    ) as f:
        robot.plan()
    assert f.value.code == ErrorCode.STREAMS_OUT_OF_SYNC
    assert time.monotonic() - began >= 0.5


def test_positions_of_a_gripper_in_its_own_unit(make_robot):
    robot = make_robot(
        sending=['image'], gripper__open_position=0.0, gripper__closed_position=255.0
    )
    with sent(50, poses_of(robot), gripper_of(robot, 102.0)):
        robot.ready().plan(iterations=1)
    assert robot.model.context[1][-1][6] == pytest.approx(0.4)


def test_another_name_of_the_base_frame(make_robot):
    robot = make_robot(sending=['image'], base_frame_aliases=['base'])
    with sent(50, poses_of(robot, frame='base'), gripper_of(robot)):
        result = robot.ready().plan(iterations=1)
    assert result.target_pose.header.frame_id == 'panda_link0'


@pytest.fixture
def watched(make_robot):
    """Return a Robot that sends pictures only, and what waits for a text of its diagnostics."""

    def watch(**parameters):
        robot, reports = make_robot(sending=['image'], image_timeout=0.3, **parameters), []
        name = f'{robot.planner.get_fully_qualified_name()}: planner'

        def note(report):
            reports.extend(
                (status.level, status.message) for status in report.status if status.name == name
            )

        robot.node.create_subscription(DiagnosticArray, '/diagnostics', note, 50)

        def says(*texts, level=DiagnosticStatus.WARN):
            reports.clear()
            try:
                eventually(
                    lambda: any(
                        report[0] == level and all(text in report[1] for text in texts)
                        for report in list(reports)
                    ),
                    30.0,
                )
            except AssertionError:
                raise AssertionError(f'{texts} not in {reports[-2:]}') from None

        assert robot.client.wait_until_ready(60.0)
        return robot, says

    return watch


def fails(robot):
    """Return the text that a plan fails with."""
    with pytest.raises(PlanFailed) as failure:
        robot.plan(iterations=1)
    return failure.value.message


@pytest.mark.case(58)
@pytest.mark.slow
def test_diagnostics_say_what_is_wrong_with_a_state(watched):
    robot, says = watched(max_skew=0.5, max_state_age=5.0)
    with sent(50, poses_of(robot), gripper_of(robot)):
        says('ready', level=DiagnosticStatus.OK)
    with sent(50, poses_of(robot, frame='map'), gripper_of(robot)):
        says("/planner/pose'", "frame_id = 'map'", 'base_frame')
        assert "frame_id = 'map'" in fails(robot)
    zero = pose(robot)

    def send_zero():
        zero.header.stamp = robot.stamp('state')
        zero.pose.orientation.x = zero.pose.orientation.y = 0.0
        zero.pose.orientation.z = zero.pose.orientation.w = 0.0
        robot.poses.publish(zero)

    with sent(50, send_zero, gripper_of(robot)):
        says("/planner/pose'", 'orientation = [0.0, 0.0, 0.0, 0.0]')
    with sent(50, poses_of(robot), gripper_of(robot, 1.57)):
        says("/planner/gripper'", FINGER, '= 1.57', 'gripper.open_position')
    robot.delay['state'] = 3.0
    eventually(lambda: robot.planner._streams.age_of_state() > 2.0)  # the newer are too old now
    with sent(50, poses_of(robot), gripper_of(robot)):
        says('apart', 'max_skew = 0.5 s', 'the frame is')


@pytest.mark.case(58)
def test_diagnostics_name_the_half_that_is_missing(watched):
    robot, says = watched()
    with sent(50, poses_of(robot), gripper_of(robot, name='fr3_finger_joint1')):
        says(f"/planner/gripper' with a joint '{FINGER}'", 'its joints are fr3_finger_joint1')
        assert "/planner/pose'" not in fails(robot)


@pytest.mark.case(58)
@pytest.mark.slow
def test_diagnostics_name_a_wrong_type(watched):
    robot, says = watched(camera__main__topic='/of_another_type')
    robot.sending = set()
    context = Context()  # within one DDS participant a topic has one type
    rclpy.init(context=context)
    camera = rclpy.create_node('camera', context=context, use_global_arguments=False)
    camera.create_publisher(CompressedImage, '/of_another_type', qos_profile_sensor_data)
    words = (
        "'/of_another_type'",
        'camera publishes sensor_msgs/msg/CompressedImage there',
        'allowed: sensor_msgs/msg/Image',
        'camera.main.compressed',
    )
    try:
        says(*words)
        assert all(word in fails(robot) for word in words)
    finally:
        camera.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.case(58)
@pytest.mark.slow
def test_diagnostics_name_an_encoding_that_changed(watched):
    robot, says = watched(max_image_age=0.5)
    with sent(50, poses_of(robot), gripper_of(robot)):
        says('ready', level=DiagnosticStatus.OK)
        robot.sending = set()
        strange = to_image(ToyWorldModel.picture(START))
        strange.encoding = '32FC3'
        with sent(20, lambda: robot.pictures.publish(strange)):
            says("/planner/image'", 's old', "image.encoding = '32FC3'")
            assert '32FC3' in fails(robot)
        robot.sending = {'image'}
        says('ready', level=DiagnosticStatus.OK)


@pytest.mark.slow
@pytest.mark.case(58)
def test_diagnostics_name_a_folder_that_cannot_be_written(watched, tmp_path):
    robot, says = watched()
    folder = tmp_path / 'new'
    robot.planner.set_parameters([Parameter('history.folder', value=str(folder))])
    with sent(50, poses_of(robot), gripper_of(robot)):
        says('ready', level=DiagnosticStatus.OK)
        folder.touch()  # a file where the folder is to be
        says('history.folder', 'plans are not recorded')
        folder.unlink()
        says('ready', level=DiagnosticStatus.OK)
        # No disk has room for ten plans of this size, or for this much history.
        robot.planner._recorder.last_size = 10**15
        robot.planner.set_parameters([Parameter('history.max_size', value=10**7)])
        says('history.folder', 'MB free on its disk', 'room for 10 plans')


def test_pictures_that_name_no_channels_are_taken_with_one_warning(make_robot):
    robot = make_robot(sending=['state'])

    def send():
        image = to_image(ToyWorldModel.picture(START)[..., ::-1], robot.stamp('image'))
        image.encoding = '8UC3'
        robot.pictures.publish(image)

    with sent(50, send):
        result = robot.ready().plan(iterations=10)
    assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)
    assert len(robot.logged("'8UC3' does not name the channels: taken for bgr8")) == 1


def test_a_goal_picture_that_is_far_darker_is_told_once(make_robot):
    robot = make_robot()
    robot.picture = np.full((32, 32, 3), 150, np.uint8)
    robot.ready().client.plan(np.full((32, 32, 3), 20, np.uint8), timeout=60.0, iterations=2)
    eventually(lambda: robot.logged('far darker'))
    (line,) = robot.logged('far darker')
    assert 'mean brightness 20, not 150 of 255' in line
