# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live streams: what is missing, too old, apart or impossible is said so."""

from array import array
import io

import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START, to_image
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from toy_world_model import ToyWorldModel

from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.error_codes import ErrorCode


def failure_of(robot, **fields):
    """Return the failure that a goal ends with."""
    with pytest.raises(PlanFailed) as failure:
        robot.plan(**fields)
    return failure.value


@pytest.fixture
def impatient(make_robot):
    """Return a Robot that sends nothing yet, to a planner that waits shortly for fresh streams."""
    return make_robot(sending=(), image_timeout=0.3, max_image_age=0.5, max_state_age=0.5,
                      max_skew=0.2)


def test_no_image(impatient):
    impatient.sending = {'state'}
    failure = failure_of(impatient.ready())
    assert failure.code == ErrorCode.NO_IMAGE
    assert '/planner/image' in failure.message and '0.3 s' in failure.message


def test_no_state(impatient):
    impatient.sending = {'image'}
    failure = failure_of(impatient.ready(), current_image=ToyWorldModel.picture(START))
    assert failure.code == ErrorCode.NO_STATE
    assert '/planner/pose' in failure.message


def test_first_image_is_waited_for(make_robot):
    robot = make_robot(sending=())
    future = robot.ready().client.plan_async(ToyWorldModel.picture(GOAL))
    robot.sending = {'image', 'state'}
    assert np.isfinite(future.result(60.0).command).all()


@pytest.mark.parametrize('stream, code, parameter', [
    ('image', ErrorCode.IMAGE_STALE, 'max_image_age'),
    ('state', ErrorCode.STATE_STALE, 'max_state_age')])
@pytest.mark.parametrize('delay, word', [(2.0, 's old'), (-30.0, 'in the future')])
def test_stale_stream(impatient, stream, code, parameter, delay, word):
    fields = {'current_image': ToyWorldModel.picture(START)} if stream == 'state' else {}
    impatient.delay[stream] = delay
    impatient.sending = {'image', 'state'}
    assert impatient.client.wait_until_ready(60.0)
    inputs = impatient.planner._observations
    eventually(lambda: inputs.age_of_frame('main') is not None
               and inputs.age_of_state() is not None)
    failure = failure_of(impatient, **fields)
    assert failure.code == code
    assert all(part in failure.message for part in (word, f'{parameter} = 0.5 s'))


def test_streams_out_of_sync(make_robot):
    robot = make_robot(sending=(), max_skew=0.5)
    robot.delay = {'image': 0.0, 'state': 3.0}
    robot.sending = {'image', 'state'}
    assert robot.client.wait_until_ready(60.0)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.STREAMS_OUT_OF_SYNC
    assert 'max_skew = 0.5 s' in failure.message and 'apart' in failure.message


@pytest.mark.parametrize('axis, value, words', [
    (0, 400.0, ['pose.position.x = 400', 'millimetres']),
    (1, float('nan'), ['pose.position.y = nan']),
    (6, -40.0, ['gripper', 'closedness'])])
def test_impossible_state(make_robot, axis, value, words):
    robot = make_robot(sending=())  # its own: states are kept for a while
    robot.state = START.copy()
    robot.state[axis] = value
    robot.sending = {'state'}
    failure = failure_of(robot.ready(), current_image=ToyWorldModel.picture(START))
    assert failure.code == ErrorCode.INVALID_STATE
    assert all(word in failure.message for word in words)


def test_zero_stamp_counts_from_arrival(robot):
    # A camera driver without a clock; the frame is young because it has just arrived.
    robot.sending = {'state'}
    picture = to_image(ToyWorldModel.picture(START))
    timer = robot.node.create_timer(0.02, lambda: robot.pictures.publish(picture))
    before = robot.node.get_clock().now().nanoseconds
    eventually(lambda: robot.plan(iterations=1).stamp.sec * 10 ** 9 > before - 10 ** 9)
    robot.node.destroy_timer(timer)


def test_malformed_frames_are_dropped(robot):
    robot.sending = {'state'}
    broken = to_image(ToyWorldModel.picture(START))
    broken.encoding = 'yuyv'
    for _ in range(5):
        robot.pictures.publish(broken)
    robot.sending = {'image', 'state'}
    assert np.isfinite(robot.plan().command).all()


def test_reliable_publisher_is_heard_too(make_robot):
    robot = make_robot(sending=['state'])
    reliable = robot.node.create_publisher(Image, 'planner/image', QoSProfile(
        depth=1, reliability=ReliabilityPolicy.RELIABLE))
    robot.node.create_timer(0.02, lambda: reliable.publish(
        to_image(ToyWorldModel.picture(START), robot.stamp('image'))))
    assert np.isfinite(robot.ready().plan().command).all()


def test_several_cameras_raw_and_compressed(make_robot):
    robot = make_robot(**{'cameras': ['main', 'wrist'], 'camera__wrist__topic': 'wrist/png',
                          'camera__wrist__compressed': True})
    wrist = robot.node.create_publisher(CompressedImage, 'wrist/png', 1)
    moved = START + [0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    def send():
        buffer = io.BytesIO()
        Picture.fromarray(ToyWorldModel.picture(moved)).save(buffer, 'PNG')
        message = CompressedImage(format='png', data=array('B', buffer.getvalue()))
        message.header.stamp = robot.stamp('image')
        wrist.publish(message)

    robot.node.create_timer(0.05, send)
    robot.ready()
    by_main = robot.plan(iterations=10).command
    by_wrist = robot.plan(iterations=10, camera='wrist').command
    assert np.allclose(by_main[:3], (GOAL - START)[:3], atol=5e-3)
    assert np.allclose(by_wrist[:3], (GOAL - moved)[:3], atol=5e-3)
