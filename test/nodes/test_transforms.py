# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses from the messages of /tf, against SciPy's rotations."""

from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from scipy.spatial.transform import Rotation, Slerp
from tf2_msgs.msg import TFMessage
from vjepa2_planner_ros.messages.times import nanoseconds, to_stamp
from vjepa2_planner_ros.messages.transforms import (
    between,
    compose,
    frame_of,
    point_of,
    pose_of_rigid,
    rigid_of_pose,
)
from vjepa2_planner_ros.nodes.transforms import Transforms

SECOND = 10**9
T0 = 1_700_000_000 * SECOND
HERE = np.eye(4)


def matrix(position, rotation):
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation.as_matrix(), position
    return result


def matrix_of(rigid):
    return matrix(rigid.position, Rotation.from_quat(rigid.turn))


def transform(parent, child, pose=HERE, stamp=T0):
    """Return the TransformStamped of a pose [4, 4]."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, to_stamp(stamp)
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = map(float, pose[:3, 3])
    turn.x, turn.y, turn.z, turn.w = map(float, Rotation.from_matrix(pose[:3, :3]).as_quat())
    return message


def packed(*transforms):
    return serialize_message(TFMessage(transforms=list(transforms)))


def fixed(*transforms):
    return TFMessage(transforms=list(transforms))


def random_poses(count, seed=0):
    rng = np.random.default_rng(seed)
    turns = Rotation.random(count, random_state=seed)
    return [matrix(rng.uniform(-1, 1, 3), turn) for turn in turns]


def tree(frame='tip', bases=('base',)):
    return Transforms(bases, frame, lambda message: nanoseconds(message.header.stamp))


def test_rigid_transforms_compose_as_matrices_do():
    rng = np.random.default_rng(1)
    for first, second in rng.uniform(-3, 3, (100, 2, 6)):
        expected = [matrix(p[:3], Rotation.from_euler('xyz', p[3:])) for p in (first, second)]
        found = compose(rigid_of_pose(first), rigid_of_pose(second))
        np.testing.assert_allclose(matrix_of(found), expected[0] @ expected[1], atol=1e-12)
        again = matrix_of(rigid_of_pose(pose_of_rigid(found)))
        np.testing.assert_allclose(again, matrix_of(found), atol=1e-12)


def test_point_of_a_frame_and_back():
    rng = np.random.default_rng(3)
    for frame, offset in rng.uniform(-1.5, 1.5, (100, 2, 6)):
        turn = Rotation.from_euler('xyz', frame[3:])
        point = point_of(frame, offset.tolist())
        np.testing.assert_allclose(point[:3], frame[:3] + turn.apply(offset[:3]), atol=1e-12)
        expected = turn * Rotation.from_euler('xyz', offset[3:])
        error = Rotation.from_euler('xyz', point[3:]).inv() * expected
        assert error.magnitude() < 1e-7
        np.testing.assert_allclose(frame_of(point, offset.tolist()), frame, atol=1e-9)


def test_what_is_between_two_poses_is_what_scipy_says():
    rng = np.random.default_rng(2)
    for first, second in rng.uniform(-3, 3, (100, 2, 6)):
        ends = [rigid_of_pose(first), rigid_of_pose(second)]
        slerp = Slerp([0, 1], Rotation.from_quat([end.turn for end in ends]))
        for share in (0.0, 0.3, 1.0):
            found = between(*ends, share)
            error = Rotation.from_quat(found.turn).inv() * slerp(share)
            assert error.magnitude() < 1e-7
            straight = (1 - share) * first[:3] + share * second[:3]
            np.testing.assert_allclose(found.position, straight, atol=1e-12)


def test_chain_of_moving_and_fixed_frames():
    a, b, c = random_poses(3)
    transforms = tree()
    transforms.add_fixed(fixed(transform('link1', 'flange', b, 0)))
    transforms.add([packed(transform('base', 'link1', a), transform('/flange', '/tip', c))])
    stamp, pose = transforms.pose()
    assert stamp == T0
    np.testing.assert_allclose(matrix_of(pose), a @ b @ c, atol=1e-12)
    assert transforms.complaint() == ''


def test_base_and_frame_on_different_branches_and_the_base_below_the_frame():
    a, b, c, d = random_poses(4)
    message = packed(
        transform('map', 'stand', a), transform('stand', 'base', b), transform('stand', 'arm', c)
    )
    transforms = tree()
    transforms.add_fixed(fixed(transform('arm', 'tip', d)))
    transforms.add([message])
    np.testing.assert_allclose(
        matrix_of(transforms.pose()[1]), np.linalg.inv(b) @ c @ d, atol=1e-12
    )
    below = tree('stand')
    below.add([message])
    np.testing.assert_allclose(matrix_of(below.pose()[1]), np.linalg.inv(b), atol=1e-12)


def test_frames_of_several_rates_meet_at_the_newest_time_that_all_have():
    lifts, arms = random_poses(2, seed=5), random_poses(2, seed=6)
    transforms = tree()
    transforms.add([packed(transform('base', 'lift', lifts[0], T0))])
    transforms.add([packed(transform('lift', 'tip', arms[0], T0 - SECOND // 100))])
    transforms.add([packed(transform('lift', 'tip', arms[1], T0 + SECOND // 50))])
    stamp, pose = transforms.pose()
    assert stamp == T0
    share = 1 / 3
    turn = Slerp([0, 1], Rotation.from_matrix([arm[:3, :3] for arm in arms]))(share)
    arm = matrix((1 - share) * arms[0][:3, 3] + share * arms[1][:3, 3], turn)
    np.testing.assert_allclose(matrix_of(pose), lifts[0] @ arm, atol=1e-7)


def test_only_the_newest_of_what_queued_up_counts():
    transforms, poses = tree(), random_poses(40)
    queued = [
        data
        for number, pose in enumerate(poses)
        for data in (
            packed(transform('base', 'tip', pose, T0 + number * SECOND // 1000)),
            packed(transform('base', 'other', pose, T0 + number * SECOND // 1000)),
        )
    ]
    transforms.add(queued[:2])
    transforms.pose()
    transforms.add(queued[2:])
    stamp, pose = transforms.pose()
    assert stamp == T0 + 39 * SECOND // 1000
    np.testing.assert_allclose(matrix_of(pose), poses[-1], atol=1e-12)


def test_a_frame_that_gets_another_parent():
    a, b, c = random_poses(3)
    transforms = tree()
    transforms.add([packed(transform('base', 'arm', a), transform('arm', 'tip', b))])
    transforms.pose()
    transforms.add([packed(transform('base', 'tip', c, T0 + SECOND))])
    stamp, pose = transforms.pose()
    assert stamp == T0 + SECOND
    np.testing.assert_allclose(matrix_of(pose), c, atol=1e-12)


def test_clock_that_is_set_back():
    a, b = random_poses(2)
    transforms = tree()
    for pose, stamp in ((a, T0), (b, T0 - 50 * SECOND)):
        transforms.add([packed(transform('base', 'tip', pose, stamp))])
        assert transforms.pose()[0] == stamp
        np.testing.assert_allclose(matrix_of(transforms.pose()[1]), pose, atol=1e-12)


def test_another_name_of_the_base():
    transforms = tree(bases=('base', 'fr3_link0'))
    transforms.add([packed(transform('fr3_link0', 'tip'))])
    assert transforms.pose()[0] == T0


def refused(transforms):
    with pytest.raises(ValueError) as error:
        transforms.pose()
    return str(error.value)


def test_texts_name_the_frames_that_are_there():
    transforms = tree('panda_hand_tpc', ('panda_link0',))
    assert refused(transforms) == (
        "ee_frame = 'panda_hand_tpc': allowed: a frame that is on /tf; none has come"
    )
    transforms.add([packed(transform('panda_link0', 'panda_hand_tcp'), transform('map', 'odom'))])
    assert refused(transforms) == (
        "ee_frame = 'panda_hand_tpc': allowed: a frame that is there; the nearest name is "
        "'panda_hand_tcp', the others are map, odom, panda_link0"
    )
    transforms = tree('panda_hand_tcp', ('base_link',))
    transforms.add([packed(transform('panda_link0', 'panda_hand_tcp'))])
    assert "base_frame = 'base_link': allowed" in refused(transforms)
    transforms = tree('tip')
    transforms.add([packed(transform('arm', 'tip'), transform('world', 'base'))])
    assert "'tip' is below 'arm', base_frame = 'base' below 'world'" in refused(transforms)
    transforms = tree('tip')
    transforms.add([packed(transform('arm', 'tip'), transform('tip', 'arm'))])
    transforms.add([packed(transform('arm', 'base'))])
    assert 'in a circle' in refused(transforms)
    transforms = tree('tip')
    transforms.add_fixed(fixed(transform('base', 'tip')))
    assert 'is fixed' in refused(transforms)


def test_a_frame_that_stays_behind_and_a_quaternion_of_zeros_are_named():
    transforms = tree()
    transforms.add([packed(transform('base', 'lift'), transform('lift', 'tip'))])
    transforms.pose()
    for second in range(1, 20):
        transforms.add([packed(transform('lift', 'tip', stamp=T0 + second * SECOND))])
        if second < 10:
            assert transforms.pose()[0] == T0
            assert transforms.complaint() == f"frame 'lift' is {second:.1f} s behind"
    assert "frame 'lift' is 19.0 s behind 'tip'" in refused(transforms)
    broken = transform('base', 'lift', stamp=T0 + 20 * SECOND)
    broken.transform.rotation.w = 0.0
    transforms.add([packed(broken, transform('lift', 'tip', stamp=T0 + 20 * SECOND))])
    assert "frame 'lift': " in transforms.complaint() and 'norm 1' in transforms.complaint()
    repaired = transform('base', 'lift', stamp=T0 + 20 * SECOND)
    transforms.add([packed(repaired)])
    assert transforms.complaint() == '' and transforms.pose()[0] == T0 + 20 * SECOND
    transforms = tree('lift')
    transforms.add([packed(broken)])
    assert refused(transforms).startswith("frame 'lift': translation")
