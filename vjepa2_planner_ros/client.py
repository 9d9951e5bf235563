# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PlannerClient: ask the planner for a command from a script or from another node."""

from concurrent.futures import Future, TimeoutError as FutureTimeoutError, wait
from dataclasses import dataclass, field
import threading
import time
import traceback
from uuid import uuid4

from action_msgs.msg import GoalInfo, GoalStatus
from action_msgs.srv import CancelGoal
import rclpy
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time as RosTime
from sensor_msgs.msg import CompressedImage
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchSettings

from .messages.error_codes import ErrorCode
from .messages.results import known_code, picture_message, PlanFailed, PlanResult, to_result
from .messages.times import to_duration

ACCEPT_WITHIN = 20.0  # s; acceptance takes milliseconds, more only where the machine stands still
ENDED = 'the client was closed, or ROS was shut down'
MAX_UINT32, MAX_UINT64 = 2**32 - 1, 2**64 - 1
DEEP = QoSProfile(depth=200)  # as the server's: answers to many goals are not dropped


@dataclass
class _Pending:
    """A goal on its way."""

    future: Future
    on_feedback: object
    sent_at: float = field(default_factory=time.monotonic)
    handle: object = None  # from the server's acceptance on
    cancel: bool = False
    iterations: int = 0  # seen in the feedback
    outcome: PlanResult = None  # arrived, but its last feedback has not
    finish_at: float = 0.0  # of time.monotonic()


class PlannerClient:
    """
    A client of the planner's action.

    It has a small node and a thread of its own, so that its blocking calls may be made from
    anywhere, callbacks of the given node included, without a deadlock. Use it as a context
    manager or call close().

    :param node: the node whose context and namespace are used; None = those of the process
        (rclpy is initialised if it is not).
    :param action: name of the action, relative to the namespace.
    """

    def __init__(self, node: Node = None, *, action='plan'):
        context = rclpy.get_default_context() if node is None else node.context
        self._owns_context = not context.ok()
        if self._owns_context:
            # Ctrl-C stays with the script: a cancel is still to be sent then.
            rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        self._context = context
        name = f'plan_client_{id(self):x}'
        self._node = Node(
            name,
            context=context,
            parameter_overrides=[],
            namespace=None if node is None else node.get_namespace(),
            # A __node of the process, as launch files set it, is not for this one.
            cli_args=['--ros-args', '-r', f'__node:={name}'],
        )
        self._client = ActionClient(
            self._node,
            PlanAction,
            action,
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
        )
        self._name = self._node.resolve_service_name(action)
        # ActionClient drops feedback that is still queued when the result arrives; with a
        # subscription of its own a plan's last iteration is always delivered before the result.
        self._node.create_subscription(
            PlanAction.Impl.FeedbackMessage,
            f'{self._name}/_action/feedback',
            self._on_feedback,
            DEEP,
        )
        # DDS may tell the client of the planner before it tells the planner of the client, whose
        # answers are lost until then. It tells of readers in the order in which they were made:
        # once this last one gets an answer, so do the others.
        self._greeter = self._node.create_client(CancelGoal, f'{self._name}/_action/cancel_goal')
        self._known = threading.Event()  # to the planner
        self._unsent = []  # goals of whoever does not wait for that
        self._lock = threading.Lock()
        self._pending = {}  # goal id -> _Pending
        self._missing = self._unknown = 0  # times that _watch found it so
        # A steady clock: simulated time may stand still.
        self._node.create_timer(0.1, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._closing, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Cancel what is running, and free node and thread."""
        if self._context.ok():
            self.cancel(timeout=1.0)
        self._closing.set()
        self._executor.wake()
        self._thread.join(2.0)
        self._fail_all(ErrorCode.SEND_GOAL_FAILURE, ENDED)
        self._executor.shutdown()
        self._client.destroy()
        self._node.destroy_node()
        if self._owns_context:
            rclpy.try_shutdown(context=self._context)

    def wait_until_ready(self, timeout=None) -> bool:
        """
        Wait until the planner has been active and answers; False if that takes over timeout [s].

        One that was deactivated since then is still there: its goals fail with GOAL_REJECTED.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not self._known.wait(0.05):
            if self._ended.is_set() or until is not None and time.monotonic() > until:
                return False
        return True

    def plan(self, goal_image, *, timeout=None, on_feedback=None, **goal_fields) -> PlanResult:
        """
        Plan and wait for the result; see plan_async for the arguments.

        Raise PlanFailed if there is no command; after timeout [s] the goal is cancelled and the
        code is TIMEOUT.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(
                'plan() in a callback of the client would wait for itself: use plan_async()'
            )
        future = self.plan_async(goal_image, on_feedback=on_feedback, **goal_fields)
        try:
            return future.result(timeout)
        except FutureTimeoutError:
            self.cancel(timeout=1.0)
            raise PlanFailed(ErrorCode.TIMEOUT, f'no result within {timeout} s') from None
        except BaseException:
            if not future.done():  # Ctrl-C
                self.cancel(timeout=1.0)
            raise

    def plan_async(
        self,
        goal_image,
        *,
        on_feedback=None,
        current_image=None,
        start_state=None,
        camera='',
        model='',
        optimizer='',
        samples=0,
        iterations=0,
        elite_fraction=0.0,
        horizon=0,
        seed=None,
        time_allowance=0.0,
        best_effort=False,
    ) -> Future:
        """
        Send a goal; return a concurrent.futures.Future of PlanResult or PlanFailed.

        The future itself cannot be cancelled: cancel() ends goals. ValueError for a number that no
        goal can have.

        :param goal_image: uint8 array [H, W, 3] RGB, Image, CompressedImage or a file's path.
        :param on_feedback: called with each PlanAction.Feedback, on the client's thread.
        :param current_image: picture to start from, as goal_image but not compressed; None = live.
        :param start_state: EndEffectorState to start from; None = live.
        :param optimizer: 'cem' or 'trust_region'; '' = the server's parameter.
        :param samples, iterations, elite_fraction, horizon: 0 = the server's parameter.
        :param seed: None = the server's parameter.
        :param time_allowance: s, 0 = none.
        :param best_effort: at the end of time_allowance, the plan so far instead of TIMEOUT.
        """
        for name, value, largest in (
            ('samples', samples, MAX_UINT32),
            ('iterations', iterations, MAX_UINT32),
            ('horizon', horizon, MAX_UINT32),
            ('seed', seed or 0, MAX_UINT64),
        ):
            if not 0 <= value <= largest:
                raise ValueError(f'{name} = {value}: allowed: 0 to {largest}')
        goal = PlanAction.Goal(
            camera=camera,
            model=model,
            use_seed=seed is not None,
            seed=seed or 0,
            search=SearchSettings(
                optimizer=optimizer,
                samples=samples,
                iterations=iterations,
                elite_fraction=float(elite_fraction),
                horizon=horizon,
            ),
            time_allowance=to_duration(time_allowance),
            best_effort=best_effort,
        )
        picture = picture_message(goal_image)
        if isinstance(picture, CompressedImage):
            goal.goal_image_compressed = picture
        else:
            goal.goal_image = picture
        if current_image is not None:
            goal.use_current_image, goal.current_image = True, picture_message(current_image)
        if start_state is not None:
            goal.use_start_state, goal.start_state = True, start_state
        return self._send(goal, on_feedback)

    def plan_continuously(self, goal_image, **fields):
        """
        Yield one PlanResult after the other, each planned from the newest frame, without end.

        The next plan begins when the caller asks for it. See plan for the arguments and errors.
        """
        picture = picture_message(goal_image)
        while True:
            yield self.plan(picture, **fields)

    def age(self, stamp) -> float:
        """Return how long ago [s] a stamp was, as a PlanResult's, by the client's clock."""
        return (self._node.get_clock().now() - RosTime.from_msg(stamp)).nanoseconds * 1e-9

    def cancel(self, timeout=None) -> bool:
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

    def _send(self, goal, on_feedback):
        future = Future()
        future.set_running_or_notify_cancel()
        failure = self._why_not_send()
        if failure:
            future.set_exception(PlanFailed(ErrorCode.SEND_GOAL_FAILURE, failure))
            return future
        uuid = UUID(uuid=list(uuid4().bytes))
        pending = _Pending(future, on_feedback)
        with self._lock:
            self._pending[bytes(uuid.uuid)] = pending
        # On the thread that takes the answers: rclpy 9.1 makes its future a second time after
        # sending and loses an answer that another thread has taken before.
        self._executor.create_task(self._send_now, goal, uuid, pending)
        if self._ended.is_set():  # meanwhile
            self._fail_all(ErrorCode.SEND_GOAL_FAILURE, ENDED)
        return future

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
        try:
            answer = self._client.send_goal_async(goal, goal_uuid=uuid)
        except Exception as error:
            self._finish(
                pending,
                PlanFailed(ErrorCode.SEND_GOAL_FAILURE, f'{type(error).__name__}: {error}'),
            )
        else:
            answer.add_done_callback(lambda answer: self._on_response(pending, answer.result()))

    def _on_response(self, pending, handle):
        if not handle.accepted:
            self._finish(
                pending,
                PlanFailed(
                    ErrorCode.GOAL_REJECTED,
                    (f"'{self._name}' rejected the goal: the planner is not active"),
                ),
            )
            return
        with self._lock:
            pending.handle = handle
        if pending.cancel or pending.future.done():  # nobody waits for it any more
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(
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
        if wire.feedback.phase == PlanAction.Feedback.OPTIMIZING:
            pending.iterations = wire.feedback.iteration.iteration
        if pending.outcome is not None and pending.iterations >= pending.outcome.iterations:
            self._finish(pending, pending.outcome)

    def _on_result(self, pending, answer):
        result = answer.result
        if answer.status != GoalStatus.STATUS_SUCCEEDED:
            code = known_code(result.error_code)
            if code == ErrorCode.NONE and answer.status != GoalStatus.STATUS_CANCELED:
                code = ErrorCode.UNKNOWN
            self._finish(pending, PlanFailed(code, result.error_msg))
        elif pending.on_feedback is None or pending.iterations >= result.iterations:
            self._finish(pending, to_result(result))
        else:
            pending.outcome = to_result(result)
            pending.finish_at = time.monotonic() + 0.5

    def _finish(self, pending, outcome):
        with self._lock:
            keys = [key for key, value in self._pending.items() if value is pending]
            for key in keys:
                del self._pending[key]
        if keys and isinstance(outcome, Exception):
            pending.future.set_exception(outcome)
        elif keys:
            pending.future.set_result(outcome)

    def _fail_all(self, code, message):
        with self._lock:
            everything = list(self._pending.values())
        for pending in everything:
            self._finish(pending, PlanFailed(code, message))

    def _watch(self):
        """Fail what is pending once the server has been gone for two seconds, or says nothing."""
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            if pending.handle is None and time.monotonic() > pending.sent_at + ACCEPT_WITHIN:
                self._finish(
                    pending,
                    PlanFailed(
                        ErrorCode.SEND_GOAL_FAILURE,
                        (
                            f"'{self._name}' has not answered within {ACCEPT_WITHIN:g} s: it "
                            'hangs, or it was killed and DDS does not know yet'
                        ),
                    ),
                )
            if pending.outcome is not None and time.monotonic() > pending.finish_at:
                self._finish(pending, pending.outcome)  # its last feedback was lost
        if self._client.server_is_ready():
            self._missing = 0
            self._unknown = 0 if self._known.is_set() else self._unknown + 1
            if self._unknown.bit_count() == 1:  # after 1, 2, 4, 8, .. times
                self._greet()
        else:
            self._missing += 1
            self._known.clear()
        if self._missing >= 20:
            self._fail_all(
                ErrorCode.SEND_GOAL_FAILURE, f"the action server '{self._name}' has gone away"
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
        self._fail_all(ErrorCode.SEND_GOAL_FAILURE, ENDED)
