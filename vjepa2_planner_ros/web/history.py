# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded plans by the planner's services: list, read, report, export, delete with a delay."""

from __future__ import annotations

import asyncio
from pathlib import Path
import re
from tempfile import TemporaryDirectory
from typing import Any, Literal, TYPE_CHECKING

from fastapi import APIRouter, Response
from vjepa2_interfaces.srv import DeletePlan, GetPlan, ListPlans

from .link import Link
from .news import News
from ..history.recorded import RecordedPlan, to_candidates
from ..history.topics import CURRENT_IMAGE, GOAL_IMAGE, MODEL_INPUT
from ..messages.images import to_rgb

if TYPE_CHECKING:
    from .console import Console

NAME = re.compile(r'[0-9A-Za-z_.]{1,80}|latest')
UNDO_WITHIN = 8.0  # s between the wish to delete a recording and its end
KINDS = {'csv': 'text/csv', 'json': 'application/json', 'png': 'image/png'}


async def list_plans(link: Link, limit: int = 200) -> list[Any]:
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
    pictures = {
        CURRENT_IMAGE: answer.current_image,
        GOAL_IMAGE: answer.goal_image,
        MODEL_INPUT: answer.model_input,
    }
    return RecordedPlan(
        Path(answer.record.folder),
        answer.record,
        tuple(answer.iterations),
        {message.iteration: to_candidates(message) for message in answer.candidates},
        {role: to_rgb(image) for role, image in pictures.items() if len(image.data)},
        bool(answer.record.outcome),
        (),
    )


class Deletions:
    """Deletes recordings after a while in which it can be undone."""

    def __init__(self, link: Link, news: News):
        self._link, self._news = link, news
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, folder: str) -> bool:
        """Return whether a recording is about to be deleted."""
        return folder in self._waiting

    def begin(self, folder: str) -> None:
        """Delete a recording in UNDO_WITHIN seconds."""
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


def exported(plan: RecordedPlan, kind: str) -> bytes:
    """Return a recorded plan as a file of kind csv, json or png."""
    from ..history.export import WRITERS

    with TemporaryDirectory() as folder:
        path = Path(folder, f'plan.{kind}')
        WRITERS[f'.{kind}'](plan, path)
        return path.read_bytes()


def add_routes(router: APIRouter, console: Console) -> None:
    """Add what the pages link to."""

    @router.get('/api/history/{name}/report', response_class=Response, tags=['history'])
    async def report(name: str) -> Response:
        """Return the report of a recorded plan as one HTML page."""
        from ..history.report import page

        plan = await read_plan(console.link, name)
        # An origin of its own: whatever is in a recording, it has nothing to do with the console.
        headers = {'Content-Security-Policy': 'sandbox allow-scripts'}
        html = await asyncio.to_thread(page, plan)
        return Response(html, media_type='text/html', headers=headers)

    @router.get('/api/history/{name}/export/{kind}', response_class=Response, tags=['history'])
    async def export(name: str, kind: Literal['csv', 'json', 'png']) -> Response:
        """Return a recorded plan as a file: candidates, figures, or a picture."""
        plan = await read_plan(console.link, name)
        data = await asyncio.to_thread(exported, plan, kind)
        headers = {'Content-Disposition': f'attachment; filename="plan_{plan.short_id}.{kind}"'}
        return Response(data, media_type=KINDS[kind], headers=headers)
