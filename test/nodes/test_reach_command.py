# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The reach command against a real controller, as a user runs it."""

import io
import subprocess
import sys

from controller_rig import Lab
import numpy as np
from PIL import Image as Picture
from planner_rig import GOAL, START
import pytest
from tools.toy_world_model import ToyWorldModel
import yaml

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(context):
    """Return a Lab that is ready and not armed."""
    lab = Lab(context)
    yield lab.ready()
    lab.close()


@pytest.fixture
def run(lab, tmp_path):
    """Return a function that runs reach with pictures of states; it returns the process."""

    def run(*options, goals=(GOAL,), stdin=''):
        files = []
        for number, goal in enumerate(goals):
            path = tmp_path / f'{number}.png'
            Picture.fromarray(ToyWorldModel.picture(goal)).save(path)
            files += ['--goal', str(path)]
        return subprocess.run(
            [
                *(sys.executable, '-m', 'vjepa2_planner_ros.cli.reach', *files, *options),
                *('--ros-args', '-r', f'__ns:={lab.robot.node.get_namespace()}'),
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


def test_it_reaches_its_goals_in_order_and_disarms(lab, run):
    over = START + [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0]
    ended = run('--arm', '--gripper', '1.0', goals=(over, GOAL))
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert lines[0].split()[:4] == ['sub-goal', 'step', 'energy', '->']
    assert {line.split()[0] for line in lines[1:-1]} == {'1', '2'}
    assert lines[-1].startswith('REACHED (SETTLED) after')
    assert np.abs(lab.robot.state - GOAL)[:3].max() < 0.006
    assert lab.robot.state[6] == pytest.approx(1.0, abs=0.02)
    assert not lab.controller.armed


def test_it_says_why_nothing_moved(lab, run):
    ended = run()
    assert ended.returncode == 1
    assert ended.stdout.startswith('STOPPED (DISARMED) after 0 steps')
    assert 'not armed' in ended.stderr
    assert not lab.targets


def test_steps_are_confirmed_at_the_console(lab, run):
    lab.set(confirm=True)
    ended = run('--arm', stdin='n\n')
    assert ended.returncode == 1
    assert 'Do this step? [y/N]' in ended.stdout
    assert 'STOPPED (NOT_CONFIRMED)' in ended.stdout
    assert not lab.targets


def test_the_printed_goal_is_yaml_with_pictures_as_bytes(run):
    ended = run('--print-goal', '--max-steps', '3', goals=(START, GOAL))
    goal = yaml.safe_load(ended.stdout)
    assert goal['max_steps'] == 3
    for sub_goal, state in zip(goal['sub_goals'], (START, GOAL)):
        assert sub_goal['image_compressed']['format'] == 'png'
        png = Picture.open(io.BytesIO(sub_goal['image_compressed']['data']))
        assert np.array_equal(np.array(png), ToyWorldModel.picture(state))
