# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of rosbag2 as trajectories."""

from argparse import Namespace
from contextlib import closing
import re
import shutil
import sqlite3

import numpy as np
import pytest
import recordings
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.cli import calibrate, validate
from vjepa2_planner_ros.cli.recordings import open_recording
from vjepa2_planner_ros.learning.datasets import open_dataset
from vjepa2_planner_ros.learning.datasets.check import check
import yaml

PERIOD = 0.25
FASTEST = 0.3  # of the drive's angles, a second


def assert_follows_the_drive(trajectory, rate=30.0, period=PERIOD, skew=0.0):
    """
    Every frame is the one of its stamp, and its state that of the arm at that time.

    :param skew: time [s] by which a state may be older or younger.
    """
    times = trajectory.stamps - recordings.START
    for index, time in enumerate(times):
        assert recordings.number_of(trajectory.frames[index]) == pytest.approx(
            time * rate, abs=0.1
        )
    expected = np.array([recordings.state_at(time) for time in times])
    assert trajectory.states == pytest.approx(expected, abs=0.02 + FASTEST * skew)
    assert np.diff(times) == pytest.approx(period, abs=2.0 / 3.0 * period)


@pytest.mark.parametrize(
    ('storage', 'compression', 'picture'),
    [
        ('mcap', None, recordings.image),
        ('mcap', 'STORAGE', recordings.compressed_image),
        ('mcap', 'MESSAGE', recordings.image),
        ('mcap', 'FILE', recordings.image),
        ('sqlite3', None, recordings.compressed_image),
        ('sqlite3', 'MESSAGE', recordings.image),
        ('sqlite3', 'FILE', recordings.image),
    ],
)
def test_a_bag_of_each_storage_and_compression(tmp_path, storage, compression, picture):
    messages = recordings.drive(picture=picture)
    bag = recordings.write_bag(tmp_path / 'drive', messages, storage, compression)
    found = open_dataset(bag, period=PERIOD)
    (trajectory,) = found.trajectories
    assert found.problems == []
    assert len(trajectory) == 21  # the last one is a thirtieth of a second before its place
    assert len(trajectory.frames) == len(trajectory.stamps) == 21
    assert_follows_the_drive(trajectory)


def test_names_of_a_robot_by_the_file_that_starts_its_planner(tmp_path):
    """Topics, camera, gripper, frames and the tool: everything is another than the default."""
    offset = np.array([0.0, 0.0, 0.12, 0.0, 0.0, 0.5])
    messages = [
        item
        for item in recordings.drive(picture=recordings.compressed_image, frames='/left/jpeg')
        if item[1] == '/left/jpeg'
    ]
    messages += [
        (time, '/right/image', recordings.image(time, recordings.picture_of(7)))
        for time in np.arange(0.0, 5.0, 0.1)
    ]
    fixed = {('world', 'base'): np.array([0.1, 0.2, 0.3, 0.4, -0.5, 0.6])}
    messages.append((0.0, '/tf_static', recordings.transforms(0.0, fixed)))
    fixed = {('base', 'camera'): np.array([1.0, 0.1, 0.6, 0.3, 0.2, 0.1])}
    messages.append((0.1, '/tf_static', recordings.transforms(0.1, fixed)))
    messages.append((0.2, '/left/camera_info', recordings.camera_info(0.2, 'camera')))
    for time in np.arange(0.0, 5.0, 0.02):
        frames = chain_to(recordings.state_at(time), offset)
        messages.append((time, '/tf', recordings.transforms(time, frames)))
        knuckle = 0.8 * recordings.state_at(time)[6]
        names = ['shoulder', 'knuckle']
        messages.append((time, '/joint_states', recordings.joints(time, names, [1.0, knuckle])))
    bag = recordings.write_bag(tmp_path / 'drive', messages)
    params = tmp_path / 'robot.yaml'
    params.write_text(
        '/**:\n  ros__parameters:\n    base_frame: arm_base\n    base_frame_aliases: [base]\n'
        '    ee_frame: flange\n    tool_offset: [0.0, 0.0, 0.12, 0.0, 0.0, 0.5]\n'
        '    cameras: [left, right]\n    camera:\n      left:\n        topic: /left/jpeg\n'
        '        compressed: true\n      right:\n        topic: /right/image\n    gripper:\n'
        '      topic: /joint_states\n      joint: knuckle\n      open_position: 0.0\n'
        '      closed_position: 0.8\n'
    )
    (trajectory,) = open_dataset(bag, period=PERIOD, params=params).trajectories
    assert_follows_the_drive(trajectory)
    camera = trajectory.camera
    assert camera.intrinsics == (300.0, 310.0, 128.0, 96.0)
    assert camera.pose == pytest.approx([1.0, 0.1, 0.6, 0.3, 0.2, 0.1])
    (other,) = open_dataset(bag, period=PERIOD, params=params, camera='right').trajectories
    assert recordings.number_of(other.frames[3]) == 7


def chain_to(state, offset):
    """Return {(parent, child): pose} of a moving arm whose tool is at a state."""
    turn = Rotation.from_euler('xyz', state[3:6]) * Rotation.from_euler('xyz', offset[3:]).inv()
    flange = state[:3] - turn.apply(offset[:3])
    elbow = np.array([0.2, 0.1, 0.4, 0.3 * state[0], 0.0, state[1]])
    back = Rotation.from_euler('xyz', elbow[3:]).inv()
    last = np.concatenate([back.apply(flange - elbow[:3]), (back * turn).as_euler('xyz')])
    return {('base', 'elbow'): elbow, ('elbow', 'flange'): last}


def test_a_topic_that_is_not_there_is_named_with_those_that_are(tmp_path):
    messages = recordings.drive(1.0, frames='/left/image')
    messages += [(0.1, '/right/image', recordings.image(0.1, recordings.picture_of(0)))]
    bag = recordings.write_bag(tmp_path / 'drive', messages)
    with pytest.raises(
        ValueError, match="camera.main.topic = '~/image': .*/left/image, /right/image.* --camera"
    ):
        open_dataset(bag)
    assert open_dataset(bag, camera='/left/image').trajectories
    with pytest.raises(ValueError, match="camera = '/front': allowed: .*/left/image"):
        open_dataset(bag, camera='/front')


def test_a_gap_ends_a_trajectory_and_old_states_are_not_taken(tmp_path):
    """As the live planner: no frame within a third of the period, no pose within max_skew."""
    messages = [
        item
        for item in recordings.drive(8.0)
        if not (item[1] == '/image' and 2.0 < item[0] < 3.0)
        and not (item[1] == '/pose' and 5.0 < item[0] < 6.0)
    ]
    assert recordings.state_at(5.0) != pytest.approx(recordings.state_at(5.25), abs=0.02)
    bag = recordings.write_bag(tmp_path / 'drive', messages)
    found = open_dataset(bag, period=PERIOD).trajectories
    for trajectory in found:
        assert_follows_the_drive(trajectory, skew=0.25)
    spans = [item.stamps[[0, -1]] - recordings.START for item in found]
    assert np.array(spans) == pytest.approx(
        np.array([[0.0, 2.0], [3.0, 5.25], [5.75, 8.0]]), abs=0.1
    )
    assert found[1].first == pytest.approx(61, abs=1)


def test_a_camera_whose_clock_differs_loses_nothing(tmp_path):
    """At 3.9 frames a second the grid of the model's 4 is left behind, not the recording cut."""
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(30.0, rate=3.9))
    (trajectory,) = open_dataset(bag, period=PERIOD).trajectories
    assert len(trajectory) == 117
    assert np.diff(trajectory.stamps) == pytest.approx(1.0 / 3.9, abs=1e-6)


def test_a_model_of_another_period(tmp_path):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive())
    (trajectory,) = open_dataset(bag, period=0.1).trajectories
    assert len(trajectory) == 51
    assert_follows_the_drive(trajectory, period=0.1)


def test_a_damaged_file_is_named_and_the_others_are_used(tmp_path):
    for name in ('one', 'three', 'two'):
        recordings.write_bag(tmp_path / name, recordings.drive(3.0), 'sqlite3')
    (damaged,) = (tmp_path / 'two').glob('*.db3')
    recordings.cut(damaged, 0.3)
    found = open_dataset(tmp_path, period=PERIOD)
    assert [item.source for item in found.trajectories] == [
        f'{tmp_path / name}:/image' for name in ('one', 'three')
    ]
    assert any(str(damaged) in text for text in found.problems)
    with pytest.raises(ValueError, match=str(damaged)):
        open_dataset(tmp_path / 'two')


@pytest.mark.parametrize('compression', [None, 'STORAGE', 'FILE'])
def test_an_mcap_file_that_was_not_closed_is_used_up_to_its_end(tmp_path, compression):
    """As a recorder leaves it that is killed, or that loses its power."""
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(5.0), 'mcap', compression)
    (file,) = bag.glob('*.mcap*')
    recordings.cut(file)
    (bag / 'metadata.yaml').unlink()
    found = open_dataset(bag, period=PERIOD)
    (trajectory,) = found.trajectories
    assert 9 <= len(trajectory) <= 13  # of 21
    assert_follows_the_drive(trajectory)
    problem = found.problems[-1]
    assert problem.startswith(f'{file}: it was not closed') and 'messages up to its end' in problem
    assert list(bag.iterdir()) == [file]


def test_what_a_killed_recorder_left_in_the_log_of_sqlite3_is_used(tmp_path):
    """As with the preset "resilient": what came last is in a file beside the .db3."""
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(3.0), 'sqlite3')
    (file,) = bag.glob('*.db3')
    with closing(sqlite3.connect(file)) as recorder:
        rows = recorder.execute('SELECT * FROM messages ORDER BY id').fetchall()
        recorder.execute('DELETE FROM messages WHERE id > ?', (len(rows) // 2,))
        recorder.commit()
        recorder.execute('PRAGMA journal_mode = WAL')
        recorder.execute('PRAGMA wal_autocheckpoint = 0')
        marks = ','.join('?' * len(rows[0]))
        recorder.executemany(f'INSERT INTO messages VALUES ({marks})', rows[len(rows) // 2 :])
        recorder.commit()
        shutil.copytree(bag, tmp_path / 'killed')
    before = {item.name: item.read_bytes() for item in (tmp_path / 'killed').iterdir()}
    found = open_dataset(tmp_path / 'killed', period=PERIOD)
    (trajectory,) = found.trajectories
    assert len(trajectory) == 13
    assert_follows_the_drive(trajectory)
    (problem,) = found.problems
    assert 'it was not closed' in problem and f'{file.name}-wal is used too' in problem
    assert {item.name: item.read_bytes() for item in (tmp_path / 'killed').iterdir()} == before
    (tmp_path / 'killed' / f'{file.name}-wal').write_bytes(b'no log at all')
    assert len(open_dataset(tmp_path / 'killed', period=PERIOD).trajectories[0]) < 13


def test_an_mcap_file_of_which_nothing_is_left_is_named(tmp_path):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(1.0))
    (file,) = bag.glob('*.mcap')
    for length in (0, 5, 200):
        file.write_bytes(file.read_bytes()[:length])
        with pytest.raises(ValueError, match=f'{file}: .* ros2 bag reindex or mcap recover'):
            open_dataset(bag)


def test_a_damaged_file_of_a_recording_in_several(tmp_path):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(3.0))
    (bag / 'drive_1.mcap').write_bytes(b'no bag at all')
    metadata = bag / 'metadata.yaml'
    content = yaml.safe_load(metadata.read_text())
    content['rosbag2_bagfile_information']['relative_file_paths'].append('drive_1.mcap')
    metadata.write_text(yaml.safe_dump(content))
    found = open_dataset(bag, period=PERIOD)
    assert len(found.trajectories) == 1
    (problem,) = found.problems
    assert str(bag / 'drive_1.mcap') in problem


def test_a_recorder_whose_clock_is_set_back_loses_no_poses(tmp_path):
    """Bags in several files go back in time between two of them."""
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(3.0))
    earlier = recordings.write_bag(tmp_path / 'earlier', recordings.drive(2.0))
    (part,) = earlier.glob('*.mcap')
    part.rename(bag / 'a_earlier.mcap')
    (bag / 'metadata.yaml').unlink()
    (bag / 'drive.mcap').rename(bag / '0_first.mcap')
    found = open_dataset(bag, period=PERIOD)
    (recording,) = found.recordings
    assert len(recording.pose_stamps) == 500 and len(recording.gripper_stamps) == 100


def test_a_frame_whose_parent_changes_is_told_and_never_mixed(tmp_path):
    messages = [item for item in recordings.drive(4.0) if item[1] != '/pose']
    other = np.array([0.2, 0.3, 0.1, 1.0, 1.0, 1.0])
    for time in np.arange(0.0, 4.0, 0.02):
        frames = {('elsewhere', 'flange'): other}
        if time > 1.5:
            frames = {('base', 'flange'): recordings.state_at(time)[:6]}
        messages.append((time, '/tf', recordings.transforms(time, frames)))
    bag = recordings.write_bag(tmp_path / 'drive', messages)
    params = tmp_path / 'robot.yaml'
    params.write_text(
        '/**: {ros__parameters: {base_frame: base, ee_frame: flange, '
        'camera: {main: {topic: /image}}, gripper: {topic: /gripper}}}'
    )
    found = open_dataset(bag, period=PERIOD, params=params)
    (trajectory,) = found.trajectories
    assert_follows_the_drive(trajectory, skew=0.25)
    (problem,) = found.problems
    assert problem.startswith('/tf: flange had more than one parent')


def test_damaged_messages_and_pictures_are_left_out(tmp_path):
    messages = recordings.drive(3.0, picture=recordings.compressed_image)
    kind, broken = recordings.compressed_image(1.01, recordings.picture_of(0))
    broken.data = np.frombuffer(b'no picture at all', np.uint8)
    messages.append((1.01, '/image', (kind, broken)))
    found = open_dataset(recordings.write_bag(tmp_path / 'drive', messages), period=PERIOD)
    (trajectory,) = found.trajectories
    assert_follows_the_drive(trajectory)
    (problem,) = found.problems
    assert 'at 1700000001.010 s: image.data starts with' in problem


def test_a_bag_without_its_metadata(tmp_path):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(2.0))
    (bag / 'metadata.yaml').unlink()
    found = open_dataset(bag, period=PERIOD)
    assert len(found.trajectories) == 1
    (problem,) = found.problems
    assert 'ros2 bag reindex' in problem


def test_a_stream_that_was_not_recorded_is_named(tmp_path):
    for wanted, parameter in (
        ('/image', 'camera.main.topic'),
        ('/pose', 'pose_topic'),
        ('/gripper', 'gripper.topic'),
    ):
        messages = [item for item in recordings.drive(0.2) if item[1] != wanted]
        bag = recordings.write_bag(tmp_path / wanted[1:], messages)
        with pytest.raises(ValueError, match=f'^{parameter} = .* none is there, but .*record one'):
            open_dataset(bag)
    with pytest.raises(ValueError, match='none is there, but nothing; record one'):
        open_dataset(recordings.write_bag(tmp_path / 'empty', []))
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(0.2))
    (tmp_path / 'robot.yaml').write_text('/**:\n  ros__parameters:\n    ee_frame: hand\n')
    with pytest.raises(ValueError, match="ee_frame = 'hand': .*record /tf and /tf_static"):
        open_dataset(bag, params=tmp_path / 'robot.yaml')


def test_the_same_fault_of_many_messages_is_told_once(tmp_path):
    messages = [item for item in recordings.drive(2.0) if item[1] != '/image']
    picture = recordings.picture_of(0)
    messages += [
        (time, '/image', recordings.image(time, picture, '16UC1'))
        for time in np.arange(0.0, 2.0, 0.1)
    ]
    found = open_dataset(recordings.write_bag(tmp_path / 'drive', messages), period=PERIOD)
    first, count = found.problems
    assert "image.encoding = '16UC1'" in first
    assert count == '/image: 20 messages like that in all, left out'
    findings = check(found, (0.075,) * 7)
    wrong = {item.subject for item in findings if item.severity == 'error'}
    assert wrong == {'rates', 'pictures', 'windows'}


def test_a_gripper_in_millimetres_is_told_as_it_was_recorded(tmp_path):
    messages = [item for item in recordings.drive(2.0) if item[1] != '/gripper']
    messages += [
        (time, '/gripper', recordings.joints(time, ['panda_finger_joint1'], [80.0 - 10.0 * time]))
        for time in np.arange(0.0, 2.05, 0.1)
    ]
    found = open_dataset(recordings.write_bag(tmp_path / 'drive', messages), period=PERIOD)
    (gripper,) = [item for item in check(found, (0.075,) * 7) if item.subject == 'gripper']
    assert gripper.severity == 'error'
    assert 'recorded were 60 to 80, where open is 0.04 and closed 0' in gripper.text


def test_one_file_of_a_bag_and_one_that_is_not_there(tmp_path):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(1.0), 'mcap', 'FILE')
    (file,) = bag.glob('*.zstd')
    assert open_dataset(file).trajectories
    file.unlink()
    with pytest.raises(ValueError, match=f'{file}: it is missing, though'):
        open_dataset(bag)


@pytest.mark.parametrize(
    'text, line',
    [
        (
            '/**: {ros__parameters: {ee_frme: hand}}',
            "ee_frme = 'hand' in .*, the nearest is ee_fr",
        ),
        ('/**: {ros__parameters: {search: {horizn: 2}}}', 'search.horizn = 2 .* search.horizon'),
        ('/left/planer: {ros__parameters: {}}', "node = '/left/planer' in .*nearest is /planner"),
        ('pose_topic: /pose', "pose_topic = '/pose' in .* the file begins with"),
    ],
)
def test_a_params_file_with_which_no_planner_starts_is_refused(tmp_path, capsys, text, line):
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(0.5))
    params = tmp_path / 'robot.yaml'
    params.write_text(text)
    for command in (validate, calibrate):
        options = ['--check-only'] if command is validate else []
        assert command.main([str(bag), '--params', str(params), *options]) == 1
        assert re.match(line, capsys.readouterr().err)


def test_a_params_file_of_a_namespace_and_several_nodes_is_taken(tmp_path):
    params = tmp_path / 'robot.yaml'
    params.write_text(
        'left:\n  planner: {ros__parameters: {pose_topic: /elsewhere}}\n'
        '  controller: {ros__parameters: {rate: 20.0}}\n'
        '  simulation: {ros__parameters: {seed: 4}}\n'
    )
    bag = recordings.write_bag(tmp_path / 'drive', recordings.drive(0.5))
    options = Namespace(data=bag, params=params, camera='', mapping=None)
    with pytest.raises(ValueError, match="pose_topic = '/elsewhere'"):
        open_recording(options, PERIOD)
