# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A planner starts with the parameters that were meant, or not at all and with one line."""

from pathlib import Path
import subprocess
import sys

import pytest
import rclpy
from rclpy.parameter import Parameter
from vjepa2_planner_ros.nodes import parameters
from vjepa2_planner_ros.nodes.controller_settings import ControllerSettings
from vjepa2_planner_ros.nodes.params_file import (
    check_args,
    check_params_file,
    is_for,
    readable_args,
)
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.settings import MODELS, Settings
from vjepa2_planner_ros.world_model import MODELS as CATALOGUE
import yaml

CONFIG = Path(__file__).parents[2] / 'config'


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a parameter file and returns its path."""

    def write(text):
        path = tmp_path / 'params.yaml'
        path.write_text(text)
        return str(path)

    return write


def start(context, *arguments, tmp_path):
    """Return a planner of a command line that does not start by itself."""
    line = ['--ros-args', '-p', 'autostart:=false', *arguments]
    return PlannerNode(
        context=context, use_global_arguments=False, cli_args=readable_args(line, str(tmp_path))
    )


def test_names_of_models_are_those_of_the_catalogue():
    assert set(MODELS) == set(CATALOGUE)


@pytest.mark.parametrize(
    'text, named',
    [
        ('/**: {ros__parameters: {search: {boundz: [0.01]}}}', 'search.boundz .* search.bounds'),
        ('/**: {ros__parameters: {serch: {bounds: [0.01]}}}', 'serch.bounds .* search.bounds'),
        ('/**: {ros__parameters: {bounds: [0.01]}}', 'bounds .* search.bounds'),
        ('/**: {ros__parameters: {camera: {main: {topik: a}}}}', 'camera.main.topik .*main.topic'),
        ('planer: {ros__parameters: {}}', "node = '/planer' .* /left/planner"),
        ('planner: {ros__parameters: {}}', "node = '/planner' .* /left/planner"),
        ('search: {bounds: [0.01]}', "bounds = .* the file begins with '/\\*\\*:'"),
        ('/**: {ros__parameters: [model]}', r"ros__parameters = \['model'\] in .* nodes"),
        ('planner: {}', "planner = .* the file begins with '/\\*\\*:'"),
        ('', 'params_file = .* nodes'),
        ('a: [', 'is not YAML, line 1'),
    ],
)
def test_a_file_that_would_be_ignored_is_refused_in_one_line(written, text, named):
    with pytest.raises(ValueError, match=named) as failure:
        check_params_file(written(text), '/left/planner')
    assert '\n' not in str(failure.value)


@pytest.mark.parametrize('name', ['/**', '/left/planner', '/*/planner', '/**/planner', 'left'])
def test_a_file_for_the_planner_is_taken(written, name):
    body = '{planner: {ros__parameters: {model: a}}}' if name == 'left' else None
    path = written(f'{name}: {body or "{ros__parameters: {model: a}}"}')
    assert check_params_file(path, '/left/planner') == path


@pytest.mark.parametrize('remaps', [[], ['__ns:=/left'], ['__node:=mine', 'planner:__ns:=/left']])
def test_a_node_refuses_a_section_of_a_node_that_is_not_known(written, remaps):
    prefix = '/left/' if '__ns:=/left' in ''.join(remaps) else '/'
    names = ['planner', 'controller', 'simulation', *(['mine'] if len(remaps) > 1 else [])]
    path = written(f'{prefix}controler: {{ros__parameters: {{rate: 20.0}}}}')
    args = ['--ros-args', '--params-file', path]
    for remap in remaps:
        args += ['-r', remap]
    with pytest.raises(ValueError, match=f"'{prefix}controler' .*, the nearest is {prefix}contr"):
        check_args(args)
    with pytest.raises(ValueError, match="node = 'planer' in -p .*, the nearest is planner"):
        check_args([*args[:1], '-p', 'planer:model:=a', *args[3:]])
    check_args([*args[:1], '-p', 'planner:model:=a', '-p', 'model:=a', *args[3:]])
    if remaps:
        written('other: {planner: {ros__parameters: {model: a}}}')
        with pytest.raises(
            ValueError, match="node = '/other/planner' .*, the nearest is /left/pl"
        ):
            check_args(args)
    for name in (*(prefix + name for name in names), '/**', f'{prefix}*'):
        written(f'{name}: {{ros__parameters: {{rate: 20.0}}}}')
        check_args(args)
    written(f'{prefix}planner: {{ros__parameters: {{model: a}}}}')
    assert is_for(path, f'{prefix}planner') and not is_for(path, f'{prefix}controller')


@pytest.mark.parametrize('path', sorted(CONFIG.glob('*.yaml')), ids=lambda path: path.stem)
def test_shipped_files_are_taken(path):
    assert check_params_file(str(path), '/planner') == str(path)


def test_home_is_expanded_and_a_missing_file_is_named(written, monkeypatch, tmp_path):
    path = written('/**: {ros__parameters: {model: a}}')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert check_params_file('~/params.yaml', '/planner') == path
    assert readable_args(['--params-file', '~/params.yaml'], str(tmp_path))[1] == path
    for wrong in ('~/nope.yaml', str(tmp_path)):
        with pytest.raises(
            ValueError, match='params_file = .*: allowed: a YAML file that can be read'
        ):
            check_params_file(wrong, '/planner')


def test_bare_axes_are_read_as_they_are_meant(context, written, tmp_path):
    path = written('/**:\n  ros__parameters:\n    search:\n      axes: [x, y, z]\n')
    for arguments in (['--params-file', path], ['-p', 'search.axes:=[x, y, z]']):
        node = start(context, *arguments, tmp_path=tmp_path)
        assert parameters.read(node, Settings).search.axes == ('x', 'y', 'z')
        node.destroy_node()
    with pytest.raises(ValueError, match=r'^search.axes = True: allowed: a list of .* quotes'):
        start(context, '-p', 'search.axes:=y', tmp_path=tmp_path)


@pytest.mark.parametrize('name', ['cameras', 'search.axes', 'search.bounds'])
def test_an_empty_list_is_refused_by_name(context, tmp_path, name):
    with pytest.raises(ValueError, match=rf'^{name} = \[\]: allowed: a list of .*, not empty'):
        start(context, '-p', f'{name}:=[]', tmp_path=tmp_path)


def test_output_of_ros2_param_dump_loads(context, written, tmp_path):
    node = start(context, '-p', 'search.axes:=[y, yaw]', tmp_path=tmp_path)
    tree = {}
    for name, item in node._parameters.items():
        *groups, leaf = name.split('.')
        inner = tree
        for group in groups:
            inner = inner.setdefault(group, {})
        plain = item.value if isinstance(item.value, (str, int, float)) else list(item.value)
        inner[leaf] = plain
    before = parameters.read(node, Settings)
    node.destroy_node()
    # As ros2cli writes it: y is bare.
    text = yaml.dump({'/planner': {'ros__parameters': tree}}, default_flow_style=False)
    assert '- y\n' in text
    path = written(text)
    node = start(context, '--params-file', check_params_file(path, '/planner'), tmp_path=tmp_path)
    assert parameters.read(node, Settings) == before
    node.destroy_node()


@pytest.mark.parametrize(
    'name, value, text',
    [
        ('serch.seed', 4, r'serch.seed = 4: allowed: .* search.seed$'),
        ('camera.mian.topic', '/a', r"camera.mian.topic = '/a': allowed: .* camera.main.topic$"),
        ('model', 'sim-pandaac', r"model = 'sim-pandaac': allowed: .* nearest is sim-panda-ac$"),
        ('cem.samples', 0, r'^cem.samples = 0: allowed: a whole number, 1 to 16384$'),
        ('history.folder', __file__, r'history.folder = .*: allowed: a folder'),
    ],
)
def test_wrong_value_at_start_is_refused_in_one_line(context, name, value, text):
    with pytest.raises(ValueError, match=text) as failure:
        PlannerNode(
            context=context,
            use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value)],
        )
    assert '\n' not in str(failure.value)


def test_planner_yaml_loads_with_cameras_of_other_names(context, tmp_path):
    files = ['--params-file', str(CONFIG / 'planner.yaml'), '-p', 'cameras:=[left]']
    start(context, *files, tmp_path=tmp_path).destroy_node()


def test_what_can_be_checked_when_it_is_set_is_refused_then(context, tmp_path):
    node = start(context, tmp_path=tmp_path)
    for name, value in (('model', 'vit-giantt-ac'), ('history.folder', __file__)):
        (answer,) = node.set_parameters([Parameter(name, value=value)])
        assert not answer.successful and answer.reason.startswith(f'{name} = {value!r}: allowed:')
    node.destroy_node()


@pytest.mark.slow
@pytest.mark.parametrize('module', ['planner_node', 'controller_node', 'simulation_node'])
@pytest.mark.parametrize(
    'arguments, line',
    [
        (['--params-file', '/nowhere/nope.yaml'], "params_file = '/nowhere/nope.yaml': allowed:"),
        (['-p', 'use_sim_time:=7'], 'use_sim_time'),
    ],
)
def test_a_process_says_one_line_and_ends_with_1(module, arguments, line):
    command = [sys.executable, '-m', f'vjepa2_planner_ros.nodes.{module}', '--ros-args']
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1
    (said,) = [line for line in ended.stderr.splitlines() if line]
    assert said.startswith('The node cannot start: ') and line in said


@pytest.mark.slow
def test_a_process_refuses_or_tells_of_a_file_that_is_for_other_nodes(written):
    command = [sys.executable, '-m', 'vjepa2_planner_ros.nodes.controller_node', '--ros-args']
    command += ['-p', 'autostart:=false', '--params-file']
    path = written('/controler: {ros__parameters: {limits: {max_speed: 0.1}}}')
    ended = subprocess.run([*command, path], capture_output=True, text=True, timeout=100)
    assert ended.returncode == 1
    assert ended.stderr.startswith("The node cannot start: node = '/controler' in ")
    path = written('/planner: {ros__parameters: {model: sim-panda}}')
    process = subprocess.Popen([*command, path], stderr=subprocess.PIPE, text=True)
    try:
        assert f"params_file = '{path}': nothing in it is for /controller" in next(process.stderr)
    finally:
        process.terminate()
        process.wait(20)


# The tips of the groups that MoveIt Servo moves, by the SRDFs of the drivers.
TIPS = {
    'fr3': 'fr3_link8',
    'panda': 'panda_link8',
    'ur5e_robotiq': 'tool0',
    'gen3': 'end_effector_link',
}


@pytest.mark.parametrize('robot, tip', TIPS.items())
def test_servo_gets_poses_of_the_frame_that_it_moves(robot, tip):
    values = yaml.safe_load((CONFIG / 'robots' / f'{robot}.yaml').read_text())
    values = values['/**']['ros__parameters']
    assert values['output_topic'] == '/servo_node/pose_target_cmds'
    assert values['ee_frame'] == tip
    assert values['tool_offset'][2] > 0.1  # to the finger tips


@pytest.mark.parametrize(
    'robot', sorted((CONFIG / 'robots').glob('*.yaml')), ids=lambda it: it.stem
)
@pytest.mark.parametrize('kind', (Settings, ControllerSettings))
def test_the_file_of_a_robot_serves_planner_and_controller(context, kind, robot):
    wanted = yaml.safe_load(robot.read_text())['/**']['ros__parameters']
    node = rclpy.create_node(
        'node', context=context, cli_args=['--ros-args', '--params-file', str(robot)]
    )
    settings, _ = parameters.declare_inputs(node, kind)
    node.destroy_node()
    assert settings.gripper.joint == wanted.get('gripper', {}).get('joint', 'panda_finger_joint1')
    if kind is ControllerSettings:
        assert settings.gripper_output.kind == wanted['gripper_output']['kind']
        assert settings.dry_run
    assert check_params_file(str(robot), '/planner', '/controller') == str(robot)
