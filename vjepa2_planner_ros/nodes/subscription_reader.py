# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Subscriptions that are read at a fixed rate instead of by the executor.

For each message rclpy's executor collects all entities of its nodes several times: milliseconds
of Python, for which a plan waits. States at 100 Hz left it a fifth of its speed, at 1 kHz almost
nothing. Here a message that is not read in time is replaced by the next one, as the depth of the
subscription says, before Python sees it.
"""

from __future__ import annotations

import threading
import traceback
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.subscription import Subscription

PERIOD = 0.01  # s; it adds as much to the skew between a frame and its state


class SubscriptionReader(CallbackGroup):
    """
    A callback group of subscriptions that one thread reads, one after the other.

    Executors leave them out, together with their events. So nothing warns of a publisher whose QoS
    does not fit.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stopped = threading.Event()

    def start(self, node: Node) -> None:
        """Start to read the subscriptions of a node; what callbacks raise is logged."""
        threading.Thread(target=self._run, args=(node,), name='subscriptions', daemon=True).start()

    def can_execute(self, entity: Any) -> bool:
        """Return False, so that executors leave the entity out."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Return False, as above."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Do nothing, as above."""

    def stop(self) -> None:
        """Stop reading."""
        self._stopped.set()

    def _run(self, node: Node) -> None:
        while not self._stopped.wait(PERIOD) and node.context.ok():
            for reference in list(self.entities):
                entity = reference()
                if isinstance(entity, Subscription):
                    _read(entity, node)


def _read(subscription: Any, node: Node) -> None:
    """
    Pass the messages of a subscription to its callback, oldest first.

    That of a raw subscription gets all that have queued up as one list of bytes.
    """
    try:
        queued: list[bytes] = []
        for _ in range(max(1, subscription.qos_profile.depth)):  # what may have queued up
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is None:
                break
            if subscription.raw:
                queued.append(taken[0])
            else:
                subscription.callback(taken[0])
        if queued:
            subscription.callback(queued)
    except InvalidHandle:
        pass  # it is being destroyed
    except Exception:
        if node.context.ok():
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=10.0)
