# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tell why a planner or controller takes no goals yet: absent, loading, unconfigured, inactive."""

from __future__ import annotations

from contextlib import ExitStack
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState

from ..client.bare_node import bare_node
from ..nodes.process import spinning

HEARD_WITHIN = 1.5  # s; a node tells of itself once a second


class NodeWatch:
    """
    Listens to the planner or controller of a namespace; a context manager.

    :param kind: 'planner' or 'controller'.
    """

    def __init__(self, namespace: str, kind: str):
        self._kind, self._suffix = kind, f': {kind}'
        self._prefix = f'{namespace.rstrip("/")}/'
        self._status: DiagnosticStatus | None = None
        self._label = ''
        self._absent_from = time.monotonic() + HEARD_WITHIN
        self._client: Any = None

    def __enter__(self) -> NodeWatch:
        self._node = bare_node('node_watch')
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._keep, 10)
        self._stack = ExitStack()
        self._stack.callback(self._node.destroy_node)
        self._stack.enter_context(spinning(self._node))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def state(self) -> str:
        """Return what the node does, as a word and an explanation; '' = not known yet."""
        if self._status is None:
            text = f'absent: none is heard in namespace {self._prefix}, start {self._kind}_node'
            absent = self._client is None and time.monotonic() > self._absent_from
            return text if absent else ''  # once it is heard, the answer tells what it does
        name = self._status.name.removesuffix(self._suffix)
        if self._label == 'configuring':
            return f'loading: {name} is being configured'
        return f'{name}: {self._status.message}'

    def _keep(self, array: DiagnosticArray) -> None:
        """Note the status of the node, and ask it whether it is being configured."""
        for status in array.status:
            name = status.name.removesuffix(self._suffix)
            if name == status.name or name.rpartition('/')[0] + '/' != self._prefix:
                continue
            if self._client is None:
                self._client = self._node.create_client(GetState, f'{name}/get_state')
            answer = self._client.call_async(GetState.Request())
            answer.add_done_callback(lambda answer, new=status: self._on_state(answer, new))

    def _on_state(self, answer: Any, status: DiagnosticStatus) -> None:
        self._status, self._label = status, answer.result().current_state.label
