# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The simulation as real arms are commanded: target poses, twists, gripper actions, over DDS."""

import signal
import time

from action_msgs.msg import GoalStatus
from control_msgs.action import GripperCommand, ParallelGripperCommand
from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from scipy.spatial.transform import Rotation
from simulation_rig import Listener, start_node, TOPICS
from std_msgs.msg import Float64MultiArray

pytestmark = pytest.mark.slow  # processes

SEED = 2_000_005


class Arm(Listener):
    """A listener that also commands as the controllers of real arms are commanded."""

    def __init__(self, context):
        super().__init__(context)
        self.images = self.states = ()  # (arrival [s], stamp [ns]) of each
        self.targets = self.node.create_publisher(PoseStamped, 'target_pose', 1)
        self.twists = self.node.create_publisher(TwistStamped, 'twist', 1)
        self.positions = self.node.create_publisher(Float64MultiArray, 'gripper_position', 1)
        self.grippers = {
            kind: ActionClient(self.node, kind, name)
            for kind, name in (
                (GripperCommand, 'gripper_cmd'),
                (ParallelGripperCommand, 'parallel_gripper_cmd'),
            )
        }

    def _keep(self, name, message):
        super()._keep(name, message)
        if name in ('pose', 'image'):
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            kept = (time.monotonic(), stamp)
            if name == 'pose':
                self.states = (*self.states[-499:], kept)
            else:
                self.images = (*self.images[-99:], kept)

    def connected(self):
        publishers = (self.targets, self.twists, self.positions)
        return (
            set(self.last) == set(TOPICS)
            and all(publisher.get_subscription_count() > 0 for publisher in publishers)
            and all(client.server_is_ready() for client in self.grippers.values())
        )

    def turn(self):
        turn = self.last['pose'].pose.orientation
        return Rotation.from_quat((turn.x, turn.y, turn.z, turn.w))

    def send_target(self, position, turn=None, frame='panda_link0'):
        message = PoseStamped()
        message.header.frame_id = frame
        pose = message.pose
        pose.position.x, pose.position.y, pose.position.z = map(float, position)
        turn = self.turn() if turn is None else turn
        q = pose.orientation
        q.x, q.y, q.z, q.w = map(float, turn.as_quat())
        self.targets.publish(message)

    def send_twist(self, *numbers):
        message = TwistStamped()
        message.header.frame_id = 'panda_link0'
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = map(float, numbers)
        self.twists.publish(message)

    def send_gripper(self, kind, position):
        """Send a goal; return (feedbacks, its handle or None)."""
        feedbacks, sent = self.gripper_goal(kind, position)
        self.until(sent.done)
        return feedbacks, sent.result() if sent.result().accepted else None

    def gripper_goal(self, kind, position):
        goal, feedbacks = kind.Goal(), []
        if kind is GripperCommand:
            goal.command.position = float(position)
        else:
            goal.command.position = [float(position)]
        return feedbacks, self.grippers[kind].send_goal_async(goal, feedbacks.append)

    def end_of(self, handle):
        """Return (status, result) of a goal."""
        result = handle.get_result_async()
        self.until(result.done)
        return result.result().status, result.result().result

    def spin(self, duration):
        """Listen for a duration [s]."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.005)


@pytest.fixture(scope='module', params=('kinematic', 'physics'))
def arm(request):
    process = start_node(seed=SEED, image_size=64, mode=request.param)
    context = rclpy.Context()
    rclpy.init(context=context)
    arm = Arm(context)
    arm.until(arm.connected)
    yield arm
    arm.executor.shutdown()
    arm.node.destroy_node()
    context.shutdown()
    process.send_signal(signal.SIGTERM)
    _, arm.errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 'Traceback' not in arm.errors
    assert 'target_pose refused' in arm.errors and 'twist refused' in arm.errors


def inward(arm):
    """Return a direction of x and y that leads into the workspace."""
    x, y = arm.state()[:2]
    return np.array([-1.0 if x > 0.47 else 1.0, -1.0 if y > 0 else 1.0, 0.0])


def test_arm_follows_target_poses(arm):
    start, turned, direction = arm.state()[:3], arm.turn(), inward(arm)
    for tick in range(1, 51):  # 0.1 m/s, 0.3 rad/s
        turn = Rotation.from_rotvec([0.0, 0.0, 0.006 * tick]) * turned
        arm.send_target(start + 0.002 * tick * direction, turn)
        arm.spin(0.02)
    end, turn = start + 0.1 * direction, Rotation.from_rotvec([0, 0, 0.3]) * turned
    arm.until(lambda: np.linalg.norm(arm.state()[:3] - end) < 1e-3)
    arm.until(lambda: (arm.turn().inv() * turn).magnitude() < 2e-3)
    arm.spin(0.3)
    assert np.linalg.norm(arm.state()[:3] - end) < 1e-3  # it stays at the last


def test_targets_that_make_no_sense_move_nothing(arm):
    arm.spin(0.3)
    before = arm.state()
    for offset, frame in (((0.2, 0, 0), 'panda_link0'), ((0.01, 0, 0), 'world')):
        arm.send_target(before[:3] + offset, frame=frame)
        arm.spin(0.1)
    arm.send_target((np.nan, 0, 0))
    arm.spin(0.1)
    arm.send_target(before[:3] + [0, 0, 0.04], Rotation.from_rotvec([0, 0, 0.7]) * arm.turn())
    arm.send_twist(np.inf, 0, 0, 0, 0, 0)
    arm.spin(0.3)
    np.testing.assert_allclose(arm.state(), before, atol=5e-4)


def test_twist_moves_the_arm_and_silence_stops_it(arm):
    start, direction = arm.state()[:3], inward(arm)
    began = time.monotonic()
    while np.linalg.norm(arm.state()[:3] - start) < 0.07:
        assert time.monotonic() < began + 30.0
        arm.send_twist(*(0.1 * direction), 0.0, 0.0, 0.0)
        arm.spin(0.02)
    sent_for = time.monotonic() - began
    arm.spin(0.3)
    stopped = arm.state()[:3]
    arm.spin(0.3)
    np.testing.assert_allclose(arm.state()[:3], stopped, atol=5e-4)
    np.testing.assert_allclose(
        stopped - start, (stopped - start)[0] * direction[0] * direction, atol=2e-3
    )
    assert (stopped - start)[0] * direction[0] <= 0.1 * (sent_for + 0.3)


@pytest.mark.parametrize('kind', (GripperCommand, ParallelGripperCommand))
def test_gripper_action_reaches_its_goal(arm, kind):
    for position in (0.035, 0.005):
        feedbacks, handle = arm.send_gripper(kind, position)
        status, result = arm.end_of(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED
        assert result.reached_goal and not result.stalled
        measured = result.position if kind is GripperCommand else result.state.position[0]
        assert measured == pytest.approx(position, abs=1e-3)
        assert feedbacks
        arm.until(lambda: abs(arm.last['gripper'].position[0] - measured) < 1e-3)


def test_gripper_goal_is_refused_cancelled_and_replaced(arm):
    for position in (0.05, -0.1, float('nan')):
        assert arm.send_gripper(GripperCommand, position)[1] is None
    _, handle = arm.send_gripper(ParallelGripperCommand, 0.04)
    arm.end_of(handle)
    _, handle = arm.send_gripper(GripperCommand, 0.0)
    cancelled = handle.cancel_goal_async()
    arm.until(cancelled.done)
    status, result = arm.end_of(handle)
    assert status == GoalStatus.STATUS_CANCELED and not result.reached_goal
    arm.spin(0.3)
    assert arm.last['gripper'].position[0] > 0.005
    arm.end_of(arm.send_gripper(GripperCommand, 0.0)[1])
    _, first = arm.gripper_goal(GripperCommand, 0.04)  # takes 0.4 s
    _, second = arm.send_gripper(ParallelGripperCommand, 0.0)
    assert arm.end_of(first.result())[0] == GoalStatus.STATUS_ABORTED
    assert arm.end_of(second)[0] == GoalStatus.STATUS_SUCCEEDED
    _, handle = arm.send_gripper(ParallelGripperCommand, 0.04)
    arm.positions.publish(Float64MultiArray(data=[0.03]))
    assert arm.end_of(handle)[0] == GoalStatus.STATUS_ABORTED
    arm.until(lambda: abs(arm.last['gripper'].position[0] - 0.03) < 1e-3)
    arm.positions.publish(Float64MultiArray(data=[0.5]))
    arm.positions.publish(Float64MultiArray(data=[]))
    arm.spin(0.3)
    assert arm.last['gripper'].position[0] == pytest.approx(0.03, abs=1e-3)


def test_states_are_more_frequent_than_pictures_which_show_one_of_them(arm):
    arm.states = arm.images = ()
    arm.until(lambda: len(arm.images) > 20)
    states = [stamp for _, stamp in arm.states]
    pictures = [stamp for _, stamp in arm.images if states[0] < stamp < states[-1]]
    assert len(pictures) > 10 and set(pictures) <= set(states)
    assert len(states) > 2 * len(arm.images)  # 5, and less on a busy machine
