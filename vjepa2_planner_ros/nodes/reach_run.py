# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One run of the controller: plan, check, move, look again, until the picture is reached."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep

from .arm_output import Motion
from .controller_settings import ControllerSettings
from .goal import Goal
from .reach_reader import ReachRequest, SubGoal
from ..control.limits import limit_step, LimitedStep
from ..control.path import distance
from ..control.progress import Progress
from ..control.reasons import Reason, RunEnd
from ..control.watch import Rest, Watch
from ..messages.results import PlanResult
from ..messages.runs import start_of, to_step_message
from ..messages.times import to_duration

if TYPE_CHECKING:
    from .controller_node import ControllerNode

PLANNER_WITHIN = 2.0  # s to wait for one that is not there
POLL = 0.01  # s between looks while waiting
MOVED = 0.02, 0.1  # m and rad that the arm may move between the frame and the step
FROZEN = 0.01  # m of motion after which no camera sends the same picture again
REPLANS = 3  # times in a row that a step is planned again because the arm was moved
Feedback = ReachGoal.Feedback


class Run:
    """
    A run from its first look to its end; perform() blocks on the goal's own thread.

    Its attributes say how far it came, also after an error.
    """

    def __init__(
        self, node: ControllerNode, goal: Goal, request: ReachRequest, settings: ControllerSettings
    ):
        self._node, self.goal, self._request, self._settings = node, goal, request, settings
        self._inputs = node.inputs(request.camera)
        self._began = time.monotonic()
        self.steps: list[ReachStep] = []  # executed, the last one also if it was not
        self.executed = self.sub_goals_done = self.limited = 0
        self.energies: list[float] = []
        self.model = ''
        self.phase = Feedback.WAITING
        self._begun: int | None = None  # see check_allowed
        self._seen: Any = None  # the frame that the newest plan began with, as it came

    @property
    def duration(self) -> float:
        """Return the time [s] since the run began."""
        return time.monotonic() - self._began

    @property
    def frame(self) -> Any:
        """Return the camera's newest Image or CompressedImage, None if there is none."""
        frame = self._inputs.frame()
        return None if frame is None else frame.message

    @property
    def step(self) -> ReachStep:
        """Return the newest step."""
        return self.steps[-1] if self.steps else ReachStep(run_id=self.goal.handle.goal_id)

    def perform(self) -> Reason:
        """Return why the run ended well; RunEnd, PlanFailed or GoalStopped if it did not."""
        self.show(Feedback.WAITING)
        self.check()
        reason = Reason.SETTLED
        for sub_goal in self._request.sub_goals:
            reason = self._reach(sub_goal)
            if reason == Reason.DRY_RUN:
                return reason
            if sub_goal.gripper is not None and not self._request.dry_run:
                self._move_gripper(sub_goal.gripper)
            self.sub_goals_done += 1
        return reason

    def check(self) -> None:
        """Raise what ends the run from outside: GoalStopped or RunEnd."""
        self.goal.check_stop()
        if not self._request.dry_run:
            self._check_allowed()
        if self.duration > self._request.max_time:
            raise RunEnd(
                Reason.TIME_LIMIT,
                f'the run has taken {self.duration:.1f} s: allowed: {self._request.max_time:g} s '
                '(time_allowance, or ending.max_time)',
            )

    def _reach(self, sub_goal: SubGoal) -> Reason:
        """Step toward one picture; return why it is over, RunEnd if the run is."""
        progress = Progress(self._settings.ending)
        for done in range(sub_goal.max_steps):
            if self.executed >= self._request.max_steps:
                raise _step_limit(self._request.max_steps, 'max_steps', done > 0)
            for _ in range(self._settings.ending.patience):
                reason = self._step(sub_goal, progress)
                if reason != Reason.UNSURE:
                    break  # else other candidates may see a way
            if reason in (Reason.SETTLED, Reason.DRY_RUN):
                return reason
            if reason:
                why = progress.why(reason, self.step, self.step.energy)
                return self._give_up(RunEnd(reason, why))
        return self._give_up(_step_limit(sub_goal.max_steps, 'sub_goals[].max_steps', True))

    def _give_up(self, end: RunEnd) -> Reason:
        """Leave the sub-goal for the next one, and log why; raise end if it is the last one."""
        number, count = self.sub_goals_done + 1, len(self._request.sub_goals)
        if number == count:
            raise end
        self._node.get_logger().info(
            f'Sub-goal {number} of {count} is given up for the next one ({end.reason.name}): {end}'
        )
        return end.reason

    def _step(self, sub_goal: SubGoal, progress: Progress) -> Reason | None:
        """Do one step; return why it was not done, None if it was."""
        watch = Watch(self._settings.limits)
        for _ in range(REPLANS):
            if not self._request.dry_run:
                watch.check_place(self._inputs.state(self._settings))
            plan = self._plan(sub_goal)
            measured = self._inputs.state(self._settings)
            if not self._request.dry_run:
                watch.check_place(measured)
            moved = distance(measured, start_of(plan))
            if moved[0] <= MOVED[0] and moved[1] <= MOVED[1]:
                break
        else:
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'the arm moved by {moved[0]:.3f} m while it was planned for: allowed: '
                f'{MOVED[0]:g} m; does somebody else move it?',
            )
        self.energies.append(plan.start_energy)
        rise, reason = progress.update(plan.start_energy, plan.energy, plan)
        gripper = self._node.gripper.exists
        step = limit_step(measured, plan.command, self._settings.limits, gripper)
        self._report(plan, step, rise)
        if reason:
            return reason
        if self._request.dry_run:
            return Reason.DRY_RUN
        if self._settings.confirm:
            self._confirm()
        self._move(step, measured)
        self.executed += 1
        self.limited += bool(step.names)
        return None

    def _plan(self, sub_goal: SubGoal) -> PlanResult:
        self.show(Feedback.PLANNING)
        self._seen = self.frame
        timeout = self._settings.plan_timeout
        message = self._request.plan_goal(sub_goal, self.goal.handle.goal_id, timeout)
        self._wait(self._node.planner.is_there, PLANNER_WITHIN, self._no_planner)
        future = self._node.planner.send(message)
        try:
            self._wait(future.done, timeout + 1.0, lambda: self._no_plan(timeout))
            plan = future.result()  # or PlanFailed
            self.model = plan.model
            return plan
        except BaseException:
            if not future.done():
                self._node.planner.cancel(timeout=0.0)
            raise

    def _no_plan(self, timeout: float) -> RunEnd:
        return RunEnd(
            Reason.PLANNER_ERROR,
            f'no plan within plan_timeout = {timeout:g} s: is the planner up?',
        )

    def _no_planner(self) -> RunEnd:
        name = self._settings.planner
        return RunEnd(
            Reason.PLANNER_ERROR,
            f"no planner: nobody serves the action '{name}' (planner); start it, or activate it",
        )

    def _report(self, plan: PlanResult, step: LimitedStep, rise: float) -> None:
        run_id = self.goal.handle.goal_id
        message = to_step_message(plan, step, rise, run_id)
        message.sub_goal, message.step = self.sub_goals_done + 1, self.executed + 1
        self.steps.append(message)
        self._node.report.step(self.steps, self._settings.limits)
        self.show(self.phase)
        self._node.recorder.step(message, self._seen or self.frame)

    def _confirm(self) -> None:
        confirmation = self._node.ask_for_confirmation()
        self.show(Feedback.CONFIRMING)  # whoever sees it can answer
        self._wait(lambda: confirmation.answer is not None)
        if not confirmation.answer:
            raise RunEnd(Reason.NOT_CONFIRMED, 'the step was refused by ~/confirm')

    def _move(self, step: LimitedStep, measured: NDArray[np.float64]) -> None:
        """Move arm and gripper to a step's target and wait until they are at rest there."""
        node, settings = self._node, self._settings
        self._check_place(measured)
        self.show(Feedback.MOVING)
        before = self._inputs.frame()
        self._inputs.restart()
        if step.command[6]:
            self._send_gripper(float(step.target[6]))
        motion = node.output.move(step.target[:6], settings, self._inputs, self._check_motion)
        try:
            self._wait(lambda: motion.done or motion.problem is not None)
            rest = Rest(settings.arrival, measured, step.target, time.monotonic())
            rested = self._settle(motion, rest)
            self._wait(
                lambda: self._seen_since(rested) or motion.problem is not None,
                settings.image_timeout,
                self._no_frame,
            )
            if motion.problem is not None:
                raise motion.problem
            node.output.rest()
        except BaseException:
            node.hold()
            self.check()  # what the hold was told for comes first
            raise
        after, moved = self._inputs.frame(), self._inputs.state(settings)
        if before is None or after is None or distance(moved, measured)[0] < FROZEN:
            return
        if before.message.data == after.message.data:
            raise RunEnd(
                Reason.STALE_INPUT,
                'the camera still sends the picture from before the step, byte for byte: it is '
                'frozen',
            )

    def _check_place(self, planned: NDArray[np.float64]) -> None:
        """Raise RunEnd if the arm is not where a step was planned: the wait may have been long."""
        moved = distance(self._inputs.state(self._settings), planned)
        if moved[0] > MOVED[0] or moved[1] > MOVED[1]:
            raise RunEnd(
                Reason.NOT_FOLLOWING,
                f'the arm moved by {moved[0]:.3f} m and {moved[1]:.2f} rad after the step was '
                f'planned: allowed: {MOVED[0]:g} m and {MOVED[1]:g} rad; does somebody else move '
                'it?',
            )

    def _settle(self, motion: Motion | None, rest: Rest) -> int:
        """Wait until arm and gripper are at rest; return the stamp [ns] of a pose at rest."""
        self.show(Feedback.SETTLING)
        while motion is None or motion.problem is None:
            self.check()
            if rest.add(time.monotonic(), self._inputs.state(self._settings)):
                return self._inputs.pose_stamp()
            time.sleep(POLL)
        raise motion.problem

    def _seen_since(self, stamp: int) -> bool:
        frame = self._inputs.frame()
        return frame is not None and frame.stamp >= stamp

    def _no_frame(self) -> RunEnd:
        return RunEnd(
            Reason.STALE_INPUT,
            'no frame of the arm at rest, by its stamp, within image_timeout = '
            f'{self._settings.image_timeout:g} s: was a clock set back?',
        )

    def _check_motion(self) -> None:
        """Raise RunEnd if the arm must not move on; called at each target."""
        if self.goal.stopped():
            raise RunEnd(Reason.CANCELLED, 'the goal was asked to stop')  # GoalStopped says why
        self._check_allowed()
        self._inputs.check_alive(self._settings)

    def _check_allowed(self) -> None:
        self._begun = self._node.check_allowed(self._begun)

    def _move_gripper(self, closedness: float) -> None:
        """Put the gripper to a closedness and wait until it is at rest."""
        self._send_gripper(closedness)
        measured = self._inputs.state(self._settings)
        target = np.array([*measured[:6], closedness])
        self._settle(None, Rest(self._settings.arrival, measured, target, time.monotonic()))

    def _send_gripper(self, closedness: float) -> None:
        if self._node.gripper.exists:
            self.check()
            self._node.gripper.move(closedness, self._settings.gripper)

    def _wait(
        self,
        condition: Callable[[], bool],
        timeout: float | None = None,
        too_late: Callable[[], RunEnd] | None = None,
    ) -> None:
        until = None if timeout is None else time.monotonic() + timeout
        while not condition():
            self.check()
            if until is not None and too_late is not None and time.monotonic() > until:
                raise too_late()
            time.sleep(POLL)

    def show(self, phase: int) -> None:
        """Send feedback with a phase."""
        self.phase, recorder = phase, self._node.recorder
        (recorder.pause if phase == Feedback.MOVING else recorder.resume)()
        self.goal.handle.publish_feedback(Feedback(phase=phase, step=self.step))

    def fill(self, result: ReachGoal.Result, reason: Reason) -> None:
        """Put what the run did into a Result."""
        result.outcome, result.reason = int(reason.outcome), int(reason)
        result.steps, result.sub_goals_done = self.executed, self.sub_goals_done
        result.limited_steps, result.energies = self.limited, self.energies
        result.run_id, result.run_time = self.goal.handle.goal_id, to_duration(self.duration)


def _step_limit(limit: int, name: str, moved: bool) -> RunEnd:
    """Return the end at a limit; moved: after the last plan a step was done."""
    done = '1 step was' if limit == 1 else f'{limit} steps were'
    before = '; the last energy is that before the last step' if moved else ''
    return RunEnd(
        Reason.STEP_LIMIT,
        f'{done} done: allowed: {name} = {limit}; the picture was not reached by then{before}',
    )
