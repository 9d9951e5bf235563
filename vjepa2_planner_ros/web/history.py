# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded plans by the planner's services, and runs from the controller's history.folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
import re
from tempfile import TemporaryDirectory
from typing import Any, Literal, TYPE_CHECKING

from fastapi import APIRouter, Response
from rcl_interfaces.srv import GetParameters
from vjepa2_interfaces.srv import DeletePlan, GetPlan, ListPlans

from .link import Link
from .news import News
from ..history.bag import MCAP
from ..history.recorded import RecordedPlan, to_candidates
from ..history.recorded_run import load_run, RecordedRun
from ..history.store import RunStore
from ..history.topics import IMAGES
from ..messages.images import to_rgb

if TYPE_CHECKING:
    from .console import Console

NAME = re.compile(r'[0-9A-Za-z_.]{1,80}|latest')
NEWEST = 200  # recordings that are listed
UNDO_WITHIN = 8.0  # s between the wish to delete a recording and its end
# An origin of its own: whatever is in a recording, it has nothing to do with the console.
SANDBOX = {'Content-Security-Policy': 'sandbox allow-scripts'}
KINDS = {'csv': 'text/csv', 'json': 'application/json', 'png': 'image/png'}


async def list_plans(link: Link, limit: int = NEWEST) -> list[Any]:
    """Return the PlanRecords, newest first; LookupError with the reason if there are none."""
    answer = await link.ask('planner/list_plans', ListPlans.Request(limit=limit))
    if not answer.success:
        raise LookupError(answer.message)
    return list(answer.plans)


async def read_plan(link: Link, name: str) -> RecordedPlan:
    """Return a recorded plan by its folder's name or its id; LookupError if there is none."""
    if not NAME.fullmatch(name):
        raise LookupError(f'plan = {name!r}: allowed: the id of a recorded plan')
    answer = await link.ask('planner/get_plan', GetPlan.Request(plan=name), timeout=30.0)
    if not answer.success:
        raise LookupError(answer.message)
    return await asyncio.to_thread(_recorded, answer)


def _recorded(answer: GetPlan.Response) -> RecordedPlan:
    pictures = {role: getattr(answer, role) for role in IMAGES}
    return RecordedPlan(
        Path(answer.record.folder),
        answer.record,
        tuple(answer.iterations),
        {message.iteration: to_candidates(message) for message in answer.candidates},
        {role: to_rgb(image) for role, image in pictures.items() if len(image.data)},
        bool(answer.record.outcome),
        (),
    )


async def read_run(link: Link, name: str) -> RecordedRun:
    """Return a run that the controller has recorded, by its id; LookupError if there is none."""
    request = GetParameters.Request(names=['history.folder'])
    answer = await link.ask('controller/get_parameters', request)
    folder = answer.values[0].string_value if answer.values else ''
    if not folder:
        raise LookupError("history.folder = '': allowed: a folder; the controller records nothing")
    return await asyncio.to_thread(_run_in, RunStore(folder), name)


def _run_in(store: RunStore, name: str) -> RecordedRun:
    path = store.find(name)
    if not (path / MCAP).resolve().is_relative_to(store.folder.resolve()):
        raise LookupError(f'run = {name!r}: it is a link out of the folder of the history')
    return load_run(path)


class Deletions:
    """Deletes recordings after a while in which it can be undone."""

    def __init__(self, link: Link, news: News):
        self._link, self._news = link, news
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, folder: str) -> bool:
        """Return whether a recording is about to be deleted."""
        return folder in self._waiting

    def begin(self, folder: str) -> None:
        """Delete a recording in UNDO_WITHIN seconds, unless it is about to be deleted."""
        if folder not in self:
            self._waiting[folder] = asyncio.create_task(self._delete(folder))

    def undo(self, folder: str) -> bool:
        """Keep a recording after all; False if it is too late."""
        task = self._waiting.pop(folder, None)
        return task is not None and task.cancel()

    async def _delete(self, folder: str) -> None:
        await asyncio.sleep(UNDO_WITHIN)
        try:
            request = DeletePlan.Request(plan=folder)
            answer = await self._link.ask('planner/delete_plan', request)
            if not answer.success:
                self._news.add('negative', f'not deleted: {answer.message}')
        except RuntimeError as error:
            self._news.add('negative', f'not deleted: {error}')
        finally:
            self._waiting.pop(folder, None)


def exported(found: RecordedPlan | RecordedRun, kind: str) -> bytes:
    """Return a recorded plan as a file of kind csv, json or png, a run as csv or json."""
    from ..history.export import RUN_WRITERS, WRITERS

    with TemporaryDirectory() as folder:
        path = Path(folder, f'recording.{kind}')
        if isinstance(found, RecordedRun):
            RUN_WRITERS[f'.{kind}'](found, path)
        else:
            WRITERS[f'.{kind}'](found, path)
        return path.read_bytes()


async def _as_page(page: Callable[[Any], str], found: Any) -> Response:
    html = await asyncio.to_thread(page, found)
    return Response(html, media_type='text/html', headers=SANDBOX)


async def _as_file(name: str, kind: str, found: RecordedPlan | RecordedRun) -> Response:
    data = await asyncio.to_thread(exported, found, kind)
    file = f'{name}_{found.short_id}.{kind}'
    headers = {'Content-Disposition': f'attachment; filename="{file}"'}
    return Response(data, media_type=KINDS[kind], headers=headers)


def add_routes(router: APIRouter, console: Console) -> None:
    """Add what the pages link to."""

    @router.get('/api/history/{name}/report', response_class=Response, tags=['history'])
    async def report(name: str) -> Response:
        """Return the report of a recorded plan as one HTML page."""
        from ..history.report import page

        return await _as_page(page, await read_plan(console.link, name))

    @router.get('/api/history/{name}/export/{kind}', response_class=Response, tags=['history'])
    async def export(name: str, kind: Literal['csv', 'json', 'png']) -> Response:
        """Return a recorded plan as a file: candidates, figures, or a picture."""
        return await _as_file('plan', kind, await read_plan(console.link, name))

    @router.get('/api/runs/{run_id}/report', response_class=Response, tags=['history'])
    async def run_report(run_id: str) -> Response:
        """Return the report of a recorded run of the controller as one HTML page."""
        from ..history.run_report import page

        return await _as_page(page, await read_run(console.link, run_id))

    @router.get('/api/runs/{run_id}/export/{kind}', response_class=Response, tags=['history'])
    async def run_export(run_id: str, kind: Literal['csv', 'json']) -> Response:
        """Return a recorded run of the controller as a file: its steps, or all but pictures."""
        return await _as_file('run', kind, await read_run(console.link, run_id))
