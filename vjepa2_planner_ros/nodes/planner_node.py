# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner as a lifecycle node with the action server `plan`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
import time
import traceback
from typing import Any

from action_msgs.srv import CancelGoal
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from std_srvs.srv import Trigger
from vjepa2_interfaces.action import PlanAction

from . import parameters
from .action_server import Failure, GoalServer
from .diagnostics import Diagnostics
from .doubts import Doubts
from .energy_service import EnergyService
from .goal import Goal
from .goal_reader import complete, PlanRequest, read_plan
from .history_services import HistoryServices
from .landscape_server import LandscapeServer
from .lifecycle import separate_transitions
from .model_server import describe, ModelServer
from .observations import Observations
from .plan_recorder import PlanRecorder
from .process import run
from .reporting import PlanReport, Topics
from .services import DEEP, serve
from .settings import MODELS, Settings
from .streams import Streams
from .subscription_reader import SubscriptionReader
from .worker import load_world_model, Worker
from ..messages.pictures import oddities
from ..messages.searches import plan_summary, to_result_message

ANSWER_WITHIN = 10.0  # s for the executor to answer clients; milliseconds on a machine at rest
Transition = Callable[[Any, Any], TransitionCallbackReturn]


def _guarded(transition: Transition) -> Transition:
    """Return a transition that logs what it raises, which rclpy does not, and returns ERROR."""

    @wraps(transition)
    def guarded(self: PlannerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception as error:
            self.get_logger().error(traceback.format_exc())
            self._failure = f'{transition.__name__}: {type(error).__name__}: {error}'
            return TransitionCallbackReturn.ERROR

    return guarded


class PlannerNode(LifecycleNode):
    """
    Answers goal pictures with commands; see PlanAction.action.

    Configure loads and warms up the world model, activate accepts goals, deactivate ends the
    running goal, cleanup frees the model's memory.

    :param load_model: like world_model.load_world_model, which is the default.
    """

    def __init__(self, *, load_model: Callable[..., Any] = load_world_model, **node_options: Any):
        # First what destroy_node needs, also for a node whose parameters are refused.
        self._reader, self._worker = SubscriptionReader(), Worker(load_model)
        self._actions: list[Any] = []
        super().__init__('planner', **node_options)
        separate_transitions(self)
        self._model_names = MODELS if load_model is load_world_model else ()
        settings, cameras = parameters.declare(self, Settings)
        parameters.check_reachable(settings, ('model', 'history.folder'), self._model_names)
        self.add_on_set_parameters_callback(self._check_parameters)
        self._state = 'unconfigured'
        self._failure = ''  # why the last transition failed
        self._topics = Topics(self)
        self._recorder = PlanRecorder(self, settings)
        self._doubts = Doubts(self.get_logger())
        self._plans = GoalServer(
            self,
            PlanAction,
            'plan',
            self._plan,
            plan_summary,
            on_end=self._recorder.end,
            on_failure=_name_plan,
        )
        self._history = HistoryServices(self, self._topics)
        self._streams = Streams(self, cameras, settings)
        self._observations = Observations(self._streams, cameras)
        self._landscapes = LandscapeServer(self, self._observations, self._topics, self._worker)
        self._models = ModelServer(self, self._worker)
        self._goal_servers = (self._plans, self._landscapes.goals, self._models.goals)
        self._actions = [*self._goal_servers, self._history]
        self._action_name = self.resolve_service_name('plan')
        self._canceller: Any = self.create_client(
            CancelGoal,
            f'{self._action_name}/_action/cancel_goal',
            qos_profile=DEEP,
            callback_group=ReentrantCallbackGroup(),
        )
        serve(self, Trigger, '~/cancel', self._cancel_all, ReentrantCallbackGroup())
        self._diagnostics = Diagnostics(
            self, self._streams, self._observations, self._plans, self._worker, self._recorder
        )
        EnergyService(self, self._observations, self._worker)
        self._reader.start(self)
        if settings.autostart:
            # A separate group, so that services answer while the model is loaded.
            self._starter = self.create_timer(
                0.0, self._autostart, callback_group=MutuallyExclusiveCallbackGroup()
            )

    def create_subscription(self, *args: Any, **options: Any) -> Subscription:
        """Return a new Subscription, read by the SubscriptionReader: also that of /clock."""
        return super().create_subscription(*args, **options, callback_group=self._reader)

    @property
    def health(self) -> tuple[str, str]:
        """Return (lifecycle state, why the last transition failed or '')."""
        return self._state, self._failure

    def destroy_node(self) -> None:
        """Destroy the node with its threads and actions."""
        self._reader.stop()
        self._worker.close()
        for action in self._actions:
            action.destroy()  # which rclpy does not
        super().destroy_node()

    @_guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm up the model; stay unconfigured if that fails."""
        settings = parameters.read(self, Settings)
        began = time.monotonic()
        try:
            self._models.configure(settings)
        except ImportError as error:
            return self._configure_failed(
                f'{error}: PyTorch is needed, install it with: pip install torch'
            )
        except Exception as error:
            self.get_logger().debug(traceback.format_exc())
            return self._configure_failed(
                f"model '{settings.model}' cannot be loaded: {type(error).__name__}: {error}"
            )
        model = self._worker.model
        self._observations.prepare(settings, model.frame_period)
        self.get_logger().info(f'{describe(model)}, after {time.monotonic() - began:.1f} s')
        self._state, self._failure = 'inactive', ''
        return TransitionCallbackReturn.SUCCESS

    @_guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Accept goals."""
        for goals in self._goal_servers:
            goals.activate()
        self._state = 'active'
        self.get_logger().info(f"Goals are accepted on action '{self._action_name}'")
        return TransitionCallbackReturn.SUCCESS

    @_guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Reject goals from now on and end the running one with NODE_DEACTIVATED."""
        self._end_goals('inactive')
        return TransitionCallbackReturn.SUCCESS

    @_guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running goal and free the model's memory."""
        self._end_goals('unconfigured')
        self._unload()
        return TransitionCallbackReturn.SUCCESS

    @_guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the running goal and free the model's memory."""
        self._end_goals('finalized')
        self._unload()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, where configuring can be tried again."""
        self.on_cleanup(state)  # logs what it raises
        return TransitionCallbackReturn.SUCCESS

    def stop(self, timeout: float) -> bool:
        """
        End the running goal and tell its client; return whether nothing runs any more.

        :param timeout: s until the model is no longer waited for.
        """
        until = time.monotonic() + timeout
        at_rest = self._end_goals('finalized', timeout)
        if not at_rest:
            self._worker.abandon()
            self._end_goals('finalized', ANSWER_WITHIN)
        answer_until = time.monotonic() + ANSWER_WITHIN
        while not all(goals.answered for goals in self._goal_servers):
            if time.monotonic() > answer_until:
                break
            time.sleep(0.01)
        self._history.close()
        self._recorder.close(max(until - time.monotonic(), 0.1))
        self._worker.close()
        return at_rest and not self._worker.busy

    def _unload(self) -> None:
        if self._worker.model is not None:
            with self._worker.turn(lambda: None):
                self._worker.unload()

    def _end_goals(self, state: str, timeout: float | None = None) -> bool:
        """
        Change to a state in which goals are rejected, and end those that run.

        Return whether none was left after timeout [s].
        """
        self._state = state
        for goals in self._goal_servers:
            goals.deactivate(state)
        until = None if timeout is None else time.monotonic() + timeout
        idle = [
            goals.slot.wait_until_idle(None if until is None else until - time.monotonic())
            for goals in self._goal_servers
        ]
        return all(idle)

    def _autostart(self) -> None:
        self._starter.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _configure_failed(self, failure: str) -> TransitionCallbackReturn:
        self.get_logger().error(failure)
        self._failure = failure
        self.on_cleanup(None)
        return TransitionCallbackReturn.FAILURE

    def _check_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        try:
            settings = parameters.read(self, Settings, changed)
            names = [item.name for item in changed]
            parameters.check_reachable(settings, names, self._model_names)
        except (TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    async def _cancel_all(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Cancel by the action's cancel service, so that goals end as for any other client."""
        if not self._canceller.service_is_ready():
            response.message = 'no goal was running'
            return response
        answer = await self._canceller.call_async(CancelGoal.Request())
        response.success = bool(answer.goals_canceling)
        count = len(answer.goals_canceling)
        response.message = (
            f'{count} goal{"s" if count > 1 else ""} cancelled'
            if response.success
            else 'no goal was running'
        )
        return response

    def _plan(self, goal: Goal) -> PlanAction.Result:
        """Return the Result of a goal; GoalError or GoalStopped if there is none."""
        began = time.monotonic()
        request = read_plan(goal.request, parameters.read(self, Settings))
        goal.allow(request.allowance)
        with self._models.turn(goal, request.settings):
            return self._plan_in_turn(goal, request, began)

    def _plan_in_turn(self, goal: Goal, request: PlanRequest, began: float) -> PlanAction.Result:
        model, config = self._worker.model, request.settings.plan_config()
        self.get_logger().info(
            f'Goal {goal.name}: {request.settings.optimizer} of {config.samples} samples x '
            f"{config.iterations} iterations, horizon {config.horizon}, camera '{request.camera}'"
        )
        waiting = partial(goal.check, 'waiting for a fresh image and state')
        request = complete(request, self._observations, model, waiting)
        for oddity in oddities(request.picture, request.frames[-1]):
            self.get_logger().warning(f'Goal {goal.name}: {oddity}')
        recording = self._recorder.begin(goal, request, model)
        report = PlanReport(goal, self._topics, self.get_clock(), request, recording)
        answer = self._worker.plan(request, report)
        report.answer(answer)
        iterations = len(answer.plan.iteration_energies)
        self._diagnostics.meter.iteration_rate = iterations / answer.optimization_time
        result = to_result_message(
            answer, request, model.name, goal.handle.goal_id, time.monotonic() - began
        )
        self._landscapes.remember(request, result)
        live = not goal.request.use_start_state
        self._doubts.look_at(model, request, live, answer.commands[0])
        return result


def _name_plan(goal: Goal, result: PlanAction.Result, failure: Failure) -> None:
    result.plan_id = goal.handle.goal_id


def main(args: list[str] | None = None) -> int:
    """Run the planner until SIGINT or SIGTERM; return the exit code."""
    return run(PlannerNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
