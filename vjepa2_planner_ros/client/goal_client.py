# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A client of one action: goals go out, one result or failure each comes back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeoutError, wait
from dataclasses import dataclass, field
import threading
import time
import traceback
from typing import Any
from uuid import uuid4

from action_msgs.msg import GoalInfo, GoalStatus
from action_msgs.srv import CancelGoal
from builtin_interfaces.msg import Time
import rclpy
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.validate_full_topic_name import validate_full_topic_name
from unique_identifier_msgs.msg import UUID

from .bare_node import bare_node
from ..messages.error_codes import ErrorCode
from ..messages.results import known_code, PlanFailed
from ..messages.times import nanoseconds

ACCEPT_WITHIN = 20.0  # s from a goal's turn; takes milliseconds, unless the machine stands still
GONE_AFTER = 20  # times in a row, 0.1 s apart, that the server is not seen
RESULT_EVERY = 2.0  # s between requests for the result; each time twice as long, up to
RESULT_SELDOM = 16.0  # s
FEEDBACK_WITHIN = 0.5  # s after the result
ENDED = 'the client was closed, or ROS was shut down'
DEEP = QoSProfile(depth=2000)  # as the server's: answers to many goals are not dropped


@dataclass(eq=False)
class _Pending:
    """A goal on its way."""

    goal_id: bytes
    on_feedback: Callable[[Any], None] | None
    future: Future = field(default_factory=Future)
    sent_at: float = field(default_factory=time.monotonic)  # until it is sent: asked for
    handle: Any = None  # from the server's acceptance on
    asked_at: float = 0.0  # for the result, of time.monotonic()
    ask_after: float = RESULT_EVERY  # s since then
    cancel: bool = False
    steps: int = 0  # seen in the feedback
    result: Any = None  # arrived, but its last feedback has not
    finish_at: float = 0.0  # of time.monotonic()


def check_name(option: str, name: str) -> None:
    """Raise ValueError of one line naming an option that is no name of a topic or an action."""
    try:
        validate_full_topic_name(expand_topic_name(name, 'node', '/'))
    except (ValueError, NameValidationException) as error:
        reason = str(error).splitlines()[0].partition(': ')[2].rstrip(':')
        reason = reason.partition(', at ')[0].removeprefix('topic ')
        allowed = f'a name of ROS, such as image or /left/image; {reason}'
        raise ValueError(f'{option} = {name!r}: allowed: {allowed}') from error


class GoalClient:
    """
    A client of one action of planner or controller.

    It has a small node and a thread of its own, so that its blocking calls may be made from
    anywhere, callbacks of the given node included, without a deadlock. Use it as a context
    manager or call close().

    :param kind: type of the action; its Result has error_code and error_msg.
    :param action: name of the action, relative to the namespace; ValueError if it is none.
    :param node: the node whose context and namespace are used; None = those of the process
        (if rclpy is not initialised there, a context of its own).
    """

    def __init__(self, kind: Any, action: str, node: Node | None = None):
        check_name('action', action)
        context = rclpy.get_default_context() if node is None else node.context
        self._owns_context = not context.ok()
        if self._owns_context:
            if node is None:  # not the process's: other clients go on when this one is closed
                context = rclpy.Context()
            # Ctrl-C stays with the script: a cancel is still to be sent then.
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        self._context = context
        name = f'goal_client_{id(self):x}'
        self._node = bare_node(
            name,
            context=context,
            namespace=None if node is None else node.get_namespace(),
            # A __node of the process, as launch files set it, is not for this one.
            cli_args=['--ros-args', '-r', f'__node:={name}'],
        )
        self._name = self._node.resolve_service_name(action)
        self._known = threading.Event()  # to the server
        self._unsent: list[tuple] = []  # goals that wait for that
        self._lock = threading.Lock()
        self._pending: dict[bytes, _Pending] = {}
        self._missing = self._unknown = 0  # times that _watch found it so
        self._answered = (0.0, 0.0)  # when the goal answered last was sent, and when answered
        self._connect(kind, action)
        # A steady clock: simulated time may stand still.
        self._node.create_timer(0.1, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._closing, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _connect(self, kind, action):
        self._client = ActionClient(
            self._node,
            kind,
            action,
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
        )
        # ActionClient drops feedback that is still queued when the result arrives; with a
        # subscription of its own a goal's last feedback is always delivered before the result.
        self._node.create_subscription(
            kind.Impl.FeedbackMessage, f'{self._name}/_action/feedback', self._on_feedback, DEEP
        )
        # DDS may tell the client of the server before it tells the server of the client, whose
        # answers are lost until then. It tells of readers in the order in which they were made:
        # once this last one gets an answer, so do the others.
        self._greeter = self._node.create_client(CancelGoal, f'{self._name}/_action/cancel_goal')

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Cancel what is running, and free node and thread; a second call does nothing."""
        if self._closing.is_set():
            return
        if self._context.ok():
            self.cancel(timeout=1.0)
        self._closing.set()
        self._executor.wake()
        self._thread.join(2.0)
        self._fail_all(ENDED)
        self._executor.shutdown()
        self._client.destroy()
        self._node.destroy_node()
        if self._owns_context:
            rclpy.try_shutdown(context=self._context)

    @property
    def namespace(self) -> str:
        """Return the namespace in which the client looks for the planner."""
        return self._node.get_namespace()

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """
        Wait until the planner has been active and answers; False if that takes over timeout [s].

        One that was deactivated since then is still there: its goals fail with GOAL_REJECTED.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._known.wait(0.05):
            if self._ended.is_set() or until is not None and time.monotonic() > until:
                return False
        return True

    def is_there(self) -> bool:
        """Return whether the planner is there now, as far as is known."""
        return self._client.server_is_ready()

    def ask(self, goal, *, timeout: float | None = None, on_feedback=None) -> Any:
        """
        Send a goal and wait for its result; see send.

        Raise PlanFailed if there is none; after timeout [s] the goal is cancelled and the code is
        TIMEOUT. Ctrl-C cancels the goal.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                'waiting in a callback of the client would last for ever: use send() or '
                'plan_async()'
            )
        future = self.send(goal, on_feedback)
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            self.cancel(timeout=1.0)
            raise PlanFailed(ErrorCode.TIMEOUT, f'no result within {timeout} s') from None
        except BaseException:
            if not future.done():  # Ctrl-C
                self.cancel(timeout=1.0)
            raise

    def send(self, goal, on_feedback: Callable[[Any], None] | None = None) -> Future:
        """
        Send a goal; return a concurrent.futures.Future of its result or of PlanFailed.

        The future itself cannot be cancelled: cancel() ends goals.

        :param on_feedback: called with each Feedback, on the client's thread.
        """
        uuid = UUID(uuid=list(uuid4().bytes))
        pending = _Pending(bytes(uuid.uuid), on_feedback)
        pending.future.set_running_or_notify_cancel()
        failure = self._why_not_send()
        if failure:
            pending.future.set_exception(PlanFailed(ErrorCode.SEND_GOAL_FAILURE, failure))
            return pending.future
        with self._lock:
            self._pending[pending.goal_id] = pending
        # On the thread that takes the answers: rclpy 9.1 makes its future a second time after
        # sending and loses an answer that another thread has taken before.
        self._executor.create_task(self._send_now, goal, uuid, pending)
        if self._ended.is_set():  # meanwhile
            self._fail_all(ENDED)
        return pending.future

    def cancel(self, timeout: float | None = None) -> bool:
        """Cancel this client's goals and wait for them to end; False if none was running."""
        with self._lock:
            pending = list(self._pending.values())
            for goal in pending:
                goal.cancel = True  # one that is not accepted yet is cancelled then
        for goal in pending:
            if goal.handle is not None:
                goal.handle.cancel_goal_async()
        if threading.current_thread() is not self._thread:  # from on_feedback: it cannot wait
            wait([goal.future for goal in pending], timeout)
        return bool(pending)

    def age(self, stamp: Time) -> float:
        """Return how long ago [s] a stamp was, as a PlanResult's, by the client's clock."""
        return (self._node.get_clock().now().nanoseconds - nanoseconds(stamp)) * 1e-9

    def _outcome(self, result):
        """Return what the futures give of a Result."""
        return result

    def _failure(self, result, status: int):
        """Return what the futures give of a goal that was cancelled or aborted."""
        code = known_code(result.error_code)
        if code == ErrorCode.NONE and status != GoalStatus.STATUS_CANCELED:
            code = ErrorCode.UNKNOWN
        return PlanFailed(code, result.error_msg)

    def _step(self, feedback) -> int:
        """Return the number of the step that a Feedback tells of, 0 = none."""
        return 0

    def _last_step(self, result) -> int:
        """Return the number of the step whose feedback comes before the result."""
        return 0

    def _why_not_send(self):
        """Return why a goal cannot be sent now, '' if it can."""
        if self._ended.is_set():
            return ENDED
        if not self._client.server_is_ready() and not self._client.wait_for_server(2.0):
            return f"no action server '{self._name}' within 2 s"
        return ''

    def _greet(self):
        """Ask for a goal that does not exist to be cancelled: nothing happens, but an answer."""
        request = CancelGoal.Request(goal_info=GoalInfo(goal_id=UUID(uuid=list(uuid4().bytes))))
        self._greeter.call_async(request).add_done_callback(self._on_greeted)

    def _on_greeted(self, answer):
        self._known.set()
        unsent, self._unsent = self._unsent, []
        for goal in unsent:
            self._send_now(*goal)

    def _send_now(self, goal, uuid, pending):
        if pending.future.done():
            return
        if not self._known.is_set():
            self._unsent.append((goal, uuid, pending))
            return
        pending.sent_at = time.monotonic()
        try:
            answer = self._client.send_goal_async(goal, goal_uuid=uuid)
        except Exception as error:
            self._fail(pending, f'{type(error).__name__}: {error}')
        else:
            answer.add_done_callback(lambda answer: self._on_response(pending, answer.result()))
            self._drop_lost_futures()

    def _drop_lost_futures(self):
        """
        Make the ActionClient forget the futures that nothing will set.

        rclpy 9.1 keeps one of each goal for ever, and goes through all of them at each event. To
        be called on the thread that takes the answers, so that none is forgotten twice.
        """
        client = self._client
        kept = list(client._futures)  # first: what is added meanwhile is among the awaited
        requests = (
            client._pending_goal_requests,
            client._pending_cancel_requests,
            client._pending_result_requests,
        )
        awaited = {id(future) for pending in requests for future in list(pending.values())}
        for future in kept:
            if id(future) not in awaited:
                client.remove_future(future)

    def _on_response(self, pending, handle):
        self._answered = (pending.sent_at, time.monotonic())
        if not handle.accepted:
            failure = (
                f"'{self._name}' rejected the goal: its node is not active: activate it "
                '(`ros2 lifecycle set NODE activate`)'
            )
            self._fail(pending, failure, ErrorCode.GOAL_REJECTED)
            return
        with self._lock:
            pending.handle = handle
        if pending.cancel or pending.future.done():  # nobody waits for it any more
            handle.cancel_goal_async()
        self._ask_for_result(pending)

    def _ask_for_result(self, pending):
        pending.asked_at = time.monotonic()
        pending.handle.get_result_async().add_done_callback(
            lambda answer: self._on_result(pending, answer.result())
        )

    def _on_feedback(self, wire):
        with self._lock:
            pending = self._pending.get(bytes(wire.goal_id.uuid))
        if pending is None:
            return  # of another client's goal
        if pending.on_feedback is not None:
            try:
                pending.on_feedback(wire.feedback)
            except Exception:
                self._node.get_logger().error(traceback.format_exc())
        pending.steps = max(pending.steps, self._step(wire.feedback))
        if pending.result is not None and pending.steps >= self._last_step(pending.result):
            self._end(pending, self._outcome, pending.result)

    def _on_result(self, pending, answer):
        result = answer.result
        if answer.status == GoalStatus.STATUS_UNKNOWN:
            self._fail(
                pending,
                f"'{self._name}' does not know the goal any more: the planner that accepted it "
                'has ended, and another one has taken its place: send it again',
            )
        elif answer.status != GoalStatus.STATUS_SUCCEEDED:
            self._end(pending, self._failure, result, answer.status)
        elif pending.on_feedback is None or pending.steps >= self._last_step(result):
            self._end(pending, self._outcome, result)
        else:
            pending.finish_at = time.monotonic() + FEEDBACK_WITHIN
            pending.result = result

    def _end(self, pending, read, *answer):
        try:
            outcome = read(*answer)
        except Exception as error:  # rclpy drops it, and the caller would wait for ever
            text = f'the result cannot be read: {type(error).__name__}: {error}'
            outcome = PlanFailed(ErrorCode.UNKNOWN, text)
        self._finish(pending, outcome)

    def _finish(self, pending, outcome):
        with self._lock:
            if self._pending.pop(pending.goal_id, None) is None:
                return  # it ended already
        if isinstance(outcome, Exception):
            pending.future.set_exception(outcome)
        else:
            pending.future.set_result(outcome)

    def _fail(self, pending, message, code=ErrorCode.SEND_GOAL_FAILURE):
        self._finish(pending, PlanFailed(code, message))

    def _fail_all(self, message):
        for pending in self._waiting():
            self._fail(pending, message)

    def _waiting(self):
        with self._lock:
            return list(self._pending.values())

    def _turn_began(self, pending):
        """Return since when an answer is due: the server takes goals in the order of sending."""
        sent_at, answered_at = self._answered
        return pending.sent_at if sent_at > pending.sent_at else max(pending.sent_at, answered_at)

    def _watch(self):
        """Fail what is pending once the server has been gone for two seconds, or says nothing."""
        now = time.monotonic()
        for pending in self._waiting():
            if pending.handle is None and now > self._turn_began(pending) + ACCEPT_WITHIN:
                self._fail(
                    pending,
                    f"'{self._name}' has not answered within {ACCEPT_WITHIN:g} s: it hangs, or "
                    'it was killed and DDS does not know yet',
                )
            if pending.handle is not None and now > pending.asked_at + pending.ask_after:
                # Again: the answer may have been lost, or the planner killed and started again,
                # which DDS does not tell. Another planner answers that it knows no such goal.
                pending.ask_after = min(2.0 * pending.ask_after, RESULT_SELDOM)
                self._ask_for_result(pending)
            if pending.result is not None and now > pending.finish_at:
                self._end(pending, self._outcome, pending.result)  # its feedback was lost
        if self._client.server_is_ready():
            self._missing = 0
            self._unknown = 0 if self._known.is_set() else self._unknown + 1
            if self._unknown.bit_count() == 1:  # after 1, 2, 4, 8, .. times
                self._greet()
        else:
            self._missing += 1
            self._known.clear()
        if self._missing >= GONE_AFTER:
            self._fail_all(
                f"the action server '{self._name}' has gone away: start its node again; its log "
                'may say why it ended'
            )

    def _spin(self):
        # Not spin(): shutting an executor down under it leaves callbacks without their handles.
        while not self._closing.is_set() and self._context.ok():
            try:
                self._executor.spin_once(timeout_sec=0.2)
            except Exception:
                if self._context.ok():  # else it is that ROS was shut down
                    self._node.get_logger().error(
                        traceback.format_exc(), throttle_duration_sec=10.0
                    )
        self._ended.set()
        self._fail_all(ENDED)
