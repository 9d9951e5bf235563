# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command doctor as a process, with and without a planner."""

from contextlib import contextmanager
import os
import subprocess
import sys

import pytest
import rclpy
from sensor_msgs.msg import CompressedImage
from vjepa2_planner_ros.nodes.process import free_domain

pytestmark = pytest.mark.slow
NO_TORCH = """
import sys
sys.modules['torch'] = None
from vjepa2_planner_ros.cli.doctor import main
sys.exit(main())
"""


def doctor(*arguments, code=('-m', 'vjepa2_planner_ros.cli.doctor'), **environment):
    """Return (exit code, {name: (level, text)}) of the command."""
    ended = subprocess.run(
        [sys.executable, *code, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert 'Traceback' not in ended.stderr, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line]
    # level, name and text; a name may be longer than its column
    parts = [(line[:5].strip(), line[5:25].strip(), line[25:].strip()) for line in lines]
    for level, *_ in parts:
        assert level in ('OK', 'WARN', 'FAIL'), ended.stdout
    return ended.returncode, parts, ended.stdout


@contextmanager
def other_process(kind, topic):
    """Publish a type from another participant: one participant has one type on a topic."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('camera', context=context, use_global_arguments=False)
    node.create_publisher(kind, topic, 10)
    yield
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_without_a_planner(tmp_path):
    code, lines, output = doctor(
        *('--wait', '0.5'),
        ROS_DOMAIN_ID=str(free_domain()),
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        ROS_LOG_DIR=str(tmp_path),
    )
    found = {name: (level, text) for level, name, text in lines}
    assert code == 0, output
    names = ['package', 'Python', 'ROS 2', 'middleware', 'PyTorch', 'device and dtype', 'memory']
    names += ['model cache', 'weights', 'Fast DDS profile', 'domain', 'log folder', 'planner']
    assert [name for name in names if name not in found] == []
    assert 'sim-panda-ac' in found['weights'][1] and 'torch.' not in output
    assert found['log folder'] == ('OK', str(tmp_path))
    assert 'LOCALHOST' in found['domain'][1] and 'none is heard' in found['planner'][1]


def test_what_fails_is_said_with_what_to_do():
    code, lines, output = doctor(
        *('--wait', '0.1'),
        code=('-c', NO_TORCH),
        ROS_DOMAIN_ID=str(free_domain()),
        FASTDDS_DEFAULT_PROFILES_FILE='/nowhere/fastdds.xml',
    )
    found = {name: (level, text) for level, name, text in lines}
    assert code == 1
    assert found['PyTorch'][0] == 'FAIL' and 'pip install torch' in found['PyTorch'][1]
    assert found['weights'] == ('WARN', 'not looked for: PyTorch is missing')
    assert found['Fast DDS profile'][0] == 'FAIL'


def test_with_a_planner_its_streams_are_listed(robot):
    name = robot.planner.get_fully_qualified_name()
    code, lines, output = doctor('--wait', '20')
    assert f'{name}: ready' in output and code == 0, output
    assert any('active' in text for _, label, text in lines if label == 'state')
    for stream, kind in (('image', 'Image'), ('pose', 'PoseStamped'), ('gripper', 'JointState')):
        (line,) = [one for one in output.splitlines() if f'{name}/{stream} ' in one]
        assert line.startswith('OK') and f'/msg/{kind}, QoS matches' in line


def test_a_publisher_of_another_type_and_a_silent_topic_fail(make_robot):
    robot = make_robot(sending=())
    name = robot.planner.get_fully_qualified_name()
    robot.node.destroy_publisher(robot.poses)
    robot.node.destroy_publisher(robot.pictures)
    with other_process(CompressedImage, f'{name}/image'):
        code, _, output = doctor('--wait', '20')
    assert code == 1
    lines = [line for line in output.splitlines() if line.startswith('FAIL')]
    assert any(
        '/image' in line and 'publishes sensor_msgs/msg/CompressedImage' in line for line in lines
    )
    assert any('/pose' in line and 'nobody publishes' in line for line in lines)
