# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""A Cartesian controller of the simulated arm: target poses and twists in, joint targets out."""

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from .panda import PandaSim

# Largest distance of a target from the measured pose: m, rad.
LARGEST_ERROR = 0.1, 0.5
# Highest speeds of the end effector by the vendor's data sheet: m/s, rad/s.
LARGEST_SPEED = 1.7, 2.5
TWIST_TIMEOUT = 0.1  # s


class CartesianController:
    """
    Lets the arm follow target poses and twists in panda_link0 as the controllers of real arms do.

    Each target sets the targets of the joints at once; the arm stays at the last one.
    """

    def __init__(self, sim: PandaSim) -> None:
        """Control a PandaSim."""
        self._sim = sim
        self._twist, self._left = np.zeros(6), 0.0  # m/s and rad/s; s

    def follow(self, position: ArrayLike, quaternion: ArrayLike) -> None:
        """
        Set a target: position [3] (m) and quaternion x y z w of the end effector.

        It ends a twist. ValueError, and the last target stays: a number is not finite, the
        quaternion is not of norm 1, or the pose is out of reach or too far from the measured one.
        """
        position = _finite(position, 3, 'pose.position', 'm')
        quaternion = _finite(quaternion, 4, 'pose.orientation', 'x y z w of norm 1')
        norm = np.linalg.norm(quaternion)
        if abs(norm - 1) > 0.01:
            raise ValueError(
                f'pose.orientation = {quaternion.tolist()}: allowed: x y z w of norm 1'
            )
        matrix = np.empty(9)
        mujoco.mju_quat2Mat(matrix, np.roll(quaternion / norm, 1))
        self._set(position, matrix.reshape(3, 3))
        self.stop()

    def move(self, linear: ArrayLike, angular: ArrayLike) -> None:
        """
        Move with linear [3] (m/s) and angular [3] (rad/s) velocity for TWIST_TIMEOUT.

        ValueError, and the last twist stays: a number is not finite or a speed too high.
        """
        speeds = []
        for name, values, largest, unit in zip(
            ('linear', 'angular'), (linear, angular), LARGEST_SPEED, ('m/s', 'rad/s')
        ):
            speeds.append(_finite(values, 3, f'twist.{name}', unit))
            if np.linalg.norm(speeds[-1]) > largest:
                raise ValueError(
                    f'twist.{name} = {speeds[-1].tolist()}: allowed: at most {largest:g} {unit}'
                )
        self._twist, self._left = np.concatenate(speeds), TWIST_TIMEOUT

    def stop(self) -> None:
        """End a twist."""
        self._left = 0.0

    def advance(self, duration: float) -> None:
        """
        Let time pass (s) for a twist; the PandaSim moves the arm.

        ValueError, and the twist ends: it leads out of reach or the arm does not follow.
        """
        moved, self._left = min(duration, self._left), max(self._left - duration, 0.0)
        if moved <= 0.0:
            return
        position, rotation = self._sim.target_pose()
        quaternion, turned, matrix = np.empty(4), np.empty(4), np.empty(9)
        angle = np.linalg.norm(self._twist[3:]) * moved
        axis = self._twist[3:] * moved / angle if angle > 0 else np.array([1.0, 0.0, 0.0])
        mujoco.mju_axisAngle2Quat(turned, axis, angle)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
        mujoco.mju_mulQuat(quaternion, turned, quaternion.copy())
        mujoco.mju_quat2Mat(matrix, quaternion)
        try:
            self._set(position + self._twist[:3] * moved, matrix.reshape(3, 3))
        except ValueError:
            self.stop()
            raise

    def _set(self, position: np.ndarray, rotation: np.ndarray) -> None:
        measured, axes = self._sim.pose()
        distance = float(np.linalg.norm(position - measured))
        cosine = (np.trace(axes.T @ rotation) - 1) / 2
        angle = float(np.arccos(np.clip(cosine, -1, 1)))
        if distance > LARGEST_ERROR[0] or angle > LARGEST_ERROR[1]:
            raise ValueError(
                f'the target is {distance:.3f} m and {angle:.3f} rad from the measured pose: '
                f'allowed: {LARGEST_ERROR[0]:g} m and {LARGEST_ERROR[1]:g} rad'
            )
        self._sim.set_target_pose(position, rotation)


def _finite(values: ArrayLike, count: int, name: str, unit: str) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(f'{name} = {numbers.tolist()}: allowed: {count} finite numbers, {unit}')
    return numbers
