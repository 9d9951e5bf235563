# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulation node as a process, and a node that listens to it."""

import os
import subprocess
import sys
import time

from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from vjepa2_interfaces.msg import EndEffectorCommand

# A namespace of its own keeps the test apart from any other node.
NAMESPACE = f'/simulation_test_{os.getpid()}'
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    'image': (Image, qos_profile_sensor_data),
    'camera_info': (CameraInfo, qos_profile_sensor_data),
    'pose': (PoseStamped, 10),
    'gripper': (JointState, 10),
    'goal_image': (Image, LATCHED),
    'goal_pose': (PoseStamped, LATCHED),
    'goal_gripper': (JointState, LATCHED),
    'joint_states': (JointState, 10),
    'robot_description': (String, LATCHED),
    '/tf': (TFMessage, 100),  # where tf2 listens, whatever the namespace
    '/tf_static': (TFMessage, LATCHED),
}


def start_node(namespace=NAMESPACE, environment=None, **parameters):
    arguments = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    return subprocess.Popen(
        [
            sys.executable,
            '-m',
            'vjepa2_planner_ros.nodes.simulation_node',
            '--ros-args',
            '-r',
            f'__ns:={namespace}',
            *arguments,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


class Listener:
    """A node that keeps the last message of every topic and can send commands."""

    def __init__(self, context):
        self.node = rclpy.create_node('listener', namespace=NAMESPACE, context=context)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.last = {}
        self.count = 0
        for name, (kind, qos) in TOPICS.items():
            self.node.create_subscription(
                kind, name, lambda message, name=name: self._keep(name, message), qos
            )
        self.command = self.node.create_publisher(EndEffectorCommand, 'command', 10)
        self.next_episode = self.node.create_client(Trigger, 'next_episode')

    def _keep(self, name, message):
        self.last[name] = message
        self.count += name == 'image'

    def until(self, condition, timeout=30.0):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, 'it did not happen in time'
            self.executor.spin_once(timeout_sec=0.05)

    def pictures(self, count):
        target = self.count + count
        self.until(lambda: self.count >= target)

    def state(self):
        pose, joint = self.last['pose'].pose, self.last['gripper'].position[0]
        return np.array([pose.position.x, pose.position.y, pose.position.z, 1 - joint / 0.04])

    def send(self, x=0.0, gripper=0.0, frame=''):
        message = EndEffectorCommand(gripper=gripper)
        message.translation.x = x
        message.header.frame_id = frame
        self.command.publish(message)
