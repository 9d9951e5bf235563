# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live streams: what is missing, too old, apart or impossible is said so."""

from array import array
import io
import time

from builtin_interfaces.msg import Time
import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START, to_image
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes import observations
from vjepa2_planner_ros.nodes.stream_buffer import Stamped, StreamBuffer


def failure_of(robot, **fields):
    """Return the failure that a goal ends with."""
    with pytest.raises(PlanFailed) as failure:
        robot.plan(**fields)
    return failure.value


@pytest.fixture
def impatient(make_robot):
    """Return a Robot that sends nothing yet, to a planner that waits shortly for fresh streams."""
    return make_robot(
        sending=(), image_timeout=0.3, max_image_age=0.5, max_state_age=0.5, max_skew=0.2
    )


@pytest.mark.case(39)
def test_no_image(impatient):
    impatient.sending = {'state'}
    failure = failure_of(impatient.ready())
    assert failure.code == ErrorCode.NO_IMAGE
    assert '/planner/image' in failure.message and '0.3 s' in failure.message


def test_no_state(impatient):
    impatient.sending = {'image'}
    failure = failure_of(impatient.ready(), current_image=ToyWorldModel.picture(START))
    assert failure.code == ErrorCode.NO_STATE
    assert "/planner/pose'" in failure.message
    assert "/planner/gripper' with a joint 'panda_finger_joint1'" in failure.message


@pytest.mark.case(42)
def test_a_state_that_comes_later_than_the_frame_is_waited_for(make_robot):
    robot = make_robot(sending=['image'], max_skew=0.25)
    future = robot.ready().client.plan_async(ToyWorldModel.picture(GOAL))
    eventually(lambda: robot.planner._plans.slot._running is not None)
    time.sleep(0.6)  # far more than max_skew
    robot.sending = {'image', 'state'}
    assert np.isfinite(future.result(60.0).command).all()


@pytest.mark.case(42)
def test_what_matched_is_not_too_old_once_the_picture_is_read(make_robot, monkeypatch):
    def slow(message):
        time.sleep(0.6)
        return picture(message)

    picture = observations.picture
    monkeypatch.setattr(observations, 'picture', slow)
    robot = make_robot(max_state_age=0.4, gripper__max_age=0.4).ready()
    assert np.isfinite(robot.plan().command).all()


def test_first_image_is_waited_for(make_robot):
    robot = make_robot(sending=())
    future = robot.ready().client.plan_async(ToyWorldModel.picture(GOAL))
    robot.sending = {'image', 'state'}
    assert np.isfinite(future.result(60.0).command).all()


@pytest.mark.case(40, 41)
@pytest.mark.parametrize(
    'stream, code, parameter',
    [
        ('image', ErrorCode.IMAGE_STALE, 'max_image_age'),
        ('state', ErrorCode.STATE_STALE, 'max_state_age'),
    ],
)
@pytest.mark.parametrize('delay, word', [(2.0, 's old'), (-30.0, 'in the future')])
def test_stale_stream(impatient, stream, code, parameter, delay, word):
    fields = {'current_image': ToyWorldModel.picture(START)} if stream == 'state' else {}
    impatient.delay[stream] = delay
    impatient.sending = {'image', 'state'}
    assert impatient.client.wait_until_ready(60.0)
    inputs = impatient.planner._streams
    eventually(
        lambda: inputs.age_of_frame('main') is not None and inputs.age_of_state() is not None
    )
    failure = failure_of(impatient, **fields)
    assert failure.code == code
    assert all(part in failure.message for part in (word, f'{parameter} = 0.5 s'))


@pytest.mark.case(42)
def test_streams_out_of_sync(make_robot):
    robot = make_robot(sending=(), max_skew=0.5, image_timeout=0.3)
    robot.delay = {'image': 0.0, 'state': 3.0}
    robot.sending = {'image', 'state'}
    assert robot.client.wait_until_ready(60.0)
    failure = failure_of(robot)
    assert failure.code == ErrorCode.STREAMS_OUT_OF_SYNC
    assert 'max_skew = 0.5 s' in failure.message and 'apart' in failure.message


@pytest.mark.case(46)
@pytest.mark.parametrize(
    'axis, value, words',
    [
        (0, 400.0, ['pose.position.x = 400', 'millimetres']),
        (1, float('nan'), ['pose.position.y = nan']),
        (6, -40.0, ["'panda_finger_joint1' = 1.64", 'gripper.open_position = 0.04 to']),
    ],
)
def test_impossible_state(make_robot, axis, value, words):
    robot = make_robot(sending=())  # its own: states are kept for a while
    robot.state = START.copy()
    robot.state[axis] = value
    robot.sending = {'state'}
    failure = failure_of(robot.ready(), current_image=ToyWorldModel.picture(START))
    assert failure.code == ErrorCode.INVALID_STATE
    assert all(word in failure.message for word in words)


@pytest.mark.case(41)
def test_zero_stamp_counts_from_arrival(robot):
    # A camera driver without a clock; the frame is young because it has just arrived.
    robot.sending = {'state'}
    picture = to_image(ToyWorldModel.picture(START))
    timer = robot.node.create_timer(0.02, lambda: robot.pictures.publish(picture))
    inputs = robot.planner._streams
    eventually(lambda: inputs.frames['main'].newest.message.header.stamp == Time())
    before = robot.node.get_clock().now().nanoseconds
    after = robot.plan(iterations=1).stamp
    assert after.sec * 10**9 + after.nanosec > before - 5 * 10**9  # the rig's max_image_age
    eventually(lambda: robot.plan(iterations=1).stamp.sec * 10**9 > before)
    robot.node.destroy_timer(timer)


def test_context_holds_frames_and_states_of_the_past(make_robot):
    robot = make_robot(context_frames=3, sending=())
    robot.state = START * [-1.0, 1, 1, 1, 1, 1, 1]
    robot.speed = np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    robot.sending = {'image', 'state'}
    robot.ready()

    def sees_three():
        robot.plan(iterations=1)
        latents, states = robot.model.context
        # The toy's latents are the states its pictures show: each state is that of its frame.
        return len(states) == 3 and np.allclose(latents[:, 0], states, rtol=0, atol=0.006)

    eventually(sees_three)  # at first there is no past, then only one within max_skew
    states = robot.model.context[1]
    # At 0.05 m/s, a model that sees 4 frames a second, each up to a third of that off.
    step = 0.05 * ToyWorldModel.frame_period
    np.testing.assert_allclose(np.diff(states[:, 0]), [step, step], atol=0.75 * step)
    robot.plan(iterations=1, current_image=ToyWorldModel.picture(START))
    assert len(robot.model.context[0]) == 1  # nothing is known of what was before a given frame


def test_context_is_one_frame_unless_asked_for(robot):
    robot.plan(iterations=1)
    latents, states = robot.model.context
    assert latents.shape == (1, 1, 7) and states.shape == (1, 7)
    robot.planner.set_parameters([Parameter('context_frames', value=2)])
    try:
        eventually(lambda: robot.plan(iterations=1) and len(robot.model.context[0]) == 2)
    finally:
        robot.planner.set_parameters([Parameter('context_frames', value=1)])


def stamps_kept(spacing, span, stamps):
    history = StreamBuffer()
    history.spacing, history.span = spacing, span
    for stamp in stamps:
        history.add(Stamped(None, stamp))
    return history, [item.stamp for item in history._items]


def test_history_is_thinned_and_forgets():
    history, kept = stamps_kept(50, 200, range(0, 1001, 16))
    assert kept[-1] == history.newest.stamp == 992
    assert all(792 <= stamp for stamp in kept)
    gaps = np.diff(kept[:-1])
    assert (gaps >= 50).all() and (gaps < 66 + 16).all()
    assert history.nearest(900).stamp == min(kept, key=lambda stamp: abs(stamp - 900))


def test_history_of_the_newest_only():
    assert stamps_kept(0, 0, [1, 5, 9])[1] == [9]


def test_history_survives_late_messages_and_a_clock_set_back():
    second = 10**9
    assert stamps_kept(0, 10 * second, [5, 9, 7])[1] == [5, 9]
    assert stamps_kept(0, 10 * second, [50 * second, 51 * second, 3])[1] == [3]


def test_history_survives_a_clock_set_back_by_less_than_a_second():
    tick = 10**7
    before, after = range(0, 200 * tick, tick), range(140 * tick, 300 * tick, tick)
    history, _ = stamps_kept(0, 10 * tick, before)
    newest = [(history.add(Stamped(None, stamp)), history.newest.stamp)[1] for stamp in after]
    # For 0.2 s they may have been late only; from then on they are what there is.
    assert newest == 20 * [199 * tick] + list(after)[20:]
    # Two publishers, one of them behind: the newest stays the newest.
    mixed = [
        stamp for now in range(500 * tick, 600 * tick, tick) for stamp in (now, now - 7 * tick)
    ]
    _, kept = stamps_kept(0, 10**9, mixed)
    assert kept == list(range(500 * tick, 600 * tick, tick))


def test_history_of_a_clock_that_stands_still():
    history, kept = stamps_kept(0, 10**9, [3, 5] + 1000 * [7])
    assert kept == [3, 5, 7]
    history.add(Stamped('newer', 7))
    assert history.newest.message == 'newer'


@pytest.mark.case(43)
def test_reliable_publisher_is_heard_too(make_robot):
    robot = make_robot(sending=['state'])
    reliable = robot.node.create_publisher(
        Image, 'planner/image', QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
    )
    robot.node.create_timer(
        0.02,
        lambda: reliable.publish(to_image(ToyWorldModel.picture(START), robot.stamp('image'))),
    )
    assert np.isfinite(robot.ready().plan().command).all()


def test_several_cameras_raw_and_compressed(make_robot):
    robot = make_robot(
        **{
            'cameras': ['main', 'wrist'],
            'camera__wrist__topic': 'wrist/png',
            'camera__wrist__compressed': True,
        }
    )
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
