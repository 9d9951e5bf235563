# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `history`, on what the planner recorded."""

import csv
from dataclasses import replace
import json
import os
import re
import shutil
import subprocess
import sys
import time

from mcap.reader import make_reader
import numpy as np
from older_recording import to_older, to_renamed, to_without_run
from PIL import Image as Picture
from planner_rig import closed_plans, eventually, START
import pytest
import rclpy
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration
from vjepa2_planner_ros.cli.history import main
from vjepa2_planner_ros.cli.plan import HEADING
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.bag import MCAP
from vjepa2_planner_ros.nodes.process import spinning
from vjepa2_planner_ros.planning.actions import AXES


@pytest.fixture
def recorded(robot, plans_folder, listen):
    """Return (PlanResult, candidates as heard, folder) of a recorded plan over two steps."""
    heard = listen(SearchCandidates, 'planner/search/candidates')
    result = robot.plan(iterations=3, samples=25, horizon=2, seed=7, time_allowance=30.0)
    eventually(lambda: len(heard) == 3)
    return result, heard, closed_plans(plans_folder)[0]


def start(*arguments, stdout=subprocess.PIPE):
    """Start the command as a process."""
    return subprocess.Popen(
        [sys.executable, '-m', 'vjepa2_planner_ros.cli.history', *arguments],
        text=True,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def replaying(folder, options):
    """Start a replay as a process."""
    return start('replay', str(folder), *options.split())


@pytest.fixture
def plans(plans_folder, capsys):
    """Return a function that runs the command and returns (exit code, output, errors)."""

    def run(*arguments):
        code = main(['--folder', str(plans_folder), *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


def test_list_has_a_line_for_each_plan_newest_first(robot, recorded, plans, plans_folder):
    second = robot.plan(optimizer='trust_region', samples=12, iterations=2)
    closed_plans(plans_folder, 2)
    code, output, _ = plans('list')
    assert code == 0
    lines = output.splitlines()[1:]
    assert [line.split()[2] for line in lines] == [
        second.plan_id.hex()[:8],
        recorded[0].plan_id.hex()[:8],
    ]
    assert f'{second.start_energy:.4f} -> {second.energy:.4f}' in lines[0]
    assert 'succeeded' in lines[0] and '12 x 2' in lines[0] and '25 x 3' in lines[1]
    assert [line.split()[8] for line in lines] == ['1', '2']  # steps
    assert len(plans('list', '--limit', '1')[1].splitlines()) == 2
    assert plans('list', '--limit', '0')[1] == output


def test_recorded_names_command_no_terminal(robot, plans, plans_folder):
    robot.model.name = 'toy\x1b]0;title\x07\nforged\x9b31m'
    try:
        robot.plan(iterations=1)
    finally:
        del robot.model.name
    (path,) = closed_plans(plans_folder)
    for arguments in (('list',), ('show', path), ('show', '--settings', path)):
        code, output, errors = plans(*arguments)
        assert code == 0 and not errors and r'toy\x1b]0;title\x07\nforged\x9b31m' in output
        assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f]', output)
    renamed = path.rename(path.with_name('x\x1b[31m'))
    for arguments in (('show', renamed), ('delete', renamed)):
        assert '\x1b' not in ''.join(plans(*arguments)[1:])


def test_list_says_that_there_is_no_such_folder(tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    for folder in (tmp_path / 'nowhere', tmp_path / 'file'):
        assert main(['--folder', str(folder), 'list']) == 1
        assert capsys.readouterr() == ('', f"folder = '{folder}': allowed: a folder that exists\n")


def test_list_says_that_there_are_none(tmp_path, capsys):
    assert main(['--folder', str(tmp_path), 'list']) == 0
    assert capsys.readouterr() == (f"no recordings in '{tmp_path}'; --folder names another\n", '')


def test_list_is_quiet_when_nobody_reads_on(recorded, plans_folder):
    reader, writer = os.pipe()
    os.close(reader)
    process = start('--folder', str(plans_folder), 'list', stdout=writer)
    os.close(writer)
    assert process.communicate(timeout=60)[1] == '' and process.returncode == 0


def test_show_prints_iterations_and_command(recorded, plans):
    result = recorded[0]
    code, output, _ = plans('show', result.plan_id.hex()[:8], '--settings')
    assert code == 0
    rows = [line.split()[:2] for line in output.splitlines()]
    assert [row for row in rows if row[1:] == ['/']] == [['1', '/'], ['2', '/'], ['3', '/']]
    for axis, value in zip(('x', 'y', 'z'), result.command):
        assert f'  {axis:8} {value:+9.4f}  m' in output
    assert 'cem.samples: 25' in output and 'goal_image: 32 x 32' in output


def test_csv_has_every_candidate(recorded, plans, tmp_path):
    assert plans('export', 'latest', tmp_path / 'plan.csv')[0] == 0
    with open(tmp_path / 'plan.csv') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 25 * 2
    for message in recorded[1]:
        actions = np.array(message.actions).reshape(25, 2, 7)
        found = [row for row in rows if int(row['iteration']) == message.iteration]
        table = [[float(row[axis]) for axis in AXES] for row in found]
        assert np.array_equal(np.reshape(table, (25, 2, 7)), actions)
        assert [float(row['energy']) for row in found[::2]] == list(message.energies)
        assert {int(row['candidate']) for row in found if row['elite'] == '1'} == set(
            message.elites
        )


def test_json_says_what_was_asked_and_found(recorded, plans, tmp_path):
    assert plans('export', 'latest', tmp_path / 'plan.json')[0] == 0
    read = json.loads((tmp_path / 'plan.json').read_text())
    result = recorded[0]
    assert read['folder'] == recorded[2].name and read['outcome'] == 'succeeded'
    assert read['result']['command'] == list(result.command)
    assert read['result']['energy'] == result.energy
    assert read['result']['plan'] == result.plan.tolist() and len(result.plan) == 2
    for part, name in (('position', 'position'), ('orientation', 'orientation_xyzw')):
        field = getattr(result.target_pose.pose, part)
        assert read['result']['target_pose'][name] == [
            getattr(field, axis) for axis in 'xyzw' if hasattr(field, axis)
        ]
    (state,) = read['states']
    assert np.allclose([*state['position'], state['gripper']], START[[0, 1, 2, 6]], atol=1e-9)
    assert read['time_allowance'] == 30.0
    assert [step['energy_best'] for step in read['iterations']] == list(result.iteration_energies)
    assert read['settings']['search.horizon'] == '2' and read['settings']['search.seed'] == '7'


def test_png_is_a_picture(recorded, plans, tmp_path):
    assert plans('export', 'latest', tmp_path / 'plan.png')[0] == 0
    with Picture.open(tmp_path / 'plan.png') as picture:
        assert picture.format == 'PNG' and picture.width > 600
        assert len(picture.convert('RGB').getcolors(10**6)) > 20  # not an empty sheet


def test_delete_deletes(recorded, plans):
    code, output, _ = plans('delete', recorded[2].name)
    assert code == 0 and str(recorded[2]) in output and not recorded[2].exists()


def test_a_path_means_the_same_to_show_and_delete(recorded, plans, plans_folder, tmp_path):
    elsewhere, renamed = tmp_path / recorded[2].name, plans_folder / 'mine'
    shutil.copytree(recorded[2], elsewhere)
    shutil.copytree(recorded[2], renamed)
    for path in (elsewhere, renamed):
        assert plans('show', path)[0] == 0
        code, output, errors = plans('delete', path)
        assert (code, output) == (1, '') and path.is_dir()
        assert errors.startswith(f"plan = '{path}': allowed: recordings in the folder of the")
        assert f"'{plans_folder}'" in errors
    assert plans('delete', recorded[2])[0] == 0 and not recorded[2].exists()


def test_a_folder_that_was_renamed_is_shown_reported_and_exported(recorded, plans, tmp_path):
    began = plans('show', recorded[2])[1].splitlines()[1]
    renamed = recorded[2].rename(tmp_path / 'mine')
    code, output, _ = plans('show', renamed)
    assert code == 0 and output.splitlines()[1][:-6] == began[:-6]  # but for seconds
    assert plans('report', renamed, '-o', tmp_path / 'report.html')[0] == 0
    name = recorded[0].plan_id.hex()[:8]
    assert f'<title>Plan {name}, 20' in (tmp_path / 'report.html').read_text()
    assert plans('export', renamed, tmp_path / 'plan.json')[0] == 0


def test_what_is_damaged_is_said_and_the_rest_is_shown(recorded, plans, tmp_path):
    file = recorded[2] / MCAP
    with open(file, 'rb') as stream:
        last = make_reader(stream).get_summary().chunk_indexes[-1]
    os.truncate(file, last.chunk_start_offset + 10)
    code, output, errors = plans('show', 'latest')
    assert code == 0 and 'damaged: the end of plan_0.mcap is damaged or missing' in errors
    assert 'current_image: 32 x 32' in output and output.splitlines()[-1] == 'damaged'
    assert HEADING in output
    assert ' damaged ' in plans('list')[1]
    assert plans('export', 'latest', tmp_path / 'plan.png')[0] == 0
    assert plans('report', 'latest', '-o', tmp_path / 'report.html')[0] == 0


def test_a_message_that_is_none_costs_itself_alone(recorded, plans, tmp_path):
    source = recorded[2]

    def with_cut(role, count):
        """Return a copy in which the first so many messages of a role are cut."""
        writer = bag.BagWriter(tmp_path / role / source.name)
        for item in bag.read(source):
            cut = item.topic.role == role and count > 0
            count -= cut
            writer.write(replace(item, data=item.data[:12]) if cut else item)
        writer.close()
        return tmp_path / role / source.name

    code, output, errors = plans('show', with_cut('search', 1))
    assert code == 0 and 'no vjepa2_interfaces/msg/SearchIteration' in errors
    assert [line.split()[0] for line in output.splitlines() if ' /   3 ' in line] == ['2', '3']
    unreadable = with_cut('plan_record', 9)
    code, _, errors = plans('show', unreadable)
    assert code == 1 and 'has nothing readable' in errors
    assert main(['--folder', str(unreadable.parent), 'list']) == 0


def test_what_cannot_be_read_at_all_is_an_error(recorded, plans, tmp_path):
    (recorded[2] / MCAP).write_bytes(b'junk')
    for arguments in (
        ['show', 'latest'],
        ['replay', 'latest'],
        ['report', 'latest', '-o', tmp_path / 'report.html'],
        ['export', 'latest', tmp_path / 'plan.json'],
    ):
        code, output, errors = plans(*arguments)
        assert (code, output) == (1, '') and f"'{recorded[2]}' has nothing readable" in errors
    assert 'has nothing readable' in plans('list')[1]
    assert not list(tmp_path.glob('*.*'))


@pytest.mark.parametrize(
    'change, text',
    (
        (
            to_older,
            'another definition of vjepa2_interfaces/msg/PlanRecord than is installed: '
            'it has no dropped\n',
        ),
        (
            to_renamed,
            'holds vjepa2_interfaces/msg/CemIteration, which is not installed: it was recorded '
            'by another version\n',
        ),
    ),
)
def test_a_recording_of_an_older_version_is_refused_in_one_line(
    recorded, plans, tmp_path, change, text
):
    change(recorded[2])
    for arguments in (
        ['show', 'latest'],
        ['report', 'latest', '-o', tmp_path / 'report.html'],
        ['export', 'latest', tmp_path / 'plan.json'],
        ['replay', 'latest'],
    ):
        code, _, errors = plans(*arguments)
        assert code == 1 and errors.endswith(text) and errors.count('\n') == 1
    assert text in plans('list')[1]


def test_a_recording_from_before_there_were_runs_is_read(recorded, plans, tmp_path):
    before = plans('list')[1], plans('show', 'latest')[1]
    to_without_run(recorded[2])
    after = plans('list')[1], plans('show', 'latest')[1]
    assert after[1] == before[1] and after[0][:-12] == before[0][:-12]  # but for the size
    for arguments in (
        ['report', 'latest', '-o', tmp_path / 'report.html'],
        ['export', 'latest', tmp_path / 'plan.json'],
    ):
        assert plans(*arguments)[0] == 0


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['show', 'ffff'], "plan = 'ffff'"),
        (['delete', '..'], "plan = '..'"),
        (
            ['export', 'latest', 'plan.gif'],
            "file = 'plan.gif': allowed: a name that ends with .csv",
        ),
        (['report', 'latest', '-o', '/nowhere/report.html'], '/nowhere/report.html'),
        (['replay', 'latest', '--rate', '0'], 'rate = 0.0: allowed: above 0'),
        (['replay', 'latest', '--wait', '-1'], 'wait = -1.0: allowed: a finite number, 0 or more'),
        (['list', '--limit', '-1'], 'limit = -1: allowed: 0 or more'),
    ],
)
def test_what_cannot_be_done_is_said(recorded, plans, arguments, text):
    code, _, errors = plans(*arguments)
    assert code == 1 and text in errors and 'Traceback' not in errors


@pytest.fixture
def stranger(robot):
    """Return a function that keeps what arrives on a topic, like listen, but as a newcomer."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('stranger', context=context, namespace=robot.node.get_namespace())

    def start(kind, topic):
        messages = []
        node.create_subscription(kind, topic, messages.append, 50)
        return messages

    start.node = node
    with spinning(node):
        yield start
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.slow
def test_replay_publishes_what_was_live_step_by_step(recorded, stranger):
    topics = {
        'planner/search': SearchIteration,
        'planner/goal_image': Image,
        'planner/search/candidates': SearchCandidates,
    }
    heard, pictures, candidates = (stranger(kind, topic) for topic, kind in topics.items())
    process = replaying(recorded[2], '--step --wait 3')
    try:
        for topic in topics:  # it is found beside the planner
            name = stranger.node.resolve_topic_name(topic)
            eventually(lambda name=name: stranger.node.count_publishers(name) == 2)
        time.sleep(1.0)  # the other way round cannot be asked from here
        for count in (1, 2, 3):
            process.stdin.write('\n')
            process.stdin.flush()
            eventually(lambda count=count: len(heard) == count)
            time.sleep(0.2)  # nothing more comes by itself
            assert len(heard) == count
        assert process.wait(60) == 0
        eventually(lambda: len(candidates) == 3 and len(pictures) == 1)
    finally:
        process.kill()
        process.communicate()
    assert candidates == recorded[1][:3]
    with Reader(recorded[2]) as bag:
        assert [serialize_message(item) for item in heard] == [
            bytes(data)
            for connection, _, data in bag.messages()
            if connection.topic.endswith('/search')
        ]


@pytest.mark.slow
def test_the_end_of_the_input_stops_a_replay(recorded):
    process = replaying(recorded[2], '--step --wait 0')
    output, errors = process.communicate('\n\n', timeout=60)
    assert process.returncode == 0 and not errors
    assert output.count('iteration 2\n') == 1 and 'iteration 3\n' not in output


@pytest.mark.slow
def test_replay_keeps_time(robot, plans_folder):
    robot.model.delay = 0.1
    robot.plan(iterations=4)
    process = replaying(closed_plans(plans_folder)[0], '--rate 0.5 --wait 0')
    times = [time.monotonic() for line in process.stdout if line.startswith('iteration')]
    assert process.wait(60) == 0, (times, process.stderr.read())
    assert len(times) == 4 and times[-1] - times[0] >= 0.9 * 3 * 0.1 / 0.5
