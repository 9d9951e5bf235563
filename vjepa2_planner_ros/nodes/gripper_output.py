# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the controller moves the gripper: an action of control_msgs, or a topic."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from .controller_settings import ControllerSettings
from ..control.reasons import Reason, RunEnd
from ..messages.input_settings import GripperSettings
from ..messages.states import to_position


class GripperOutput:
    """Sends closedness to the gripper as gripper_output and gripper say; see their parameters."""

    def __init__(self, node: Node, settings: ControllerSettings):
        self._output, self._joint = settings.gripper_output, settings.gripper.joint
        self._lock = threading.Lock()
        self._handle: Any = None  # of the goal under way
        self._sent: Any = None  # the newest that is not answered and not to be held
        self._client: Any = None
        self._publisher: Any = None
        name = self._output.name
        if self._output.kind == 'position':
            self._publisher = node.create_publisher(Float64MultiArray, name, 10)
        elif self._output.kind:
            # Only where it is used: control_msgs may be missing.
            from control_msgs.action import GripperCommand, ParallelGripperCommand

            kind = {
                'gripper_command': GripperCommand,
                'parallel_gripper_command': ParallelGripperCommand,
            }[self._output.kind]
            self._client, self._kind = ActionClient(node, kind, name), kind

    @property
    def exists(self) -> bool:
        """Return whether there is a gripper to move."""
        return self._client is not None or self._publisher is not None

    def move(self, closedness: float, gripper: GripperSettings) -> None:
        """Send the gripper to a closedness (0 open .. 1 closed); RunEnd if nobody takes it."""
        position = to_position(closedness, self._output.scale(gripper))
        if self._publisher is not None:
            self._publisher.publish(Float64MultiArray(data=[position]))
            return
        if not self._client.server_is_ready():
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f"no action server '{self._output.name}' moves the gripper (gripper_output.name)",
            )
        sent = self._client.send_goal_async(self._goal(position))
        with self._lock:
            self._sent = sent
        sent.add_done_callback(self._on_accepted)

    def hold(self) -> None:
        """Stop the gripper where it is, as far as its driver can."""
        with self._lock:
            handle, self._handle, self._sent = self._handle, None, None
        if handle is not None:
            handle.cancel_goal_async()

    def destroy(self) -> None:
        """Take the client of the action away."""
        if self._client is not None:
            self._client.destroy()

    def _goal(self, position: float) -> Any:
        goal = self._kind.Goal()
        if self._output.kind == 'gripper_command':
            goal.command.position = position
            goal.command.max_effort = self._output.max_effort
        else:
            goal.command = JointState(name=[self._joint], position=[position])
        return goal

    def _on_accepted(self, answer: Any) -> None:
        handle = answer.result()
        if handle.accepted:
            with self._lock:
                current = self._sent is answer
                if current:
                    self._handle, self._sent = handle, None
            if not current:  # held, or sent elsewhere, before the driver had answered
                handle.cancel_goal_async()
                return
            handle.get_result_async().add_done_callback(lambda _: self._forget(handle))

    def _forget(self, handle: Any) -> None:
        with self._lock:
            if self._handle is handle:
                self._handle = None
