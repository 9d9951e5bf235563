# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as its users meet it: imports, commands, manifests, shipped files."""

import ast
from importlib import import_module
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest
from vjepa2_planner_ros.messages.error_codes import ErrorCode

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text()

# Refuses every import of what the package must not need for that, and prints what was imported.
IMPORT_WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {refused!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
before = set(sys.modules)
import {module}
print(*sorted({{name.partition('.')[0] for name in set(sys.modules) - before}}))
"""


def import_without(module, refused):
    """Import a module in a Python of its own; return (what it imported, its stderr)."""
    done = subprocess.run(
        [sys.executable, '-c', IMPORT_WITHOUT.format(module=module, refused=refused)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.case(56)
def test_the_package_imports_alone_and_silently():
    imported, errors = import_without(
        'vjepa2_planner_ros', ('torch', 'rclpy', 'numpy', 'cv2', 'mujoco', 'vjepa2_interfaces')
    )
    assert 'vjepa2_planner_ros' in imported
    assert errors == ''


@pytest.mark.parametrize(
    'module',
    (
        'world_model',
        'planning',
        'control.stop_rule',
        'cli.models',
        'cli.encode',
        'cli.energy',
        'simulation',
        'learning.recipes.train',
        'learning.recipes.collect',
    ),
)
def test_the_core_imports_without_ros(module):
    import_without(f'vjepa2_planner_ros.{module}', ('rclpy', 'vjepa2_interfaces', 'launch'))


def console_scripts():
    """Return [(command, module, function)] of setup.py."""
    text = (ROOT / 'setup.py').read_text()
    return re.findall(r"'(\w+) = ([\w.]+):(\w+)'", text)


def test_the_commands_are_the_documented_ones():
    assert {command for command, _, _ in console_scripts()} == {
        'planner_node',
        'simulation_node',
        'plan',
        'history',
        'demo',
        'landscape',
        'models',
        'encode',
        'energy',
    }


@pytest.mark.parametrize('command, module, function', console_scripts())
def test_every_command_leads_to_a_function(command, module, function):
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    'command', ('plan', 'history', 'demo', 'landscape', 'models', 'encode', 'energy')
)
def test_a_command_explains_itself(command):
    module = {name: module for name, module, _ in console_scripts()}[command]
    done = subprocess.run(
        [sys.executable, '-m', module, '--help'], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'usage: {command}')


def test_every_command_of_the_readme_exists():
    commands = set(re.findall(r'scripts/\w+', README))
    assert {'scripts/demo', 'scripts/test'} <= commands
    for command in commands:
        assert os.access(ROOT / command, os.X_OK), command
    modules = set(re.findall(r'python\s+-m (vjepa2_planner_ros[\w.]*)', README))
    for module in modules:
        path = ROOT / module.replace('.', '/')
        assert path.with_suffix('.py').is_file() or (path / '__main__.py').is_file(), module


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r'\]\(([^)#]+)\)', README):
        assert target.startswith('https://') or (ROOT / target).exists(), target


def test_error_codes_are_those_of_the_action():
    from vjepa2_interfaces.action import PlanAction

    for code in ErrorCode:
        assert getattr(PlanAction.Result, code.name) == code.value
    text = (ROOT / 'vjepa2_interfaces/action/PlanAction.action').read_text()
    assert set(re.findall(r'^uint16 (\w+)=', text, re.M)) == {code.name for code in ErrorCode}


def python_files():
    """Return the package's own Python files."""
    return sorted(
        [
            *ROOT.glob('vjepa2_planner_ros/**/*.py'),
            *ROOT.glob('test/**/*.py'),
            *ROOT.glob('launch/*.py'),
            ROOT / 'setup.py',
        ]
    )


def test_every_file_names_its_licence():
    for file in python_files():
        assert file.read_text().splitlines()[:2] == [
            '# Copyright 2026 The vjepa2_planner_ros authors',
            '# SPDX-License-Identifier: Apache-2.0',
        ], file


def imported_modules(file):
    """Return the absolute names of what a file of the package imports, wherever in the file."""
    package = file.relative_to(ROOT).with_suffix('').parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield '.'.join(
                [*package[: len(package) - node.level + 1], *filter(None, [node.module])]
            )
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize(
    'folder, forbidden',
    (
        (
            'world_model',
            (
                'rclpy',
                'vjepa2_interfaces',
                'vjepa2_planner_ros.planning',
                'vjepa2_planner_ros.nodes',
                'vjepa2_planner_ros.simulation',
            ),
        ),
        (
            'planning',
            (
                'rclpy',
                'vjepa2_interfaces',
                'vjepa2_planner_ros.nodes',
                'vjepa2_planner_ros.simulation',
            ),
        ),
        ('learning', ('rclpy', 'vjepa2_interfaces', 'vjepa2_planner_ros.nodes')),
    ),
)
def test_dependencies_point_one_way(folder, forbidden):
    for file in ROOT.glob(f'vjepa2_planner_ros/{folder}/**/*.py'):
        for name in imported_modules(file):
            for refused in forbidden:
                assert name != refused and not name.startswith(refused + '.'), (file, name)


# Prints the bytes of each file in shared memory that a node has mapped.
SHARE = """
import os, rclpy
rclpy.init()
node = rclpy.create_node('shares')
for path in {line.split()[-1] for line in open('/proc/self/maps') if '/dev/shm/' in line}:
    print(os.path.getsize(path))
"""


def test_fast_dds_shares_enough_memory_for_raw_pictures(monkeypatch):
    rclpy = pytest.importorskip('rclpy')
    if rclpy.get_rmw_implementation_identifier() != 'rmw_fastrtps_cpp':
        pytest.skip('another middleware than Fast DDS')
    for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        monkeypatch.setenv(name, str(ROOT / 'config' / 'fastdds.xml'))
    done = subprocess.run(
        [sys.executable, '-c', SHARE], capture_output=True, text=True, timeout=60
    )
    assert 'XMLPARSER' not in done.stderr
    assert max(map(int, done.stdout.split())) > 4 * 1920 * 1080 * 3, done.stderr
