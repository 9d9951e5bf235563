# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated arm's topics target_pose and twist, as the controllers of real arms have them."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from ..simulation import PandaSim
from ..simulation.cartesian import CartesianController
from ..simulation.description import BASE_FRAME

THROTTLE = 1.0  # s between two warnings
# The newest target counts, whatever the publisher's reliability.
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class SimulatedArm:
    """Subscribes to target_pose and twist of a node and lets a PandaSim follow them."""

    def __init__(self, node: Node, sim: PandaSim) -> None:
        """Make the subscriptions."""
        self._loggers = {
            name: node.get_logger().get_child(name) for name in ('target_pose', 'twist')
        }
        self._controller = CartesianController(sim)
        node.create_subscription(PoseStamped, 'target_pose', self._on_target_pose, NEWEST)
        node.create_subscription(TwistStamped, 'twist', self._on_twist, NEWEST)

    def stop(self) -> None:
        """End a twist; the arm stays at its last target."""
        self._controller.stop()

    def advance(self, duration: float) -> None:
        """Let time pass (s) for a twist."""
        try:
            self._controller.advance(duration)
        except ValueError as error:
            self._refuse('twist', error)

    def _on_target_pose(self, message: PoseStamped) -> None:
        position, turn = message.pose.position, message.pose.orientation
        try:
            _check_frame(message.header)
            self._controller.follow(
                [position.x, position.y, position.z], [turn.x, turn.y, turn.z, turn.w]
            )
        except ValueError as error:
            self._refuse('target_pose', error)

    def _on_twist(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        try:
            _check_frame(message.header)
            self._controller.move(
                [linear.x, linear.y, linear.z], [angular.x, angular.y, angular.z]
            )
        except ValueError as error:
            self._refuse('twist', error)

    def _refuse(self, topic: str, error: ValueError) -> None:
        # A logger each: what is throttled for one topic is not for the other.
        self._loggers[topic].warning(f'{topic} refused: {error}', throttle_duration_sec=THROTTLE)


def _check_frame(header: Header) -> None:
    if header.frame_id not in ('', BASE_FRAME):
        raise ValueError(f'header.frame_id = {header.frame_id!r}: allowed: {BASE_FRAME!r}')
