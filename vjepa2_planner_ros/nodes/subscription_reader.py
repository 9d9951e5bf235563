# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Subscriptions that are read at a steady pace instead of by the executor.

For each message rclpy's executor gathers all entities of its nodes several times over: some
milliseconds of Python, for which a plan waits. States at 100 Hz left it a fifth of its speed, at
1 kHz next to nothing. Here a message that is not read in time is replaced by the next one, as the
depth of the subscription says, before Python sees it.
"""

import threading
import traceback

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.subscription import Subscription

PERIOD = 0.01  # s; to a frame there is a state as near as that


class SubscriptionReader(CallbackGroup):
    """
    A callback group of subscriptions that a thread of its own reads, one after the other.

    Executors leave them out, and their events too: those are signalled by what messages are
    signalled by. So nobody is told of a publisher with a QoS that does not fit.
    """

    def __init__(self):
        super().__init__()
        self._stopped = threading.Event()
        self._node = None

    def start(self, node):
        """Read what is subscribed to, from now on; what callbacks raise is logged."""
        self._node = node
        threading.Thread(target=self._run, name='subscriptions', daemon=True).start()

    def can_execute(self, entity):
        """Return False: executors are to leave it alone."""
        return False

    def beginning_execution(self, entity):
        """Return False, as above."""
        return False

    def ending_execution(self, entity):
        """Do nothing, as above."""

    def stop(self):
        """Read no more."""
        self._stopped.set()

    def _run(self):
        while not self._stopped.wait(PERIOD) and self._node.context.ok():
            for reference in list(self.entities):
                entity = reference()
                if isinstance(entity, Subscription):
                    self._read(entity)

    def _read(self, subscription):
        try:
            for _ in range(max(1, subscription.qos_profile.depth)):  # what may have queued up
                with subscription.handle:
                    taken = subscription.handle.take_message(
                        subscription.msg_type, subscription.raw
                    )
                if taken is None:
                    break
                subscription.callback(taken[0])
        except InvalidHandle:
            pass  # it is being destroyed
        except Exception:
            if self._node.context.ok():
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=10.0)
