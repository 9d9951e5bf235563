# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plans that browsers and programs asked for: one after the other, each with its events."""

from __future__ import annotations

import asyncio
from collections import deque, OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
import secrets
import time
from typing import Any

from sensor_msgs.msg import Image
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState

from .limits import KEPT_TASKS, QUEUED_PLANS
from .link import Link
from .news import News
from .on_demand import deep
from .pictures import Pictures
from .schemas import (
    Completed,
    Event,
    Failed,
    ModelLoading,
    PlanSettings,
    Running,
    StartState,
    Status,
    Task,
)
from ..client import PlanFailed, PlannerClient
from ..messages.goals import plan_goal
from ..messages.images import to_rgb
from ..messages.results import confidence_text, PlanResult
from ..messages.states import quaternion_of_rpy

ENDED = ('completed', 'failed', 'cancelled')
CANCELLED = Failed(code='CANCELLED', text='the plan was cancelled')


class QueueFull(RuntimeError):  # noqa: N818
    """Too many plans wait."""


class PlanTask:
    """A plan; it lives on the event loop."""

    def __init__(self, settings: PlanSettings, goal: bytes, current: bytes | None):
        self.id = secrets.token_urlsafe(12)
        self.settings = settings
        self.pictures: tuple[bytes, bytes | None] | None = goal, current  # until they are sent
        self.created = time.time()
        self.status: Status = 'queued'
        self.cancelled = False
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Return whether nothing will come any more."""
        return self.status in ENDED

    def add(self, event: Event) -> None:
        """Note an event, unless the plan has ended, and wake those who follow."""
        if self.ended:
            return
        self.status = event.type
        if event == CANCELLED:
            self.status = 'cancelled'
        self.events.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self) -> AsyncIterator[Event]:
        """Yield every event so far and then each that comes, to the end."""
        sent = 0
        while True:
            changed = self._changed
            while sent < len(self.events):
                yield self.events[sent]
                sent += 1
            if self.ended:
                return
            await changed.wait()

    def shown(self) -> Task:
        """Return what the REST interface tells of it."""
        return Task(
            task_id=self.id,
            status=self.status,
            created=self.created,
            settings=self.settings,
            events=self.events,
        )


class Tasks:
    """Runs one plan after the other: a second goal would preempt the first."""

    def __init__(self, link: Link, pictures: Pictures, news: News):
        self._link, self._pictures, self._news = link, pictures, news
        self.imagined = Imagined(link, pictures)
        self._kept: OrderedDict[str, PlanTask] = OrderedDict()
        self._queue: asyncio.Queue[PlanTask] = asyncio.Queue()
        self._running: PlanTask | None = None
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, on the event loop that runs."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop working."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    def add(self, settings: PlanSettings, goal: bytes, current: bytes | None) -> PlanTask:
        """Take a plan on; QueueFull if too many wait."""
        # Those that were cancelled are in the queue, and wait no more.
        waiting = sum(not kept.ended for kept in self._kept.values() if kept is not self._running)
        if waiting >= QUEUED_PLANS:
            raise QueueFull(f'{QUEUED_PLANS} plans wait: try again later')
        task = PlanTask(settings, goal, current)
        self._queue.put_nowait(task)
        self._kept[task.id] = task
        ended = [kept.id for kept in self._kept.values() if kept.ended]
        for name in ended[: max(len(self._kept) - KEPT_TASKS, 0)]:
            del self._kept[name]
        return task

    def get(self, name: str) -> PlanTask | None:
        """Return a task by its id, None if it was never there or is gone."""
        return self._kept.get(name)

    def all(self) -> list[PlanTask]:
        """Return the tasks that are kept, newest first."""
        return list(self._kept.values())[::-1]

    def cancel(self, task: PlanTask) -> None:
        """End a task; a plan that runs ends within an iteration."""
        task.cancelled = True
        if task is self._running:
            self._client().cancel(timeout=0.0)
        else:
            task.pictures = None
            task.add(CANCELLED)

    def _client(self) -> PlannerClient:
        client: PlannerClient = self._link.goals(PlanAction, 'plan', PlannerClient)
        return client

    async def _work(self) -> None:
        while True:
            task = await self._queue.get()
            if not task.cancelled:
                self._running = task
                try:
                    task.add(await self._plan(task))
                    self._tell(task.events[-1])
                finally:
                    self._running = None

    def _tell(self, event: Event) -> None:
        if isinstance(event, Completed):
            text = f'planned in {event.planning_time:.1f} s, confidence {confidence_text(event)}'
            self._news.add('positive', text)
        elif isinstance(event, Failed) and event != CANCELLED:
            self._news.add('negative', f'no plan: {event.code}: {event.text}')

    async def _plan(self, task: PlanTask) -> Event:
        loop = asyncio.get_running_loop()
        try:
            self.imagined.look()  # the planner knows of it before the plan ends
            goal = await self._goal(task)
            self.imagined.await_next()
            feedback = partial(_on_feedback, loop, task)
            # In a thread: it waits up to two seconds for a planner that is not there.
            future = await asyncio.to_thread(self._client().send, goal, feedback)
            if task.cancelled:
                self._client().cancel(timeout=0.0)
            waiting = asyncio.wrap_future(future)
            while not (await asyncio.wait([waiting], timeout=1.0))[0]:
                self.imagined.look()
            result = waiting.result()
            return _completed(result, await self.imagined.of(result))
        except PlanFailed as failure:
            if failure.cancelled:
                return CANCELLED
            return Failed(code=failure.code.name, text=failure.message)
        except ValueError as error:
            return Failed(code='INVALID_SETTINGS', text=str(error))
        except Exception as error:
            self._link.node.get_logger().error(f'plan of the console: {error!r}')
            return Failed(code='UNKNOWN', text=f'{type(error).__name__}: {error}')

    async def _goal(self, task: PlanTask) -> PlanAction.Goal:
        assert task.pictures is not None
        (goal, current), task.pictures = task.pictures, None
        fields: dict[str, Any] = task.settings.model_dump(exclude={'state'})
        if current is not None:
            fields['current_image'] = await self._pictures.rgb(current, 'currentImage')
        if task.settings.state is not None:
            fields['start_state'] = _state(task.settings.state)
        picture = await self._pictures.rgb(goal, 'goalImage')
        return await asyncio.to_thread(partial(plan_goal, picture, **fields))


def _state(state: StartState) -> EndEffectorState:
    message = EndEffectorState(gripper=state.gripper)
    position = message.pose.position
    position.x, position.y, position.z = state.x, state.y, state.z
    message.pose.orientation = quaternion_of_rpy(state.roll, state.pitch, state.yaw)
    return message


def _on_feedback(
    loop: asyncio.AbstractEventLoop, task: PlanTask, feedback: PlanAction.Feedback
) -> None:
    """Turn a Feedback into an event of the task; on the client's thread."""
    event: Event
    if feedback.phase == PlanAction.Feedback.LOADING_MODEL:
        event = ModelLoading(progress=round(feedback.progress, 2))
        if task.events and task.events[-1] == event:
            return
    elif feedback.phase == PlanAction.Feedback.OPTIMIZING:
        found = feedback.iteration
        event = Running(
            iteration=found.iteration,
            iterations=found.iterations_total,
            **{
                name: getattr(found, name)
                for name in Running.model_fields
                if name.startswith('energy_') or name == 'elapsed'
            },
        )
    else:
        return
    loop.call_soon_threadsafe(task.add, event)


class Imagined:
    """What the model expects to see after the newest plan, while look() is called."""

    def __init__(self, link: Link, pictures: Pictures):
        self._pictures, self._newest = pictures, deque[Image](maxlen=1)
        self._topic = link.on_demand(Image, 'planner/imagined', self._keep, deep(1))

    def _keep(self, message: Image) -> None:
        self._newest.append(message)

    def look(self) -> None:
        """Listen, for some seconds from now; the planner draws it only while somebody does."""
        self._topic.look()

    def await_next(self) -> None:
        """Forget the last one."""
        self._newest.clear()

    async def of(self, result: PlanResult) -> str | None:
        """Return the id of the picture of a plan, None if nothing was imagined."""
        if result.imagined_error is None:
            return None
        for _ in range(20):  # it comes another way than the result
            if self._newest:
                picture = await self._pictures.add_frame(to_rgb(self._newest[0]))
                return picture.id
            await asyncio.sleep(0.05)
        return None


def _completed(result: PlanResult, imagined: str | None) -> Completed:
    target = result.target_pose and result.target_pose.pose.position
    return Completed(
        action=result.command.tolist(),
        plan=result.plan.tolist(),
        confidence=result.confidence,
        confidence_calibrated=result.confidence_calibrated,
        near_energy=result.near_energy,
        calibration=result.calibration,
        energy=result.energy,
        start_energy=result.start_energy,
        target_position=target and [target.x, target.y, target.z],
        model=result.model,
        plan_id=result.plan_id.hex(),
        frame_id=result.frame_id,
        planning_time=result.planning_time,
        imagined=imagined,
        imagined_error=result.imagined_error or 0.0,
    )
