# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tell why a planner does not take goals yet: absent, loading, unconfigured, inactive."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
import rclpy

from ..nodes.process import spinning

SUFFIX = ': planner'


class PlannerWatch:
    """Listens to the planner of a namespace; a context manager."""

    def __init__(self, namespace: str):
        self._prefix = f'{namespace.rstrip("/")}/'
        self._status: DiagnosticStatus | None = None
        self._label = ''
        self._client: Any = None

    def __enter__(self) -> PlannerWatch:
        self._node = rclpy.create_node('planner_watch', parameter_overrides=[])
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._keep, 10)
        self._stack = ExitStack()
        self._stack.callback(self._node.destroy_node)
        self._stack.enter_context(spinning(self._node))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def state(self) -> str:
        """Return what the planner does, as a word and an explanation."""
        if self._status is None:
            return f'absent: none is heard in namespace {self._prefix}'
        name = self._status.name.removesuffix(SUFFIX)
        if self._label == 'configuring':
            return f'loading: {name} loads its model'
        return f'{name}: {self._status.message}'

    def _keep(self, array: DiagnosticArray) -> None:
        """Note the status of the planner, and ask it whether it loads."""
        for status in array.status:
            name = status.name.removesuffix(SUFFIX)
            if name == status.name or name.rpartition('/')[0] + '/' != self._prefix:
                continue
            if self._client is None:
                self._client = self._node.create_client(GetState, f'{name}/get_state')
            answer = self._client.call_async(GetState.Request())
            answer.add_done_callback(lambda answer, new=status: self._on_state(answer, new))

    def _on_state(self, answer: Any, status: DiagnosticStatus) -> None:
        self._status, self._label = status, answer.result().current_state.label
