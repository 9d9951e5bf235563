# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models whose faults are known are told from one that is right, with the words for it."""

import json
from pathlib import Path
import re
import subprocess
import sys

import pytest
from scipy.spatial.transform import Rotation
from test_calibrate import DRIVES, TurnedModel
import torch
from vjepa2_planner_ros.history.validation_report import project
from vjepa2_planner_ros.learning.recipes.collect import collect_episode
from vjepa2_planner_ros.learning.recipes.episodes import episode_path, write_episode
from vjepa2_planner_ros.learning.study import study
from vjepa2_planner_ros.learning.trajectory import PinholeCamera
from vjepa2_planner_ros.learning.validate import compare, to_json
from vjepa2_planner_ros.learning.verdicts import BAD, figures, GOOD, verdicts
from vjepa2_planner_ros.simulation import PandaSim

PERFECT = TurnedModel(Rotation.identity())


class Deaf(TurnedModel):
    """It predicts that nothing moves, whatever the action."""

    def rollout(self, context, states, actions):
        return super().rollout(context, states, torch.zeros_like(actions))


def studied(model, count=40):
    return study(model, DRIVES, count)


@pytest.fixture(scope='module')
def perfect():
    return studied(PERFECT)


def answers(found):
    return [verdict.grade for verdict in verdicts(found, figures(found))]


def test_a_model_that_is_right(perfect):
    found = figures(perfect)
    assert answers(perfect)[:3] == [GOOD, GOOD, GOOD] and answers(perfect)[4] == GOOD
    for steps in (1, 2):  # of more, the few candidates here find less
        assert found[f'steps_{steps}']['error_cm'].value < 1.0
        assert found[f'steps_{steps}']['direction_cosine'].value > 0.9
    assert found['prediction']['error'].value < 1e-6
    assert found['prediction']['energy_rank'].value == 0.0
    assert found['drives'].value == pytest.approx(1.0, abs=0.1)


def test_a_model_that_ignores_actions():
    found = studied(Deaf(Rotation.identity()))
    assert figures(found)['prediction']['shuffle_ratio'].value == pytest.approx(1.0)
    assert figures(found)['prediction']['copy_ratio'].value == pytest.approx(1.0)
    assert answers(found)[1] == BAD
    text = str(verdicts(found, figures(found))[1])
    assert 'ignores them' in text and '--check-only' in text


def test_a_camera_on_the_other_side():
    found = studied(TurnedModel(Rotation.from_euler('z', 60.0, degrees=True)))
    angle = verdicts(found, figures(found))[2]
    assert angle.grade == BAD and '+60 degrees' in angle.answer.replace('+61', '+60')
    assert 'calibrate' in angle.advice


def test_an_axis_that_did_not_move_is_not_judged(perfect):
    axes = verdicts(perfect, figures(perfect))[3]
    assert re.search(r'unknown: roll, pitch, yaw, gripper', axes.answer)
    assert re.search(r'good: x \(0\.\d\d\), y', axes.answer)


def test_models_are_compared_on_the_same_windows(perfect):
    same = compare(perfect, studied(PERFECT))
    assert all(row.value == row.low == row.high == 0.0 for row in same.values())
    worse = compare(perfect, studied(TurnedModel(Rotation.from_euler('z', 1.0))))
    assert worse['error_cm, 1 steps'].high < 0.0
    better = compare(studied(TurnedModel(Rotation.from_euler('z', 1.0))), perfect)
    assert better['error_cm, 1 steps'].low > 0.0


def test_figures_are_written_without_nan(perfect):
    json.dumps(to_json(figures(perfect)), allow_nan=False)


def test_motions_are_drawn_where_they_are():
    turn = Rotation.from_euler('xyz', [-2.0, 0.1, 0.4])
    camera = PinholeCamera((600.0, 610.0, 320.0, 240.0), (1.0, -0.2, 0.5, -2.0, 0.1, 0.4))
    place = turn.apply([0.1, -0.05, 0.8]) + [1.0, -0.2, 0.5]
    assert project(camera, place) == pytest.approx((320 + 75.0, 240 - 38.125))
    assert project(camera, turn.apply([0.0, 0.0, -0.1]) + [1.0, -0.2, 0.5]) is None


@pytest.fixture(scope='module')
def episodes(tmp_path_factory):
    """Return a folder of simulated episodes."""
    folder = tmp_path_factory.mktemp('episodes')
    with PandaSim() as sim:
        for seed in range(7_000_000, 7_000_012):
            written = collect_episode(sim, seed, 10, 128, 'center_square')
            write_episode(episode_path(folder, seed), *written)
    return folder


def command(name, *arguments):
    """Return what a command printed, and its exit code."""
    ended = subprocess.run(
        [sys.executable, '-m', f'vjepa2_planner_ros.cli.{name}', *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 'Traceback' not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_shipped_model_on_episodes(episodes, tmp_path):
    report, numbers, fit = (tmp_path / name for name in ('r.html', 'n.json', 'f.fit.json'))
    code, printed, errors = command(
        *('validate', episodes, '--model', 'sim-panda-ac', '--windows', 24),
        *('-o', report, '--json', numbers, '--fit', fit),
    )
    assert code == 1 and 'nothing is written: no fit of the confidence: 24 windows' in errors
    assert not fit.exists()
    assert printed.startswith('Does the model see the arm? GOOD')
    values = json.loads(numbers.read_text())
    error = values['figures']['steps_1']['error_cm']['value']
    for name in ('doing nothing', 'random actions', 'untrained network'):
        assert error < 0.6 * values['baselines'][name]['steps_1']['error_cm']['value']
    page = report.read_text()
    assert 'http-equiv="Content-Security-Policy"' in page and 'untrained network' in page
    assert page.count('data:image/jpeg;base64') == 16  # eight windows of two frames


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_calibration_of_the_simulated_camera(episodes, tmp_path):
    file = tmp_path / 'c.yaml'
    code, printed, errors = command(
        *('calibrate', episodes, '--model', 'sim-panda-ac', '--steps', 60, '-o', file)
    )
    assert code == 0, errors
    assert '60 steps: the model takes motions for ones turned by yaw' in printed
    assert str(file) in printed and Path(file).is_file()


def test_what_a_command_cannot_do_is_said(episodes, tmp_path):
    code, _, errors = command('validate', episodes, '--model', 'sim-panda')
    assert code == 1 and "model = 'sim-panda': allowed: one with a predictor" in errors
    code, _, errors = command('calibrate', tmp_path / 'nothing', '--model', 'sim-panda-ac')
    assert code == 1 and 'nothing: there is no such file or folder' in errors
    code, _, errors = command('validate', episodes, '--crop', 'wide', '--model', 'sim-panda-ac')
    assert code == 1 and "crop = 'wide': allowed: center_square" in errors
