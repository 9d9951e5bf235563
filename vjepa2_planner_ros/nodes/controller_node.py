# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller as a lifecycle node with the action server `reach_goal`."""

from __future__ import annotations

from dataclasses import dataclass
import time
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger
from vjepa2_interfaces.action import ReachGoal

from . import parameters
from .action_server import Failure, GoalServer
from .arm_inputs import ArmInputs
from .arm_output import ArmOutput
from .arming import Arming
from .controller_report import ControllerReport, PHASES
from .controller_settings import ControllerSettings
from .dead_man import DeadManSwitch
from .errors import GoalError
from .goal import Goal, StopReason
from .gripper_output import GripperOutput
from .lifecycle import ServerNode
from .observations import Observations
from .process import run
from .reach_reader import read_reach
from .reach_run import Run
from .run_recorder import RunRecorder
from .services import serve
from .streams import Streams
from ..client import PlannerClient
from ..control.reasons import Outcome, Reason, RunEnd
from ..messages.error_codes import ErrorCode
from ..messages.results import PlanFailed
from ..messages.runs import run_summary


class RunFailed(GoalError):
    """A run did not reach its goal, for a Reason."""

    def __init__(self, reason: Reason, code: ErrorCode, text: str):
        super().__init__(code, text)
        self.reason, self.label = reason, reason.name


@dataclass
class Confirmation:
    """A step that waits for ~/confirm."""

    answer: bool | None = None


class ControllerNode(ServerNode):
    """
    Moves the arm to goal pictures, step by step; see ReachGoal.action.

    Nothing is published to the arm before ~/arm was called, which every start begins without.
    """

    def __init__(self, **node_options: Any):
        super().__init__('controller', **node_options)
        settings, cameras = parameters.declare_inputs(self, ControllerSettings)
        parameters.check_folder(settings.history)
        parameters.check_changes(self, self._check_parameters)
        self._arming = Arming()
        self._confirmation: Confirmation | None = None
        self._run: Run | None = None
        self._streams = Streams(self, cameras, settings)
        self._observations = Observations(self._streams, cameras)
        self._dead_man = DeadManSwitch(self, settings.dead_man)
        self.gripper = GripperOutput(self, settings)
        self.output = ArmOutput(self, settings)
        self.recorder = RunRecorder(self, settings)
        self.planner = PlannerClient(self, action=settings.planner)
        self.report = ControllerReport(self)
        self._goals = GoalServer(
            self,
            ReachGoal,
            'reach_goal',
            self._reach,
            run_summary,
            on_end=self._end,
            on_failure=self._fill_failure,
        )
        for kind, name, answer in (
            (SetBool, '~/arm', self._on_arm),
            (Trigger, '~/stop', self._on_stop),
            (SetBool, '~/confirm', self._on_confirm),
        ):
            serve(self, kind, name, answer, ReentrantCallbackGroup())
        self.start([self._goals], settings.autostart)

    def settings(self) -> ControllerSettings:
        """Return the parameters as they are now."""
        return parameters.read(self, ControllerSettings)

    def inputs(self, camera: str) -> ArmInputs:
        """Return what is measured for a run that looks through a camera."""
        return ArmInputs(self._streams, self._observations, camera)

    def check_allowed(self, begun: int | None) -> int:
        """
        Raise RunEnd if the arm must not move: not armed, stopped, or the switch is released.

        :param begun: what this returned when the run was first allowed; None = it was not yet.
        """
        arming, disarmings = self._arming, self._arming.disarmings
        if arming.stopped:
            raise RunEnd(Reason.STOP_CALLED, '~/stop was called; ~/arm arms again')
        if not arming.armed or begun not in (None, disarmings):
            text = 'was disarmed while the run went on: the next one is'
            text = 'not armed:' if begun is None else text
            raise RunEnd(
                Reason.DISARMED,
                f'{text} allowed after {self._service("arm")}, or by `reach --arm`',
            )
        problem = self._dead_man.problem()
        if problem:
            raise RunEnd(Reason.DEAD_MAN_RELEASED, problem)
        return disarmings

    def hold(self) -> None:
        """Hold arm and gripper where they are."""
        self.output.hold()
        self.gripper.hold()

    @property
    def armed(self) -> bool:
        """Return whether goals move the arm."""
        return self._arming.armed

    def status(self) -> dict[str, Any]:
        """Return what diagnostics show of now."""
        settings, run = self.settings(), self._run
        return {
            'state': self._state,
            'armed': self.armed,
            'dry run': settings.dry_run,
            'dead-man switch': self._dead_man.problem() or 'held, or there is none',
            'phase': PHASES[run.phase] if run else 'no run',
            'step': run.step.step if run else 0,
            'sub-goal': run.step.sub_goal if run else 0,
        }

    def problem(self) -> str:
        """Return why the arm cannot be moved now, in the words of the error; '' if it can."""
        settings = self.settings()
        problem = self._observations.problem(settings.cameras[0], settings)
        return self._streams.why_no_clock() or problem

    def ask_for_confirmation(self) -> Confirmation:
        """Return a Confirmation that ~/confirm answers."""
        self._confirmation = waiting = Confirmation()  # the answer may come before this returns
        self.get_logger().info(f'The step waits for {self._service("confirm")}')
        return waiting

    def destroy_node(self) -> None:
        """Hold, and destroy the node with its threads."""
        for part in ('output', 'planner'):  # what there is of a node that was refused
            if hasattr(self, part):
                getattr(self, part).close()
        super().destroy_node()

    def stop(self, timeout: float) -> bool:
        """Hold and end the run; return whether nothing runs any more within timeout [s]."""
        until = time.monotonic() + timeout
        at_rest = self.end_goals('finalized', timeout)
        self.output.close()
        self.wait_until_answered()
        self.recorder.close(max(until - time.monotonic(), 0.1))
        return at_rest

    def end_goals(self, state: str, timeout: float | None = None) -> bool:
        """Disarm, and end the run."""
        ended = super().end_goals(state, timeout)
        self._disarm(f'the controller is {state}')
        return ended

    def _reach(self, goal: Goal) -> ReachGoal.Result:
        """Return the Result of a goal; GoalError or GoalStopped if it is not reached."""
        settings = self.settings()
        request = read_reach(goal.request, settings)
        self._run = run = Run(self, goal, request, settings)
        self.recorder.begin(goal, request, settings)
        try:
            reason = run.perform()
        except RunEnd as end:
            raise RunFailed(end.reason, ErrorCode.NONE, str(end)) from end
        except PlanFailed as failure:
            text = f'the planner failed: {failure.message}'
            raise RunFailed(Reason.PLANNER_ERROR, failure.code, text) from failure
        result = ReachGoal.Result()
        if reason == Reason.DRY_RUN:
            way = 'set the parameter dry_run to false' if settings.dry_run else 'ask for none'
            result.error_msg = f'a dry run: nothing was moved; to move the arm, {way}, and arm it'
        run.fill(result, reason)
        return result

    def _fill_failure(self, goal: Goal, result: ReachGoal.Result, failure: Failure) -> None:
        """Say in the Result of a run that did not reach its goal why, and how far it came."""
        if isinstance(failure, StopReason):
            reason = Reason[failure.name]
        elif isinstance(failure, RunFailed):
            reason = failure.reason
        else:
            internal = failure.code == ErrorCode.UNKNOWN
            reason = Reason.INTERNAL_ERROR if internal else Reason.INVALID_GOAL
        if self._run is not None and self._run.goal is goal:
            self._run.fill(result, reason)
        result.outcome, result.reason = int(reason.outcome), int(reason)
        result.run_id = goal.handle.goal_id

    def _end(self, goal: Goal, result: ReachGoal.Result, outcome: str) -> None:
        """Hold; disarm if somebody has to look at the arm before the next run."""
        run = self._run
        if run is not None and run.goal is goal:  # not one that was replaced before it began
            self._run = self._confirmation = None
            self.gripper.hold()
            self.recorder.frame(run.frame)
            self.recorder.end(result, run.steps, run.model)
        self.report.end(result)
        goal.request.sub_goals = []  # rclpy keeps the goal for as long as its result
        if result.outcome != Outcome.REACHED and Reason(result.reason).disarms and self.armed:
            self._disarm(result.error_msg, failed=True)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> None:
        if not request.data:
            self._disarm('~/arm was called with false')
            response.success, response.message = True, 'disarmed'
            return
        timeout = self.settings().image_timeout
        response.message = self._arming.arm(self._why_refused, self._what_is_missing, timeout)
        response.success = not response.message
        if response.success:
            response.message = 'armed'
            effect = 'goals move the arm from now on'
            if self.settings().dry_run:
                effect = 'but dry_run = true: goals move nothing until that is false'
            self.get_logger().warning(f'Armed: {effect}')

    def _why_refused(self) -> str:
        if self._state != 'active':
            return f'the controller is {self._state}, not active'
        others = self.output.others()
        if others:
            return f"'{self.output.topic}' is published by {', '.join(others)} too"
        return ''

    def _what_is_missing(self) -> str:
        return self.problem() or ('' if self.settings().dry_run else self.output.why_unheard())

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._disarm('~/stop was called', stop=True)
        response.success, response.message = True, 'stopped and disarmed'

    def _on_confirm(self, request: SetBool.Request, response: SetBool.Response) -> None:
        waiting, self._confirmation = self._confirmation, None
        response.success = waiting is not None
        if waiting is None:
            response.message = 'no step waits for a confirmation'
        else:
            waiting.answer = request.data
            response.message = 'confirmed' if request.data else 'refused'

    def _disarm(self, why: str, stop: bool = False, failed: bool = False) -> None:
        """Disarm and hold; log why if it was armed, as a warning if a run has failed."""
        was_armed = self._arming.disarm(why, stop)
        self.output.release()
        self.gripper.hold()
        if was_armed:  # two calls: rclpy refuses one that changes its severity
            if failed:
                self.get_logger().warning(f'Disarmed: {why}')
            else:
                self.get_logger().info(f'Disarmed: {why}')

    def _service(self, name: str) -> str:
        return f'{self.get_fully_qualified_name()}/{name}'

    def _check_parameters(self, changed: list[Parameter]) -> None:
        settings = parameters.read(self, ControllerSettings, changed)
        parameters.check_folder(settings.history, [item.name for item in changed])


def main(args: list[str] | None = None) -> int:
    """Run the controller until SIGINT or SIGTERM; return the exit code."""
    return run(ControllerNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
