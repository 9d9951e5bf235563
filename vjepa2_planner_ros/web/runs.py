# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run of the controller that a browser started, and the sign of life that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
import time
from typing import Any

from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from vjepa2_interfaces.action import ReachGoal

from .link import CONTROLLER, Link, NoAnswer
from .news import Level, News
from .pictures import Picture, Pictures
from .system import told_by
from ..client import ControllerClient, PlanFailed
from ..client.controller_client import ARM_WITHIN
from ..control.reasons import Outcome
from ..messages.goals import reach_goal, sub_goal
from ..messages.runs import ReachResult

BEAT = 0.1  # s between messages on ~/alive
TOLD_WITHIN = 2.0  # s after a change until the controller's diagnostics tell of it
KEPT_STEPS = 500
PHASES = {
    0: 'waiting for the controller',
    ReachGoal.Feedback.WAITING: 'waiting for frames, poses and the planner',
    ReachGoal.Feedback.PLANNING: 'planning',
    ReachGoal.Feedback.CONFIRMING: 'the step waits to be confirmed',
    ReachGoal.Feedback.MOVING: 'moving',
    ReachGoal.Feedback.SETTLING: 'coming to rest',
}


@dataclass
class SubGoal:
    """A picture to reach on the way."""

    picture: Picture
    gripper: float | None = None  # closedness at its end, 0 open .. 1 closed; None = as it is


class Runs:
    """
    The run, and who watches over it; on the event loop.

    While the browser that armed the controller gives signs of life, ~/alive carries true, for the
    controller's parameter dead_man.topic. When it falls silent, the controller is stopped.

    :param browser_timeout: s of silence after which it has gone.
    """

    def __init__(self, link: Link, pictures: Pictures, news: News, browser_timeout: float):
        self._link, self._pictures, self._news = link, pictures, news
        self._browser_timeout = browser_timeout
        self._alive = link.node.create_publisher(Bool, '~/alive', 10)
        self._beaten = 0.0  # of time.monotonic()
        self._watch: asyncio.Task[None] | None = None
        self.armed_by = ''  # the page that armed it; '' = none of this console
        self._disarmed = 0.0  # of time.monotonic()
        self.running = False
        self.phase = 0
        self.steps: list[Any] = []  # ReachSteps of the run
        self.result: ReachResult | None = None
        self.failure = ''

    @property
    def is_there(self) -> bool:
        """Return whether a controller is heard."""
        return self._link.is_there('controller/stop')

    @property
    def confirming(self) -> bool:
        """Return whether a step waits to be confirmed."""
        return self.running and self.phase == ReachGoal.Feedback.CONFIRMING

    @property
    def armed_elsewhere(self) -> bool:
        """Return whether the controller says that it is armed, and no page did it."""
        if self.armed_by or time.monotonic() - self._disarmed < TOLD_WITHIN:
            return False
        told = told_by(self._link, CONTROLLER)
        return told is not None and told.values.get('armed') == 'True'

    def beat(self, page: str) -> None:
        """Note a sign of life of a page; only that of the one that armed it counts."""
        if page == self.armed_by:
            self._beaten = time.monotonic()

    async def arm(self, page: str) -> None:
        """Arm the controller for a page; RuntimeError if it refuses or another page did it."""
        if self.armed_by not in ('', page):
            raise RuntimeError('not armed: another browser has armed it')
        arm = SetBool.Request(data=True)
        answer = await self._link.ask('controller/arm', arm, ARM_WITHIN)
        if not answer.success:
            raise RuntimeError(f'not armed: {answer.message}')
        self.armed_by, self._beaten = page, time.monotonic()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_over())

    async def disarm(self) -> None:
        """Disarm the controller; NoAnswer if it does not say so."""
        await self._end('controller/arm', SetBool.Request(data=False))

    async def stop(self, why: str) -> str:
        """Stop the arm and disarm; return the controller's answer; NoAnswer without one."""
        try:
            answer = await self._end('controller/stop', Trigger.Request())
        except NoAnswer:
            self._news.add('negative', f'{why}: the controller does not answer')
            raise
        self._news.add('warning', f'{why}: {answer.message}')
        return str(answer.message)

    async def confirm(self, yes: bool) -> None:
        """Confirm or refuse the step that waits."""
        answer = await self._link.ask('controller/confirm', SetBool.Request(data=yes))
        if not answer.success:
            raise RuntimeError(answer.message)

    def cancel(self) -> None:
        """Cancel the run; the arm holds."""
        self._client().cancel(timeout=0.0)

    async def start(self, sub_goals: Sequence[SubGoal], **fields: Any) -> None:
        """Begin a run with fields of reach_goal; RuntimeError if one is under way."""
        if self.running:
            raise RuntimeError('a run is under way: cancel it first')
        self.running, self.phase, self.result, self.failure = True, 0, None, ''
        self.steps = []
        self._task = asyncio.create_task(self._run(list(sub_goals), fields))

    async def _end(self, service: str, request: Any) -> Any:
        """
        Return the answer of a service that disarms; NoAnswer after several tries.

        ~/alive ends after the first one: before, the run would name that as its reason.
        """
        for patience in (0.3, 1.0, 1.0, 1.0):  # s
            try:
                return await self._link.ask(service, request, patience)
            except NoAnswer:
                if not self.is_there:
                    break
            finally:
                self._forget()
        raise NoAnswer('the controller does not answer')

    def _forget(self) -> None:
        self.armed_by, self._disarmed = '', time.monotonic()

    def _client(self) -> ControllerClient:
        client: ControllerClient = self._link.goals(ReachGoal, 'reach_goal', ControllerClient)
        return client

    async def _run(self, sub_goals: list[SubGoal], fields: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()

        def on_feedback(feedback: Any) -> None:
            loop.call_soon_threadsafe(self._on_feedback, feedback)

        try:
            goals = [
                sub_goal(
                    await self._pictures.rgb(each.picture.data, 'sub-goal'), gripper=each.gripper
                )
                for each in sub_goals
            ]
            goal = await asyncio.to_thread(partial(reach_goal, goals, **fields))
            future = await asyncio.to_thread(self._client().send, goal, on_feedback)
            result: ReachResult = await asyncio.wrap_future(future)
            self.result = result
            if result.reason.disarms:
                self._forget()
            level: Level = 'positive' if result.outcome == Outcome.REACHED else 'warning'
            self._news.add(level, f'run ended: {in_words(result)}')
        except (PlanFailed, ValueError) as error:
            self.failure = str(error)
            self._news.add('negative', f'run ended: {error}')
        finally:
            self.running = False

    def _on_feedback(self, feedback: Any) -> None:
        self.phase = feedback.phase
        step = feedback.step
        known = self.steps and self.steps[-1].step == step.step
        if step.step and not known and len(self.steps) < KEPT_STEPS:
            self.steps.append(step)

    async def _watch_over(self) -> None:
        """Tell ~/alive of the browser until it is disarmed; stop the arm when it falls silent."""
        while self.armed_by:
            if self._is_silent():
                await asyncio.sleep(BEAT)  # signs may have waited while the console stood still
            if self._is_silent():
                self._alive.publish(Bool(data=False))
                with suppress(NoAnswer):
                    await self.stop('the browser that armed the arm has gone')
                break
            self._alive.publish(Bool(data=True))
            await asyncio.sleep(BEAT)
        self._alive.publish(Bool(data=False))

    def _is_silent(self) -> bool:
        return self.armed_by != '' and time.monotonic() - self._beaten > self._browser_timeout


def in_words(result: ReachResult) -> str:
    """Return how a run ended."""
    outcome = result.outcome.name.replace('_', ' ').lower()
    reason = result.reason.name.replace('_', ' ').lower()
    text = f'{outcome}, {reason}, {result.steps} steps, {result.run_time:.0f} s'
    return f'{text}: {result.message}' if result.message else text
