# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's whole surroundings over DDS: cameras, state, goals, cancels, parameters."""

from contextlib import ExitStack
import threading
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
import rclpy
from rclpy.action import ActionClient
from rclpy.parameter_client import AsyncParameterClient
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tools.soak.goals import count, Goal, outcome_of, REJECTED
from tools.soak.server import NAMESPACE
from tools.soak.streams import BASE_FRAME, FRAME_SIZE, START, Streams
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.client.goal_client import DEEP
from vjepa2_planner_ros.messages.searches import to_pose_message
from vjepa2_planner_ros.nodes.process import spinning

PATIENCE = 60.0  # s until an answer counts as lost


class Robot:
    """Has the streams of a robot, sends goals and keeps account of them."""

    def __init__(self, seed):
        self.goals = []
        self.complaints = []  # about anything but goals
        self._texture = np.random.default_rng(seed)
        self.frames_refused = 0  # as the planner counts them
        self._diagnosed = {}
        self._node = rclpy.create_node('robot', namespace=NAMESPACE)
        self._client = ActionClient(
            self._node,
            PlanAction,
            'plan',
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
            feedback_sub_qos_profile=DEEP,
        )
        self._cancel_all = self._node.create_client(Trigger, 'planner/cancel')
        self._parameters = AsyncParameterClient(self._node, f'{NAMESPACE}/planner')
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self.streams = Streams(self._node, self.picture(START, *FRAME_SIZE))
        self._stack = ExitStack()

    def __enter__(self):
        self._stack.callback(self._node.destroy_node)
        self._stack.callback(self.streams.close)
        self._executor = self._stack.enter_context(spinning(self._node))
        return self

    def __exit__(self, *error):
        self._stack.close()

    def wait_until_ready(self, check, timeout=300.0):
        """Wait until the planner accepts goals; check() raises if it has ended."""
        until = time.monotonic() + timeout
        while not (
            self._client.wait_for_server(0.2)
            and self._parameters.wait_for_services(0.2)
            and self._cancel_all.wait_for_service(0.2)
        ):
            check()
            if time.monotonic() > until:
                raise TimeoutError(f'the planner was not ready after {timeout:g} s')
        self.streams.wait_for_frames(5)

    def picture(self, state, height=480, width=640):
        """Return a picture in which the toy world model reads a state, of random blobs else."""
        blobs = self._texture.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = cv2.resize(blobs, (width, height))
        picture.reshape(-1)[:7] = ToyWorldModel.picture(state).reshape(-1)[:7]
        return picture

    def send(self, message, kind, allowed):
        """Send a goal; return its Goal at once."""
        goal = Goal(len(self.goals), kind, frozenset(allowed))
        self.goals.append(goal)

        def on_feedback(wire):
            if wire.feedback.phase == PlanAction.Feedback.OPTIMIZING:
                goal.iterations.append(time.monotonic())

        def send():
            self._client.send_goal_async(message, feedback_callback=on_feedback).add_done_callback(
                lambda answer: self._on_response(goal, answer.result())
            )

        goal.sent = time.monotonic()
        # On the thread that takes the answers, as PlannerClient does it.
        self._executor.create_task(send)
        return goal

    def wait(self, *goals):
        """Wait for goals to end; give up on one that does not."""
        for goal in goals:
            goal.done.wait(PATIENCE)

    def cancel(self, goal):
        """Cancel a goal by its id, once it is accepted, and wait for the answer."""
        if not goal.under_way.wait(PATIENCE) or goal.handle is None:
            return
        goal.cancel_sent = time.monotonic()
        answer = self._ask(goal.handle.cancel_goal_async(), goal)
        goal.cancel_granted = answer is not None and goal.handle.goal_id in [
            info.goal_id for info in answer.goals_canceling
        ]

    def cancel_by_service(self, goal):
        """Cancel whatever runs, which must be this goal alone, by the Trigger service."""
        goal.under_way.wait(PATIENCE)
        goal.cancel_sent = time.monotonic()
        answer = self._ask(self._cancel_all.call_async(Trigger.Request()), goal)
        goal.cancel_granted = answer is not None and answer.success

    def set_parameter(self, parameter):
        """Set a parameter; return whether the planner took it, None if it did not answer."""
        answer = self._ask(self._parameters.set_parameters([parameter]))
        if answer is None:
            self.complaints.append(f'parameter {parameter.name}: no answer')
            return None
        return answer.results[0].successful

    def counted(self, timeout=10.0):
        """Return the goals as the planner counts them, once it has counted what has ended."""
        until = time.monotonic() + timeout
        while self._diagnosed != count(self.goals) and time.monotonic() < until:
            time.sleep(0.1)
        return self._diagnosed

    def _ask(self, future, goal=None):
        """Return the answer of a service, None if there is none; its time goes to goal."""
        answered = threading.Event()

        def note(_):
            if goal is not None:
                goal.cancel_answered = time.monotonic()
            answered.set()

        future.add_done_callback(note)
        return future.result() if answered.wait(PATIENCE) else None

    def _on_response(self, goal, handle):
        now = time.monotonic()
        if not handle.accepted:
            goal.end(REJECTED, None, now)
        else:
            goal.accepted, goal.handle = now, handle
            handle.get_result_async().add_done_callback(
                lambda answer: self._on_result(goal, answer.result())
            )
        goal.under_way.set()

    def _on_result(self, goal, answer):
        goal.end(outcome_of(answer.status, answer.result), answer.result, time.monotonic())

    def _on_diagnostics(self, message):
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if 'goals succeeded' in values:
                self._diagnosed = {name: int(values[f'goals {name}']) for name in count(())}
                self.frames_refused = int(values['frames dropped'])


def state_message(state):
    """Return the EndEffectorState of a state [7]."""
    header = Header(frame_id=BASE_FRAME)
    return EndEffectorState(
        header=header, pose=to_pose_message(state, header).pose, gripper=float(state[6])
    )
