# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Poses of the end effector and the joint angles of the arm that reach them."""

import mujoco
import numpy as np
from numpy.typing import ArrayLike

ARM_JOINTS = 7
FREE_JOINTS = np.array([0, 1, 3, 4, 5, 6])
HOME_JOINTS = np.array([0.0, -0.1, 0.0, -2.4, 0.0, 2.3, np.pi / 4])
DAMPING = 1e-6
TOLERANCE = 1e-9
MAX_ITERATIONS = 50
LARGEST_STEP = 0.5  # rad
MAX_TILT = 0.2  # rad, of the tool from straight down
MAX_YAW = 0.6  # rad, of the tool about the vertical
DOWN = np.diag([1.0, -1.0, -1.0])


def euler_to_matrix(rpy: ArrayLike) -> np.ndarray:
    """Return R = Rz(yaw) Ry(pitch) Rx(roll) [3, 3] of fixed-axis angles rpy (rad)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def matrix_to_euler(matrix: np.ndarray) -> np.ndarray:
    """Return roll, pitch, yaw (rad) of a rotation [3, 3]; the pitch of this arm stays < pi / 2."""
    return np.array(
        [
            np.arctan2(matrix[2, 1], matrix[2, 2]),
            np.arctan2(-matrix[2, 0], np.hypot(matrix[2, 1], matrix[2, 2])),
            np.arctan2(matrix[1, 0], matrix[0, 0]),
        ]
    )


def matrix_to_quaternion(matrix: np.ndarray) -> np.ndarray:
    """Return x, y, z, w of a rotation [3, 3]."""
    wxyz = np.empty(4)
    mujoco.mju_mat2Quat(wxyz, np.ascontiguousarray(matrix).ravel())
    return np.roll(wxyz, -1)


def limit_tilt(matrix: np.ndarray) -> np.ndarray:
    """Return the rotation with the tool's tilt and yaw limited to MAX_TILT and MAX_YAW."""
    turn = np.empty(4)
    mujoco.mju_mat2Quat(turn, (matrix @ DOWN).ravel())
    yaw = 2 * np.arctan2(turn[3], turn[0])
    yaw = (yaw + np.pi) % (2 * np.pi) - np.pi
    twist = np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
    swing, axis = np.empty(4), np.empty(3)
    mujoco.mju_mulQuat(swing, turn, twist * [1, 1, 1, -1])
    mujoco.mju_quat2Vel(axis, swing, 1.0)
    tilt = np.linalg.norm(axis)
    if tilt <= MAX_TILT and abs(yaw) <= MAX_YAW:
        return matrix
    yaw = np.clip(yaw, -MAX_YAW, MAX_YAW)
    twist = np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
    limited = np.empty(4)
    if tilt > MAX_TILT:
        mujoco.mju_axisAngle2Quat(swing, axis / tilt, MAX_TILT)
    mujoco.mju_mulQuat(limited, swing, twist)
    result = np.empty(9)
    mujoco.mju_quat2Mat(result, limited)
    return result.reshape(3, 3) @ DOWN


class ArmKinematics:
    """
    Inverse kinematics of the arm by damped least squares.

    The redundancy is resolved by holding joint 3 at zero. Unless it is told where to start, a
    solution starts from a posture that depends on the pose only: the joint angles, and so the
    picture, are a function of the pose alone.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Keep the compiled mujoco.MjModel, whose first seven joints are the arm's."""
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site('end_effector').id
        first = model.joint('panda_joint1')
        self._qpos = slice(first.qposadr[0], first.qposadr[0] + ARM_JOINTS)
        self._columns = first.dofadr[0] + FREE_JOINTS
        self._limits = model.jnt_range[first.id : first.id + ARM_JOINTS].copy()
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, joints: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return position [3] (m) and rotation [3, 3] of the end effector in the base frame."""
        self._data.qpos[self._qpos] = joints
        mujoco.mj_kinematics(self._model, self._data)
        return (
            self._data.site_xpos[self._site].copy(),
            self._data.site_xmat[self._site].reshape(3, 3).copy(),
        )

    def inverse(
        self, position: np.ndarray, rotation: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        """
        Return the seven joint angles (rad) that bring the end effector to a pose.

        :param start: angles [7] of a pose nearby; from there the arm does not turn over.

        ValueError: the pose is out of reach or violates the joint limits.
        """
        model, data, site = self._model, self._data, self._site
        if start is None:
            joints = HOME_JOINTS.copy()
            joints[0] = np.arctan2(position[1], position[0])
            joints[6] += joints[0] - np.arctan2(rotation[1, 0], rotation[0, 0])
        else:
            joints = start.copy()
        goal, now, error = np.empty(4), np.empty(4), np.empty(6)
        turn, inverse = np.empty(4), np.empty(4)
        mujoco.mju_mat2Quat(goal, np.ascontiguousarray(rotation).ravel())
        for _ in range(MAX_ITERATIONS):
            data.qpos[self._qpos] = joints
            mujoco.mj_kinematics(model, data)
            error[:3] = position - data.site_xpos[site]
            mujoco.mju_mat2Quat(now, data.site_xmat[site])
            mujoco.mju_negQuat(inverse, now)
            mujoco.mju_mulQuat(turn, goal, inverse)
            mujoco.mju_quat2Vel(error[3:], turn, 1.0)
            if np.abs(error).max() < TOLERANCE:
                break
            mujoco.mj_comPos(model, data)
            mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], site)
            jacobian = self._jacobian[:, self._columns]
            step = np.linalg.solve(jacobian.T @ jacobian + DAMPING * np.eye(6), jacobian.T @ error)
            joints[FREE_JOINTS] += step * min(1.0, LARGEST_STEP / np.abs(step).max())
        else:
            raise ValueError(f'the pose at {np.round(position, 3).tolist()} m is out of reach')
        if np.any(joints < self._limits[:, 0]) or np.any(joints > self._limits[:, 1]):
            raise ValueError(
                f'the pose at {np.round(position, 3).tolist()} m '
                'is beyond the limits of the joints'
            )
        return joints
