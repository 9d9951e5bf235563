# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command lines of the documents: every one is taken, and what is quick is run."""

from argparse import ArgumentParser
import ast
from importlib import import_module
import os
from pathlib import Path
import re
import shlex
import shutil
import signal
import subprocess

import numpy as np
import pytest
import rclpy
from vjepa2_planner_ros.nodes.process import free_domain
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted(ROOT.glob('docs/*.md'))]
PACKAGE = 'vjepa2_planner_ros'
MODULES = dict(re.findall(r"'(\w+) = ([\w.]+):\w+'", (ROOT / 'setup.py').read_text()))
# Other people's commands.
OTHERS = ('colcon', 'curl', 'pip', 'pre-commit', 'export', 'rviz2', 'for', 'do', 'done')
OF_ROS2 = ('run', 'launch', 'action', 'service', 'security', 'pkg', 'bag')


def blocks(document):
    """Return the bash blocks of a document, without comments and with long lines joined."""
    found = re.findall(r'^```bash\n(.*?)^```', document.read_text(), re.M | re.S)
    joined = [re.sub(r'\\\n|(?<=\|)\n', ' ', re.sub(r' +# .*', '', block)) for block in found]
    return [block.splitlines() for block in joined]


def lines():
    """Return (line, whether it is whole) of each command line in a block, and of those in text."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        inline = re.findall(r'`((?:scripts/run|ros2 run|ros2 launch) [^`]+)`', text)
        in_blocks = [(line, True) for block in blocks(document) for line in block]
        for line, whole in [*in_blocks, *((line, False) for line in inline)]:
            line = ' '.join(line.split())
            found.append(pytest.param(line, whole, id=f'{document.stem}: {line[:70]}'))
    return found


class Taken(Exception):
    """The command line was parsed."""


@pytest.fixture
def parse(monkeypatch, whole):
    """Return a function that lets a module's own parser take words."""
    original = ArgumentParser.parse_args

    def parse_args(self, *args, **options):
        original(self, *args, **options)
        raise Taken

    def error(self, message):
        # In the text a command may stand without what it needs.
        raise Taken if 'required' in message and not whole else AssertionError(message)

    monkeypatch.setattr(ArgumentParser, 'parse_args', parse_args)
    monkeypatch.setattr(ArgumentParser, 'error', error)

    def parse(module, words):
        if 'argparse' not in Path(import_module(module).__file__).read_text():
            assert not words
            return
        with pytest.raises(Taken if words != ['--help'] else SystemExit):
            import_module(module).main(words)

    return parse


@pytest.mark.parametrize('line, whole', lines())
def test_a_command_line_is_taken(line, whole, parse):
    for words in simple_commands(line):
        check(words, parse)
    for path in re.findall(
        r'(?:config|scripts|launch|docs|tools|test|requirements)/[\w./-]+', line
    ):
        assert (ROOT / path).exists(), path


def simple_commands(line):
    """Return the words of each command in a line; what is in $( ) is one word."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars='|&;')
    lexer.whitespace_split = True
    command, commands = [], []
    for word in lexer:
        if word and set(word) <= set('|&;'):
            commands.append(command)
            command = []
        else:
            command.append(word)
    return [words for words in [*commands, command] if words]


def check(words, parse):
    """Fail if a command does not exist, or does not take its words."""
    name, *rest = words
    if name == 'scripts/run':
        name, *rest = rest
        if name in MODULES:
            check_own(name, rest, parse)
        elif name == 'python' and rest[:1] == ['-m']:
            module = import_module(rest[1])
            main = module.__name__ + ('.__main__' if hasattr(module, '__path__') else '')
            parse(main, rest[2:])
        else:
            assert name in ('python', 'ros2', 'ruff', 'COMMAND'), name
    elif name == 'ros2':
        check_ros2(rest, parse)
    elif '/' in name:
        assert os.access(ROOT / name, os.X_OK), name
    else:
        assert name in OTHERS, name


def check_own(name, words, parse):
    """Let one of the package's commands parse its words, or ROS those of a node."""
    if not name.endswith('_node'):
        parse(MODULES[name], words)
        return
    context = rclpy.Context()
    rclpy.init(args=[name, *words], context=context)
    assert rclpy.utilities.remove_ros_args([name, *words]) == [name]
    rclpy.shutdown(context=context)


def check_ros2(words, parse):
    """Check the words after ros2: names of ours, arguments of launch files, types and fields."""
    verb, *rest = words
    assert verb in OF_ROS2, verb
    if verb == 'run':
        assert rest[0] == PACKAGE and rest[1] in MODULES
        check_own(rest[1], rest[2:], parse)
    elif verb == 'launch':
        assert rest[0] == PACKAGE
        declared = launch_arguments(ROOT / 'launch' / rest[1])
        for word in rest[2:]:
            name, mark, _ = word.partition(':=')
            assert mark and name in declared, f'{word}: allowed: {", ".join(declared)}'
    elif verb in ('action', 'service'):
        kind, *values = [word for word in rest[1:] if not word.startswith('-')][1:]
        message = type_named(kind)
        message = message.Goal() if verb == 'action' else message.Request()
        for value in values:
            fill(message, yaml.safe_load(value))


def launch_arguments(file):
    """Return the names in ARGUMENTS of a launch file, which needs ROS 2 to be imported."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == 'ARGUMENTS':
            return [row[0] for row in ast.literal_eval(node.value)]
    raise AssertionError(f'{file} has no ARGUMENTS')


def type_named(name):
    """Return the class of package/kind/Name."""
    package, kind, leaf = name.split('/')
    if package == 'moveit_msgs':
        pytest.skip('moveit_msgs is part of MoveIt')
    return getattr(import_module(f'{package}.{kind}'), leaf)


def fill(message, values):
    """Set the fields of a message, which refuses wrong names and types."""
    for name, value in values.items():
        setattr(message, name, value)


def quick_lines():
    """Return the lines of the blocks that need no more than the nodes of the first plan."""
    elsewhere = {'download', 'runs'}  # what needs a network, or the recordings of a demo
    runnable = ('plan', 'landscape', 'history', 'energy', 'encode', 'models', 'doctor')
    for document in DOCUMENTS:
        for line in (line for block in blocks(document) for line in block):
            words = line.split()
            quick = words[:1] == ['scripts/run'] and words[1] in runnable
            if quick and not elsewhere & {*words} and not ('ros2' in words and not has_ros2()):
                yield line


def has_ros2():
    """Return whether the command ros2 is there."""
    return shutil.which('ros2') is not None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_quick_runs(tmp_path):
    environment = {
        **os.environ,
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    first_plan = [line for block in blocks(DOCUMENTS[0]) for line in block]
    record = f" -p 'history.folder:={tmp_path / 'plans'}'"
    nodes = [first_plan[2], first_plan[3] + record]
    assert 'simulation_node' in nodes[0] and 'planner_node' in nodes[1]
    make_files(tmp_path)
    processes = [start(line, tmp_path, environment, start_new_session=True) for line in nodes]
    try:
        # A first plan keeps the goal, which the others take from its file.
        for line in ['scripts/run plan --goal-topic goal_image --save goal.png', *quick_lines()]:
            process = start(line, tmp_path, environment)
            output, _ = process.communicate(timeout=100)
            assert process.returncode == 0, f'{line}\n{output}'
            assert 'Traceback' not in output and all(one.poll() is None for one in processes), line
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGINT)
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    made = ('landscape.png', 'slices.npz', 'report.html', 'plan.csv', 'energy.png', 'latents.npz')
    assert [name for name in made if not (tmp_path / name).is_file()] == []


def start(line, folder, environment, **options):
    """Start a line of a document in a folder of its own, as a shell does."""
    return subprocess.Popen(
        ['bash', '-o', 'pipefail', '-c', line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def make_files(folder):
    """Write now.png, and a recording of a camera, into a folder that has our scripts."""
    from PIL import Image as Picture
    from rclpy.serialization import serialize_message
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores
    from vjepa2_planner_ros.messages.goals import picture_message

    (folder / 'scripts').symlink_to(ROOT / 'scripts')
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    Picture.fromarray(pixels[0]).save(folder / 'now.png')
    types, kind = get_typestore(Stores.ROS2_HUMBLE), 'sensor_msgs/msg/Image'
    with Writer(folder / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/camera', kind, typestore=types)
        for index, picture in enumerate(pixels):
            writer.write(connection, 10**18 + index, serialize_message(picture_message(picture)))
    (folder / 'bag' / 'bag.mcap').rename(folder / 'recording.mcap')
