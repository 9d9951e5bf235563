# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Paths begin and end at rest, where they should, and keep to the speed limits."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.control.config import Limits
from vjepa2_planner_ros.control.path import distance, Path

LIMITS = Limits(max_speed=0.1, max_turn_speed=0.5)
START = np.array([0.4, 0.1, 0.3, 3.0, 0.1, -3.0])
END = np.array([0.45, 0.1, 0.34, -3.1, -0.1, 3.0])


def orientation(state):
    """Return the Rotation of a state."""
    return Rotation.from_euler('xyz', state[3:6])


def test_ends_are_met():
    path = Path(START, END, LIMITS)
    for elapsed, wanted in ((-1.0, START), (0.0, START), (path.duration, END), (99.0, END)):
        away, turned = distance(path.at(elapsed), wanted)
        assert away < 1e-12 and turned < 1e-7
    assert not path.velocity(0.0).any() and not path.velocity(path.duration).any()


@pytest.mark.parametrize('end', [END, [*END[:3], *START[3:]], [*START[:3], *END[3:]]])
def test_the_highest_speed_is_that_of_the_limits(end):
    path = Path(START, np.array(end), LIMITS)
    times = np.linspace(0.0, path.duration, 2001)
    states = [path.at(time) for time in times]
    step = times[1] - times[0]
    places = np.array([state[:3] for state in states])
    speed = np.linalg.norm(np.diff(places, axis=0), axis=1).max() / step
    turns = [
        (orientation(after) * orientation(before).inv()).magnitude()
        for before, after in zip(states, states[1:])
    ]
    shares = speed / LIMITS.max_speed, max(turns) / step / LIMITS.max_turn_speed
    assert max(shares) == pytest.approx(1.0, abs=1e-3)


def test_velocity_is_the_derivative_of_the_pose():
    path, small = Path(START, END, LIMITS), 1e-6
    for elapsed in np.linspace(0.1, 0.9, 5) * path.duration:
        before, after = path.at(elapsed - small), path.at(elapsed + small)
        turn = (orientation(after) * orientation(before).inv()).as_rotvec()
        wanted = np.concatenate([after[:3] - before[:3], turn]) / (2.0 * small)
        assert np.allclose(path.velocity(elapsed), wanted, atol=1e-5)


def test_no_way_takes_no_time():
    path = Path(START, START, LIMITS)
    assert path.duration == 0.0
    assert not path.velocity(0.0).any()
    assert distance(path.at(0.0), START)[0] == 0.0
