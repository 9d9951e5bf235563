# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services and replay of recorded plans, over real DDS."""

import os
import signal
import subprocess
import sys
import threading
import time

from action_msgs.msg import GoalStatus
import numpy as np
from older_recording import to_older, to_without_run
from planner_rig import (
    closed_plans,
    eventually,
    GOAL,
    iterations_written,
    send_goal,
    START,
    to_image,
    to_state_message,
)
import pytest
import rclpy
from rclpy.action import ActionClient
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from tools.toy_world_model import ToyWorldModel
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ReplayPlan
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration
from vjepa2_interfaces.srv import DeletePlan, GetPlan, ListPlans
from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.recorded import load
from vjepa2_planner_ros.history.schemas import definition
from vjepa2_planner_ros.history.topics import RECORD, type_name
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.process import free_domain, spinning

# Sends a slow replay to a planner in the namespace that is given.
ENDLESS_REPLAY = """
import sys
import rclpy
from rclpy.action import ActionClient
from vjepa2_interfaces.action import ReplayPlan

rclpy.init()
node = rclpy.create_node('doomed', namespace=sys.argv[1])
client = ActionClient(node, ReplayPlan, 'planner/replay_plan')
client.wait_for_server()
client.send_goal_async(ReplayPlan.Goal(plan='latest', rate=0.01))
rclpy.spin(node)
"""
SERVICES = {'list_plans': ListPlans, 'get_plan': GetPlan, 'delete_plan': DeletePlan}


@pytest.fixture
def call(robot):
    """Return a function that calls a service of the shared planner."""
    clients = {
        name: robot.node.create_client(kind, f'planner/{name}') for name, kind in SERVICES.items()
    }

    def ask(name, **fields):
        assert clients[name].wait_for_service(60.0)
        future = clients[name].call_async(SERVICES[name].Request(**fields))
        eventually(future.done)
        return future.result()

    yield ask
    for client in clients.values():
        robot.node.destroy_client(client)


@pytest.fixture
def replays(robot):
    """Return a function that sends a ReplayPlan goal and returns its handle."""
    client = ActionClient(robot.node, ReplayPlan, 'planner/replay_plan')
    assert client.wait_for_server(60.0)

    def send(feedback=None, **fields):
        return send_goal(robot.node, client, ReplayPlan.Goal(**fields), feedback)

    yield send
    client.destroy()


def end_of(handle):
    """Return (status, Result) of a goal."""
    future = handle.get_result_async()
    eventually(future.done)
    return future.result().status, future.result().result


def test_recordings_are_listed_got_and_deleted(robot, plans_folder, listen, call):
    live, candidates = (
        listen(SearchIteration, 'planner/search'),
        listen(SearchCandidates, 'planner/search/candidates'),
    )
    first = robot.plan(iterations=2, samples=30)
    second = robot.plan(iterations=3, samples=20)
    folders = closed_plans(plans_folder, 2)
    eventually(lambda: len(live) == 5 and len(candidates) == 5)
    answer = call('list_plans')
    assert answer.success and not answer.message
    assert [plan.folder for plan in answer.plans] == [path.name for path in folders[::-1]]
    assert [plan.energy for plan in answer.plans] == [second.energy, first.energy]
    assert len(call('list_plans', limit=1).plans) == 1
    answer = call('get_plan', plan=first.plan_id.hex()[:6])
    assert answer.success, answer.message
    assert bytes(answer.record.plan_id.uuid) == first.plan_id
    assert answer.iterations == live[:2] and answer.candidates == candidates[:2]
    pixels = np.frombuffer(answer.goal_image.data, np.uint8).reshape(32, 32, 3)
    assert np.array_equal(pixels, ToyWorldModel.picture(GOAL))
    assert call('delete_plan', plan=folders[0].name).success
    assert [plan.folder for plan in call('list_plans').plans] == [folders[1].name]
    assert not folders[0].exists()
    answer = call('get_plan', plan=folders[0].name)
    assert not answer.success and folders[0].name in answer.message
    answer = call('delete_plan', plan='../..')
    assert not answer.success and "plan = '../..'" in answer.message


def test_a_recording_with_older_definitions_is_left_out(robot, plans_folder, call):
    older, newer = (robot.plan(iterations=2, samples=30) for _ in range(2))
    folders = closed_plans(plans_folder, 2)
    to_older(folders[0])
    answer = call('list_plans')
    assert answer.success and [plan.folder for plan in answer.plans] == [folders[1].name]
    eventually(
        lambda: robot.logged(f"1 recordings are not listed, the first is '{folders[0].name}'")
    )
    answer = call('get_plan', plan=folders[0].name)
    assert not answer.success and 'another definition' in answer.message


def test_a_recording_from_before_there_were_runs_is_answered(robot, plans_folder, call):
    plan = robot.plan(iterations=2, samples=30)
    (folder,) = closed_plans(plans_folder)
    before = call('get_plan', plan='latest')
    to_without_run(folder)
    after = call('get_plan', plan='latest')
    assert after.success and after == before and after.record.energy == plan.energy
    assert call('list_plans').plans == [before.record]


def test_services_say_that_recording_is_off(robot, call, replays):
    for name, fields in (
        ('list_plans', {}),
        ('get_plan', {'plan': 'latest'}),
        ('delete_plan', {'plan': 'latest'}),
    ):
        answer = call(name, **fields)
        assert not answer.success and 'history.folder' in answer.message
    status, result = end_of(replays(plan='latest'))
    assert status == GoalStatus.STATUS_ABORTED
    assert not result.success and 'history.folder' in result.message


def test_a_replay_is_what_was_live(robot, plans_folder, listen, replays):
    everything = [
        listen(kind, topic)
        for kind, topic in (
            (SearchIteration, 'planner/search'),
            (SearchCandidates, 'planner/search/candidates'),
            (MarkerArray, 'planner/markers'),
            (Image, 'planner/model_input'),
        )
    ]
    robot.plan(iterations=4, samples=30)
    eventually(lambda: [len(heard) for heard in everything] == [4, 4, 5, 1])
    closed_plans(plans_folder)
    live = [heard[:] for heard in everything]
    for heard in everything:
        heard.clear()
    feedback = []
    status, result = end_of(
        replays(
            plan='latest', rate=10.0, feedback=lambda message: feedback.append(message.feedback)
        )
    )
    assert status == GoalStatus.STATUS_SUCCEEDED and result.success and result.iterations == 4
    eventually(lambda: everything == live)
    # rclpy's client drops feedback that is still on its way when the result arrives.
    assert (
        feedback
        and [(item.iteration, item.iterations_total) for item in feedback]
        == [(1, 4), (2, 4), (3, 4), (4, 4)][: len(feedback)]
    )


def test_a_replay_keeps_time_and_is_cancelled(robot, plans_folder, listen, replays):
    heard = listen(SearchIteration, 'planner/search')
    robot.model.delay = 0.1
    robot.plan(iterations=4, samples=30)
    robot.model.delay = 0.0
    eventually(lambda: len(heard) == 4)
    closed_plans(plans_folder)
    took = heard[-1].elapsed
    began = time.monotonic()
    assert end_of(replays(plan='latest'))[1].success
    assert time.monotonic() - began >= 0.9 * took
    older = replays(plan='latest', rate=0.01)
    eventually(robot.planner._history._replaying.locked)
    handle = replays(plan='latest', rate=0.01)
    status, result = end_of(older)
    assert status == GoalStatus.STATUS_ABORTED and result.message == 'a newer replay took over'
    cancelling = handle.cancel_goal_async()
    eventually(cancelling.done)
    status, result = end_of(handle)
    assert status == GoalStatus.STATUS_CANCELED
    assert not result.success and result.message == 'cancelled' and result.iterations < 4
    assert end_of(replays(plan='latest', rate=100.0))[1].success  # the next one is served


@pytest.mark.slow
def test_a_replay_of_a_killed_client_keeps_no_other_from_beginning(robot, plans_folder, replays):
    robot.model.delay = 0.1  # at a hundredth of the speed it takes 40 s
    robot.plan(iterations=4, samples=30)
    robot.model.delay = 0.0
    closed_plans(plans_folder)
    space = robot.node.get_namespace()
    process = subprocess.Popen([sys.executable, '-c', ENDLESS_REPLAY, space], env=os.environ)
    eventually(robot.planner._history._replaying.locked)
    process.kill()
    process.wait()
    assert end_of(replays(plan='latest', rate=1e3))[1].success  # DDS still counts both clients


@pytest.mark.parametrize('rate', (-1.0, 1e-9, float('nan'), float('inf')))
def test_a_rate_that_means_nothing_is_refused_by_name(robot, plans_folder, replays, rate):
    status, result = end_of(replays(plan='latest', rate=rate))
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == f'rate = {rate}: allowed: 0.01 or more, or 0 for 1'


def test_a_replay_while_a_plan_is_made_leaves_it_alone(robot, plans_folder, replays):
    robot.plan(iterations=4)
    closed_plans(plans_folder)
    robot.model.delay = 0.02
    pending = robot.client.plan_async(ToyWorldModel.picture(GOAL), iterations=9)
    assert end_of(replays(plan='latest'))[1].success
    assert np.allclose(pending.result(60.0).command[:3], (GOAL - START)[:3], atol=5e-3)


def start_toy(domain, folder):
    """Start a planner with the toy model as a process that records into folder/history."""
    return subprocess.Popen(
        [
            sys.executable,
            '-m',
            'tools.soak.server',
            '--ros-args',
            '-p',
            f'history.folder:={folder / "history"}',
            '-p',
            'model:=toy',
        ],
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder)},
    )


@pytest.fixture
def doomed(tmp_path):
    """
    Return (process, node, client) of a planner with the toy model that may be killed.

    In a domain of their own: a process that was killed stays in DDS for 20 s and swallows goals,
    and in shared memory, where later ones that Fast DDS gives its ports may crash (Fast-DDS#6501).
    """
    domain, context = free_domain(), rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node('client', context=context)
    process = start_toy(domain, tmp_path)
    with spinning(node), PlannerClient(node) as client:
        yield process, node, client
        process.kill()
        process.wait()
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.slow
def test_a_planner_ends_in_the_middle_of_a_replay(doomed, tmp_path):
    process, node, client = doomed
    assert client.wait_until_ready(120.0)
    client.plan(
        ToyWorldModel.picture(GOAL),
        timeout=60.0,
        iterations=100,
        current_image=to_image(ToyWorldModel.picture(START)),
        start_state=to_state_message(START),
    )
    closed_plans(tmp_path / 'history')
    replaying = ActionClient(node, ReplayPlan, 'planner/replay_plan')
    assert replaying.wait_for_server(60.0)
    seen = []
    send_goal(node, replaying, ReplayPlan.Goal(plan='latest', rate=0.01), seen.append)
    eventually(lambda: seen)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10.0) == 0
    # Else clients take it for alive for 20 s, DDS's lease, and send their goals to it.
    eventually(lambda: not replaying.server_is_ready(), timeout=10.0)
    replaying.destroy()


@pytest.mark.slow
def test_a_killed_planner_leaves_its_recordings(doomed, tmp_path, make_robot):
    process, _, client = doomed
    assert client.wait_until_ready(120.0)
    fields = {
        'current_image': to_image(ToyWorldModel.picture(START)),
        'start_state': to_state_message(START),
    }
    whole = client.plan(ToyWorldModel.picture(GOAL), timeout=60.0, iterations=3, **fields)
    folder = tmp_path / 'history'
    closed_plans(folder)
    client.plan_async(
        ToyWorldModel.picture(GOAL), optimizer='cem', samples=16384, iterations=100, **fields
    )
    # Hidden is a recording that is not locked yet.
    eventually(lambda: any(map(iterations_written, sorted(folder.glob('[!.]*'))[1:])))
    process.send_signal(signal.SIGKILL)
    process.wait()
    first, last = sorted(folder.glob('[!.]*'))
    assert load(first).record.outcome == 'succeeded'
    assert bytes(load(first).record.plan_id.uuid) == whole.plan_id
    assert not (last / 'metadata.yaml').exists()
    left = load(last)
    assert left.record.outcome == '' and not left.complete
    assert len(left.iterations) >= 1 and left.images
    make_robot(history__folder=str(folder))  # a planner that starts again closes what was left
    closed_plans(folder, 2)
    with Reader(last) as bag:
        count = sum(connection.topic == '/planner/search' for connection, *_ in bag.messages())
    assert count == len(left.iterations)


DAMAGES = {
    'four bytes': bytes(4),
    'random bytes': np.random.default_rng(0).bytes(300),
    'lying lengths': b'\0\1\0\0' + b'\xff' * 200,
}


def write_damaged(folder, data, number=0):
    """Write a closed recording whose PlanRecord is some bytes; return its path."""
    record = bag.Topic(
        '/planner/plan_record', type_name(RECORD), RECORD, False, definition(type_name(RECORD))
    )
    path = folder / f'20200101T00000{number}.000000Z_{"ab" * 16}'
    writer = bag.BagWriter(path)
    writer.write(bag.Item(record, 1, data))
    writer.close()
    return path


@pytest.mark.parametrize('data', DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_recording_is_listed_as_damaged(robot, plans_folder, call, replays, data):
    path = write_damaged(plans_folder, data)
    robot.plan(iterations=1)
    good, damaged = closed_plans(plans_folder, 2)[::-1]
    answer = call('list_plans')
    assert answer.success and [plan.folder for plan in answer.plans] == [good.name, path.name]
    assert answer.plans[1].outcome == 'damaged' and 'damaged' in answer.plans[1].error_msg
    assert bytes(answer.plans[1].plan_id.uuid) == bytes([0xAB] * 16)
    answer = call('get_plan', plan=path.name)
    assert not answer.success and 'damaged' in answer.message
    assert call('get_plan', plan=good.name).success
    assert call('delete_plan', plan=path.name).success and not path.exists()


def test_a_recording_of_no_bag_is_listed_as_damaged(robot, plans_folder, call):
    path = write_damaged(plans_folder, bytes(4))
    (path / bag.MCAP).write_bytes(np.random.default_rng(0).bytes(1000))
    answer = call('list_plans')
    assert [(plan.folder, plan.outcome) for plan in answer.plans] == [(path.name, 'damaged')]
    answer = call('get_plan', plan=path.name)
    assert not answer.success and 'nothing readable' in answer.message


@pytest.mark.slow
def test_a_plan_ends_when_its_planner_is_killed_and_started_again(doomed, tmp_path):
    process, node, client = doomed
    assert client.wait_until_ready(120.0)
    working = threading.Event()
    future = client.plan_async(
        ToyWorldModel.picture(GOAL),
        optimizer='cem',
        samples=16384,
        iterations=100,
        horizon=16,
        current_image=to_image(ToyWorldModel.picture(START)),
        start_state=to_state_message(START),
        on_feedback=lambda feedback: working.set(),
    )
    assert working.wait(60.0)
    process.kill()
    process.wait()
    again = start_toy(node.context.get_domain_id(), tmp_path)
    try:
        failure = future.exception(60.0)
        assert failure.code == ErrorCode.SEND_GOAL_FAILURE
        assert 'does not know the goal any more' in failure.message, failure
    finally:
        again.kill()
        again.wait()
