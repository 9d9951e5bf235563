# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of robomimic and raw episodes of DROID as trajectories."""

import json

import h5py
import numpy as np
import pytest
import recordings
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.cli.validate import main
from vjepa2_planner_ros.learning.datasets import open_dataset

STEPS = 40


def write_robomimic(path, demos=3, rate=20.0):
    """Write a file in the structure of robomimic's documentation."""
    with h5py.File(path, 'w') as file:
        data = file.create_group('data')
        data.attrs['total'] = demos * STEPS
        data.attrs['env_args'] = json.dumps(
            {'env_name': 'Lift', 'env_type': 1, 'env_kwargs': {'control_freq': rate}}
        )
        for demo in range(demos):
            states = np.array([recordings.state_at(demo + row / rate) for row in range(STEPS)])
            group = data.create_group(f'demo_{demo}')
            group.attrs['num_samples'] = STEPS
            group['actions'] = np.zeros((STEPS, 7))
            group['obs/robot0_eef_pos'] = states[:, :3]
            group['obs/robot0_eef_quat'] = Rotation.from_euler('xyz', states[:, 3:6]).as_quat()
            opening = 0.04 * (1.0 - states[:, 6])
            group['obs/robot0_gripper_qpos'] = np.stack([opening, -opening], axis=1)
            for camera, offset in (('agentview', 0), ('robot0_eye_in_hand', 1000)):
                group[f'obs/{camera}_image'] = np.stack(
                    [recordings.picture_of(offset + 100 * demo + row) for row in range(STEPS)]
                )
    return path


def write_droid(folder, steps=STEPS, rate=15.0, video=None):
    """Write an episode as DROID's recorder does: trajectory.h5, a video for each camera."""
    folder.mkdir()
    times = 1000.0 * (recordings.START + np.arange(steps) / rate)
    states = np.array([recordings.state_at(row / rate) for row in range(steps)])
    with h5py.File(folder / 'trajectory.h5', 'w') as file:
        file['observation/robot_state/cartesian_position'] = states[:, :6]
        file['observation/robot_state/gripper_position'] = states[:, 6]
        file['observation/timestamp/robot_state/read_start'] = times.astype(np.int64)
        file['action/cartesian_position'] = states[:, :6]
        for serial, kind in (('10000001', 0), ('20000002', 1)):
            file[f'observation/camera_type/{serial}'] = np.full(steps, kind)
            received = f'observation/timestamp/cameras/{serial}_frame_received'
            file[received] = (times + 30.0).astype(np.int64)
            file[f'observation/timestamp/cameras/{serial}_estimated_capture'] = times.astype(
                np.int64
            )
    for serial, offset in (('10000001', 1000), ('20000002', 0)):
        pictures = [recordings.picture_of(offset + row) for row in video or range(steps)]
        recordings.write_video(folder / f'recordings/MP4/{serial}.mp4', pictures, 60)
    return folder


@pytest.mark.parametrize(('camera', 'offset'), [('', 0), ('robot0_eye_in_hand_image', 1000)])
def test_demonstrations_of_robomimic(tmp_path, camera, offset):
    found = open_dataset(write_robomimic(tmp_path / 'demo.hdf5'), camera=camera)
    assert found.problems == []
    assert [item.source.rpartition(':')[2] for item in found.trajectories] == [
        'demo_0',
        'demo_1',
        'demo_2',
    ]
    for demo, trajectory in enumerate(found.trajectories):
        assert np.diff(trajectory.stamps) == pytest.approx(0.25, abs=0.051)  # the last one
        for index in range(len(trajectory)):
            row = round(20 * trajectory.stamps[index])
            assert recordings.number_of(trajectory.frames[index]) == offset + 100 * demo + row
            expected = recordings.state_at(demo + row / 20)
            assert trajectory.states[index] == pytest.approx(expected, abs=1e-6)


def test_a_demonstration_that_lacks_something_is_left_out_by_name(tmp_path):
    path = write_robomimic(tmp_path / 'demo.hdf5')
    with h5py.File(path, 'a') as file:
        del file['data/demo_1/obs/robot0_eef_pos']
    found = open_dataset(path)
    assert len(found.trajectories) == 2
    (problem,) = found.problems
    assert 'demo_1: obs lacks robot0_eef_pos' in problem


def test_names_in_a_file_command_no_terminal(tmp_path, capsys):
    path = write_robomimic(tmp_path / 'demo.hdf5')
    with h5py.File(path, 'a') as file:
        file['data'].move('demo_1', 'demo\x1b]0;title\x07')
        del file['data/demo\x1b]0;title\x07/obs/robot0_eef_pos']
    assert main([str(path), '--check-only']) == 0
    output = ''.join(capsys.readouterr())
    assert r'demo\x1b]0;title\x07' in output and '\x1b' not in output


def test_a_cut_file_is_named(tmp_path):
    good = write_robomimic(tmp_path / 'good.hdf5')
    bad = tmp_path / 'bad.hdf5'
    bad.write_bytes(good.read_bytes())
    recordings.cut(bad)
    with pytest.raises(ValueError, match='bad.hdf5: damaged'):
        open_dataset(bad)
    found = open_dataset(tmp_path)
    assert len(found.trajectories) == 3
    assert any('bad.hdf5' in text for text in found.problems)


def test_raw_episodes_of_droid_with_the_camera_that_is_not_on_the_hand(tmp_path):
    write_droid(tmp_path / 'one')
    (trajectory,) = open_dataset(tmp_path / 'one').trajectories
    assert len(trajectory) == 11
    for index in range(len(trajectory)):
        row = round(15 * (trajectory.stamps[index] - recordings.START))
        assert recordings.number_of(trajectory.frames[index]) == row
        assert trajectory.states[index] == pytest.approx(recordings.state_at(row / 15), abs=2e-3)
    (wrist,) = open_dataset(tmp_path / 'one', camera='10000001').trajectories
    assert recordings.number_of(wrist.frames[0]) == 1000
    with pytest.raises(ValueError, match="camera = '3': allowed: 10000001, 20000002"):
        open_dataset(tmp_path / 'one', camera='3')


def test_a_video_with_times_of_its_own(tmp_path):
    """The recorder of the pictures ran at another rate: its file of times tells which is which."""
    episode = write_droid(tmp_path / 'one', video=range(0, 4 * STEPS))
    beside = episode / 'recordings/MP4/20000002_timestamps.json'
    first = 1000.0 * recordings.START + 30.0
    own = [int(first + 1000.0 * number / 60.0) for number in range(4 * STEPS)]
    beside.write_text(json.dumps(own))
    (trajectory,) = open_dataset(episode).trajectories
    for index in range(len(trajectory)):
        row = round(15 * (trajectory.stamps[index] - recordings.START))
        assert recordings.number_of(trajectory.frames[index]) == pytest.approx(4 * row, abs=1)


def test_a_cut_video_costs_its_episode_only(tmp_path):
    write_droid(tmp_path / 'one')
    write_droid(tmp_path / 'two')
    recordings.cut(tmp_path / 'two/recordings/MP4/20000002.mp4')
    found = open_dataset(tmp_path)
    assert len(found.trajectories) == 1
    (problem,) = found.problems
    assert 'two/recordings/MP4/20000002.mp4: damaged' in problem


@pytest.mark.parametrize('name', ['data', 'data/demo_0', 'data/demo_0/obs', 'data/demo_0/obs/x/y'])
def test_a_file_of_another_layout_is_refused_by_name(tmp_path, name):
    with h5py.File(tmp_path / 'odd.hdf5', 'w') as file:
        file[name] = 3
    with pytest.raises(ValueError, match='odd.hdf5'):
        open_dataset(tmp_path / 'odd.hdf5')
