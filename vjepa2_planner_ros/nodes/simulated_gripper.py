# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated gripper's actions and topic, as the drivers of real grippers have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_msgs.action import GripperCommand, ParallelGripperCommand
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from ..simulation import PandaSim
from ..simulation.gripper import GripperController, GripperStatus

GRIPPER_JOINT = 'panda_finger_joint1'
RESULT_TIMEOUT = 60  # s


class SimulatedGripper:
    """
    The actions gripper_cmd and parallel_gripper_cmd and the topic gripper_position of a node.

    Positions are those of one finger: 0.04 m open .. 0 closed. The newest goal, command or
    position wins; fingers that are stalled end a goal with success, as grasping needs it.

    Nothing waits here, because the node has one thread: a goal is executed, in the words of
    rclpy, when advance() has seen its end.
    """

    def __init__(self, node: Node, sim: PandaSim) -> None:
        """Make the servers and the subscription."""
        self._node = node
        self._controller = GripperController(sim)
        self._goal: Any = None  # the handle under way
        for kind, name, command_of in (
            (GripperCommand, 'gripper_cmd', _command_of),
            (ParallelGripperCommand, 'parallel_gripper_cmd', _parallel_command_of),
        ):
            self._make_server(kind, name, command_of)
        node.create_subscription(Float64MultiArray, 'gripper_position', self._on_position, 1)

    def _make_server(
        self, kind: Any, name: str, command_of: Callable[[Any], tuple[float, float]]
    ) -> None:
        def admit(goal: Any) -> GoalResponse:
            try:
                self._controller.check(*command_of(goal))
            except ValueError as error:
                self._node.get_logger().error(f'{name} refused: {error}')
                return GoalResponse.REJECT
            return GoalResponse.ACCEPT

        def begin(handle: Any) -> None:
            self.preempt()
            self._controller.move(*command_of(handle.request))
            self._goal = handle

        ActionServer(
            self._node,
            kind,
            name,
            execute_callback=lambda handle: None,
            goal_callback=admit,
            handle_accepted_callback=begin,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            result_timeout=RESULT_TIMEOUT,
        )

    def preempt(self) -> None:
        """Abort the goal under way; the fingers keep their target."""
        if self._goal is not None:
            self._end(self._controller.advance(0.0), lambda handle: handle.abort())

    def advance(self, duration: float) -> None:
        """Note that time (s) has passed in the simulation; tell the client of the goal."""
        status = self._controller.advance(duration)
        if self._goal is None:
            return
        if self._goal.is_cancel_requested:
            self._controller.hold()
            self._end(status, lambda handle: handle.canceled())
        elif status.reached or status.stalled:
            self._end(status, lambda handle: handle.succeed())
        else:
            feedback = _fill(_kind(self._goal).Feedback(), status, self._node)
            self._goal.publish_feedback(feedback)

    def _end(self, status: GripperStatus, end: Callable[[Any], None]) -> None:
        handle, self._goal = self._goal, None
        result = _fill(_kind(handle).Result(), status, self._node)

        def execute(handle: Any) -> Any:
            end(handle)
            return result

        handle.execute(execute)

    def _on_position(self, message: Float64MultiArray) -> None:
        try:
            if len(message.data) != 1:
                raise ValueError(f'data = {list(message.data)}: allowed: one position')
            self._controller.check(message.data[0])
        except ValueError as error:
            self._node.get_logger().warning(
                f'gripper_position refused: {error}', throttle_duration_sec=1.0
            )
            return
        self.preempt()
        self._controller.move(message.data[0])


def _command_of(goal: Any) -> tuple[float, float]:
    """Return the position (m) and force (N) of a GripperCommand goal."""
    return goal.command.position, goal.command.max_effort


def _parallel_command_of(goal: Any) -> tuple[float, float]:
    """Return the position (m) and force (N) of a ParallelGripperCommand goal, or ValueError."""
    command = goal.command
    if list(command.name) not in ([], [GRIPPER_JOINT]):
        raise ValueError(f'command.name = {list(command.name)}: allowed: [{GRIPPER_JOINT!r}]')
    if len(command.position) != 1 or len(command.effort) > 1:
        raise ValueError(
            f'command.position = {list(command.position)}: allowed: one, and one effort at most'
        )
    return command.position[0], command.effort[0] if command.effort else 0.0


def _kind(handle: Any) -> Any:
    parallel = isinstance(handle.request, ParallelGripperCommand.Goal)
    return ParallelGripperCommand if parallel else GripperCommand


def _fill(message: Any, status: GripperStatus, node: Node) -> Any:
    """Write a status into a result or a feedback of either action; return it."""
    if isinstance(message, (GripperCommand.Result, GripperCommand.Feedback)):
        message.position, message.effort = status.position, status.force
    else:
        message.state = JointState(
            name=[GRIPPER_JOINT], position=[status.position], effort=[status.force]
        )
        message.state.header.stamp = node.get_clock().now().to_msg()
    if hasattr(message, 'stalled'):  # the feedback of ParallelGripperCommand has neither
        message.stalled, message.reached_goal = status.stalled, status.reached
    return message
