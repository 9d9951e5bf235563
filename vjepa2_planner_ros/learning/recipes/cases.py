# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of episodes for the closed-loop evaluation: harder than those that models train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...simulation import Episode, PandaSim, sample_episode, WORKSPACE

TURN = 0.4  # rad
LEAST_LIFT = 0.1  # m
CAMERA_TURN = np.deg2rad(3.0)


@dataclass(frozen=True)
class Case:
    """How the episode of a seed is drawn, and what is done to its scene."""

    sample: Callable[[int], Episode] = sample_episode
    arrange: Callable[[PandaSim, int], None] = lambda sim, seed: None


def turned(seed: int) -> Episode:
    """Return the episode of a seed with the goal turned by TURN about the vertical."""
    return sample_episode(seed, turn=TURN)


def lifted(seed: int) -> Episode:
    """Return an episode whose goal is straight above the start, all else alike."""
    start = sample_episode(seed).start.copy()
    low, high = WORKSPACE[2]
    rng = np.random.default_rng([seed, 2])
    start[2] = rng.uniform(low, high - LEAST_LIFT)
    goal = start.copy()
    goal[2] += rng.uniform(LEAST_LIFT, high - start[2])
    return Episode(seed, start, goal)


def turn_camera(sim: PandaSim, seed: int) -> None:
    """Put the camera to the left or to the right of where it was in training."""
    side = np.random.default_rng([seed, 3]).choice((-1.0, 1.0))
    sim.place_camera(side * CAMERA_TURN)


CASES = {
    'plain': Case(),
    'turned': Case(turned),
    'lifted': Case(lifted),
    'camera': Case(arrange=turn_camera),
    'objects': Case(arrange=lambda sim, seed: sim.hang_objects()),
}
