# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm as the demo sees it: its topics, and when the arm is at rest."""

from contextlib import ExitStack
import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from ..messages.images import to_rgb
from ..messages.times import nanoseconds
from ..nodes.process import spinning
from ..simulation.panda import FINGER_TRAVEL

REST = 0.0005, 0.01  # m and closedness that the arm at rest may change between two ticks
TICKS_AT_REST = 11  # 0.2 s


class DemoArm:
    """The simulation's topics and services; a context manager, its calls block."""

    def __init__(self, node):
        self._node = node
        self._changed = threading.Condition()
        self._newest = {}
        self._poses = []  # the last ticks
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, qos in (
            (Image, 'image', qos_profile_sensor_data),
            (PoseStamped, 'pose', 10),
            (JointState, 'gripper', 10),
            (Image, 'goal_image', latched),
            (PoseStamped, 'goal_pose', latched),
            (JointState, 'goal_gripper', latched),
        ):
            node.create_subscription(
                kind, topic, lambda message, topic=topic: self._keep(topic, message), qos
            )
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.planner_failure = ''  # what the planner says if it cannot load its model
        self._next = node.create_client(Trigger, 'next_episode')
        self._stack = ExitStack()

    def __enter__(self):
        self._stack.callback(self._node.destroy_node)
        self._stack.enter_context(spinning(self._node))
        return self

    def __exit__(self, *error):
        self._stack.close()

    @property
    def goal_image(self):
        """Return the Image of the goal."""
        return self._newest['goal_image']

    def picture(self):
        """Return the newest frame, uint8 [H, W, 3] RGB."""
        return to_rgb(self._newest['image'])

    def goal_picture(self):
        """Return the goal, uint8 [H, W, 3] RGB."""
        return to_rgb(self.goal_image)

    def is_seen(self):
        """Return whether everything the simulation publishes has arrived."""
        return len(self._newest) == 6 and self._next.service_is_ready()

    def next_episode(self) -> str:
        """Begin the next episode and wait for its goal and a frame of it; return its name."""
        old = {
            topic: nanoseconds(self._newest[topic].header.stamp)
            for topic in ('goal_image', 'goal_pose', 'goal_gripper')
        }
        asked = self._now()
        answer = self._next.call_async(Trigger.Request())
        self._wait(answer.done, 'the next episode')
        self._wait(
            lambda: all(
                nanoseconds(self._newest[topic].header.stamp) != stamp
                for topic, stamp in old.items()
            ),
            'the goal of the episode',
        )
        goal = max(nanoseconds(self._newest[topic].header.stamp) for topic in old)
        self._wait_for_rest(max(asked, goal))
        return answer.result().message

    def score(self):
        """Return (distance to the goal [m], turn [rad], gripper's error in closedness)."""
        position, goal = (_position(self._newest[topic]) for topic in ('pose', 'goal_pose'))
        finger, goal_finger = (
            self._newest[topic].position[0] for topic in ('gripper', 'goal_gripper')
        )
        return (
            float(np.linalg.norm(position - goal)),
            _angle(self._newest['pose'], self._newest['goal_pose']),
            abs(finger - goal_finger) / FINGER_TRAVEL,
        )

    def _keep(self, topic, message):
        with self._changed:
            self._newest[topic] = message
            if topic == 'gripper' and 'pose' in self._newest:
                pose = self._newest['pose']
                self._poses = [
                    *self._poses[1 - TICKS_AT_REST :],
                    (
                        nanoseconds(pose.header.stamp),
                        np.array([*_position(pose), message.position[0] / FINGER_TRAVEL]),
                    ),
                ]
            self._changed.notify_all()

    def _on_diagnostics(self, message):
        for status in message.status:
            if status.level == DiagnosticStatus.ERROR and status.name.endswith(': planner'):
                self.planner_failure = status.message

    def _wait_for_rest(self, since):
        """Wait for some equal poses after since [ns], and for a frame of them."""

        def at_rest():
            stamps, poses = zip(*self._poses)
            spread = np.ptp(poses, axis=0)
            return (
                len(poses) == TICKS_AT_REST
                and stamps[0] > since
                and spread[:3].max() < REST[0]
                and spread[3] < REST[1]
                and nanoseconds(self._newest['image'].header.stamp) >= stamps[1]
            )

        self._wait(at_rest, 'the arm to come to rest')

    def _wait(self, condition, what, timeout=60.0):
        with self._changed:
            until = time.monotonic() + timeout
            while not condition():
                if time.monotonic() > until:
                    raise TimeoutError(f'waited {timeout:g} s for {what}')
                self._changed.wait(0.05)

    def _now(self):
        return self._node.get_clock().now().nanoseconds


def _angle(pose, other):
    """Return the angle [rad] between the orientations of two PoseStamped."""
    turns = [pose.pose.orientation, other.pose.orientation]
    a, b = (np.array([turn.x, turn.y, turn.z, turn.w]) for turn in turns)
    return float(2.0 * np.arccos(min(abs(np.dot(a, b)), 1.0)))


def _position(pose):
    position = pose.pose.position
    return np.array([position.x, position.y, position.z])
