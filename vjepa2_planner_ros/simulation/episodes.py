# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Start and goal of an episode, drawn from its seed."""

from dataclasses import dataclass

import numpy as np

from .kinematics import DOWN, euler_to_matrix, matrix_to_euler
from .scene import WORKSPACE

DISTANCE = (0.10, 0.25)  # m
# 32 bits. With longer seeds a scene would be drawn from the same numbers as the start and goal of
# another episode: NumPy splits s + 2**32 into the words [s, 1], which sample_episode uses.
LARGEST_SEED = 2**32 - 1
LARGEST_TILT = 0.1  # rad
LARGEST_YAW = 0.4  # rad


@dataclass(frozen=True)
class Episode:
    """A seed, which is also that of the scene, and the start and goal states [7]."""

    seed: int
    start: np.ndarray
    goal: np.ndarray


def check_seed(seed: int) -> None:
    """Raise ValueError unless a seed is one of 0 to LARGEST_SEED."""
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f'seed = {seed}: allowed: 0 to {LARGEST_SEED}')


def sample_episode(
    seed: int, distance: tuple[float, float] = DISTANCE, turn: float = 0.0
) -> Episode:
    """
    Return the episode of a seed.

    Start and goal lie in the workspace, at least distance[0] and at most distance[1] (m) apart in
    a random direction. They share the orientation: tool down, turned by up to 0.4 rad about the
    vertical after a tilt of up to 0.1 rad about x and y. The closedness is uniform in 0..1.
    ValueError: the seed is out of range.

    :param turn: rad of the goal against the start about the vertical, to the side on which the
        tool stays within LARGEST_YAW if it is at most that.
    """
    check_seed(seed)
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
    rotation = euler_to_matrix((roll, pitch, yaw)) @ DOWN
    turned = euler_to_matrix((0.0, 0.0, -np.copysign(turn, yaw))) @ rotation
    closedness = rng.uniform(size=2)
    return Episode(
        seed,
        np.array([*start, *matrix_to_euler(rotation), closedness[0]]),
        np.array([*goal, *matrix_to_euler(turned), closedness[1]]),
    )
