# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner whose pose of the end effector comes from tf, over real DDS."""

import signal

from controller_rig import Lab
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TransformStamped
import numpy as np
from planner_rig import eventually, GOAL, START
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import JointState
from simulation_rig import start_node
from test_real_streams import fails, sent, started, watched  # noqa: F401
from tf2_msgs.msg import TFMessage
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.control.reasons import Outcome, Reason
from vjepa2_planner_ros.messages.error_codes import ErrorCode

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def write(transform, pose):
    """Write x y z and roll pitch yaw into a Transform."""
    move, turn = transform.translation, transform.rotation
    move.x, move.y, move.z = map(float, pose[:3])
    turn.x, turn.y, turn.z, turn.w = map(float, Rotation.from_euler('xyz', pose[3:6]).as_quat())


class Tree:
    """A robot's tf: base -> lift -> arm on /tf, arm -> tip on /tf_static; tip is at START."""

    numbers = iter(range(1000))

    def __init__(self, robot, number):
        self.robot, self.prefix = robot, f't{number}_'
        self.poses = {'arm': np.zeros(6), 'lift': START[:6]}  # of the frames in their parents
        self.publisher = robot.node.create_publisher(TFMessage, '/tf', 100)
        self.fixed = robot.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self.fixed.publish(TFMessage(transforms=[self.transform('arm', 'tip', np.zeros(6))]))

    def transform(self, parent, child, pose):
        message = TransformStamped(child_frame_id=self.prefix + child)
        message.header.frame_id = self.prefix + parent
        message.header.stamp = self.robot.stamp('state')
        write(message.transform, pose)
        return message

    def send(self, parent, child):
        """Send one transform."""
        message = self.transform(parent, child, self.poses[child])
        self.publisher.publish(TFMessage(transforms=[message]))

    def send_lift(self):
        self.send('base', 'lift')

    def send_arm(self):
        self.send('lift', 'arm')


@pytest.fixture
def make_tree(make_robot):
    """Return what makes a robot that sends pictures, and its Tree."""

    def make(make_robot=make_robot, ee_frame='tip', base_frame='base', **parameters):
        number = next(Tree.numbers)
        robot = make_robot(
            ee_frame=f't{number}_{ee_frame}', base_frame=f't{number}_{base_frame}', **parameters
        )
        return robot, Tree(robot, number)

    return make


def send_gripper(robot):
    message = JointState(name=['panda_finger_joint1'], position=[0.04 * (1 - START[6])])
    message.header.stamp = robot.stamp('state')
    robot.grippers.publish(message)


def test_plans_are_those_of_the_pose_that_tf_tells(make_tree):
    robot, tree = make_tree(sending=['image'], tool_offset=[0.0] * 6)
    with sent(100, tree.send_arm), sent(50, tree.send_lift, lambda: send_gripper(robot)):
        result = robot.ready().plan(iterations=10)
        np.testing.assert_allclose(robot.model.context[1][-1], START, atol=1e-9)
        assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)
        assert result.target_pose.header.frame_id == tree.prefix + 'base'
        tree.poses['arm'] = np.array([0.05, 0.0, -0.02, 0.1, 0.2, -0.3])
        turn = Rotation.from_euler('xyz', START[3:6])
        position = START[:3] + turn.apply(tree.poses['arm'][:3])
        kept = robot.planner._streams.poses
        eventually(lambda: abs(kept.newest.message.pose.position.x - position[0]) < 1e-6)
        moved, frames = kept.newest.stamp, robot.planner._streams.frames['main']
        eventually(lambda: frames.newest.stamp > moved)  # a plan is of the state at its frame
        robot.plan(iterations=1)
        state = robot.model.context[1][-1]
    np.testing.assert_allclose(state[:3], position, atol=1e-6)
    expected = turn * Rotation.from_euler('xyz', tree.poses['arm'][3:])
    error = Rotation.from_euler('xyz', state[3:6]).inv() * expected
    assert error.magnitude() < 1e-6


@pytest.mark.parametrize('source', ('pose', 'tf'))
def test_tool_offset_moves_the_planned_point(make_robot, make_tree, source):
    offset = [0.01, -0.02, 0.1034, 0.1, 0.0, -0.785]
    if source == 'pose':
        robot = make_robot(tool_offset=offset)
        robot.ready().plan(iterations=1)
    else:
        robot, tree = make_tree(tool_offset=offset, sending=['image'])
        with sent(50, tree.send_arm, tree.send_lift, lambda: send_gripper(robot)):
            robot.ready().plan(iterations=1)
    turn, state = Rotation.from_euler('xyz', START[3:6]), robot.model.context[1][-1]
    np.testing.assert_allclose(state[:3], START[:3] + turn.apply(offset[:3]), atol=1e-9)
    expected = turn * Rotation.from_euler('xyz', offset[3:])
    error = Rotation.from_euler('xyz', state[3:6]).inv() * expected
    assert error.magnitude() < 1e-7


@pytest.mark.case(40, 58)
@pytest.mark.slow
def test_a_frame_that_stops_is_named(make_tree, watched):  # noqa: F811
    says = []

    def make(**parameters):
        robot, what = watched(max_state_age=0.5, **parameters)
        says.append(what)
        return robot

    robot, tree = make_tree(make_robot=make)
    with sent(50, tree.send_arm, lambda: send_gripper(robot)):
        with sent(50, tree.send_lift):
            says[0]('ready', level=DiagnosticStatus.OK)
        late = f"frame '{tree.prefix}lift' is"
        says[0]("the newest message on '/tf' is", 's old', 'max_state_age = 0.5 s', late)
        with pytest.raises(PlanFailed, match=late) as failure:
            robot.plan()
        assert failure.value.code == ErrorCode.STATE_STALE
        with sent(50, tree.send_lift):
            says[0]('ready', level=DiagnosticStatus.OK)


@pytest.mark.case(39)
def test_wrong_names_are_told_with_the_nearest(make_tree):
    robot, tree = make_tree(ee_frame='tipp', image_timeout=0.5, sending=['image'])
    assert robot.client.wait_until_ready(60.0)
    with sent(50, tree.send_arm, tree.send_lift, lambda: send_gripper(robot)):
        eventually(lambda: f"nearest name is '{tree.prefix}tip'" in fails(robot))
        text = fails(robot)
    assert "no state within image_timeout = 0.5 s on '/tf'" in text
    assert f"ee_frame = '{tree.prefix}tipp': allowed" in text
    assert f'{tree.prefix}base' in text and f'{tree.prefix}lift' in text


@pytest.mark.case(39)
def test_a_base_that_is_not_connected(make_tree):
    robot, tree = make_tree(image_timeout=0.5, sending=['image'])
    assert robot.client.wait_until_ready(60.0)
    tree.poses['base'] = np.zeros(6)
    with sent(50, tree.send_arm, lambda: tree.send('map', 'base'), lambda: send_gripper(robot)):
        eventually(lambda: 'not connected' in fails(robot))
        assert f"'{tree.prefix}tip' is below '{tree.prefix}lift'" in fails(robot)


@pytest.mark.slow
def test_tf_of_the_simulator_gives_the_plans_of_its_pose_topic(make_robot):
    namespace = '/simulation_for_tf'
    process = start_node(namespace, seed=2_000_007, image_size=64)
    try:
        robots = [
            make_robot(sending=['image']),
            make_robot(sending=['image'], ee_frame='panda_hand_tcp'),
            make_robot(
                sending=['image'],
                ee_frame='panda_hand',
                tool_offset=[0.0, 0.0, 0.1034, 0.0, 0.0, 0.0],
            ),
        ]
        for robot in robots:  # their own topics carry what the simulator says
            robot.node.create_subscription(
                PoseStamped, f'{namespace}/pose', robot.poses.publish, 10
            )
            robot.node.create_subscription(
                JointState, f'{namespace}/gripper', robot.grippers.publish, 10
            )
        commands, states = [], []
        for robot in robots:
            commands.append(robot.ready().plan(iterations=5).command)
            states.append(robot.model.context[1][-1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert robots[1].planner._streams.topics['pose'] == '/tf'
    for command, state in zip(commands[1:], states[1:]):
        np.testing.assert_allclose(state, states[0], atol=1e-6)
        np.testing.assert_allclose(command, commands[0], atol=1e-5)


@pytest.mark.slow
def test_the_controller_moves_an_arm_that_tells_its_pose_on_tf_alone(context):
    tip = f't{next(Tree.numbers)}_tip'
    lab = Lab(context, {'ee_frame': tip, 'input_timeout': 0.5, 'limits.max_speed': 0.05})
    publisher = lab.robot.node.create_publisher(TFMessage, '/tf', 100)

    def send():
        state = lab.robot.state
        message = TransformStamped(child_frame_id=tip)
        message.header.frame_id = 'panda_link0'
        message.header.stamp = lab.robot.stamp('state')
        write(message.transform, state)
        publisher.publish(TFMessage(transforms=[message]))

    try:
        with sent(100, send):
            result = lab.arm().reach()
            assert (result.outcome, result.reason) == (Outcome.REACHED, Reason.SETTLED), result
            assert np.abs(lab.robot.state - GOAL)[:3].max() < 0.006
            future = lab.reach_async(START)
            lab.moving()
        result = future.result(60.0)
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.STALE_INPUT), result
        assert "nothing new on '/tf'" in result.message
        assert lab.still()
    finally:
        lab.close()
