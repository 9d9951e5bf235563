# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `landscape`, run as people run it."""

from functools import partial
import json
import signal
import threading

import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START
import pytest
from rclpy.action import ActionServer
from vjepa2_interfaces.action import ComputeEnergyLandscape


@pytest.fixture
def command(start_command):
    """Return a function that starts the command against the shared planner."""
    return partial(start_command, 'cli.landscape')


@pytest.mark.slow
def test_writes_picture_and_numbers_and_prints_where_it_is_lowest(command, goal_file, tmp_path):
    files = [str(tmp_path / f'found.{suffix}') for suffix in ('png', 'json', 'npz')]
    options = '--axes x gripper --lowest -0.02 -0.5 --highest 0.04 0.5 --resolution 3 3'
    outputs = [word for file in files for word in ('-o', file)]
    process = command('--goal', goal_file, *options.split(), *outputs)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    x, gripper = np.linspace(-0.02, 0.04, 3), np.array([-0.5, 0.0, 0.5])
    step = GOAL - START
    expected = (
        abs(x[:, None] - step[0])
        + abs(step[1:6]).sum()
        + abs(np.clip(START[6] - gripper, 0.0, 1.0) - GOAL[6])
    ) / 7.0
    said = json.loads((tmp_path / 'found.json').read_text())
    assert np.allclose(said['energies'], expected, atol=1e-6)
    with np.load(files[2]) as kept:
        assert np.allclose(kept['energies'], expected, atol=1e-6)
    with Picture.open(files[0]) as picture:
        assert picture.width > 400 and len(set(picture.convert('L').tobytes())) > 50
    lowest = [line for line in output.splitlines() if line.startswith('minimum')][0].split()
    assert float(lowest[1]) == pytest.approx(expected.min(), abs=1e-5)
    best = np.unravel_index(expected.argmin(), expected.shape)
    assert [float(lowest[2]), float(lowest[8])] == pytest.approx([x[best[0]], gripper[best[1]]])


@pytest.mark.slow
def test_the_last_plan(command, robot):
    result = robot.plan()
    output, errors = command('--last', '--resolution', '3', '3').communicate(timeout=60)
    row = [line for line in output.splitlines() if line.startswith('last command')][0].split()
    assert float(row[2]) == pytest.approx(result.energy, abs=1e-5), errors
    assert [float(value) for value in row[3:]] == pytest.approx(result.command, abs=1e-4)


@pytest.mark.parametrize(
    'arguments, code, text',
    (
        ('--axes x y --lowest -1.0 0.0', 1, 'INVALID_SETTINGS: lowest of x'),
        ('--camera left', 1, "INVALID_SETTINGS: camera = 'left'"),
        ('--action nowhere --wait 0.2', 1, "no planner on action 'nowhere'"),
        ('-o landscape.txt', 2, 'landscape.txt: allowed: .png'),
        ('-o /nowhere/x.png', 2, '/nowhere/x.png: allowed: a file in a folder that exists'),
        ('-o /', 2, 'output: /: allowed: .png'),
        ('--resolution -1 5', 2, '--resolution: -1: allowed: 2 to 65536'),
        ('--resolution 4294967296 3', 2, '--resolution: 4294967296: allowed: 2 to 65536'),
        ('--resolution 3.5 3', 2, '--resolution: 3.5: allowed: 2 to 65536'),
        ('--resolution 60000 3', 1, 'INVALID_SETTINGS: resolution = [60000, 3]'),
    ),
)
@pytest.mark.slow
def test_what_cannot_be_is_said_with_an_exit_code(command, goal_file, arguments, code, text):
    process = command('--goal', goal_file, *arguments.split())
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code and text in errors and 'Traceback' not in errors


@pytest.mark.slow
def test_ctrl_c_cancels_the_goal(command, robot, goal_file):
    robot.model.delay = 0.2
    goals = robot.planner._landscapes.goals
    cancelled = goals.outcomes['cancelled']
    process = command('--goal', goal_file, '--resolution', '100', '100')
    eventually(lambda: goals.slot._running is not None)
    eventually(lambda: robot.planner._worker.busy)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    eventually(lambda: goals.outcomes['cancelled'] == cancelled + 1)


@pytest.mark.slow
def test_a_planner_that_goes_away_is_not_waited_for(command, robot, goal_file):
    asked, begun = threading.Event(), lambda handle: None

    async def answer_nothing(request):
        asked.set()

    server = ActionServer(
        robot.node, ComputeEnergyLandscape, 'departing', begun, handle_accepted_callback=begun
    )
    server._execute_get_result_request = answer_nothing
    process = command('--goal', goal_file, '--action', 'departing')
    assert asked.wait(60.0)
    server.destroy()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'has gone away: start its node' in errors, errors
