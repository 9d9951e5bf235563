# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package as its users meet it: imports, commands, manifests, shipped files."""

from importlib import import_module
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest
from tools import rooms
from vjepa2_planner_ros.messages.error_codes import ErrorCode

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'vjepa2_planner_ros'

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
@pytest.mark.slow
def test_the_core_imports_without_ros(module):
    import_without(f'vjepa2_planner_ros.{module}', ('rclpy', 'vjepa2_interfaces', 'launch'))


def console_scripts():
    """Return [(command, module, function)] of setup.py."""
    text = (ROOT / 'setup.py').read_text()
    return re.findall(r"'(\w+) = ([\w.]+):(\w+)'", text)


@pytest.mark.parametrize('command, module, function', console_scripts())
def test_every_command_leads_to_a_function(command, module, function):
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize(
    'command', [row[0] for row in console_scripts() if not row[0].endswith('_node')]
)
@pytest.mark.slow
def test_a_command_explains_itself(command):
    done = subprocess.run(
        [ROOT / 'scripts/run', command, '--help'], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'usage: {command}')


DOCUMENTS = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted(ROOT.glob('docs/*.md')),
    ROOT / '.github/ISSUE_TEMPLATE/bug_report.md',
    *sorted(ROOT.glob('vjepa2_planner_ros/weights/*.md')),
]


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_exists(document):
    text = document.read_text()
    for script in re.findall(r'(?<!/)\bscripts/\w+', text):
        assert os.access(ROOT / script, os.X_OK), script
    commands = {command for command, _, _ in console_scripts()}
    ran = re.findall(r'(?:scripts/run|ros2 run vjepa2_planner_ros) ([a-z]\w+)', text)
    assert set(ran) <= commands | {'python', 'ros2', 'rqt', 'rviz2', 'mypy', 'ruff'}
    for module in re.findall(r'python -m ((?:vjepa2_planner_ros|tools)[\w.]*)', text):
        path = ROOT / module.replace('.', '/')
        assert path.with_suffix('.py').is_file() or (path / '__main__.py').is_file(), module
    for launch_file in re.findall(r'\w+\.launch\.py', text):
        assert (ROOT / 'launch' / launch_file).is_file(), launch_file


def test_a_report_of_a_bug_begins_with_what_doctor_prints():
    text = (ROOT / '.github/ISSUE_TEMPLATE/bug_report.md').read_text()
    assert re.findall(r'`(scripts/run \w+)', text)[0] == 'scripts/run doctor'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document):
    for target, anchor in re.findall(r'\]\(([^)#]*)(?:#([^)]*))?\)', document.read_text()):
        if target.startswith('https://'):
            continue
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f'{target}#{anchor}'


def anchors(document):
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r'^#+ (.+)$', document.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_error_codes_are_those_of_the_action():
    from vjepa2_interfaces.action import PlanAction

    for code in ErrorCode:
        assert getattr(PlanAction.Result, code.name) == code.value
    text = (ROOT / 'vjepa2_interfaces/action/PlanAction.action').read_text()
    assert set(re.findall(r'^uint16 (\w+)=', text, re.M)) == {code.name for code in ErrorCode}


def test_every_file_names_its_licence():
    for folder in ('vjepa2_planner_ros', 'test', 'tools', 'launch'):
        for file in ROOT.glob(f'{folder}/**/*.py'):
            assert file.read_text().splitlines()[:2] == [
                '# Copyright 2026 The vjepa2_planner_ros authors',
                '# SPDX-License-Identifier: Apache-2.0',
            ], file


# What each room may import of the others, as docs/architecture.md draws it: arrows go down only.
CORE = {'world_model', 'planning', 'control', 'learning', 'simulation'}
MIDDLE = CORE | {'messages', 'history'}
ROOMS = {
    'world_model': set(),
    'simulation': set(),
    'planning': {'world_model'},
    'control': {'planning'},
    'learning': {'planning', 'world_model', 'control', 'simulation', 'messages'},
    'messages': {'control', 'planning', 'world_model'},
    'history': {'messages', 'planning', 'learning', 'world_model'},
    'client': {'control', 'messages', 'planning'},
    'nodes': MIDDLE | {'client'},
    'web': MIDDLE | {'client'},
    'cli': MIDDLE | {'client', 'nodes', 'web'},
}
ROS = {'rclpy', 'launch', 'launch_ros', 'vjepa2_interfaces'}


def test_architecture_shows_the_rooms_as_they_are():
    page = (ROOT / 'docs' / 'architecture.md').read_text()
    assert rooms.PICTURE.search(page)[0] == rooms.picture()  # python -m tools.rooms writes it


def test_the_root_holds_rooms_and_nothing_else():
    assert {file.name for file in PACKAGE.glob('*.py')} == {'__init__.py'}
    folders = {file.relative_to(PACKAGE).parts[0] for file in PACKAGE.glob('*/**/*.py')}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize('name', ROOMS)
def test_arrows_go_down_only(name):
    files = [*PACKAGE.glob(f'{name}/**/*.py')]
    assert files
    for file in files:
        for imported in rooms.imported_names(file):
            assert rooms.room(imported) in {None, name} | ROOMS[name], (file, imported)
            if name in CORE:
                root = imported.partition('.')[0]
                assert root not in ROS and not root.endswith('_msgs'), (file, imported)


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
