# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded plans, simulated episodes and clips as trajectories; what cannot be read."""

from geometry_msgs.msg import Point, Pose
import numpy as np
import pytest
from rclpy.serialization import serialize_message
import recordings
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.msg import EndEffectorState, PlanRecord
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.schemas import definition
from vjepa2_planner_ros.learning.datasets import open_dataset
from vjepa2_planner_ros.learning.recipes.episodes import episode_path, write_episode
from vjepa2_planner_ros.messages.images import to_image
from vjepa2_planner_ros.messages.states import quaternion_of_rpy
from vjepa2_planner_ros.messages.times import to_stamp


def write_plan(folder, number, run, states):
    """Write a recorded plan as the planner does: the record twice, and what the camera showed."""
    stamp = round((recordings.START + 2.0 * number) * 1e9)
    path = folder / f'20261129T0500{number:02d}.000000Z_{number:032x}'
    record = PlanRecord(run_id=UUID(uuid=list(run)))
    record.header.stamp = to_stamp(stamp)
    for state in states:
        x, y, z, *rpy = map(float, state[:6])
        pose = Pose(position=Point(x=x, y=y, z=z), orientation=quaternion_of_rpy(*rpy))
        record.states.append(EndEffectorState(pose=pose, gripper=float(state[6])))
    header = Header(stamp=to_stamp(stamp), frame_id='camera')
    picture = to_image(recordings.picture_of(number), header)
    writer = bag.BagWriter(path)
    for role, message in (
        ('plan_record', record),
        ('current_image', picture),
        ('goal_image', to_image(recordings.picture_of(99), header)),
        ('plan_record', record),
    ):
        kind = f'{type(message).__module__.partition(".")[0]}/msg/{type(message).__name__}'
        topic = bag.Topic(f'/planner/{role}', kind, role, False, definition(kind))
        writer.write(bag.Item(topic, stamp + 5, serialize_message(message)))
    writer.close()
    return path


def test_the_steps_of_a_run_in_the_history(tmp_path):
    states = [recordings.state_at(0.25 * number) for number in range(5)]
    run = bytes(range(16))
    for number in range(4):
        write_plan(tmp_path, number, run, states[max(number - 1, 0) : number + 1])
    write_plan(tmp_path, 7, bytes(16), states[4:])
    damaged = write_plan(tmp_path, 8, run, states[4:]) / 'plan_0.mcap'
    recordings.cut(damaged, 0.2)
    found = open_dataset(tmp_path)
    (trajectory,) = found.trajectories
    assert trajectory.states == pytest.approx(np.array(states[:4]), abs=1e-9)
    assert [recordings.number_of(trajectory.frames[index]) for index in range(4)] == [0, 1, 2, 3]
    assert np.diff(trajectory.stamps) == pytest.approx(2.0)
    assert any(str(damaged) in text for text in found.problems)
    assert any('1 plans belong to no run' in text for text in found.problems)


def test_simulated_episodes_and_a_damaged_one(tmp_path):
    states = np.array([recordings.state_at(0.25 * row) for row in range(6)])
    for seed in range(3):
        frames = np.stack([recordings.picture_of(10 * seed + row) for row in range(6)])
        write_episode(episode_path(tmp_path, seed), frames, states, np.zeros((6, 2, 2)))
    recordings.cut(episode_path(tmp_path, 1))
    found = open_dataset(tmp_path, period=0.25)
    assert [len(item) for item in found.trajectories] == [6, 6]
    assert recordings.number_of(found.trajectories[1].frames[5]) == 25
    assert found.trajectories[0].states == pytest.approx(states, abs=1e-6)
    (problem,) = found.problems
    assert 'episode_0000001.npz: damaged' in problem


def test_a_clip_as_the_notebooks_of_v_jepa_2_have_it(tmp_path):
    states = np.array([[recordings.state_at(0.25 * row) for row in range(2)]], np.float32)
    frames = np.stack([recordings.picture_of(row) for row in range(2)])[None]
    np.savez(tmp_path / 'clip.npz', observations=frames, states=states)
    (trajectory,) = open_dataset(tmp_path / 'clip.npz').trajectories
    assert trajectory.states == pytest.approx(states[0], abs=1e-6)
    assert [recordings.number_of(trajectory.frames[index]) for index in range(2)] == [0, 1]


def test_what_cannot_be_read_says_what_can(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file or folder'):
        open_dataset(tmp_path / 'nothing')
    (tmp_path / 'notes.txt').write_text('nothing')
    for source in (tmp_path, tmp_path / 'notes.txt'):
        with pytest.raises(ValueError, match='allowed: a bag of rosbag2 .* LeRobotDataset v3'):
            open_dataset(source)


@pytest.mark.parametrize(
    ('text', 'error'),
    [
        ('position: 3', 'position = 3: allowed: a text'),
        ('gripper_open: wide', "gripper_open = 'wide': allowed: a number"),
        ('position: p\nrotation: q', "gripper = '': allowed: a column"),
        ('colour: red', "mapping = 'colour' in .*: allowed: picture, position"),
        ('[1', 'allowed: YAML'),
    ],
)
def test_a_mapping_with_a_wrong_entry_is_refused_in_one_line(tmp_path, text, error):
    (tmp_path / 'm.yaml').write_text(text)
    with pytest.raises(ValueError, match=error):
        open_dataset(tmp_path, mapping=tmp_path / 'm.yaml')
