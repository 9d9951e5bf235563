# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real planner node, a client and a robot, talking over real DDS."""

from array import array
import itertools
import os
from pathlib import Path
import socket
import sys
import threading
import time

sys.path.insert(0, str(Path(__file__).parents[1]))


def _free_domain():
    """Return a ROS domain nobody on this machine is in, and the socket that keeps it."""
    for domain in range(10 + os.getpid() % 40, 100):
        keeper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # The discovery port of participants that do not exist: an unused number per domain.
            keeper.bind(('127.0.0.1', 7400 + 250 * domain + 249))
            return domain, keeper
        except OSError:
            keeper.close()
    raise RuntimeError('no free ROS domain')


DOMAIN, _KEEPER = _free_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'  # rclpy checks lengths and types only with this

from builtin_interfaces.msg import Time  # noqa: E402
from geometry_msgs.msg import PoseStamped  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import rclpy  # noqa: E402
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from toy_world_model import ToyWorldModel  # noqa: E402

from vjepa2_planner_ros.client import PlannerClient  # noqa: E402
from vjepa2_planner_ros.nodes.planner_node import PlannerNode  # noqa: E402
from vjepa2_planner_ros.nodes.process import spin_until  # noqa: E402

# What the toy picture can hold to the last digit: steps of 0.01.
START = np.array([0.40, 0.10, 0.30, 0.2, -0.1, 0.3, 0.25])
GOAL = START + [0.03, -0.02, 0.04, 0.0, 0.0, 0.0, 0.5]

STREAMS = ('image', 'state')


def eventually(condition, timeout=20.0):
    """Wait until a condition holds; fail the test if it does not."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, 'it did not happen in time'
        time.sleep(0.005)


def to_image(rgb, stamp=None):
    """Return the rgb8 Image of an array, independently of the package's own conversion."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding='rgb8',
                    step=3 * rgb.shape[1], data=array('B', rgb.tobytes()))
    message.header.stamp = stamp or Time()
    return message


class Toy(ToyWorldModel):
    """The toy world model, with switches for what can go wrong."""

    def __init__(self):
        self.threads = set()  # of every call
        self.delay = 0.0  # s a rollout
        self.fault = None  # called in every rollout with its result

    def encode(self, frames):
        """Note the thread."""
        self.threads.add(threading.get_ident())
        return super().encode(frames)

    def rollout(self, context, states, actions):
        """Take time and go wrong as told."""
        self.threads.add(threading.get_ident())
        time.sleep(self.delay)
        latents = super().rollout(context, states, actions)
        return latents if self.fault is None else self.fault(latents)


class Robot:
    """The planner, a robot that feeds its topics, and a client, each on threads of its own."""

    numbers = itertools.count()

    def __init__(self, context, parameters=(), load_model=None, sending=STREAMS):
        namespace = f'/robot{next(Robot.numbers)}'
        self.model = Toy()
        self.load = load_model or (lambda name, **options: self.model)
        overrides = [Parameter(name, value=value) for name, value in {
            # Patient: a busy machine may stand still for seconds.
            'image_timeout': 15.0, 'max_image_age': 5.0, 'max_state_age': 5.0, 'max_skew': 5.0,
            'cem.samples': 200, 'cem.seed': 1, **dict(parameters)}.items()]
        self.planner = PlannerNode(
            load_model=lambda *args, **options: self.load(*args, **options),
            context=context, parameter_overrides=overrides, use_global_arguments=False,
            namespace=namespace)
        self.node = rclpy.create_node(
            'robot', context=context, use_global_arguments=False, namespace=namespace)
        self.pictures = self.node.create_publisher(
            Image, 'planner/image', qos_profile_sensor_data)
        self.poses = self.node.create_publisher(
            PoseStamped, 'planner/pose', qos_profile_sensor_data)
        self.grippers = self.node.create_publisher(
            JointState, 'planner/gripper', qos_profile_sensor_data)
        self.restore()  # sets state, and how old the stamps are [s]
        self.sending = set(sending)
        self.node.create_timer(0.02, self._send)
        self._executors = [MultiThreadedExecutor(4, context=context),
                           SingleThreadedExecutor(context=context)]
        for executor, node in zip(self._executors, (self.planner, self.node)):
            executor.add_node(node)
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=spin_until, args=(executor, node, self._ended), daemon=True)
            for executor, node in zip(self._executors, (self.planner, self.node))]
        for thread in self._threads:
            thread.start()
        self.client = PlannerClient(self.node)

    def ready(self):
        """Wait until the planner plans and has seen the streams; return self."""
        assert self.client.wait_until_ready(20.0)
        inputs = self.planner._observations
        ages = {'image': lambda: inputs.age_of_frame('main'), 'state': inputs.age_of_state}
        for stream in self.sending:
            eventually(lambda: ages[stream]() is not None and ages[stream]() < 0.5)
        return self

    def plan(self, **fields):
        """Plan toward GOAL."""
        return self.client.plan(ToyWorldModel.picture(GOAL), timeout=20.0, **fields)

    def stamp(self, stream):
        """Return the stamp of a stream's next message."""
        now = self.node.get_clock().now().nanoseconds - round(self.delay[stream] * 1e9)
        return Time(sec=now // 10 ** 9, nanosec=now % 10 ** 9)

    def restore(self):
        """Undo what a test may have switched; return self."""
        self.state, self.sending = START, set(STREAMS)
        self.delay = {'image': 0.0, 'state': 0.0}
        self.model.delay, self.model.fault = 0.0, None
        return self

    def _send(self):
        if 'state' in self.sending:
            pose = PoseStamped()
            pose.header.stamp = self.stamp('state')
            pose.header.frame_id = 'panda_link0'
            position, orientation = pose.pose.position, pose.pose.orientation
            position.x, position.y, position.z = map(float, self.state[:3])
            quaternion = Rotation.from_euler('xyz', self.state[3:6]).as_quat()
            orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
            self.poses.publish(pose)
            gripper = JointState(name=['panda_joint1', 'panda_finger_joint1'],
                                 position=[1.5, 0.04 * (1.0 - float(self.state[6]))])
            gripper.header.stamp = pose.header.stamp
            self.grippers.publish(gripper)
        if 'image' in self.sending:
            self.pictures.publish(to_image(
                ToyWorldModel.picture(self.state), self.stamp('image')))

    def close(self):
        """End everything."""
        self.client.close()
        self.planner.stop(5.0)
        self._ended.set()
        for thread in self._threads:
            thread.join(5.0)
        for executor in self._executors:
            executor.shutdown(timeout_sec=2.0)
        self.planner.destroy_node()
        self.node.destroy_node()


@pytest.fixture(scope='session')
def context():
    """Initialise ROS once."""
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


@pytest.fixture(scope='session')
def _shared_robot(context):
    robot = Robot(context)
    yield robot.ready()
    robot.close()


@pytest.fixture
def robot(_shared_robot):
    """Return the Robot that tests share, in good order; its planner is ready."""
    yield _shared_robot.restore().ready()
    _shared_robot.client.cancel(10.0)
