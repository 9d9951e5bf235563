# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset v3 as trajectories: folders in the layout of the lerobot package."""

import json
import sys

import numpy as np
import pyarrow as pa
from pyarrow import parquet
import pytest
import recordings
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.learning.datasets import open_dataset

RATE = 15
STEPS = 45  # of an episode
CAMERA = 'observation.images.exterior_1_left'
CHUNK = 'chunk-000/file-000'


def droid_columns(states):
    """Return the columns of the DROID data set, and the names of their numbers."""
    columns = {
        'observation.state.cartesian_position': states[:, :6],
        'observation.state.gripper_position': states[:, 6:],
        'observation.state': np.zeros((len(states), 8)),
    }
    return columns, {
        'observation.state.cartesian_position': {'axes': ['x', 'y', 'z', 'roll', 'pitch', 'yaw']},
        'observation.state.gripper_position': {'axes': ['gripper']},
        'observation.state': {'axes': [*(f'joint_{number}' for number in range(7)), 'gripper']},
    }


def so101_columns(states):
    """Return the columns of an SO-101 whose pose was added, and the names of their numbers."""
    turns = Rotation.from_euler('xyz', states[:, 3:6]).as_rotvec()
    gripper = 100.0 * (1.0 - states[:, 6:])
    names = ['ee.x', 'ee.y', 'ee.z', 'ee.wx', 'ee.wy', 'ee.wz', 'ee.gripper_pos']
    return {'observation.state': np.concatenate([states[:, :3], turns, gripper], axis=1)}, {
        'observation.state': names
    }


def states_of(episode):
    """Return the states [STEPS, 7] of an episode."""
    return np.array([recordings.state_at(episode + row / RATE) for row in range(STEPS)])


def rows_of(episode, columns_of):
    """Return the table of an episode."""
    columns, _ = columns_of(states_of(episode))
    lists = {
        name: pa.array(values.astype(np.float32).tolist()) for name, values in columns.items()
    }
    return pa.table(
        {
            **lists,
            'timestamp': pa.array((np.arange(STEPS) / RATE).astype(np.float32)),
            'frame_index': pa.array(np.arange(STEPS)),
            'episode_index': pa.array(np.full(STEPS, episode)),
            'index': pa.array(episode * STEPS + np.arange(STEPS)),
            'task_index': pa.array(np.zeros(STEPS, int)),
        }
    )


def info_of(columns_of, kind):
    """Return the content of meta/info.json."""
    columns, names = columns_of(states_of(0))
    features = {
        name: {'dtype': 'float32', 'shape': [values.shape[1]], 'names': names[name]}
        for name, values in columns.items()
    }
    features[CAMERA] = {
        'dtype': kind,
        'shape': [192, 256, 3],
        'names': ['height', 'width', 'channels'],
    }
    return {
        'codebase_version': 'v3.0',
        'fps': RATE,
        'features': features,
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
    }


def write_lerobot(folder, columns_of=droid_columns, episodes=2, files=1):
    """Write a data set with videos; episodes are in the first data file, or one in each."""
    (folder / 'meta/episodes/chunk-000').mkdir(parents=True)
    (folder / 'data/chunk-000').mkdir(parents=True)
    (folder / 'meta/info.json').write_text(json.dumps(info_of(columns_of, 'video')))
    tables = [rows_of(episode, columns_of) for episode in range(episodes)]
    parts = [pa.concat_tables(tables)] if files == 1 else tables
    for number, table in enumerate(parts):
        parquet.write_table(table, folder / f'data/chunk-000/file-{number:03d}.parquet')
    metas = []
    for episode in range(episodes):
        file = episode if files > 1 else 0
        metas.append(
            {
                'episode_index': episode,
                'length': STEPS,
                f'videos/{CAMERA}/chunk_index': 0,
                f'videos/{CAMERA}/file_index': file,
                f'videos/{CAMERA}/from_timestamp': 0.0 if files > 1 else episode * STEPS / RATE,
                'stats/timestamp/mean': [0.0],
            }
        )
    parquet.write_table(pa.Table.from_pylist(metas), folder / f'meta/episodes/{CHUNK}.parquet')
    numbers = [[100 * episode + row for row in range(STEPS)] for episode in range(episodes)]
    for number, group in enumerate([sum(numbers, [])] if files == 1 else numbers):
        path = folder / f'videos/{CAMERA}/chunk-000/file-{number:03d}.mp4'
        recordings.write_video(path, [recordings.picture_of(item) for item in group], RATE)
    return folder


def assert_is_episode(trajectory, episode):
    """Frames and states of a trajectory are those of an episode at its stamps."""
    for index in (0, 5, 3, len(trajectory) - 1):
        row = round(trajectory.stamps[index] * RATE)
        assert recordings.number_of(trajectory.frames[index]) == 100 * episode + row
        assert trajectory.states[index] == pytest.approx(states_of(episode)[row], abs=1e-5)


@pytest.mark.parametrize('columns_of', [droid_columns, so101_columns])
def test_episodes_are_found_in_shared_files(tmp_path, columns_of):
    found = open_dataset(write_lerobot(tmp_path / 'data', columns_of))
    assert found.problems == []
    assert [len(item) for item in found.trajectories] == [13, 13]
    for episode, trajectory in enumerate(found.trajectories):
        assert_is_episode(trajectory, episode)


def test_pictures_in_the_data_file(tmp_path):
    folder = write_lerobot(tmp_path / 'data')
    (folder / 'meta/info.json').write_text(json.dumps(info_of(droid_columns, 'image')))
    file = folder / f'data/{CHUNK}.parquet'
    table = parquet.read_table(file)
    pictures = [
        {'bytes': recordings.png(recordings.picture_of(100 * episode + row)).tobytes(), 'path': ''}
        for episode in range(2)
        for row in range(STEPS)
    ]
    parquet.write_table(table.append_column(CAMERA, pa.array(pictures)), file, row_group_size=32)
    found = open_dataset(folder)
    for episode, trajectory in enumerate(found.trajectories):
        assert_is_episode(trajectory, episode)


def test_columns_by_a_mapping(tmp_path):
    def columns_of(states):
        values = states.copy()
        values[:, :3] *= 1000.0
        values[:, 3:6] = np.degrees(values[:, 3:6])
        values[:, 6] = 85.0 - 85.0 * values[:, 6]
        return {'tool': values}, {'tool': None}

    folder = write_lerobot(tmp_path / 'data', columns_of)
    with pytest.raises(ValueError, match=r'which columns .* tool .* --mapping FILE'):
        open_dataset(folder)
    mapping = tmp_path / 'mapping.yaml'
    mapping.write_text(
        'position: "tool[0:3]"\nposition_unit: mm\nrotation: "tool[3, 4, 5]"\n'
        'rotation_unit: degrees\ngripper: "tool[6]"\ngripper_open: 85.0\ngripper_closed: 0.0\n'
    )
    for episode, trajectory in enumerate(open_dataset(folder, mapping=mapping).trajectories):
        assert_is_episode(trajectory, episode)
    mapping.write_text('pose: tool')
    with pytest.raises(ValueError, match=r"mapping = 'pose' in .*: allowed: picture, position"):
        open_dataset(folder, mapping=mapping)


def test_a_cut_video_and_a_damaged_table_cost_their_episodes_only(tmp_path):
    folder = write_lerobot(tmp_path / 'data', episodes=4, files=4)
    recordings.cut(folder / f'videos/{CAMERA}/chunk-000/file-001.mp4')
    table = folder / 'data/chunk-000/file-002.parquet'
    recordings.cut(table)
    found = open_dataset(folder)
    assert len(found.trajectories) == 2
    assert_is_episode(found.trajectories[0], 0)
    assert_is_episode(found.trajectories[1], 3)
    assert len(found.problems) == 2
    assert any('file-001.mp4' in text and 'episode 1' in text for text in found.problems)
    assert any(str(table) in text for text in found.problems)


@pytest.mark.parametrize('template', ['videos/{episode_chunk}/{episode_index}.mp4', 5])
def test_a_video_that_is_nowhere_is_said(tmp_path, template):
    folder = write_lerobot(tmp_path / 'set')
    info = json.loads((folder / 'meta' / 'info.json').read_text())
    (folder / 'meta' / 'info.json').write_text(json.dumps({**info, 'video_path': template}))
    with pytest.raises(ValueError, match='episode 0: meta does not say where its video is'):
        open_dataset(folder)


def test_a_video_that_is_cut_at_its_end_is_used_up_to_there(tmp_path):
    import av

    folder = write_lerobot(tmp_path / 'data')
    path = folder / f'videos/{CAMERA}/{CHUNK}.mp4'
    # The index at the start, so that a part of the file can be read.
    with av.open(str(path)) as source:
        moved = tmp_path / 'moved.mp4'
        with av.open(str(moved), 'w', options={'movflags': 'faststart'}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    path.write_bytes(moved.read_bytes())
    recordings.cut(path, 0.8)
    found = open_dataset(folder)
    first, second = found.trajectories
    assert (len(first), 1 < len(second) < 13) == (13, True)
    assert_is_episode(first, 0)
    for index in range(len(second)):
        second.frames[index]
    (problem,) = found.problems
    assert 'episode 1: its video has' in problem


def test_version_2_and_joint_angles_alone_are_refused_with_what_to_do(tmp_path):
    folder = write_lerobot(tmp_path / 'data')
    info = folder / 'meta/info.json'
    content = json.loads(info.read_text())
    info.write_text(json.dumps({**content, 'codebase_version': 'v2.1'}))
    with pytest.raises(ValueError, match='codebase_version = v2.1: .*convert_dataset_v21_to_v30'):
        open_dataset(folder)

    def joints(states):
        names = ['shoulder_pan.pos', 'gripper.pos']
        return {'observation.state': states[:, :2]}, {'observation.state': names}

    with pytest.raises(ValueError, match=r'shoulder_pan.pos.* forward kinematics'):
        open_dataset(write_lerobot(tmp_path / 'joints', joints))


@pytest.mark.parametrize('library', ['pyarrow.parquet', 'av'])
def test_a_missing_library_names_itself(tmp_path, monkeypatch, library):
    folder = write_lerobot(tmp_path / 'data')
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=f'pip install {library.split(".")[0]}'):
        open_dataset(folder)


def test_a_video_outside_of_the_data_set_is_not_read(tmp_path):
    folder = write_lerobot(tmp_path / 'data')
    (folder / 'videos').rename(tmp_path / 'videos')
    info = json.loads((folder / 'meta/info.json').read_text())
    info['video_path'] = f'../{info["video_path"]}'
    (folder / 'meta/info.json').write_text(json.dumps(info))
    with pytest.raises(ValueError, match="video_path = '../videos/.*: allowed: a path in the"):
        open_dataset(folder)


@pytest.mark.parametrize(
    'content',
    ['{}', '[1]', '{"codebase_version": "v3.0", "features": {"a": {}}}', '{"features": 3}', '{'],
)
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta/info.json').write_text(content)
    with pytest.raises(ValueError, match='meta/info.json: '):
        open_dataset(tmp_path)
