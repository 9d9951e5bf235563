# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner as a lifecycle node with the action server `plan`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import time
import traceback
from typing import Any

from action_msgs.srv import CancelGoal
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
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
from .lifecycle import ANSWER_WITHIN, ServerNode
from .model_server import describe, ModelServer
from .observations import Observations
from .plan_recorder import PlanRecorder
from .process import run
from .reporting import PlanReport, Topics
from .services import DEEP, serve
from .settings import MODELS, Settings, with_preset
from .streams import Streams
from .worker import load_world_model, Worker
from ..messages.pictures import oddities
from ..messages.searches import plan_summary, to_result_message


class PlannerNode(ServerNode):
    """
    Answers goal pictures with commands; see PlanAction.action.

    Configure loads and warms up the world model, activate accepts goals, deactivate ends the
    running goal, cleanup frees the model's memory.

    :param load_model: like world_model.load_world_model, which is the default.
    """

    def __init__(self, *, load_model: Callable[..., Any] = load_world_model, **node_options: Any):
        # First what destroy_node needs, also for a node whose parameters are refused.
        self._worker = Worker(load_model)
        super().__init__('planner', **node_options)
        self._model_names = MODELS if load_model is load_world_model else ()
        settings, cameras = parameters.declare_inputs(self, Settings)
        with_preset(settings)
        named = ('model', 'history.folder', *parameters.FILES)
        parameters.check_reachable(settings, named, self._model_names)
        parameters.check_changes(self, self._check_parameters)
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
        self._models = ModelServer(self, self._worker)
        self._landscapes = LandscapeServer(
            self, self._observations, self._topics, self._worker, self._models
        )
        self._canceller: Any = self.create_client(
            CancelGoal,
            'plan/_action/cancel_goal',
            qos_profile=DEEP,
            callback_group=ReentrantCallbackGroup(),
        )
        serve(self, Trigger, '~/cancel', self._cancel_all, ReentrantCallbackGroup())
        self._diagnostics = Diagnostics(
            self, self._streams, self._observations, self._plans, self._worker, self._recorder
        )
        EnergyService(self, self._observations, self._worker, self._models)
        servers = (self._plans, self._landscapes.goals, self._models.goals)
        self.start(servers, settings.autostart)

    def destroy_node(self) -> None:
        """Destroy the node with its threads and actions."""
        self._worker.close()
        if hasattr(self, '_history'):  # a node that was refused has none
            self._history.destroy()
        super().destroy_node()

    def configure(self) -> str:
        """Load and warm up the model; return why that failed, or ''."""
        settings = parameters.read(self, Settings)
        began = time.monotonic()
        try:
            self._models.configure(settings)
        except ImportError as error:
            return f'{error}: PyTorch is needed, install it with: pip install torch'
        except Exception as error:
            self.get_logger().debug(traceback.format_exc())
            return f"model '{settings.model}' cannot be loaded: {type(error).__name__}: {error}"
        model = self._worker.model
        self._observations.prepare(settings, model.frame_period)
        self.get_logger().info(f'{describe(model)}, after {time.monotonic() - began:.1f} s')
        return ''

    def clean_up(self) -> None:
        """Free the model's memory."""
        if self._worker.model is not None:
            with self._worker.turn(lambda: None):
                self._worker.unload()

    def stop(self, timeout: float) -> bool:
        """
        End the running goal and tell its client; return whether nothing runs any more.

        :param timeout: s until the model is no longer waited for.
        """
        until = time.monotonic() + timeout
        at_rest = self.end_goals('finalized', timeout)
        if not at_rest:
            self._worker.abandon()
            self.end_goals('finalized', ANSWER_WITHIN)
        self.wait_until_answered()
        self._history.close()
        self._recorder.close(max(until - time.monotonic(), 0.1))
        self._worker.close()
        return at_rest and not self._worker.busy

    def _check_parameters(self, changed: list[Parameter]) -> None:
        settings = parameters.read(self, Settings, changed)
        with_preset(settings)  # refuses what does not go with it
        names = [item.name for item in changed]
        parameters.check_reachable(settings, names, self._model_names)

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
        preset = f", preset '{config.preset}'" if config.preset else ''
        self.get_logger().info(
            f'Goal {goal.name}: {request.settings.optimizer} of {config.samples} samples x '
            f'{config.iterations} iterations, horizon {config.horizon}, cost '
            f"{config.cost_for(model)}{preset}, camera '{request.camera}'"
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
