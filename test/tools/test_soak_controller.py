# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The soak of the controller: a sound one passes, and its observer finds what it is there for."""

import json
import subprocess
import sys

from geometry_msgs.msg import PoseStamped
import pytest
import rclpy
from tools.soak.observer import Observer
from tools.soak.reach_faults import FAULTS
from tools.soak.reach_trials import make_trial
from vjepa2_planner_ros.messages.times import to_stamp

SEED = 1
FEW = {'nothing', 'cancel', 'dead man silent', 'pose jumps', 'second publisher'}
WORKSPACE, SPEED = [0.3, 0.6, -0.2, 0.2, 0.1, 0.4], 0.1
MIDDLE = (0.45, 0.0, 0.25)


@pytest.fixture
def observer():
    """Return an Observer that looks, without a node."""
    if not rclpy.ok():
        rclpy.init()
    found = Observer('/observer_test', WORKSPACE, SPEED)
    found.look_from(0.0)
    yield found
    found._node.destroy_node()


def show(observer, places, since=100.0, period=0.02):
    """Let the Observer see the arm at places, one a period."""
    for number, (x, y, z) in enumerate(places):
        message = PoseStamped()
        message.header.stamp = to_stamp(round((since + number * period) * 1e9))
        position = message.pose.position
        position.x, position.y, position.z = x, y, z
        observer._on_pose(message)


def test_the_observer_is_content_with_a_slow_arm(observer):
    show(observer, [(0.45, 0.002 * number, 0.25) for number in range(50)])
    assert not observer.violations
    assert observer.fastest['arm'] == pytest.approx(SPEED)
    assert observer.last_motion(100.5) == pytest.approx(100.98)


def test_the_observer_sees_an_arm_outside(observer):
    show(observer, [(0.45, 0.0, 0.08)])
    assert 'outside the workspace' in observer.violations[0]


def test_the_observer_sees_a_jump(observer):
    show(observer, [MIDDLE, (0.45, 0.05, 0.25)])
    assert 'the arm moved 0.0500 m' in observer.violations[0]


def test_the_observer_sees_that_the_arm_does_not_rest(observer):
    observer.expect_rest(100.1)
    show(observer, [(0.45, 0.001 * number, 0.25) for number in range(20)])
    assert 'after it had to rest' in observer.violations[0]


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_a_short_soak_of_the_controller_passes(tmp_path):
    figures = tmp_path / 'soak.json'
    numbers = [number for number in range(len(FAULTS)) if make_trial(SEED, number)[0].fault in FEW]
    words = ['--seed', SEED, '--slack', 3.0, '--json', figures, '--only', *numbers]
    done = subprocess.run(
        [sys.executable, '-m', 'tools.soak.controller', *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())['trials']
    assert [trial['number'] for trial in found] == numbers
    assert all(trial['outcomes'] for trial in found)
