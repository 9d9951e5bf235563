# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The soak: it passes a sound planner, and finds each fault that it is there for."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from sensor_msgs.msg import Image
from tools.soak.goals import count, flaws_of_plan, Goal
from tools.soak.malformed import malformed_compressed, malformed_image, spoil
from tools.soak.report import complaints, frames_complaint, MAX_GROWTH
from tools.soak.robot import state_message
from tools.soak.server import Usage
from tools.soak.streams import image_fields, START
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorCommand
from vjepa2_planner_ros.messages.images import compressed_to_rgb, to_rgb
from vjepa2_planner_ros.nodes.errors import GoalError
from vjepa2_planner_ros.nodes.goal_reader import read_plan
from vjepa2_planner_ros.nodes.settings import Settings
from vjepa2_planner_ros.planning.config import CemConfig


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_a_short_soak_passes_and_accounts_for_every_goal(tmp_path):
    figures = tmp_path / 'soak.json'
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'tools.soak',
            '--goals',
            '30',
            '--fuzz',
            '50',
            '--repeats',
            '1',
            '--seed',
            '1',
            '--json',
            figures,
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith('PASSED\n')
    report = json.loads(figures.read_text())
    assert report['passed'] and report['complaints'] == []
    goals = report['goals']
    assert [goal['number'] for goal in goals] == list(range(len(goals)))
    assert len(goals) >= 30 + 50 // 10
    for goal in goals:
        assert len(goal['outcomes']) == 1 and goal['outcomes'][0] in goal['allowed']
    # Both sides have counted on their own.
    assert sum(report['counted_by_planner'].values()) == len(goals)
    assert f'all {len(goals)}' in ' '.join(done.stdout.split())
    assert {'cancelled', 'preempted', 'malformed', 'hurried', 'disturbed'} <= {
        goal['kind'] for goal in goals
    }


def ended(number, *outcomes, allowed=('SUCCEEDED',), **fields):
    """Return a Goal that came to these ends, half a second after it was sent."""
    goal = Goal(number, 'given', frozenset(allowed), accepted=0.1, **fields)
    for outcome in outcomes:
        goal.end(outcome, PlanAction.Result(error_msg='why'), 0.5)
    return goal


def verdict(*goals, threads=20, memory=300.0, counted=None, last='SUCCEEDED'):
    """Return the complaints about goals, and one more at the end, of a planner of 20 threads."""
    goals = [*goals, ended(len(goals), last, allowed=[last])]
    return complaints(goals, Usage(300.0, 20), Usage(memory, threads), counted or count(goals))


def test_malformed_frames_that_never_arrive():
    assert frames_complaint(0, 0) == frames_complaint(100, 70) == []
    assert '3 of 100 malformed frames were refused' in frames_complaint(100, 3)[0]


def test_nothing_to_complain():
    assert (
        verdict(
            ended(0, 'SUCCEEDED'),
            ended(
                1,
                'CANCELLED',
                allowed=['CANCELLED'],
                cancel_sent=0.2,
                cancel_answered=0.3,
                cancel_granted=True,
            ),
            ended(2, 'INVALID_STATE', allowed=['INVALID_STATE']),
            memory=300.0 + MAX_GROWTH / 2,
        )
        == []
    )


@pytest.mark.parametrize(
    'goal, complaint',
    (
        (ended(0), 'lost'),
        (ended(0, 'SUCCEEDED', 'SUCCEEDED'), 'ended 2 times'),
        (ended(0, 'UNKNOWN'), 'UNKNOWN: allowed: SUCCEEDED'),
        (ended(0, 'SUCCEEDED', allowed=['INVALID_STATE']), 'SUCCEEDED: allowed: INVALID_STATE'),
        (
            ended(0, 'SUCCEEDED', cancel_sent=0.2, cancel_answered=0.3, cancel_granted=True),
            'although the cancel request was granted',
        ),
        (ended(0, 'CANCELLED', allowed=['CANCELLED']), 'was not granted'),
        (ended(0, 'SUCCEEDED', cancel_sent=0.2), 'nobody answered'),
        (ended(0, 'SUCCEEDED', flaws=['command is 1 m off']), '1 m off'),
    ),
)
def test_every_fault_of_a_goal_is_found(goal, complaint):
    found = verdict(goal)
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    'fault, complaint',
    (
        ({'threads': 31}, 'threads grew from 20 to 31'),
        ({'memory': 301.0 + MAX_GROWTH}, 'memory grew'),
        ({'counted': {'succeeded': 3, 'aborted': 0, 'cancelled': 0, 'preempted': 0}}, 'counted'),
        ({'last': 'TIMEOUT'}, 'last plan'),
    ),
)
def test_every_fault_of_the_planner_is_found(fault, complaint):
    found = verdict(ended(0, 'SUCCEEDED'), **fault)
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    'field, value',
    (
        ('command', [float('nan')] * 7),
        ('command', [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ('iterations', 4),
        ('energy', float('inf')),
        ('confidence', 1.5),
        ('plan', []),
    ),
)
def test_a_plan_that_is_none_is_found(field, value):
    result = PlanAction.Result(
        command=np.zeros(7),
        plan=[EndEffectorCommand()],
        iterations=3,
        iteration_energies=[3.0, 2.0, 1.0],
        energy=1.0,
        start_energy=3.0,
    )
    assert flaws_of_plan(result, 3) == []
    setattr(result, field, value)
    assert len(flaws_of_plan(result, 3)) == 1


def test_malformed_pictures_are_malformed():
    chance = random.Random(0)
    for _ in range(5000):
        with pytest.raises(ValueError, match='allowed'):
            to_rgb(malformed_image(chance))
    for _ in range(1000):
        message, surely = malformed_compressed(chance)
        try:
            compressed_to_rgb(message)
        except ValueError as error:
            assert 'allowed' in str(error)
        else:
            assert not surely


@pytest.mark.slow
def test_malformed_goals_are_malformed_in_the_way_they_say():
    chance, picture = random.Random(0), np.zeros((48, 64, 3), np.uint8)
    settings = Settings(cameras=('main', 'wrist'), optimizer='cem', cem=CemConfig(samples=200))
    for _ in range(3000):
        goal = PlanAction.Goal(
            use_current_image=True,
            use_start_state=True,
            start_state=state_message(START),
            goal_image=Image(**image_fields(picture)),
            current_image=Image(**image_fields(picture)),
        )
        read_plan(goal, settings)
        allowed = spoil(chance, goal)
        if 'MODEL_NOT_FOUND' in allowed:
            continue  # the loader knows which names there are
        try:
            read_plan(goal, settings)
        except GoalError as error:
            assert error.code.name in allowed and str(error)
        else:
            assert 'SUCCEEDED' in allowed
