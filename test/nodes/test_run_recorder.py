# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the controller recorded, read back by other programs than the one that wrote them."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
from planner_rig import eventually, GOAL, START
import pytest
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.msg import ReachStep, RunRecord
from vjepa2_planner_ros.cli.history import main
from vjepa2_planner_ros.cli.reach import HEADING
from vjepa2_planner_ros.control.reasons import Outcome, Reason
from vjepa2_planner_ros.history.bag import METADATA
from vjepa2_planner_ros.history.recorded_run import load_run, plans_of
from vjepa2_planner_ros.history.store import PlanStore, RunStore
from vjepa2_planner_ros.planning.actions import AXES


@pytest.fixture
def folder(lab, tmp_path):
    """Return the folder into which planner and controller record in a test."""
    path = tmp_path / 'history'
    for node in (lab.robot.planner, lab.controller):
        node.set_parameters([Parameter('history.folder', value=str(path))])
    yield path
    for node in (lab.robot.planner, lab.controller):
        node.set_parameters([Parameter('history.folder', value='')])


def closed(store, count=1):
    """Wait until so many recordings of a store are closed; return them, oldest first."""
    eventually(
        lambda: [(path / METADATA).exists() for path in store.recordings()] == [True] * count
    )
    return store.recordings()


def read(lab, path):
    """Return {topic below the controller: messages} of a bag, read by rosbags and by rclpy."""
    prefix, messages = lab.controller.get_fully_qualified_name() + '/', {}
    types = get_typestore(Stores.ROS2_HUMBLE)  # sensor_msgs as the world knows it
    kinds = {'run_record': RunRecord, 'step': ReachStep}
    with Reader(path) as bag:
        for connection, _, data in bag.messages():
            name = connection.topic.removeprefix(prefix)
            messages.setdefault(name, []).append(
                deserialize_message(bytes(data), kinds[name])
                if name in kinds
                else types.deserialize_cdr(data, connection.msgtype)
            )
    return messages


def pixels(message):
    """Return the array of an Image of the toy."""
    return message.data.reshape(32, 32, 3)


def test_a_recording_holds_the_run(lab, folder):
    middle = START + (GOAL - START) / 2
    result = lab.reach(middle, GOAL)
    assert result.reached
    (path,) = closed(RunStore(folder))
    assert path.name.endswith(f'_run_{result.run_id.hex()}')
    recorded = read(lab, path)
    assert set(recorded) == {'run_record', 'step', 'frame', 'sub_goal'}
    begun, record = recorded['run_record']
    assert begun.outcome == 0 and not begun.steps and begun.folder == record.folder == path.name
    assert (record.outcome, record.reason) == (Outcome.REACHED, Reason.SETTLED)
    assert bytes(record.run_id.uuid) == result.run_id and record.model == 'toy'
    assert (record.sub_goals, record.sub_goals_done) == (2, 2) and not record.dry_run
    assert record.header.frame_id == 'panda_link0'
    settings = {item.key: item.value for item in record.settings}
    assert settings['limits.max_speed'] == '0.25' and settings['history.folder'] == str(folder)
    eventually(lambda: len(lab.steps) == len(recorded['step']))
    assert recorded['step'] == lab.steps == record.steps
    assert [step.energy for step in record.steps] == list(result.energies)
    for goal, message in zip((middle, GOAL), recorded['sub_goal'], strict=True):
        assert np.array_equal(pixels(message), ToyWorldModel.picture(goal))
    frames = recorded['frame']
    assert len(frames) == len(record.steps) + 1
    assert np.array_equal(pixels(frames[0]), ToyWorldModel.picture(START))
    assert np.array_equal(pixels(frames[-1]), ToyWorldModel.picture(lab.robot.state))


def test_the_plans_of_a_run_are_found_until_they_are_gone(lab, folder):
    lab.robot.plan(iterations=1)  # of no run
    result = lab.reach()
    (path,) = closed(RunStore(folder))
    run = load_run(path)
    closed(PlanStore(folder), len(run.steps) + 1)
    plans = plans_of(run)
    assert [plan.name.rpartition('_')[2] for plan in plans] == [
        bytes(step.plan_id.uuid).hex() for step in run.steps
    ]
    shutil.rmtree(plans[0])
    assert plans_of(run) == plans[1:] and sum(run.done) == result.steps


def test_neither_makes_room_by_deleting_what_is_the_others(lab, folder):
    for node in (lab.robot.planner, lab.controller):
        node.set_parameters([Parameter('history.max_plans', value=1)])
    ids = [lab.reach(max_steps=1).run_id.hex() for _ in range(2)]
    eventually(lambda: [run.name[-32:] for run in closed(RunStore(folder))] == ids[1:])
    closed(PlanStore(folder))
    for node in (lab.robot.planner, lab.controller):
        node.set_parameters([Parameter('history.max_plans', value=1000)])


@pytest.fixture
def history(folder, capsys):
    """Return a function that runs `history` and returns (exit code, output, errors)."""

    def run(*arguments):
        code = main(['--folder', str(folder), *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def reached(lab, folder):
    """Return (ReachResult, folder of the run) of a recorded run, after a plan of no run."""
    lone = lab.robot.plan(iterations=1)
    result = lab.reach()
    path = closed(RunStore(folder))[0]
    closed(PlanStore(folder), len(result.energies) + 1)
    return result, path, lone.plan_id.hex()[:8]


def test_runs_are_listed_with_their_plans(reached, history):
    result, _, lone = reached
    code, output, _ = history('list')
    lines = output.splitlines()
    assert code == 0 and lines[1].split()[2:6] == [
        result.run_id.hex()[:8],
        'REACHED',
        '(SETTLED)',
        str(result.steps),
    ]
    assert f'{result.energies[0]:.4f} -> {result.energies[-1]:.4f}' in lines[1]
    assert ' 1 of 1 ' in lines[1]
    assert lines[2] == '' and [line.split()[2] for line in lines[4:]] == [lone]
    under = history('list', '--plans')[1].splitlines()[2 : 2 + len(result.energies)]
    assert all(line.startswith('  20') and ' succeeded ' in line for line in under)


def test_a_run_is_shown_and_exported(lab, reached, history, tmp_path):
    result, path, _ = reached
    code, output, _ = history('show', 'latest-run')
    assert code == 0 and str(path) in output and HEADING in output
    assert output.splitlines()[-1] == str(result)
    assert history('show', result.run_id.hex()[:8])[1] == history('show', path)[1] == output
    for suffix in ('csv', 'json'):
        assert history('export', 'latest-run', tmp_path / f'run.{suffix}')[0] == 0
    with open(tmp_path / 'run.csv') as file:
        rows = list(csv.DictReader(file))
    written = json.loads((tmp_path / 'run.json').read_text())
    assert written['outcome'] == 'REACHED' and written['run_id'] == result.run_id.hex()
    eventually(lambda: len(lab.steps) == len(rows))
    for row, step, live in zip(rows, written['steps'], lab.steps, strict=True):
        assert float(row['energy']) == step['energy'] == live.energy
        assert [float(row[axis]) for axis in AXES] == step['command'] == list(live.command)
        limited = [float(row[f'limited_{axis}']) for axis in AXES]
        assert limited == step['limited_command'] == list(live.limited_command)
    code, _, errors = history('export', 'latest-run', tmp_path / 'run.png')
    assert code == 1 and 'allowed: a name that ends with .csv, .json\n' in errors


@pytest.mark.slow
def test_a_run_without_its_plans_is_reported_and_not_replayed(reached, folder, history, tmp_path):
    result, _, _ = reached
    assert history('report', 'latest-run', '-o', tmp_path / 'all.html')[0] == 0
    for path in PlanStore(folder).recordings():
        shutil.rmtree(path)
    assert history('report', 'latest-run', '-o', tmp_path / 'none.html')[0] == 0
    whole, bare = ((tmp_path / f'{name}.html').read_text() for name in ('all', 'none'))
    assert 'not recorded here' not in whole
    assert f'{len(result.energies)} of the plans are not recorded here.' in bare
    assert whole.count('<td>succeeded</td>') == len(result.energies)
    assert whole.count(' (not calibrated)</td>') == len(result.energies)  # the toy has no fit
    assert history('show', 'latest-run')[1].count('plans recorded: none') == 1
    code, _, errors = history('replay', 'latest-run')
    assert code == 1 and "none of the run's plans is in" in errors


def test_a_run_is_deleted_and_its_plans_stay(reached, folder, history):
    plans = PlanStore(folder).recordings()
    assert history('delete', reached[1])[0] == 0
    assert not RunStore(folder).recordings() and PlanStore(folder).recordings() == plans


@pytest.mark.slow
def test_the_report_of_a_run_in_a_browser(reached, history, tmp_path, page):
    result, _, _ = reached
    file = tmp_path / 'run.html'
    assert history('report', 'latest-run', '-o', file)[0] == 0
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.plotly-graph-div .point').length > 0")
    assert page.evaluate(
        "[...document.querySelectorAll('.plotly-graph-div')].map(plot => plot.id)"
    ) == ['energies', 'judgements', 'commands']
    # The goal, a frame before each step, and the last one.
    sizes = page.evaluate('[...document.images].map(image => image.naturalWidth)')
    assert sizes == [32] * (len(result.energies) + 2)
    seen = page.evaluate(
        "document.getElementById('energies').data.find(line => line.name == 'seen').y"
    )
    assert seen == pytest.approx(list(result.energies), rel=1e-6)
    assert all(url.startswith(('file:', 'data:', 'blob:')) for url in page.requests)


@pytest.mark.slow
def test_a_run_is_replayed_plan_by_plan(reached, history):
    result, path, _ = reached
    command = [sys.executable, '-m', 'vjepa2_planner_ros.cli.history', 'replay', str(path)]
    options = ['--rate', '100', '--wait', '0']
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    plans = [line for line in done.stdout.splitlines() if line.startswith('plan ')]
    ids = [bytes(step.plan_id.uuid).hex()[:8] for step in load_run(path).steps]
    count = len(result.energies)
    assert plans == [f'plan {i} of {count}: {name}' for i, name in enumerate(ids, 1)]
    assert done.stdout.count('iteration 1\n') == count


def test_a_run_that_is_cancelled_is_recorded_as_far_as_it_came(lab, folder):
    lab.set(limits__max_speed=0.02)
    future = lab.reach_async()
    lab.moving()
    lab.client.cancel(10.0)
    result = future.result(60.0)
    run = load_run(closed(RunStore(folder))[0])
    assert run.outcome == 'STOPPED (CANCELLED)' and run.record.error_msg == result.message
    assert len(run.steps) == len(run.frames) == 1 and run.last_frame is not None
    assert not np.array_equal(run.last_frame, run.frames[0])


def test_a_run_that_fails_says_why(lab, folder):
    lab.robot.model.delay = 1.0
    lab.set(plan_timeout=0.3)
    result = lab.reach()
    run = load_run(closed(RunStore(folder))[0])
    assert run.outcome == 'FAILED (PLANNER_ERROR)' and run.record.error_msg == result.message
    assert run.record.error_code == result.code and not run.steps
    assert np.array_equal(run.last_frame, ToyWorldModel.picture(START))


def test_a_dry_run_says_so(lab, folder):
    lab.reach(dry_run=True)
    run = load_run(closed(RunStore(folder))[0])
    assert run.record.dry_run and run.outcome == 'NOT_REACHED (DRY_RUN)'
    assert run.done == (False,)


def test_what_a_killed_controller_left_open_is_closed(lab, folder, tmp_path):
    result = lab.reach()
    (first,) = closed(RunStore(folder))
    other = tmp_path / 'other'
    left = shutil.copytree(first, other / first.name)
    (left / METADATA).unlink()
    lab.controller.set_parameters([Parameter('history.folder', value=str(other))])
    lab.reach(dry_run=True)
    assert closed(RunStore(other), 2)[0] == left
    assert load_run(left).short_id == result.run_id.hex()[:8]


def test_a_folder_that_cannot_be_written_costs_no_run(lab, folder):
    folder.write_text('')  # a file where the folder is to be; when it is set, one is refused
    assert lab.reach().reached
    (answer,) = lab.controller.set_parameters([Parameter('history.folder', value=str(folder))])
    assert not answer.successful and 'history.folder' in answer.reason
