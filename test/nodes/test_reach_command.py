# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The reach command against a real controller, as a user runs it."""

import io
import os
import re
import signal
import subprocess
import sys
import time

from controller_rig import Lab
import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START
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
def words(lab, tmp_path):
    """Return a function that returns the words which run reach with pictures of states."""

    def words(*options, goals=(GOAL,)):
        files = []
        for number, goal in enumerate(goals):
            path = tmp_path / f'{number}.png'
            Picture.fromarray(ToyWorldModel.picture(goal)).save(path)
            files += ['--goal', str(path)]
        return [
            *(sys.executable, '-m', 'vjepa2_planner_ros.cli.reach', *files, *options),
            *('--ros-args', '-r', f'__ns:={lab.robot.node.get_namespace()}'),
        ]

    return words


@pytest.fixture
def run(words):
    """Return a function that runs reach with pictures of states; it returns the process."""

    def run(*options, goals=(GOAL,), stdin=''):
        return subprocess.run(
            words(*options, goals=goals), input=stdin, capture_output=True, text=True, timeout=100
        )

    return run


@pytest.fixture
def start(words):
    """Return a function that starts reach without anybody at its console."""
    processes = []

    def start(*options):
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen(
                words(*options), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


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


@pytest.mark.case(73)
def test_what_is_typed_before_the_question_is_no_answer_to_it(lab, words):
    lab.set(confirm=True)
    terminal, stdin = os.openpty()
    command = words('--arm', '--max-steps', '1')
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:
        os.write(terminal, b'y\n')
        printed = ''
        while not printed.endswith('[y/N] '):
            printed += process.stdout.read(1)
        time.sleep(0.5)
        assert not lab.targets
        os.write(terminal, b'n\n')
        assert 'STOPPED (NOT_CONFIRMED)' in process.communicate(timeout=60)[0]
    assert not lab.targets
    os.close(terminal)
    os.close(stdin)


def test_a_step_that_nobody_can_be_asked_about_waits(lab, start):
    lab.set(confirm=True)
    process = start('--arm', '--max-steps', '1')
    while 'waiting for the controller' in (words := process.stderr.readline()):
        pass  # nodes find each other late on a busy machine
    assert 'nobody can be asked here' in words and '/controller/confirm std_srvs' in words
    assert not lab.targets and process.poll() is None
    assert lab.client.confirm() == (True, 'confirmed')
    output, errors = process.communicate(timeout=60)
    assert 'NOT_REACHED (STEP_LIMIT) after 1 step and' in output, output + errors
    assert lab.targets


def test_an_arming_that_is_interrupted_does_not_arm_later(lab, start):
    lab.set(image_timeout=30.0, max_image_age=0.3)
    lab.robot.sending.discard('image')
    eventually(lab.controller.problem)
    process = start('--arm')
    eventually(lambda: lab.controller._arming._newest)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1].endswith('interrupted\n')
    lab.set(max_image_age=5.0)
    lab.robot.sending.add('image')
    time.sleep(0.5)
    assert not lab.controller.problem() and not lab.controller.armed


@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGHUP))
def test_a_command_that_is_ended_leaves_no_arm_that_moves(lab, start, number):
    lab.set(limits__max_speed=0.01)
    process = start('--arm')
    lab.moving()
    process.send_signal(number)
    eventually(lambda: not lab.controller.armed, 10.0)
    assert process.communicate(timeout=60)[1].endswith('interrupted\n')
    eventually(lab.still)
    assert lab.controller.status()['phase'] == 'no run'


def test_plans_that_are_not_done_are_marked(lab, run):
    ended = run('--arm')
    lines = ended.stdout.splitlines()[1:-1]
    marked = [line.endswith('not done: nothing moved') for line in lines]
    assert len(lines) == len(lab.steps)
    assert marked == [False] * (len(lines) - 1) + [True]  # where it has settled
    lab.restore()
    ended = run('--dry-run')
    assert ended.stdout.splitlines()[1].endswith('not done: nothing moved')


def test_the_energy_of_a_run_at_its_step_limit_is_that_before_the_last_step(lab, run):
    ended = run('--arm', '--max-steps', '1')
    line = ended.stdout.splitlines()[-1]
    assert re.fullmatch(r'.*after 1 step and \d.* s, energy \d\.\d+ before the last step', line)
    assert '1 step was done: allowed: max_steps = 1; ' in ended.stderr
    assert 'the last energy is that before the last step' in ended.stderr
    lab.restore()
    lab.set(limits__max_step=0.01)
    line = run('--arm', '--max-steps', '2').stdout.splitlines()[-1]
    assert re.search(r', energy \d\.\d+ -> \d\.\d+ before the last step$', line)


def test_energies_to_different_pictures_are_not_compared(lab, run):
    over = START + [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0]
    ended = run('--arm', goals=(over, GOAL))
    assert ended.stdout.splitlines()[-1].startswith('REACHED (SETTLED) after')
    assert ', energy' not in ended.stdout.splitlines()[-1]


@pytest.mark.timeout(300)
def test_what_it_waits_for_is_said(lab, run):
    name = lab.controller.get_fully_qualified_name()  # it is there, under its own action
    for wait in (4, 8, 16, 32, 64):  # discovery may take long on a busy machine
        ended = run('--action', 'nobody', '--wait', str(wait))
        *waiting, failed = ended.stderr.splitlines()
        if name in failed:
            break
    assert waiting[-1].startswith(f'waiting for the controller: {name}: ')
    start = f"SEND_GOAL_FAILURE: no controller on action 'nobody' within {wait} s: {name}: "
    assert failed.startswith(start)
    ended = run('--wait', '10', '--ros-args', '-r', '__ns:=/nobody')
    absent = 'absent: none is heard in namespace /nobody/, start controller_node'
    assert f'waiting for the controller: {absent}\n' in ended.stderr


def test_the_printed_goal_is_yaml_with_pictures_as_bytes(run):
    ended = run('--print-goal', '--max-steps', '3', goals=(START, GOAL))
    goal = yaml.safe_load(ended.stdout)
    assert goal['max_steps'] == 3
    for sub_goal, state in zip(goal['sub_goals'], (START, GOAL)):
        assert sub_goal['image_compressed']['format'] == 'png'
        png = Picture.open(io.BytesIO(sub_goal['image_compressed']['data']))
        assert np.array_equal(np.array(png), ToyWorldModel.picture(state))


@pytest.mark.parametrize(
    'options, name',
    [
        (('--goal-topic', 'bad topic'), "--goal-topic = 'bad topic'"),
        (('--action', 'bad action'), "action = 'bad action'"),
        (('--controller', 'c/'), "controller = 'c/'"),
    ],
)
def test_a_name_that_is_none_is_refused_in_one_line(run, options, name):
    ended = run(*options, goals=() if options[0] == '--goal-topic' else (GOAL,))
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1 and line.startswith(f'{name}: allowed: a name of ROS')
