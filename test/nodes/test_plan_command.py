# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console client, run as people run it."""

from array import array
import contextlib
from functools import partial
import io
import os
import pty
import re
import signal
import threading
import time

from builtin_interfaces.msg import Duration
import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, GOAL, START, to_image, Toy
import pytest
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage, Image
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, SearchSettings
from vjepa2_planner_ros.cli.plan import main, start_state
from vjepa2_planner_ros.messages.goals import goal_yaml
import yaml


@pytest.fixture
def command(start_command):
    """Return a function that starts the console client against the shared planner."""
    return partial(start_command, 'cli.plan')


@pytest.fixture
def run(command):
    """Return a function that runs it with some options until it has succeeded."""

    def run(*arguments, options=''):
        process = command(*arguments, *options.split())
        output, errors = process.communicate(timeout=60)
        # On a busy machine the planner may take a while to be heard of, which is said.
        wrong = [line for line in errors.splitlines() if not line.startswith('waiting for')]
        assert process.returncode == 0 and not wrong, errors
        return output

    return run


def numbers_of(output):
    """Return the command in a table of the console client."""
    rows = [line.split() for line in output.split('Command')[1].splitlines()[1:8]]
    return {row[0]: float(row[1]) for row in rows}


def test_prints_iterations_and_the_command(run, goal_file):
    output = run('--goal', goal_file, options='--iterations 9 --samples 150 --seed 3')
    lines = output.splitlines()
    assert lines[0].split()[0] == 'iteration'
    assert [line.split()[0] for line in lines[1:10]] == [str(i) for i in range(1, 10)]
    step = GOAL - START
    found = numbers_of(output)
    assert list(found) == ['x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper']
    assert np.allclose(list(found.values()), [*step[:6], -step[6]], atol=5e-3)
    assert ' m\n' in output and ' rad\n' in output and 'confidence' in output


@pytest.mark.slow
def test_plans_in_a_row_are_each_from_the_newest_frame(run, goal_file):
    output = run('--goal', goal_file, options='--plans 5 --optimizer trust_region --seed 3')
    _, *lines, summary = output.splitlines()
    rows = [[float(word) for word in line.replace(' s ', ' ').split()] for line in lines]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
    assert all(0.0 < row[1] < 10.0 for row in rows)
    step = GOAL - START
    for row in rows:
        assert np.allclose(row[3:], [*step[:6], -step[6]], atol=0.01)
    latencies = [row[1] for row in rows]
    assert f'{np.median(latencies):.3f} s (p50)' in summary
    assert float(summary.split()[0]) > 0.0


@pytest.mark.slow
def test_follow_draws_one_chart_where_there_is_no_terminal(run, goal_file):
    output = run('--goal', goal_file, options='--iterations 9 --samples 150 --follow')
    assert output.count('iteration 9 / 9') == 1 and '\x1b' not in output
    assert numbers_of(output)['z'] == pytest.approx(0.04, abs=5e-3)


@pytest.mark.slow
def test_follow_draws_a_chart_for_each_of_several_plans(run, goal_file):
    output = run('--goal', goal_file, options='--plans 3 --iterations 5 --samples 150 --follow')
    starts = ('iteration 5 / 5', '    1 ', '    2 ', '    3 ')
    kinds = [line.split()[0] for line in output.splitlines() if line.startswith(starts)]
    assert kinds == ['iteration', '1', 'iteration', '2', 'iteration', '3']
    assert output.splitlines()[-1].endswith('(p99)')


@pytest.mark.slow
def test_follow_draws_in_place_in_a_terminal(command, goal_file):
    terminal, inner = pty.openpty()
    process = command('--goal', goal_file, '--iterations', '4', '--follow', stdout=inner)
    os.close(inner)
    output = b''
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(terminal, 4096):
            output += part
    os.close(terminal)
    assert process.wait(60) == 0
    screen = Screen(output.decode())
    assert [line[:15] for line in screen.lines if line.startswith('iteration')] == [
        'iteration 4 / 4'
    ]
    assert output.count(b'iteration 1 / 4') == 1 and 'Command' in '\n'.join(screen.lines)
    assert sum('┌' in line for line in screen.lines) == 1


class Screen:
    """What a terminal shows in the end, of the two control sequences that are used."""

    def __init__(self, text):
        self.lines, row = [''], 0
        for part in re.findall('\x1b\\[\\d*[A-Za-z]|\\r\\n|[^\x1b\\r]+', text):
            if part == '\r\n':
                row += 1
                self.lines[row : row + 1] = [self.lines[row] if row < len(self.lines) else '']
            elif part.endswith('F') and part.startswith('\x1b'):
                row -= int(part[2:-1])
            elif part == '\x1b[J':
                self.lines[row:] = ['']
            else:
                self.lines[row] = part


@pytest.mark.slow
def test_goal_from_a_latched_topic(run, robot):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = robot.node.create_publisher(Image, 'wanted', latched)
    publisher.publish(to_image(ToyWorldModel.picture(GOAL)))
    output = run('--goal-topic', 'wanted', '--iterations', '9')
    assert abs(numbers_of(output)['z'] - 0.04) < 5e-3


@pytest.mark.slow
def test_goal_from_a_compressed_topic_that_hears_of_no_other_qos(run, robot):
    refused = []
    events = PublisherEventCallbacks(incompatible_qos=refused.append)
    publisher = robot.node.create_publisher(
        CompressedImage, 'seen/compressed', qos_profile_sensor_data, event_callbacks=events
    )
    png = io.BytesIO()
    Picture.fromarray(ToyWorldModel.picture(GOAL)).save(png, 'PNG')
    timer = robot.node.create_timer(
        0.1, lambda: publisher.publish(CompressedImage(format='png', data=png.getvalue()))
    )
    output = run('--goal-topic', 'seen/compressed', '--iterations', '9')
    robot.node.destroy_timer(timer)
    robot.node.destroy_publisher(publisher)
    assert abs(numbers_of(output)['z'] - 0.04) < 5e-3
    assert not refused


@pytest.mark.slow
def test_plans_from_a_picture_and_with_elites_of_its_own(run, command, goal_file):
    # From the goal itself there is no way to go.
    output = run('--goal', goal_file, '--current', goal_file, '--elite-fraction', '0.5')
    assert abs(numbers_of(output)['z']) < 5e-3
    refused = command('--goal', goal_file, '--elite-fraction', '2.0')
    output, errors = refused.communicate(timeout=60)
    assert 'cem.elite_fraction = 2.0' in errors and 'best energy' not in output


@pytest.mark.slow
def test_the_plan_command_prints_no_latency_of_another_clock(run, goal_file):
    options = f'--current {goal_file} --plans 2 --iterations 1'  # a picture without a stamp
    first, second, last = run('--goal', goal_file, options=options).splitlines()[-3:]
    assert [line.split()[1] for line in (first, second)] == ['unknown', 'unknown']
    assert last.endswith('from the frame to the command unknown (p50), unknown (p99)')


@pytest.mark.slow
def test_plans_from_a_picture_and_the_state_that_belongs_to_it(run, robot, goal_file, tmp_path):
    # Neither is what the live streams say. Of the state, the target pose and closedness tell.
    Picture.fromarray(ToyWorldModel.picture(START + 0.01)).save(tmp_path / 'current.png')
    state = ['-1e-05', '0.25', '-0.5', '.2', '-3', '1', '0.75']
    options = ['--current', str(tmp_path / 'current.png'), '--state', *state]
    run('--goal', goal_file, *options, '--iterations', '9')
    latents, states = robot.model.context
    wanted = np.array([float(number) for number in state])
    between = Rotation.from_euler('xyz', states[-1, 3:6]) * (
        Rotation.from_euler('xyz', wanted[3:6]).inv()
    )
    assert np.allclose(states[-1, [0, 1, 2, 6]], wanted[[0, 1, 2, 6]], atol=1e-6)
    assert between.magnitude() < 1e-6
    assert np.allclose(latents[-1, 0], START + 0.01, atol=1e-6)


@pytest.mark.parametrize(
    'index, number, text',
    (
        (0, 300.0, '--state x = 300: allowed: -3 to 3 m (is it in millimetres?)'),
        (2, float('nan'), '--state z = nan'),
        (4, 90.0, '--state pitch = 90: allowed: -6.2832 to 6.2832 rad (is it in degrees?)'),
        (6, -0.1, '--state gripper = -0.1: allowed: 0 to 1 (0 open, 1 closed)'),
    ),
)
def test_a_state_out_of_range_is_refused(index, number, text):
    numbers = [0.4, 0.0, 0.3, 3.0, 0.0, 0.0, 1.0]
    start_state(numbers)
    numbers[index] = number
    with pytest.raises(ValueError, match=re.escape(text)):
        start_state(numbers)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_it_waits_for_is_said(start_command, make_robot, goal_file):
    robot = make_robot(autostart=False)
    space = f'__ns:={robot.planner.get_namespace()}'
    for wait in ('5', '10', '20', '40', '80'):  # discovery may take long on a busy machine
        process = start_command(
            'cli.plan', '--goal', goal_file, '--wait', wait, '--ros-args', '-r', space
        )
        errors = process.communicate(timeout=120)[1]
        if 'unconfigured' in errors:
            break
    assert process.returncode == 1
    assert 'waiting for the planner: ' in errors and 'unconfigured: goals are rejected' in errors
    empty = start_command(
        'cli.plan', '--goal', goal_file, '--wait', '10', '--ros-args', '-r', '__ns:=/nobody'
    )
    errors = empty.communicate(timeout=60)[1]
    assert 'absent: none is heard in namespace /nobody/' in errors


@pytest.mark.slow
def test_it_waits_while_the_model_is_loaded(start_command, make_robot, goal_file):
    go_on = threading.Event()

    def load(name, **options):
        assert go_on.wait(60.0)
        return Toy()

    robot = make_robot(load_model=load)
    space = f'__ns:={robot.planner.get_namespace()}'
    process = start_command('cli.plan', '--goal', goal_file, '--ros-args', '-r', space)
    lines = iter(process.stderr.readline, '')
    assert any('waiting for the planner: loading: ' in line for line in lines)
    go_on.set()
    assert 'Command' in process.communicate(timeout=60)[0]
    assert process.returncode == 0


@pytest.mark.slow
def test_goal_is_kept_for_later(command, goal_file, tmp_path):
    pixels, saved = np.asarray(Picture.open(goal_file)), tmp_path / 'saved.png'
    keeping = command('--goal', goal_file, '--save', str(saved))
    assert keeping.wait(60) == 0
    assert (np.asarray(Picture.open(saved)) == pixels).all()


def test_a_printed_goal_is_the_goal_that_plan_sends(goal_file, capsys):
    state = ['-0.1', '0.2', '0.3', '3.0', '-0.2', '0.1', '0.25']
    options = '--samples 99 --seed 7 --optimizer cem --elite-fraction 0.25 --time-allowance 2.5'
    options += ' --cost l2 --preset meta'
    words = ['--goal', goal_file, '--current', goal_file, '--state', *state, *options.split()]
    assert main([*words, '--print-goal']) == 0
    printed = capsys.readouterr().out
    assert printed.count('\n') == 1
    goal = as_ros2_reads(PlanAction.Goal(), yaml.safe_load(printed))
    png = bytes(goal.goal_image_compressed.data)
    # Bytes, not numbers: 187 kB took ros2 27 s.
    assert len(printed) < 4 / 3 * (len(png) + len(goal.current_image.data)) + 1000
    assert (np.asarray(Picture.open(io.BytesIO(png))) == ToyWorldModel.picture(GOAL)).all()
    pose = start_state([float(number) for number in state]).pose
    wanted = PlanAction.Goal(
        goal_image_compressed=goal.goal_image_compressed,
        use_current_image=True,
        current_image=to_image(ToyWorldModel.picture(GOAL)),
        use_start_state=True,
        start_state=EndEffectorState(pose=pose, gripper=0.25),
        search=SearchSettings(
            optimizer='cem', samples=99, elite_fraction=0.25, cost='l2', preset='meta'
        ),
        use_seed=True,
        seed=7,
        time_allowance=Duration(sec=2, nanosec=500_000_000),
    )
    assert goal == wanted


@pytest.mark.slow
def test_a_goal_of_full_hd_is_printed_at_once():
    picture = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    goal = PlanAction.Goal(current_image=to_image(picture))
    began = time.process_time()
    printed = goal_yaml(goal)
    assert time.process_time() - began < 1.0  # 5 s by PyYAML's own emitter
    assert printed.count('\n') == 0 and yaml.safe_load(printed)['current_image']['height'] == 1080


def as_ros2_reads(message, values):
    """Return a message filled as rosidl_runtime_py, which ros2 uses, fills it."""
    try:
        from rosidl_runtime_py import set_message_fields
    except ImportError:  # only where ROS 2 is installed
        for name, value in values.items():
            field = getattr(message, name)
            if isinstance(value, dict):
                as_ros2_reads(field, value)
            else:
                setattr(message, name, array('B', value) if type(field) is array else value)
    else:
        set_message_fields(message, values)
    return message


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['--goal', 'GOAL', '--camera', 'left'], "INVALID_SETTINGS: camera = 'left'"),
        (['--goal', '/nowhere/goal.png'], '/nowhere/goal.png'),
        (['--goal', __file__], 'cannot identify'),
        (['--goal-topic', 'silence', '--wait', '0.2'], "'silence'"),
        (['--goal-topic', 'silence', '--wait', '4'], "'/NS/silence': nothing publishes it\n"),
        (['--goal-topic', 'bad topic'], "--goal-topic = 'bad topic': allowed: a name of ROS"),
        (['--goal', 'GOAL', '--action', 'a//b'], "action = 'a//b': allowed: a name of ROS"),
    ],
)
@pytest.mark.slow
def test_failure_is_named_and_the_exit_code_is_not_0(command, goal_file, arguments, text):
    process = command(*(goal_file if word == 'GOAL' else word for word in arguments))
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert re.sub('/robot[0-9]+/', '/NS/', errors).count(text) == 1 and 'Traceback' not in errors


@pytest.mark.slow
def test_the_goal_is_cancelled_without_a_word_when_nobody_reads_on(command, robot, goal_file):
    robot.model.delay = 0.3  # half a minute in all
    cancelled = robot.planner._plans.outcomes['cancelled']
    process = command('--goal', goal_file, '--iterations', '100')
    process.stdout.readline()  # the heading
    process.stdout.close()
    assert process.wait(20) == 0
    assert all(line.startswith('waiting for') for line in process.stderr)
    assert robot.planner._plans.outcomes['cancelled'] == cancelled + 1


@pytest.mark.slow
def test_ctrl_c_cancels_the_goal(command, robot, goal_file):
    robot.model.delay = 0.3  # half a minute in all: time to be stopped
    cancelled = robot.planner._plans.outcomes['cancelled']
    process = command('--goal', goal_file, '--iterations', '100')
    process.stdout.readline()  # the heading
    process.stdout.readline()  # the first iteration
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert 'Traceback' not in errors
    eventually(lambda: robot.planner._plans.outcomes['cancelled'] == cancelled + 1)
