# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robots with a planner for tests: one that a module's tests share, and others of their own."""

import subprocess
import sys

from controller_rig import Lab
from PIL import Image as Picture
from planner_rig import eventually, GOAL, Robot, STREAMS
import pytest
import rclpy
from rclpy.parameter import Parameter
from tools.toy_world_model import ToyWorldModel


@pytest.fixture(scope='module')
def context():
    """
    Initialise ROS for the tests of a module.

    Not once for all: a participant of DDS tells whoever comes of every endpoint that it ever had,
    of those that are gone too, and after some hundred nodes that takes ten seconds.
    """
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def make_robot(context):
    """Return a function that makes a Robot of its own; parameters with __ for the dot."""
    robots = []

    def make(load_model=None, sending=STREAMS, **parameters):
        parameters = {name.replace('__', '.'): value for name, value in parameters.items()}
        robots.append(Robot(context, parameters, load_model, sending))
        return robots[-1]

    yield make
    for robot in robots:
        robot.close()


@pytest.fixture(scope='module')
def _shared_robot(context):
    robot = Robot(context)
    yield robot.ready()
    robot.close()


@pytest.fixture
def robot(_shared_robot):
    """
    Return the Robot that a module's tests share, in good order; its planner is ready.

    What a test does wrong with it is answered, never logged as an error.
    """
    yield _shared_robot.restore().ready()
    _shared_robot.client.cancel(10.0)
    errors, _shared_robot.logs = _shared_robot.errors(), []
    assert not errors


@pytest.fixture
def listen(robot):
    """Return a function that keeps what arrives on a topic, once its publisher is connected."""
    subscriptions = []

    def start(kind, topic, qos=50):
        messages = []
        subscriptions.append(robot.node.create_subscription(kind, topic, messages.append, qos))
        name = subscriptions[-1].topic_name
        for info in (robot.planner, robot.node):  # both sides have to know of each other
            eventually(
                lambda info=info: (
                    info.count_publishers(name) == 1 and info.count_subscribers(name) == 1
                )
            )
        return messages

    yield start
    for subscription in subscriptions:
        robot.node.destroy_subscription(subscription)


@pytest.fixture
def start_command(robot):
    """Return a function that starts a module of the package against the shared planner."""
    processes = []

    def start(module, *arguments, stdout=subprocess.PIPE):
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    f'vjepa2_planner_ros.{module}',
                    *arguments,
                    '--ros-args',
                    '-r',
                    f'__ns:={robot.node.get_namespace()}',
                ],
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def goal_file(tmp_path):
    """Return the path of a picture of GOAL."""
    Picture.fromarray(ToyWorldModel.picture(GOAL)).save(tmp_path / 'goal.png')
    return str(tmp_path / 'goal.png')


@pytest.fixture
def plans_folder(robot, tmp_path):
    """Return the folder into which the shared planner records in a test."""
    path = tmp_path / 'plans'
    robot.planner.set_parameters([Parameter('history.folder', value=str(path))])
    yield path
    robot.planner.set_parameters([Parameter('history.folder', value='')])


@pytest.fixture(scope='module')
def _shared_lab(context):
    lab = Lab(context)
    yield lab.ready()
    lab.close()


@pytest.fixture
def lab(_shared_lab):
    """Return the Lab that a module's tests share, in good order and armed."""
    yield _shared_lab.restore().arm()
    _shared_lab.restore()


@pytest.fixture
def make_lab(context):
    """Return a function that makes a Lab; parameters with __ for the dot."""
    labs = []

    def make(of_planner=(), sending=STREAMS, **parameters):
        values = {name.replace('__', '.'): value for name, value in parameters.items()}
        labs.append(Lab(context, values, of_planner, sending=sending))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()
