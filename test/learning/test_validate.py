# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models whose faults are known are told from one that is right, with the words for it."""

from dataclasses import replace
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_calibrate import DRIVES, TurnedModel
import torch
from vjepa2_planner_ros.history.validation_report import project
from vjepa2_planner_ros.learning.recipes.collect import collect_episode
from vjepa2_planner_ros.learning.recipes.episodes import episode_path, write_episode
from vjepa2_planner_ros.learning.study import Inferred, Reached, Study, study
from vjepa2_planner_ros.learning.trajectory import PinholeCamera, Trajectory
from vjepa2_planner_ros.learning.validate import compare, to_json
from vjepa2_planner_ros.learning.verdicts import BAD, figures, GOOD, UNKNOWN, verdicts, WEAK
from vjepa2_planner_ros.simulation import PandaSim
from vjepa2_planner_ros.world_model.calibration import read_calibration

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


@pytest.mark.slow
def test_a_model_that_is_right(perfect):
    found = figures(perfect)
    assert answers(perfect)[:3] == [GOOD, GOOD, GOOD] and answers(perfect)[4] == GOOD
    for steps in (1, 2):  # of more, the few candidates here find less
        assert found[f'steps_{steps}']['error_cm'].value < 1.0
        assert found[f'steps_{steps}']['direction_cosine'].value > 0.9
    assert found['prediction']['error'].value < 1e-6
    assert found['prediction']['energy_rank'].value == 0.0
    assert found['drives'].value == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_a_model_that_ignores_actions():
    found = studied(Deaf(Rotation.identity()))
    assert figures(found)['prediction']['shuffle_ratio'].value == pytest.approx(1.0)
    assert figures(found)['prediction']['copy_ratio'].value == pytest.approx(1.0)
    assert answers(found)[1] == BAD
    text = str(verdicts(found, figures(found))[1])
    assert 'ignores them' in text and '--check-only' in text


@pytest.mark.slow
def test_a_camera_on_the_other_side():
    found = studied(TurnedModel(Rotation.from_euler('z', 60.0, degrees=True)))
    angle = verdicts(found, figures(found))[2]
    assert angle.grade == BAD and '+60 degrees' in angle.answer.replace('+61', '+60')
    assert 'calibrate' in angle.advice


@pytest.mark.slow
def test_an_axis_that_did_not_move_is_not_judged(perfect):
    axes = verdicts(perfect, figures(perfect))[3]
    assert 'unknown: gripper; not searched: roll, pitch, yaw' in axes.answer
    assert re.search(r'good: x \(0\.\d\d\), y', axes.answer)
    few = 'Record more motion along gripper: fewer than 8 steps moved there.'
    assert axes.grade == GOOD and axes.advice == few


def with_errors(errors, moving=20):
    """Return a Study of steps of 1 along each axis, whose inferred ones are off by errors."""
    windows = [SimpleNamespace(true_action=np.ones(7), group=0)] * moving
    inferred = Inferred(windows, 1, np.ones((moving, 7)) + errors, np.ones(moving))
    return Study('toy', 'float32', (1.0,) * 7, {1: inferred})


@pytest.mark.parametrize(
    'errors, moving, grade, advice',
    [
        ([0.0] * 7, 20, GOOD, ''),
        ([0.0] * 6 + [0.6], 20, WEAK, 'Expect inexact steps along gripper.'),
        ([0.9] + [0.0] * 6, 20, WEAK, 'Leave out of search.axes: x.'),
        ([0.6] * 7, 20, WEAK, 'Expect inexact steps along x, y, z, roll, pitch, yaw, gripper.'),
        (
            [0.9] * 2 + [0.6] * 5,
            20,
            BAD,
            'Leave out of search.axes: x, y. '
            'Expect inexact steps along z, roll, pitch, yaw, gripper.',
        ),
        (
            [0.0] * 7,
            5,
            UNKNOWN,
            'Record more motion along x, y, z, roll, pitch, yaw, gripper: fewer than 8 steps '
            'moved there.',
        ),
    ],
)
def test_the_advice_on_axes_names_those_that_it_is_about(errors, moving, grade, advice):
    found = with_errors(errors, moving)
    axes = verdicts(found, figures(found))[3]
    assert (axes.grade, axes.advice) == (grade, advice)


def test_a_distance_behind_one_that_fails_is_not_promised():
    found = with_errors([0.0] * 7)
    before = np.repeat([0.01, 0.03, 0.06], 10)
    after = np.where(before == 0.03, 0.04, 0.0)
    found.reached = Reached([0] * 30, [None] * 30, [[]] * 30, before, after)
    far = verdicts(found, figures(found))[4]
    assert far.grade == WEAK and 'or more from 0 to 2 cm' in far.answer
    found.reached = Reached([], [], [], before[:0], after[:0])
    assert verdicts(found, figures(found))[4].answer == 'at no distance are there 8 plans'


def test_an_axis_that_plans_leave_alone_is_not_called_bad():
    found = replace(with_errors([0.0] * 3 + [-1.0] * 3 + [0.0]), axes=('x', 'y', 'z', 'gripper'))
    axes = verdicts(found, figures(found))[3]
    assert axes.grade == GOOD and axes.advice == ''
    assert 'not searched: roll, pitch, yaw' in axes.answer


@pytest.mark.slow
def test_the_angle_is_that_of_steps_which_the_model_can_make(perfect):
    """Longer ones are inferred as steps to the bounds, whatever the camera."""
    inferred = perfect.inferred[1]
    beyond = SimpleNamespace(true_action=np.array([0.4, -0.4, 0.0, 0.0, 0.0, 0.0, 0.0]), group=7)
    windows = [*inferred.windows, *[beyond] * 20]
    planned = np.concatenate([inferred.planned, [np.clip(beyond.true_action, -0.05, 0.05)] * 20])
    found = replace(perfect, inferred={1: Inferred(windows, 1, planned, np.ones(len(windows)))})
    values = figures(perfect)
    assert verdicts(found, values)[2] == verdicts(perfect, values)[2]


def test_no_window_is_shuffled_to_itself():
    """Of two windows, each gets the action of the other, whatever the seed."""
    states, stamps = DRIVES[0].states[:3], DRIVES[0].stamps[:3]
    for seed in range(3):
        found = study(PERFECT, [Trajectory(states, states, stamps, '')], 2, seed=seed).predicted
        assert len(found.error) == 2 and (found.shuffled > 100.0 * found.error).all()


class Damaged:
    """Frames of which some cannot be decoded."""

    def __init__(self, frames, numbers):
        self.frames, self.numbers = frames, numbers

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        if index in self.numbers:
            raise ValueError(f'drive.mcap: frame {index}: damaged')
        return self.frames[index]


@pytest.mark.slow
def test_windows_with_a_damaged_frame_are_left_out_and_named():
    drive = replace(DRIVES[0], frames=Damaged(DRIVES[0].frames, (5, 24)))
    found = study(PERFECT, [drive], 48)
    assert set(found.damaged) == {f'drive.mcap: frame {n}: damaged' for n in (5, 24)}
    for steps in (1, 2):  # all that there are
        inferred = found.inferred[steps]
        assert len(inferred.windows) == len(inferred.planned) == len(inferred.seconds)
        used = {frame for w in inferred.windows for frame in (w.start, w.goal)}
        assert used.isdisjoint((5, 24)) and len(inferred.windows) == 25 - steps - 3
    assert found.predicted.error.max() < 1e-6
    assert found.drives == []  # it leads to its last frame
    assert 0 < len(found.reached.plans) == len(found.reached.groups) == len(found.reached.before)
    one = study(PERFECT, [replace(drive, frames=Damaged(DRIVES[0].frames, (5,)))], 4)
    assert [len(each.energy) for each in one.drives] == [23]
    with pytest.raises(ValueError, match=r'drive.mcap: frame \d+: damaged'):
        study(PERFECT, [replace(DRIVES[0], frames=Damaged(DRIVES[0].frames, range(25)))], 8)


@pytest.mark.slow
def test_models_are_compared_on_the_same_windows(perfect):
    same = compare(perfect, studied(PERFECT))
    assert all(row.value == row.low == row.high == 0.0 for row in same.values())
    worse = compare(perfect, studied(TurnedModel(Rotation.from_euler('z', 1.0))))
    assert worse['error_cm, 1 steps'].high < 0.0
    better = compare(studied(TurnedModel(Rotation.from_euler('z', 1.0))), perfect)
    assert better['error_cm, 1 steps'].low > 0.0


@pytest.mark.slow
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
@pytest.mark.parametrize('degrees', [0.0, 20.0])
def test_a_calibration_of_the_simulated_camera(episodes, tmp_path, degrees):
    turned, file = tmp_path / 'turned', tmp_path / 'c.yaml'
    turned.mkdir()
    for path in episodes.iterdir():
        with np.load(path) as episode:
            states = turn(episode['states'], degrees)
            write_episode(turned / path.name, episode['frames'], states, episode['tips'])
    file.write_text('of an earlier day')
    code, printed, errors = command(
        *('calibrate', turned, '--model', 'sim-panda-ac', '--steps', 60, '-o', file)
    )
    assert code == 0, errors
    assert '60 steps: the model takes motions for ones turned by yaw' in printed
    if degrees:  # what the robot says is turned, so the model sees the world turned back
        assert str(file) in printed
        assert np.rad2deg(read_calibration(file).angles[2]) == pytest.approx(-degrees, abs=6.0)
    else:
        assert printed.endswith('no turn is needed, as far as the recording tells: not written\n')
        assert file.read_text() == 'of an earlier day'


def turn(states, degrees):
    """Return states [T, 7] turned about the vertical through the middle of the workspace."""
    about = Rotation.from_euler('z', degrees, degrees=True)
    middle = [0.47, 0.0, 0.0]
    tools = about * Rotation.from_euler('xyz', states[:, 3:6])
    positions = about.apply(states[:, :3] - middle) + middle
    return np.concatenate([positions, tools.as_euler('xyz'), states[:, 6:]], axis=1)


@pytest.mark.slow
def test_what_a_command_cannot_do_is_said(episodes, tmp_path):
    code, _, errors = command('validate', episodes, '--model', 'sim-panda')
    assert code == 1 and "model = 'sim-panda': allowed: one with a predictor" in errors
    code, _, errors = command('calibrate', tmp_path / 'nothing', '--model', 'sim-panda-ac')
    assert code == 1 and 'nothing: there is no such file or folder' in errors
    code, _, errors = command('validate', episodes, '--crop', 'wide', '--model', 'sim-panda-ac')
    assert code == 1 and "crop = 'wide': allowed: center_square" in errors
