# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models of the planner: list, download, load, unload; one download or loading at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
import time
from typing import Any

from vjepa2_interfaces.action import LoadModel
from vjepa2_interfaces.msg import ModelInfo
from vjepa2_interfaces.srv import ListModels, UnloadModel

from .link import Link
from .news import News
from .schemas import LoadKind, Model, ModelState, Operation
from ..client import GoalClient, PlanFailed

STATES: dict[int, ModelState] = {
    ModelInfo.UNLOADED: 'unloaded',
    ModelInfo.DOWNLOADING: 'downloading',
    ModelInfo.LOADING: 'loading',
    ModelInfo.LOADED: 'loaded',
}
PHASES = {
    LoadModel.Feedback.WAITING: 'waiting for the planner',
    LoadModel.Feedback.DOWNLOADING: 'downloading',
    LoadModel.Feedback.VERIFYING: 'verifying',
    LoadModel.Feedback.LOADING: 'loading',
    LoadModel.Feedback.WARMING_UP: 'warming up',
}
FETCHING = (
    LoadModel.Feedback.WAITING,
    LoadModel.Feedback.DOWNLOADING,
    LoadModel.Feedback.VERIFYING,
)
RATE_OVER = 3.0  # s


class Busy(RuntimeError):  # noqa: N818
    """Another model is being loaded, or the planner refuses."""


class NotLoaded(RuntimeError):  # noqa: N818
    """What is to be unloaded is not loaded."""


class ModelLoads:
    """Lists the planner's models and changes them; it lives on the event loop."""

    def __init__(self, link: Link, news: News):
        self._link, self._news = link, news
        self.operations: dict[str, Operation] = {}  # the last one, by model
        self._samples: deque[tuple[float, int]] = deque(maxlen=200)  # (time, bytes)
        self._running = ''

    async def list(self) -> list[Model]:
        """Return the planner's models; NoAnswer without a planner."""
        answer = await self._link.ask('planner/list_models', ListModels.Request())
        return [self._shown(model) for model in answer.models]

    async def begin(self, name: str, kind: LoadKind) -> None:
        """
        Download or load a model; operations tell how it goes on.

        :param kind: 'download' or 'load'.
        :raise LookupError: the planner has no such model. Busy: another one is under way.
        """
        names = [model.name for model in await self.list()]
        if name not in names:
            raise LookupError(f'model = {name!r}: allowed: {", ".join(names)}')
        if self._running:
            raise Busy(f'{self._running} is under way: wait, or cancel it')
        self._running = name
        self._samples.clear()
        operation = Operation(
            kind=kind, phase='', progress=0.0, bytes_done=0, bytes_total=0, rate=0.0
        )
        self.operations[name] = operation
        self._task = asyncio.create_task(self._run(name, operation))

    async def unload(self) -> str:
        """Free the loaded model's memory; return what was done; Busy with the reason if not."""
        answer = await self._link.ask('planner/unload_model', UnloadModel.Request())
        if not answer.success:
            raise Busy(answer.message)
        return str(answer.message)

    def cancel(self) -> bool:
        """Cancel what is under way; False if nothing is."""
        return bool(self._running) and bool(self._client().cancel(timeout=0.0))

    def _client(self) -> GoalClient:
        client: GoalClient = self._link.goals(LoadModel, 'planner/load_model')
        return client

    async def _run(self, name: str, operation: Operation) -> None:
        loop = asyncio.get_running_loop()

        def on_feedback(feedback: Any) -> None:
            loop.call_soon_threadsafe(partial(self._on_feedback, operation, feedback))

        goal = LoadModel.Goal(name=name, download=operation.kind == 'download')
        try:
            future = await asyncio.to_thread(self._client().send, goal, on_feedback)
            await asyncio.wrap_future(future)
        except PlanFailed as failure:
            # A download ends by cancelling the loading that would follow it.
            fetched = operation.kind == 'download' and operation.phase == 'downloaded'
            if not (failure.cancelled and fetched):
                operation.error = 'cancelled' if failure.cancelled else str(failure)
        finally:
            operation.ended, self._running = True, ''
            if operation.error:
                self._news.add('negative', f'{operation.kind} of {name}: {operation.error}')
            else:
                self._news.add('positive', f'{name}: {operation.kind} has ended')

    def _on_feedback(self, operation: Operation, feedback: Any) -> None:
        if operation.phase == 'downloaded':
            return
        if operation.kind == 'download' and feedback.phase not in FETCHING:
            operation.phase, operation.progress = 'downloaded', 1.0
            self._client().cancel(timeout=0.0)
            return
        operation.phase = PHASES.get(feedback.phase, 'working')
        operation.progress = feedback.progress
        operation.bytes_done, operation.bytes_total = feedback.bytes_done, feedback.bytes_total
        now = time.monotonic()
        if self._samples and self._samples[-1][1] > feedback.bytes_done:
            self._samples.clear()  # another file, or another phase
        self._samples.append((now, feedback.bytes_done))
        while now - self._samples[0][0] > RATE_OVER:
            self._samples.popleft()
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        operation.rate = (last - first) / (ended - began) if ended > began else 0.0

    def _shown(self, model: ModelInfo) -> Model:
        fields = ('name', 'device', 'dtype', 'memory', 'parameters', 'on_disk', 'file_size')
        return Model(
            **{name: getattr(model, name) for name in (*fields, 'action_dim', 'licence')},
            state=STATES[model.state],
            operation=self.operations.get(model.name),
        )
