# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services whose clients get an answer, whatever is raised and however many ask at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
import traceback
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from ..messages.error_codes import ErrorCode
from ..messages.texts import one_line

# The default depth of 10 silently drops messages: feedback of fast plans, and requests of clients
# that send many.
DEEP = QoSProfile(depth=2000)


def serve(
    node: Node,
    kind: Any,
    name: str,
    answer: Callable[[Any, Any], object | Awaitable[object]],
    group: CallbackGroup | None = None,
) -> None:
    """
    Create a service that fills its response by answer(request, response), which may be async.

    What that raises becomes the answer: the text, in the field message or error_msg. rclpy sends
    none, and the client waits for ever.

    :param group: None = the node's own, in which one callback runs at a time.
    """

    async def callback(request: Any, response: Any) -> Any:
        try:
            answered = answer(request, response)
            if isawaitable(answered):
                await answered
            return response
        except Exception as error:
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=1.0)
            text, response = one_line(f'{type(error).__name__}: {error}'), type(response)()
        if hasattr(response, 'error_code'):
            response.error_code, response.error_msg = int(ErrorCode.UNKNOWN), text
        elif hasattr(response, 'message'):
            response.message = text
        return response

    node.create_service(kind, name, callback, qos_profile=DEEP, callback_group=group)
