# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The simulation node as a process, over real DDS."""

import json
from pathlib import Path
import signal
import time
from xml.etree import ElementTree

import numpy as np
import pytest
import rclpy
from rclpy.qos import DurabilityPolicy
from scipy.spatial.transform import Rotation
from simulation_rig import Listener, NAMESPACE, start_node, TOPICS
from std_srvs.srv import Trigger
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
import yaml

pytestmark = pytest.mark.slow  # processes, or whole models

CONFIG = Path(__file__).resolve().parent.parent.parent / 'config'
SEED = 2_000_005
SIZE = 96


@pytest.fixture(scope='module')
def listener():
    process = start_node(seed=SEED, image_size=SIZE)
    context = rclpy.Context()
    rclpy.init(context=context)
    listener = Listener(context)
    listener.until(lambda: set(listener.last) == set(TOPICS))
    listener.until(lambda: listener.command.get_subscription_count() > 0)
    yield listener
    listener.executor.shutdown()
    listener.node.destroy_node()
    context.shutdown()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 'Traceback' not in errors


def picture(message):
    assert (message.encoding, message.step, message.is_bigendian) == ('rgb8', 3 * SIZE, 0)
    return np.frombuffer(message.data, np.uint8).reshape(SIZE, SIZE, 3)


def test_pictures_of_start_and_goal_are_those_of_the_episode(listener):
    episode = sample_episode(SEED)
    with PandaSim(SEED, image_size=SIZE) as sim:
        sim.set_state(episode.start)
        np.testing.assert_array_equal(picture(listener.last['image']), sim.render())
        sim.set_state(episode.goal)
        np.testing.assert_array_equal(picture(listener.last['goal_image']), sim.render())


def test_pose_and_gripper_are_those_of_the_episode(listener):
    episode = sample_episode(SEED)
    for prefix, state in (('', episode.start), ('goal_', episode.goal)):
        message = listener.last[prefix + 'pose']
        assert message.header.frame_id == 'panda_link0'
        position, turn = message.pose.position, message.pose.orientation
        np.testing.assert_allclose((position.x, position.y, position.z), state[:3], atol=1e-6)
        measured = Rotation.from_quat((turn.x, turn.y, turn.z, turn.w))
        error = measured.inv() * Rotation.from_euler('xyz', state[3:6])
        assert error.magnitude() < 1e-6
        joint = listener.last[prefix + 'gripper']
        assert joint.name == ['panda_finger_joint1']
        assert joint.position[0] == pytest.approx(0.04 * (1 - state[6]))


def test_one_stamp_a_tick_from_the_nodes_clock(listener):
    listener.pictures(1)
    listener.until(
        lambda: (
            len(
                {
                    (m.header.stamp.sec, m.header.stamp.nanosec)
                    for m in (
                        listener.last[name]
                        for name in ('image', 'camera_info', 'pose', 'gripper', 'joint_states')
                    )
                }
            )
            == 1
        )
    )
    stamp = listener.last['image'].header.stamp
    assert abs(time.time() - stamp.sec - 1e-9 * stamp.nanosec) < 5


def test_camera_info_is_that_of_the_picture(listener):
    info = listener.last['camera_info']
    assert (info.width, info.height) == (SIZE, SIZE)
    assert info.header.frame_id == listener.last['image'].header.frame_id
    matrix = np.reshape(info.k, (3, 3))
    np.testing.assert_allclose(matrix[:2, 2], (SIZE - 1) / 2)
    np.testing.assert_allclose(np.reshape(info.p, (3, 4))[:, :3], matrix)


def chain(listener, child):
    """Return position and Rotation of a frame in panda_link0, by what is on /tf and /tf_static."""
    parents = {
        message.child_frame_id: message
        for topic in ('/tf', '/tf_static')
        for message in listener.last[topic].transforms
    }
    position, rotation = np.zeros(3), Rotation.identity()
    while child != 'panda_link0':
        message = parents[child]
        move, turn = message.transform.translation, message.transform.rotation
        step = Rotation.from_quat((turn.x, turn.y, turn.z, turn.w))
        position = step.apply(position) + (move.x, move.y, move.z)
        rotation = step * rotation
        child = message.header.frame_id
    return position, rotation


def test_frames_lead_from_the_base_to_the_pose(listener):
    listener.until(
        lambda: listener.last['/tf'].transforms[0].header == listener.last['pose'].header
    )
    position, rotation = chain(listener, 'panda_hand_tcp')
    pose = listener.last['pose'].pose
    np.testing.assert_allclose(
        position, (pose.position.x, pose.position.y, pose.position.z), atol=1e-6
    )
    turn = pose.orientation
    error = rotation.inv() * Rotation.from_quat((turn.x, turn.y, turn.z, turn.w))
    assert error.magnitude() < 1e-6
    for frame in ('panda_leftfinger', 'panda_rightfinger', 'fixed_camera', 'wrist_camera'):
        chain(listener, frame)
    moving = {message.child_frame_id for message in listener.last['/tf'].transforms}
    fixed = {message.child_frame_id for message in listener.last['/tf_static'].transforms}
    assert not moving & fixed and len(moving) == 9


def test_joints_are_those_of_the_description_and_fit_the_pose(listener):
    robot = ElementTree.fromstring(listener.last['robot_description'].data)
    links = {link.get('name') for link in robot.findall('link')}
    frames = [
        message.child_frame_id
        for topic in ('/tf', '/tf_static')
        for message in listener.last[topic].transforms
    ]
    assert links == {'panda_link0', *frames}
    joints = {
        joint.get('name') for joint in robot.findall('joint') if joint.find('axis') is not None
    }
    message = listener.last['joint_states']
    assert set(message.name) == joints and len(message.position) == len(joints) == 9
    positions = dict(zip(message.name, message.position))
    assert positions['panda_finger_joint1'] == listener.last['gripper'].position[0]
    with PandaSim(SEED, image_size=64) as sim:
        sim.set_state(sample_episode(SEED).start)
        np.testing.assert_allclose(message.position, sim.joint_positions(), atol=1e-9)


def test_rviz_and_foxglove_show_this_robot(listener):
    manager = yaml.safe_load((CONFIG / 'planner.rviz').read_text())['Visualization Manager']
    [arm] = [d for d in manager['Displays'] if d['Class'] == 'rviz_default_plugins/RobotModel']
    topic = arm['Description Topic']
    [publisher] = listener.node.get_publishers_info_by_topic(NAMESPACE + topic['Value'])
    assert publisher.topic_type == 'std_msgs/msg/String'
    assert publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert topic['Durability Policy'] == 'Transient Local'
    assert arm['Enabled'] and arm['Description Source'] == 'Topic'
    robot = ElementTree.fromstring(listener.last['robot_description'].data)
    assert manager['Global Options']['Fixed Frame'] in {
        link.get('name') for link in robot.findall('link')
    }
    panels = json.loads((CONFIG / 'foxglove_layout.json').read_text())['configById']
    layer = panels['3D!candidates']['layers']['arm']
    assert layer['sourceType'] == 'topic' and layer['topic'] == topic['Value']


def test_command_moves_the_arm_and_closes_the_gripper(listener):
    before = listener.state()
    x = 0.03 if before[0] < 0.5 else -0.03
    gripper = -0.3 if before[3] < 0.5 else 0.3  # -1 close .. +1 open
    listener.send(x, gripper)
    listener.until(lambda: abs(listener.state()[0] - before[0]) > 0.02)
    listener.pictures(5)
    np.testing.assert_allclose(listener.state() - before, (x, 0, 0, -gripper), atol=1e-4)


def test_commands_that_make_no_sense_are_refused(listener):
    listener.pictures(2)
    before = listener.state()
    listener.send(x=float('nan'))
    listener.send(gripper=float('inf'))
    listener.send(x=0.03, frame='camera')
    listener.pictures(5)
    np.testing.assert_array_equal(listener.state(), before)


def test_next_episode_is_that_of_the_next_seed(listener):
    old = listener.last['goal_pose']
    future = listener.next_episode.call_async(Trigger.Request())
    listener.until(lambda: future.done() and listener.last['goal_pose'] is not old)
    assert future.result().success
    assert str(SEED + 1) in future.result().message
    listener.pictures(2)
    episode = sample_episode(SEED + 1)
    position = listener.last['goal_pose'].pose.position
    np.testing.assert_allclose((position.x, position.y, position.z), episode.goal[:3], atol=1e-6)
    np.testing.assert_allclose(listener.state(), episode.start[[0, 1, 2, 6]], atol=1e-6)


def test_after_the_last_seed_there_is_no_next_episode(listener):
    process = start_node(f'{NAMESPACE}_last', seed=2**32 - 1, image_size=64)
    last = listener.node.create_client(Trigger, f'{NAMESPACE}_last/next_episode')
    try:
        for _ in range(2):  # and the node lives on
            listener.until(last.service_is_ready)
            future = last.call_async(Trigger.Request())
            listener.until(future.done)
            assert not future.result().success
            assert 'seed = 4294967296: allowed: 0 to 4294967295' in future.result().message
    finally:
        process.terminate()
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_sigint_ends_the_node_with_code_0(listener):
    process = start_node(seed=1, mode='physics', image_size=64)
    for line in process.stderr:
        if 'episode 1' in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 'Traceback' not in errors


@pytest.mark.parametrize(
    'name, given, text',
    (
        ('mode', 'dynamic', "'dynamic': allowed: kinematic, physics"),
        ('rate', 5000.0, '5000.0: allowed: a number with a dot, 1 to 60'),
        ('rate', 5, '5: allowed: a number with a dot, 1 to 60'),
        ('seed', 2**62, f'{2**62}: allowed: a whole number, 0 to 4294967295'),
    ),
)
def test_wrong_parameter_ends_the_node_with_its_name(name, given, text):
    process = start_node(**{name: given})
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == f'The node cannot start: {name} = {text}\n'


@pytest.mark.parametrize(
    'wrong, near',
    (('imagesize', 'image_size'), ('sead', 'seed'), ('cem.samples', ''), ('Mode', 'mode')),
)
def test_unknown_parameter_ends_the_node_with_the_nearest_name(wrong, near):
    process = start_node(**{wrong: 128})
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1 and errors.count('\n') == 1
    hint = f', the nearest is {near}' if near else ''
    assert errors.endswith(f'{wrong} = 128: allowed: a parameter of the simulation{hint}\n')


def test_opengl_that_cannot_render_ends_the_node_with_the_variable():
    process = start_node(environment={'MUJOCO_GL': 'vulkan'})
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "MUJOCO_GL = 'vulkan': allowed" in errors
    assert 'Traceback' not in errors
