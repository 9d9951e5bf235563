# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real planner node, a client and a robot, talking over real DDS."""

from array import array
import itertools
import threading
import time

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState
from toy_world_model import ToyWorldModel

from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import spin_until

# What the toy picture can hold to the last digit: steps of 0.01.
START = np.array([0.40, 0.10, 0.30, 0.2, -0.1, 0.3, 0.25])
GOAL = START + [0.03, -0.02, 0.04, 0.0, 0.0, 0.0, 0.5]

STREAMS = ('image', 'state')


def eventually(condition, timeout=60.0):
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
        self.context = None  # of the last rollout: latents [T, 1, 7] and states [T, 7]

    def encode(self, frames):
        """Note the thread."""
        self.threads.add(threading.get_ident())
        return super().encode(frames)

    def rollout(self, context, states, actions):
        """Take time and go wrong as told."""
        self.threads.add(threading.get_ident())
        self.context = context.numpy(), states
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
            'image_timeout': 50.0, 'max_image_age': 5.0, 'max_state_age': 5.0, 'max_skew': 5.0,
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
        self._sent_at = time.monotonic()
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
        assert self.client.wait_until_ready(60.0)
        inputs = self.planner._observations
        ages = {'image': lambda: inputs.age_of_frame('main'), 'state': inputs.age_of_state}
        for stream in self.sending:
            eventually(lambda: ages[stream]() is not None and ages[stream]() < 0.5)
        return self

    def plan(self, **fields):
        """Plan toward GOAL."""
        return self.client.plan(ToyWorldModel.picture(GOAL), timeout=60.0, **fields)

    def stamp(self, stream):
        """Return the stamp of a stream's next message."""
        now = self.node.get_clock().now().nanoseconds - round(self.delay[stream] * 1e9)
        return Time(sec=now // 10 ** 9, nanosec=now % 10 ** 9)

    def restore(self):
        """Undo what a test may have switched; return self."""
        self.state, self.sending = START, set(STREAMS)
        self.speed = np.zeros(7)  # of the state, a second
        self.delay = {'image': 0.0, 'state': 0.0}
        self.model.delay, self.model.fault = 0.0, None
        return self

    def _send(self):
        now = time.monotonic()
        if self.speed.any():
            self.state = self.state + (now - self._sent_at) * self.speed
        self._sent_at = now
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
