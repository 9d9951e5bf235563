# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""The arm's kinematics against the vendor's Denavit-Hartenberg table and SciPy's rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.simulation import WORKSPACE
from vjepa2_planner_ros.simulation.kinematics import (
    ArmKinematics,
    DOWN,
    euler_to_matrix,
    limit_tilt,
    matrix_to_euler,
    matrix_to_quaternion,
    MAX_TILT,
    MAX_YAW,
)
from vjepa2_planner_ros.simulation.scene import build_model

# Modified (Craig) parameters a, d, alpha of the joints and the flange, from the vendor's manual.
DH = (
    (0, 0.333, 0),
    (0, 0, -np.pi / 2),
    (0, 0.316, np.pi / 2),
    (0.0825, 0, np.pi / 2),
    (-0.0825, 0.384, -np.pi / 2),
    (0, 0, np.pi / 2),
    (0.088, 0, np.pi / 2),
    (0, 0.107, 0),
)
JOINT_LIMITS = np.array(
    [
        (-2.8973, 2.8973),
        (-1.7628, 1.7628),
        (-2.8973, 2.8973),
        (-3.0718, -0.0698),
        (-2.8973, 2.8973),
        (-0.0175, 3.7525),
        (-2.8973, 2.8973),
    ]
)


def transform(rotation, translation):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.as_matrix()
    matrix[:3, 3] = translation
    return matrix


def forward_by_table(joints):
    pose = np.eye(4)
    for (a, d, alpha), theta in zip(DH, (*joints, 0)):
        pose = pose @ transform(Rotation.from_euler('x', alpha), (a, 0, 0))
        pose = pose @ transform(Rotation.from_euler('z', theta), (0, 0, d))
    # The hand is mounted at -45 degrees; the point between its finger tips is 103.4 mm away.
    return pose @ transform(Rotation.from_euler('z', -np.pi / 4), (0, 0, 0.1034))


@pytest.fixture(scope='module')
def arm():
    return ArmKinematics(build_model(64))


def random_poses(count, tilt, yaw):
    rng = np.random.default_rng(1)
    low, high = np.transpose(WORKSPACE)
    for _ in range(count):
        angles = rng.uniform(-1, 1, 3) * (tilt, tilt, yaw)
        yield rng.uniform(low, high), Rotation.from_euler('xyz', angles).as_matrix() @ DOWN


def test_inverse_reaches_the_pose_by_the_vendors_table(arm):
    for position, rotation in random_poses(200, tilt=0.13, yaw=0.5):
        joints = arm.inverse(position, rotation)
        reached = forward_by_table(joints)
        assert np.linalg.norm(reached[:3, 3] - position) < 1e-4
        turn = Rotation.from_matrix(reached[:3, :3].T @ rotation)
        assert turn.magnitude() < 1e-3
        assert np.all(joints >= JOINT_LIMITS[:, 0]) and np.all(joints <= JOINT_LIMITS[:, 1])


def test_forward_agrees_with_the_vendors_table(arm):
    rng = np.random.default_rng(2)
    for _ in range(50):
        joints = rng.uniform(*JOINT_LIMITS.T)
        position, rotation = arm.forward(joints)
        expected = forward_by_table(joints)
        np.testing.assert_allclose(position, expected[:3, 3], atol=1e-6)
        np.testing.assert_allclose(rotation, expected[:3, :3], atol=1e-6)


def test_joints_change_little_between_neighbouring_poses(arm):
    for position, rotation in random_poses(50, tilt=0.13, yaw=0.5):
        joints = arm.inverse(position, rotation)
        near = arm.inverse(position + 0.001, rotation)
        assert np.abs(near - joints).max() < 0.05


def test_joints_change_little_from_a_start_nearby_however_the_hand_is_turned(arm):
    refused = 0
    for position, rotation in random_poses(500, tilt=0.9, yaw=1.5):
        try:
            joints = arm.inverse(position, rotation)
            near = arm.inverse(position + 0.001, rotation, start=joints)
        except ValueError:
            refused += 1
            continue
        assert np.abs(near - joints).max() < 0.1
        for found, expected in zip(arm.forward(near), (position + 0.001, rotation)):
            np.testing.assert_allclose(found, expected, atol=1e-6)
    assert refused < 250


def test_pose_out_of_reach_is_refused(arm):
    with pytest.raises(ValueError, match='out of reach'):
        arm.inverse(np.array([1.5, 0, 0.2]), DOWN)


def test_rotations_agree_with_scipy():
    for rotation in Rotation.random(100, random_state=3):
        matrix = rotation.as_matrix()
        rpy = matrix_to_euler(matrix)
        np.testing.assert_allclose(Rotation.from_euler('xyz', rpy).as_matrix(), matrix, atol=1e-9)
        np.testing.assert_allclose(euler_to_matrix(rpy), matrix, atol=1e-9)
        again = Rotation.from_quat(matrix_to_quaternion(matrix))
        np.testing.assert_allclose(again.as_matrix(), matrix, atol=1e-9)


def test_limit_tilt_keeps_small_turns_and_cuts_large_ones():
    small = Rotation.from_euler('xyz', (0.1, -0.1, 0.4)).as_matrix() @ DOWN
    np.testing.assert_array_equal(limit_tilt(small), small)
    for rotation in Rotation.random(200, random_state=4):
        limited = limit_tilt(rotation.as_matrix())
        np.testing.assert_allclose(limited @ limited.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(limited) > 0
        assert np.arccos(np.clip(-limited[2, 2], -1, 1)) <= MAX_TILT + 1e-6
        yaw = np.arctan2(limited[1, 0], limited[0, 0])
        assert abs(yaw) <= MAX_YAW + MAX_TILT**2


def test_limit_tilt_keeps_the_direction_of_the_tilt():
    leaning = Rotation.from_euler('x', 0.6).as_matrix() @ DOWN
    expected = Rotation.from_euler('x', MAX_TILT).as_matrix() @ DOWN
    np.testing.assert_allclose(limit_tilt(leaning), expected, atol=1e-9)
