# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node around action servers: configure, activate, end what runs, clean up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
import time
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription

from .action_server import GoalServer
from .subscription_reader import SubscriptionReader

ANSWER_WITHIN = 10.0  # s for the executor to answer clients; milliseconds on a machine at rest
Transition = Callable[[Any, Any], TransitionCallbackReturn]


def guarded(transition: Transition) -> Transition:
    """Return a transition that logs what it raises, which rclpy does not, and returns ERROR."""

    @wraps(transition)
    def guarded_transition(self: ServerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            self._failure = f'{transition.__name__}: {type(error).__name__}: {error}'
            return TransitionCallbackReturn.ERROR

    return guarded_transition


def separate_transitions(node: LifecycleNode) -> None:
    """Let a node's state and parameters be asked for while a transition waits for a goal."""
    group = MutuallyExclusiveCallbackGroup()
    for service in node.services:  # rclpy has them all in one group
        if service.srv_type is ChangeState:
            service.callback_group = group
            group.add_entity(service)


class ServerNode(LifecycleNode):
    """
    A lifecycle node with action servers; its subscriptions are read by a SubscriptionReader.

    Configure calls configure(), activate accepts goals, deactivate ends the running ones, cleanup
    calls clean_up().
    """

    def __init__(self, name: str, **node_options: Any):
        # First what destroy_node needs, also for a node whose parameters are refused.
        self._reader = SubscriptionReader()
        self._servers: Sequence[GoalServer] = ()
        self._state, self._failure = 'unconfigured', ''
        super().__init__(name, **node_options)
        separate_transitions(self)

    def start(self, servers: Sequence[GoalServer], autostart: bool) -> None:
        """Begin to read subscriptions; with autostart configure and activate."""
        self._servers = servers
        self._reader.start(self)
        if autostart:
            # A separate group, so that services answer while the node is configured.
            self._starter = self.create_timer(
                0.0, self._autostart, callback_group=MutuallyExclusiveCallbackGroup()
            )

    def configure(self) -> str:
        """Prepare to accept goals; return why that failed, '' if it did not."""
        return ''

    def clean_up(self) -> None:
        """Free what configure() took."""

    def create_subscription(self, *args: Any, **options: Any) -> Subscription:
        """Return a new Subscription, read by the SubscriptionReader: also that of /clock."""
        return super().create_subscription(*args, **options, callback_group=self._reader)

    @property
    def health(self) -> tuple[str, str]:
        """Return (lifecycle state, why the last transition failed or '')."""
        return self._state, self._failure

    def destroy_node(self) -> None:
        """Destroy the node with its thread and actions."""
        self._reader.stop()
        for server in self._servers:
            server.destroy()  # which rclpy does not
        super().destroy_node()

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure; stay unconfigured if that fails."""
        self._failure = self.configure()
        if self._failure:
            self.get_logger().error(self._failure)
            self.on_cleanup(None)
            return TransitionCallbackReturn.FAILURE
        self._state = 'inactive'
        return TransitionCallbackReturn.SUCCESS

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept goals."""
        for server in self._servers:
            server.activate()
        self._state = 'active'
        action = self.resolve_service_name(self._servers[0].name)
        self.get_logger().info(f"Goals are accepted on action '{action}'")
        return TransitionCallbackReturn.SUCCESS

    @guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reject goals from now on and end the running ones with NODE_DEACTIVATED."""
        self.end_goals('inactive')
        return TransitionCallbackReturn.SUCCESS

    @guarded
    def on_cleanup(self, state: LifecycleState | None) -> TransitionCallbackReturn:
        """End the running goals and clean up."""
        self.end_goals('unconfigured')
        self.clean_up()
        return TransitionCallbackReturn.SUCCESS

    @guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running goals and clean up."""
        self.end_goals('finalized')
        self.clean_up()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, where configuring can be tried again."""
        self.on_cleanup(state)  # logs what it raises
        return TransitionCallbackReturn.SUCCESS

    def end_goals(self, state: str, timeout: float | None = None) -> bool:
        """
        Change to a state in which goals are rejected, and end those that run.

        Return whether none was left after timeout [s].
        """
        self._state = state
        for server in self._servers:
            server.deactivate(state)
        until = None if timeout is None else time.monotonic() + timeout
        idle = [
            server.slot.wait_until_idle(None if until is None else until - time.monotonic())
            for server in self._servers
        ]
        return all(idle)

    def wait_until_answered(self) -> None:
        """Wait until the results that clients asked for are sent."""
        until = time.monotonic() + ANSWER_WITHIN
        while not all(server.answered for server in self._servers):
            if time.monotonic() > until:
                break
            time.sleep(0.01)

    def _autostart(self) -> None:
        self._starter.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
