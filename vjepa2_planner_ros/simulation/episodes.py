# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Start and goal of an episode, drawn from its seed."""

from dataclasses import dataclass

import numpy as np
from vjepa2_planner_ros.simulation.kinematics import DOWN, euler_to_matrix, matrix_to_euler
from vjepa2_planner_ros.simulation.scene import WORKSPACE

DISTANCE = (0.10, 0.25)
LARGEST_TILT = 0.1
LARGEST_YAW = 0.4


@dataclass(frozen=True)
class Episode:
    """A seed, which is also that of the scene, and the start and goal states [7]."""

    seed: int
    start: np.ndarray
    goal: np.ndarray


def sample_episode(seed, distance=DISTANCE):
    """
    Return the episode of a seed.

    Start and goal lie in the workspace, 10 to 25 cm apart in a random direction; distance (m) is
    another pair of least and largest. They share the
    orientation: tool down, turned by up to 0.4 rad about the vertical after a tilt of up to
    0.1 rad about x and y. The closedness of each is uniform in 0..1.
    """
    rng = np.random.default_rng([seed, 1])
    low, high = np.transpose(WORKSPACE)
    while True:
        start = rng.uniform(low, high)
        direction = rng.normal(size=3)
        goal = start + rng.uniform(*distance) * direction / np.linalg.norm(direction)
        if np.all(goal >= low) and np.all(goal <= high):
            break
    roll, pitch = rng.uniform(-LARGEST_TILT, LARGEST_TILT, 2)
    yaw = rng.uniform(-LARGEST_YAW, LARGEST_YAW)
    rpy = matrix_to_euler(euler_to_matrix((roll, pitch, yaw)) @ DOWN)
    closedness = rng.uniform(size=2)
    return Episode(
        seed, np.array([*start, *rpy, closedness[0]]), np.array([*goal, *rpy, closedness[1]])
    )
