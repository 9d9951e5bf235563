# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras that are fast, broken, or stop; clocks that are simulated."""

import itertools
import threading
import time

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
import numpy as np
from planner_rig import eventually, Gate, GOAL, START, to_image
import psutil
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.subscription_reader import PERIOD

PICTURE = ToyWorldModel.picture(GOAL)


def nanoseconds(stamp):
    return stamp.sec * 10**9 + stamp.nanosec


@pytest.mark.case(40)
def test_ages_count_in_simulated_time(make_robot):
    robot = make_robot(
        sending=(),
        use_sim_time=True,
        image_timeout=20.0,
        max_image_age=0.5,
        max_state_age=60.0,
        max_skew=60.0,
        gripper__max_age=60.0,
    )
    clock = robot.node.create_publisher(Clock, '/clock', 10)

    def at(seconds):
        """Set the clock for the robot and the planner."""
        stamp = Time(sec=seconds)
        eventually(
            lambda: (
                clock.publish(Clock(clock=stamp))
                or all(
                    node.get_clock().now().nanoseconds == seconds * 10**9
                    for node in (robot.node, robot.planner)
                )
            )
        )

    at(1000)
    robot.sending = {'image', 'state'}
    result = robot.ready().plan(iterations=10)
    assert result.stamp == Time(sec=1000)
    assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)
    robot.sending = set()
    robot.planner.set_parameters([Parameter('image_timeout', value=0.1)])
    assert robot.plan(iterations=1).stamp == Time(sec=1000)  # no time has passed
    at(1003)
    with pytest.raises(PlanFailed) as failure:
        robot.plan()
    assert failure.value.code == ErrorCode.IMAGE_STALE
    assert '3.000 s old' in failure.value.message


@pytest.mark.case(44)
def test_camera_that_stops_in_the_middle_of_a_plan(make_robot):
    robot = make_robot(
        max_image_age=0.5, max_state_age=60.0, max_skew=60.0, gripper__max_age=60.0
    ).ready()
    age = robot.planner._streams.age_of_frame
    with Gate(robot) as gate:
        future = robot.client.plan_async(PICTURE, iterations=10)
        gate.reached()
        robot.sending = {'state'}
        eventually(lambda: age('main') > 0.6)
    assert np.allclose(future.result(60.0).command[:3], (GOAL - START)[:3], atol=5e-3)
    robot.planner.set_parameters([Parameter('image_timeout', value=0.1)])
    with pytest.raises(PlanFailed) as failure:
        robot.plan()
    assert failure.value.code == ErrorCode.IMAGE_STALE
    robot.restore()
    robot.planner.set_parameters([Parameter('image_timeout', value=20.0)])
    assert np.isfinite(robot.plan().command).all()


class Camera:
    """Sends 640x480 pictures at 60 Hz, each of another state, on a thread of its own."""

    def __init__(self, robot):
        self.sent = {}  # stamp [ns] -> state that the picture shows
        self._robot, self._ended = robot, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.wait(1 / 60):
            state = START + [0.01 * (len(self.sent) % 4), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
            image = to_image(ToyWorldModel.picture(state, 480, 640), self._robot.stamp('image'))
            self.sent[nanoseconds(image.header.stamp)] = state
            self._robot.pictures.publish(image)


@pytest.mark.case(45)
@pytest.mark.slow
def test_fast_camera_is_kept_up_with_and_fills_no_memory(make_robot, monkeypatch):
    robot = make_robot(sending=['state'])
    inputs, arrived, process = robot.planner._streams, [], psutil.Process()
    take = inputs._on_frame

    def on_frame(camera, image):
        take(camera, image)
        arrived.append(nanoseconds(image.header.stamp))

    monkeypatch.setattr(inputs, '_on_frame', on_frame)
    with Camera(robot) as camera:
        robot.client.wait_until_ready(60.0)
        eventually(lambda: len(arrived) > 40)
        memory = process.memory_info().rss
        for count in (80, 120, 160, 200):
            eventually(lambda: len(arrived) > count)
            newest = arrived[-1]
            stamp = nanoseconds(robot.plan(iterations=2).stamp)
            assert stamp >= newest and stamp in camera.sent
            np.testing.assert_allclose(  # the toy's latents are the state in its picture
                robot.model.context[0][-1, 0], camera.sent[stamp], atol=1e-6
            )
        # 160 pictures of 0.9 MB have come and gone.
        assert process.memory_info().rss - memory < 60e6
    assert not robot.errors()


@pytest.mark.case(47)
def test_malformed_frames_are_dropped_with_one_warning(make_robot, monkeypatch):
    robot = make_robot(sending=['state'])
    inputs, arrived = robot.planner._streams, []
    take = inputs._on_frame
    monkeypatch.setattr(
        inputs,
        '_on_frame',
        lambda camera, image: (take(camera, image), arrived.append(image.encoding)),
    )
    broken = to_image(ToyWorldModel.picture(START))
    broken.encoding = 'h264'
    began = time.monotonic()
    eventually(lambda: robot.pictures.publish(broken) or arrived.count('h264') >= 20)
    eventually(lambda: robot.logged('dropped'))
    robot.planner.set_parameters([Parameter('image_timeout', value=0.1)])
    with pytest.raises(PlanFailed, match='what arrives cannot be used, image.encoding') as failure:
        robot.ready().plan()
    assert failure.value.code == ErrorCode.NO_IMAGE
    robot.planner.set_parameters([Parameter('image_timeout', value=50.0)])
    robot.sending = {'image', 'state'}
    assert np.isfinite(robot.ready().plan().command).all()
    warnings = robot.logged('dropped')
    assert 1 <= len(warnings) <= 1 + (time.monotonic() - began) // 10.0
    assert "'h264'" in warnings[0] and '/planner/image' in warnings[0]


@pytest.mark.case(47)
def test_a_broken_camera_does_not_silence_the_warning_of_another(make_robot):
    robot = make_robot(sending=['state'], cameras=['main', 'wrist'])
    wrist = robot.node.create_publisher(Image, 'planner/wrist/image', qos_profile_sensor_data)
    broken = to_image(ToyWorldModel.picture(START))
    broken.encoding = 'h264'
    for camera, topic in ((robot.pictures, '/planner/image'), (wrist, '/planner/wrist/image')):
        eventually(
            lambda camera=camera, topic=topic: (
                camera.publish(broken) or robot.logged(f"{topic}' dropped")
            )
        )


@pytest.fixture
def poses(make_robot):
    """Return a Robot and the planner's subscription of its poses."""
    robot = make_robot()
    return robot, next(
        subscription
        for subscription in robot.planner.subscriptions
        if subscription.topic_name.endswith('/pose')
    )


@pytest.mark.case(45)
def test_fast_states_are_sampled(poses):
    robot, subscription = poses
    robot.ready().sending = {'image'}
    take, taken = subscription.callback, []
    subscription.callback = lambda pose: (take(pose), taken.append(pose.pose.position.x))
    began, pose = time.monotonic(), PoseStamped()
    for count in range(3000):
        pose.pose.position.x = float(count)
        robot.poses.publish(pose)
        time.sleep(0.0002)
    eventually(lambda: robot.poses.publish(pose) or taken[-1] == 2999.0)  # best effort: again
    assert len(taken) < 2 + (time.monotonic() - began) / PERIOD < 3000
    assert taken == sorted(taken)


def test_an_error_in_a_stream_is_logged_and_the_next_message_read(poses):
    robot, subscription = poses
    take = subscription.callback

    def fail_once(pose):
        subscription.callback = take
        raise RuntimeError('unexpected')

    subscription.callback = fail_once
    eventually(lambda: robot.logged('unexpected'))
    assert np.isfinite(robot.ready().plan().command).all()


@pytest.mark.case(39, 43)
def test_why_a_stream_brings_nothing(make_robot):
    robot = make_robot(
        sending=['state'],
        image_timeout=0.3,
        camera__main__topic='/picky',
        **{'qos_overrides./picky.subscription.reliability': 'reliable'},
    ).ready()

    def message():
        with pytest.raises(PlanFailed) as failure:
            robot.plan()
        assert failure.value.code == ErrorCode.NO_IMAGE
        return failure.value.message

    assert "no image on '/picky'" in message() and 'nobody publishes it' in message()
    robot.node.create_publisher(Image, '/picky', qos_profile_sensor_data)
    eventually(lambda: 'the QoS of robot does not fit' in message())
    assert 'Best effort publisher and reliable subscription' in message()


@pytest.mark.case(47)
def test_camera_that_changes_encoding_and_size_between_frames_of_one_context(make_robot):
    robot = make_robot(sending=['state'], context_frames=3)
    picture = ToyWorldModel.picture(START)
    padded = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    larger = ToyWorldModel.picture(START, 480, 640)
    kinds = [('rgb8', picture), ('bgr8', picture[..., ::-1]), ('rgba8', padded), ('rgb8', larger)]
    ended = threading.Event()

    def send():
        for encoding, pixels in itertools.cycle(kinds):
            image = to_image(np.ascontiguousarray(pixels), robot.stamp('image'))
            image.encoding, image.step = encoding, pixels.shape[1] * pixels.shape[2]
            robot.pictures.publish(image)
            if ended.wait(0.02):
                return

    def seen():
        """Plan; return whether the whole context was there, which takes frames in time."""
        robot.plan(iterations=1)
        context = robot.model.context[0][:, 0]
        np.testing.assert_allclose(context, [START] * len(context), atol=1e-6, rtol=0)
        return len(context) == 3

    thread = threading.Thread(target=send)
    thread.start()
    try:
        robot.ready()
        for _ in range(4):
            eventually(seen)
    finally:
        ended.set()
        thread.join()
    assert not robot.errors() and not robot.logged('dropped')
