# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a lab gets wrong is found in a recording, and a good one is left in peace."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import recordings
from vjepa2_planner_ros.learning.datasets import Dataset
from vjepa2_planner_ros.learning.datasets.camera_motion import camera_motion
from vjepa2_planner_ros.learning.datasets.check import check, lines
from vjepa2_planner_ros.learning.datasets.recording import Limits, Recording, trajectories_of

PERIOD = 0.25
BOUNDS = (0.075, 0.075, 0.075, 0.15, 0.15, 0.15, 0.75)
SECONDS = 60.0


def scene(shift=(0.0, 0.0), turn=0.0, arm=0):
    """Return a picture of a background with corners, an arm before it, seen by a moved camera."""
    random = np.random.default_rng(3)
    picture = cv2.resize(random.integers(30, 220, (30, 40, 3), np.uint8), (640, 480))
    cv2.rectangle(picture, (arm, 150), (arm + 160, 400), (240, 240, 240), -1)
    motion = cv2.getRotationMatrix2D((320.0, 240.0), turn, 1.0)
    motion[:, 2] += shift
    return cv2.warpAffine(picture, motion, (640, 480), borderMode=cv2.BORDER_REFLECT)


class Pictures:
    """Frames with an arm that moves, from a camera that is pushed in the middle."""

    def __init__(self, count, push=(0.0, 0.0)):
        self._count, self._push = count, push

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        late = index > self._count // 2
        return scene(self._push if late else (0.0, 0.0), arm=50 + 7 * index % 400)


def recording(**changes):
    """Return a good Recording of a minute, with changes."""
    frames, poses = np.arange(0.0, SECONDS, 1.0 / 30.0), np.arange(0.0, SECONDS, 0.01)
    states = np.array([recordings.state_at(time) for time in poses])
    states[:, 5] = 0.2 * np.sin(0.5 * poses)
    good = Recording(
        source='drive',
        frames=Pictures(len(frames)),
        frame_stamps=frames,
        frame_records=frames + 0.03,
        pose_stamps=poses,
        poses=states[:, :6],
        gripper_stamps=poses,
        closedness=states[:, 6],
    )
    return replace(good, **changes)


def checked(*items, problems=()):
    """Return the Findings of Recordings."""
    found = [piece for item in items for piece in trajectories_of(item, PERIOD, Limits())]
    return check(Dataset(found, list(problems), list(items), PERIOD), BOUNDS)


def of(findings, subject):
    """Return the findings on a subject that are not ok."""
    return [item for item in findings if item.subject == subject and item.severity != 'ok']


def test_a_good_recording():
    findings = checked(recording())
    assert {item.severity for item in findings} <= {'ok', 'note'}
    (windows,) = [item for item in findings if item.subject == 'windows']
    assert windows.text == '240 of 1 step, 239 of 2 steps, 237 of 4 steps'
    (x,) = [item for item in findings if item.text.startswith('x:')]
    steps = abs(np.diff([recordings.state_at(time)[0] for time in np.arange(0.0, SECONDS, 0.25)]))
    half, most = np.percentile(steps, [50, 95]) * 100.0
    told = [float(word) for word in x.text.split() if word.replace('.', '').isdigit()]
    assert told[:2] == pytest.approx([half, most], abs=0.2)  # 7 or 8 frames


@pytest.mark.parametrize(
    ('scale', 'text'), [(1000.0, 'look like millimetres'), (100.0, 'look like centimetres')]
)
def test_positions_in_another_unit(scale, text):
    poses = recording().poses * [scale, scale, scale, 1.0, 1.0, 1.0]
    findings = checked(recording(poses=poses))
    (units,) = of(findings, 'units')
    assert units.severity == 'error' and text in units.text
    (windows,) = of(findings, 'windows')
    assert windows.severity == 'error'


def test_angles_in_degrees():
    poses = recording().poses.copy()
    poses[:, 3:] = np.degrees(poses[:, 3:])
    (units,) = of(checked(recording(poses=poses)), 'units')
    assert units.severity == 'error' and 'look like degrees' in units.text


def test_a_camera_that_is_too_slow():
    good = recording()
    slow = replace(
        good, frame_stamps=good.frame_stamps[::15], frame_records=good.frame_records[::15]
    )
    (rates,) = of(checked(replace(slow, frames=Pictures(len(slow.frame_stamps)))), 'rates')
    assert rates.severity == 'error' and 'frames: 2 a second' in rates.text


def test_steps_of_a_run_are_no_slow_camera():
    """Their frames lie a command apart, however long it took."""
    stamps = 2.0 * np.arange(20)
    states = np.array([recordings.state_at(0.1 * time) for time in stamps])
    steps = recording(
        frames=Pictures(20),
        frame_stamps=stamps,
        frame_records=stamps,
        pose_stamps=stamps,
        poses=states[:, :6],
        gripper_stamps=stamps,
        closedness=states[:, 6],
        stepped=True,
    )
    findings = checked(steps)
    assert of(findings, 'rates') == of(findings, 'gaps') == []
    assert any(item.text.startswith('19 of 1 step') for item in findings)


def test_gaps():
    good = recording()
    kept = (good.frame_stamps % 10.0) < 4.0
    gappy = replace(
        good,
        frames=Pictures(int(kept.sum())),
        frame_stamps=good.frame_stamps[kept],
        frame_records=good.frame_records[kept],
    )
    (gaps,) = of(checked(gappy), 'gaps')
    assert gaps.severity == 'warning'
    assert 'in 6 pieces' in gaps.text and 'the longest 6.03 s' in gaps.text


def test_clocks_that_go_back_or_differ():
    good = recording()
    back = good.frame_stamps.copy()
    back[900:910] -= 2.0
    (clocks,) = of(checked(recording(frame_stamps=back)), 'clocks')
    assert 'frames: stamps go back 1 times, in drive' in clocks.text
    (clocks,) = of(checked(recording(frame_records=good.frame_records + 7.0)), 'clocks')
    assert 'recorded 7.030 s after their stamps' in clocks.text
    behind = recording(frame_stamps=good.frame_stamps + 3600.0)
    apart = [item for item in of(checked(behind), 'clocks') if item.severity == 'error']
    assert '3600.000 s after the first pose' in apart[0].text


def test_a_gripper_in_its_own_unit_or_turned_round():
    closedness = recording().closedness
    (gripper,) = of(checked(recording(closedness=255.0 * closedness)), 'gripper')
    assert gripper.severity == 'error' and 'gripper.open_position' in gripper.advice
    turned = recording(closedness=1.0 - closedness)
    (gripper,) = of(checked(turned, turned), 'gripper')
    assert 'closed at the start' in gripper.text and 'swapped' in gripper.advice
    (gripper,) = of(checked(recording(closedness=np.full_like(closedness, 0.1))), 'gripper')
    assert 'hardly moves' in gripper.text


def test_a_camera_that_was_pushed():
    count = len(recording().frame_stamps)
    (camera,) = of(checked(recording(frames=Pictures(count, (16.0, 4.0)))), 'camera')
    assert camera.severity == 'warning' and 'moved by 2.6 % of the width' in camera.text
    assert of(checked(recording(frames=Pictures(count))), 'camera') == []


def test_recordings_whose_background_does_not_tell_are_named():
    still = recording(source='still')
    plain = recording(source='plain', frames=[np.full((48, 64, 3), 90, np.uint8)] * 1800)
    (camera,) = [item for item in checked(still, plain) if item.subject == 'camera']
    assert camera.severity == 'ok'
    assert camera.text == (
        'the background stands still in 1 of 2 recordings; too few of its features are found '
        'again in plain'
    )
    many = [recording(source=f'{number}') for number in range(13)]
    (camera,) = [item for item in checked(*many) if item.subject == 'camera']
    assert camera.text.endswith('still in 12 of 12 recordings that were looked at, of 13')


def test_a_camera_that_was_turned_away_does_not_stand_still():
    """What it shows then has nothing in common with the start."""
    away = np.random.default_rng(5).integers(0, 255, (480, 640, 3), np.uint8)
    frames = [scene()] * 1200 + [away] * 600
    (camera,) = [item for item in checked(recording(frames=frames)) if item.subject == 'camera']
    assert 'do not tell whether' in camera.text


@pytest.mark.parametrize(
    ('shift', 'turn', 'expected'),
    [((0.0, 0.0), 0.0, 0.0), ((8.0, 0.0), 0.0, 0.0125), ((0.0, 0.0), 3.0, 0.016)],
)
def test_the_motion_of_the_background_whatever_the_arm_does(shift, turn, expected):
    motion = camera_motion(scene(arm=20), scene(shift, turn, arm=400))
    assert motion == pytest.approx(expected, abs=0.004)


def test_pictures_that_do_not_tell():
    plain = np.full((480, 640, 3), 120, np.uint8)
    assert camera_motion(plain, plain) is None
    other = np.random.default_rng(5).integers(0, 255, (480, 640, 3), np.uint8)
    assert camera_motion(scene(), other) is None


def test_a_camera_that_is_frozen_and_one_that_is_dark():
    count = len(recording().frame_stamps)
    (pictures,) = of(checked(recording(frames=[scene()] * count)), 'pictures')
    assert pictures.severity == 'error' and 'are the ones before' in pictures.text
    still = recording().poses[:1].repeat(len(recording().poses), 0)
    assert of(checked(recording(frames=[scene()] * count, poses=still)), 'pictures') == []
    dark = [np.full((48, 64, 3), 3 + index % 4, np.uint8) for index in range(count)]
    (pictures,) = of(checked(recording(frames=dark)), 'pictures')
    assert 'exposure' in pictures.advice


def test_an_arm_that_hardly_moves_or_moves_too_fast():
    good = recording()
    still = good.poses * [1.0, 0.01, 1.0, 1.0, 1.0, 1.0]
    (coverage,) = of(checked(recording(poses=still)), 'coverage')
    assert coverage.text.startswith('y:') and 'record motion along y' in coverage.advice
    fast = good.poses * [1.0, 8.0, 1.0, 1.0, 1.0, 1.0]
    (coverage,) = of(checked(recording(poses=fast)), 'coverage')
    assert coverage.text.startswith('y:') and 'slower' in coverage.advice


def test_damage_is_listed_and_every_line_can_be_read():
    findings = checked(recording(), problems=['two.mcap: damaged'])
    text = '\n'.join(lines(findings))
    assert 'warning damage     two.mcap: damaged' in text
    assert all(item.text and '\n' not in item.text for item in findings)
