# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recording what the planner does, read back by other programs than the one that wrote it."""

import resource
import shutil
import threading
import time

import numpy as np
from planner_rig import closed_plans, eventually, Gate, GOAL, iterations_written, START
import pytest
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.msg import PlanRecord, SearchCandidates, SearchIteration
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.history.bag import METADATA
from vjepa2_planner_ros.nodes import recorder

TYPES = {
    'search': SearchIteration,
    'search/candidates': SearchCandidates,
    'plan_record': PlanRecord,
}


def read(robot, path):
    """Return {topic below the planner: messages} of a bag, read by rosbags and by rclpy."""
    prefix = robot.planner.get_fully_qualified_name() + '/'
    messages = {}
    with Reader(path) as bag:
        for connection, _, data in bag.messages():
            assert connection.topic.startswith(prefix)
            messages.setdefault(connection.topic[len(prefix) :], []).append((connection, data))
    return {
        topic: [
            deserialize_message(data, TYPES[topic]) if topic in TYPES else data
            for _, data in items
        ]
        for topic, items in messages.items()
    }


def test_a_recording_holds_what_was_on_the_topics(robot, plans_folder, listen):
    live = listen(SearchIteration, 'planner/search')
    candidates = listen(SearchCandidates, 'planner/search/candidates')
    result = robot.plan(iterations=4, samples=60)
    eventually(lambda: len(live) == 4 and len(candidates) == 4)
    (path,) = closed_plans(plans_folder)
    assert path.name.endswith(result.plan_id.hex())
    recorded = read(robot, path)
    assert set(recorded) == {
        'search',
        'search/candidates',
        'goal_image',
        'model_input',
        'markers',
        'current_image',
        'plan_record',
    }
    assert recorded['search'] == live and recorded['search/candidates'] == candidates
    begun, record = recorded['plan_record']
    assert begun.outcome == '' and record.outcome == 'succeeded' and record.dropped == 0
    assert np.array_equal(record.command, result.command)
    assert (record.energy, record.start_energy) == (result.energy, result.start_energy)
    assert record.folder == path.name and record.model == 'toy'
    assert record.header.frame_id == 'panda_link0' and record.header.stamp == result.stamp
    assert np.allclose(
        [record.states[0].pose.position.x, record.states[0].gripper], START[[0, 6]], atol=1e-9
    )
    settings = {item.key: item.value for item in record.settings}
    assert (settings['cem.samples'], settings['cem.iterations']) == ('60', '4')


def test_pictures_are_those_of_the_goal_and_the_frame(robot, plans_folder):
    robot.plan(iterations=1)
    (path,) = closed_plans(plans_folder)
    images = {}
    with Reader(path) as bag:
        types = get_typestore(Stores.ROS2_HUMBLE)  # sensor_msgs/Image as the world knows it
        for connection, _, data in bag.messages():
            if connection.msgtype == 'sensor_msgs/msg/Image':
                images[connection.topic.rpartition('/')[2]] = types.deserialize_cdr(
                    data, connection.msgtype
                )
    for topic, state in (('goal_image', GOAL), ('model_input', START), ('current_image', START)):
        picture = images[topic].data.reshape(32, 32, 3)
        assert np.array_equal(picture, ToyWorldModel.picture(state)), topic
        assert images[topic].encoding == 'rgb8' and images[topic].header.frame_id == 'main'


def test_a_plan_that_fails_is_recorded_as_far_as_it_came(robot, plans_folder):
    robot.model.delay = 0.1
    with pytest.raises(PlanFailed):
        robot.plan(iterations=50, time_allowance=1.0)
    (path,) = closed_plans(plans_folder)
    recorded = read(robot, path)
    record = recorded['plan_record'][-1]
    assert record.outcome == 'aborted' and record.error_msg.startswith('time_allowance')
    assert 1 <= len(recorded['search']) < 50
    assert [item.iteration for item in recorded['search']] == [
        *range(1, len(recorded['search']) + 1)
    ]


def test_a_plan_is_written_when_it_is_over(robot, plans_folder, monkeypatch):
    monkeypatch.setattr(recorder, 'LATENESS', 600.0)
    with Gate(robot, at_end=True) as gate:
        future = robot.client.plan_async(ToyWorldModel.picture(GOAL), iterations=3)
        gate.reached()
        time.sleep(0.5)  # in which it could have been written
        assert not list(plans_folder.glob('*'))
    future.result(60.0)
    (path,) = closed_plans(plans_folder)
    assert len(read(robot, path)['search']) == 3


def test_a_plan_that_goes_on_is_written_all_the_same(robot, plans_folder):
    with Gate(robot, at_end=True) as gate:
        future = robot.client.plan_async(ToyWorldModel.picture(GOAL), iterations=3)
        gate.reached()
        eventually(lambda: [*map(iterations_written, plans_folder.glob('*'))] == [3])
    future.result(60.0)
    closed_plans(plans_folder)


def test_the_oldest_plans_make_room(robot, plans_folder):
    robot.planner.set_parameters([Parameter('history.max_plans', value=2)])
    ids = [robot.plan(iterations=1).plan_id.hex() for _ in range(4)]
    eventually(
        lambda: (
            [path.name.partition('_')[2] for path in sorted(plans_folder.glob('*'))] == ids[2:]
            and len(closed_plans(plans_folder, 2)) == 2
        )
    )
    robot.planner.set_parameters([Parameter('history.max_plans', value=1000)])


def test_what_was_left_open_is_closed_when_the_folder_is_used(robot, plans_folder, tmp_path):
    robot.plan(iterations=1)
    (first,) = closed_plans(plans_folder)
    other = tmp_path / 'other'
    left = other / f'20200101T000000.000000Z_{"ab" * 16}'
    shutil.copytree(first, left)
    (left / METADATA).unlink()
    robot.planner.set_parameters([Parameter('history.folder', value=str(other))])
    robot.plan(iterations=1)
    assert closed_plans(other, 2)[0] == left
    eventually(lambda: robot.logged(f"Recording '{left.name}' was left open and is closed now"))


def test_what_a_plan_takes_is_known(robot, plans_folder):
    robot.plan(iterations=2)
    (path,) = closed_plans(plans_folder)
    size = sum(file.stat().st_size for file in path.iterdir())
    eventually(lambda: robot.planner._recorder.last_size == size)


def test_nothing_is_recorded_unless_asked_for(robot, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    robot.plan(iterations=2)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_costs_no_plan(robot, tmp_path):
    folder = tmp_path / 'new'
    robot.planner.set_parameters([Parameter('history.folder', value=str(folder))])
    folder.write_text('')  # a file where the folder is to be; when it is set, one is refused
    result = robot.plan(iterations=9)
    eventually(lambda: robot.logged('A plan is not recorded: NotADirectoryError'))
    assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)
    robot.planner.set_parameters([Parameter('history.folder', value='')])
    robot.logs.clear()  # the shared robot logs no errors otherwise


def test_a_full_disk_leaves_no_folders_behind(robot, plans_folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # for files beyond that
    try:
        for _ in range(3):
            robot.plan(iterations=2, samples=5000)
        written = threading.Event()
        robot.planner._recorder.submit(written.set)
        assert written.wait(30.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(plans_folder.iterdir())
    robot.logs.clear()
    robot.plan(iterations=2)
    closed_plans(plans_folder)
