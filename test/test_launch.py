# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, for real, wherever ROS 2's launch is installed."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('launch_ros', reason='launch_ros is part of ROS 2, not of its wheels')
pytestmark = pytest.mark.slow
LAUNCH_FOLDER = Path(__file__).resolve().parent.parent / 'launch'
# Like `ros2 launch`, whose package may be missing where launch_ros is not.
RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]),
    launch_arguments=[argument.split(':=') for argument in sys.argv[2:]])]))
sys.exit(service.run())
"""


def start(name, *arguments):
    return subprocess.Popen(
        [sys.executable, '-c', RUN, str(LAUNCH_FOLDER / name), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process, timeout):
    """Return the output of a launch that ends by itself; kill its whole session if it does not."""
    try:
        return process.communicate(timeout=timeout)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def node():
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('watcher', context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.case(57)
def test_the_planner_serves_in_its_namespace_with_its_topics_and_ends_on_ctrl_c(node, tmp_path):
    parameters = tmp_path / 'mine.yaml'
    parameters.write_text('/**:\n  ros__parameters:\n    model: none-of-ours\n')
    process = start(
        'planner.launch.py',
        'namespace:=left',
        'image:=/wrist/image',
        f'params_file:={parameters}',
        'model:=sim-panda-ac',
        'device:=cpu',
    )
    try:
        until = time.monotonic() + 180
        while time.monotonic() < until and (
            # discovery tells of a subscription before it tells whose it is
            [info.node_namespace for info in node.get_subscriptions_info_by_topic('/wrist/image')]
            != ['/left']
            or '/left/plan/_action/send_goal' not in dict(node.get_service_names_and_types())
        ):
            time.sleep(0.1)
        services = dict(node.get_service_names_and_types())
        subscriptions = node.get_subscriptions_info_by_topic('/wrist/image')
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output = finish(process, 60)
    assert [info.node_namespace for info in subscriptions] == ['/left'], output
    # The model of the command line, not that of the file, which does not exist.
    assert '/left/plan/_action/send_goal' in services, output
    assert 'sim-panda-ac is loaded on cpu' in output
    assert process.returncode == 0


@pytest.mark.case(57)
def test_the_demo_ends_and_shows_its_exit_code():
    # No episode to do: this is about the end, tests of the demo itself are elsewhere.
    process = start('demo.launch.py', 'episodes:=0', 'namespace:=shown')
    output = finish(process, 300)
    assert 'the demo ended with exit code 0' in output
    assert process.returncode == 0


@pytest.mark.case(57)
def test_the_demo_fails_when_the_demo_failed():
    process = start('demo.launch.py', 'episodes:=not-a-number', 'namespace:=failed')
    output = finish(process, 300)
    assert 'the demo ended with exit code 2' in output
    assert process.returncode == 1


def test_a_params_file_that_is_missing_is_refused_before_a_node_starts():
    process = start('planner.launch.py', 'params_file:=nope.yaml')
    output = finish(process, 60)
    assert "params_file = 'nope.yaml': allowed: a YAML file that can be read" in output
    assert 'process started' not in output and process.returncode == 1
