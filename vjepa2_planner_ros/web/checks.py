# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Checks of recordings: validate and calibrate as processes of their own, one at a time.

A recording is named by its path in the folder of recordings; one that a link leads out of there is
refused. What a check writes goes to a folder `checks` in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
import contextlib
from datetime import datetime, timezone
import fcntl
import os
from pathlib import Path
import struct
import sys
import termios
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters

from .history import SANDBOX
from .link import Link
from .model_loads import Busy
from .news import News
from .schemas import Accepted

RESULTS = 'checks'
MOST_LINES, MOST_RECORDINGS = 500, 300
ENDINGS = ('.mcap', '.db3', '.hdf5', '.h5', '.npz')
MARKS = ('metadata.yaml', 'meta/info.json')  # in a folder that is a recording
Kind = Literal['check', 'validate', 'calibrate']


class CheckRequest(BaseModel):
    """What to check."""

    kind: Kind
    recording: str = Field(description='one of GET /api/recordings')
    model: str = Field(default='vit-giant-ac', pattern='^[a-z0-9.-]+$')
    windows: int = Field(default=200, ge=1, le=10000)


class Check(BaseModel):
    """A check that was asked for."""

    id: str
    kind: Kind
    recording: str
    model: str
    state: Literal['running', 'done', 'failed', 'cancelled'] = 'running'
    progress: str = ''
    lines: list[str] = []
    report: bool = Field(default=False, description='GET /api/checks/{id}/report has a page')
    calibration: bool = Field(default=False, description='.../apply can be asked for')


class Checks:
    """Runs checks and keeps what they said; it lives on the event loop."""

    def __init__(self, link: Link, news: News, folder: Path | None):
        self._link, self._news = link, news
        self.folder = folder
        self.all: dict[str, Check] = {}  # oldest first
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = ''  # id of the last one

    def recordings(self) -> list[str]:
        """Return the recordings below the folder, as paths in it; LookupError without a folder."""
        folder = self._required()
        found = [path for path in _recordings(folder, 3) if path.relative_to(folder).parts]
        return sorted(str(path.relative_to(folder)) for path in found[:MOST_RECORDINGS])

    async def begin(self, request: CheckRequest) -> Check:
        """Start a check; Busy if one is running, ValueError if there is no such recording."""
        source = await asyncio.to_thread(self._inside, request.recording)
        if any(check.state == 'running' for check in self.all.values()):
            raise Busy('a check is running: wait, or cancel it')
        now = datetime.now(timezone.utc)
        check_id = f'{now:%Y%m%dT%H%M%S}_{request.kind}_{len(self.all)}'
        check = Check(
            id=check_id, kind=request.kind, recording=request.recording, model=request.model
        )
        self.all[check_id] = check
        self._task = asyncio.create_task(self._run(check, source, request))
        return check

    def get(self, check_id: str) -> Check:
        """Return a check; LookupError if there is none of this id."""
        if check_id not in self.all:
            raise LookupError(f'check_id = {check_id!r}: allowed: one of GET /api/checks')
        return self.all[check_id]

    def cancel(self, check: Check) -> None:
        """End a check that is running; one whose process has not begun ends as soon as it has."""
        if check.state == 'running':
            self._cancelled = check.id
            self._end_if_cancelled(check)

    def _end_if_cancelled(self, check: Check) -> None:
        if self._cancelled == check.id and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    async def stop(self) -> None:
        """End what is running, for the end of the server."""
        for check in self.all.values():
            self.cancel(check)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=5.0)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def result(self, check: Check, name: str) -> Path:
        """Return a file that a check has written; LookupError without one, or for a link out."""
        folder = self._required().resolve()
        path = (folder / RESULTS / check.id / name).resolve()
        if not path.is_file() or not path.is_relative_to(folder):
            raise LookupError(f'{check.id} has no {name}')
        return path

    async def calibration(self) -> str:
        """Return the planner's parameter calibration."""
        request = GetParameters.Request(names=['calibration'])
        answer = await self._link.ask('planner/get_parameters', request)
        return str(answer.values[0].string_value) if answer.values else ''

    async def set_calibration(self, path: str) -> None:
        """Set the planner's parameter calibration; ValueError with the reason if it refuses."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=path)
        request = SetParameters.Request(parameters=[Parameter(name='calibration', value=value)])
        answer = await self._link.ask('planner/set_parameters', request)
        if not answer.results or not answer.results[0].successful:
            reason = answer.results[0].reason if answer.results else 'no answer'
            raise ValueError(f'calibration = {path!r}: {reason}')
        self._news.add('positive', f'calibration: {path or "none"}')

    def _required(self) -> Path:
        if self.folder is None:
            raise LookupError('there is no folder of recordings: start web with --recordings DIR')
        return self.folder

    def _inside(self, name: str) -> Path:
        folder = self._required().resolve()
        try:
            path = (folder / name).resolve(strict=True)
            link = _leaves(path, folder)
        except (OSError, RuntimeError):  # there is none, the name is too long, links in a circle
            path, link = folder, None
        if path == folder or not path.is_relative_to(folder):
            raise ValueError(f'recording = {name!r}: allowed: one of GET /api/recordings')
        if link is not None:
            raise ValueError(f'recording = {name!r}: {link.name} is a link out of the folder')
        if not (folder / RESULTS).resolve().is_relative_to(folder):
            raise ValueError(f'{RESULTS} is a link out of the folder of recordings')
        return path

    async def _run(self, check: Check, source: Path, request: CheckRequest) -> None:
        results = self._required() / RESULTS / check.id
        code = 1
        try:
            results.mkdir(parents=True)
            code = await self._follow(check, _command(source, results, request))
        except OSError as error:
            check.lines.append(str(error))
        self._process = None
        check.progress = ''
        check.report = (results / 'report.html').is_file()
        check.calibration = (results / 'calibration.yaml').is_file()
        cancelled = self._cancelled == check.id
        check.state = 'cancelled' if cancelled else 'done' if code == 0 else 'failed'
        level: Any = 'positive' if check.state == 'done' else 'warning'
        self._news.add(level, f'{check.kind} of {check.recording}: {check.state}')

    async def _follow(self, check: Check, command: list[str]) -> int:
        """Run a command to its end; return its exit code."""
        # Progress bars are drawn on terminals alone.
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('4H', 24, 100, 0, 0))
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs
            )
        finally:
            os.close(theirs)
        self._end_if_cancelled(check)
        lines: deque[str] = deque(maxlen=MOST_LINES)
        text = ''
        try:
            while data := await asyncio.to_thread(_read, ours):
                text += data
                *ended, text = text.replace('\r\n', '\n').split('\n')
                lines.extend(line.rpartition('\r')[2] for line in ended)
                check.lines = [line for line in lines if line.strip()]
                check.progress = text.rpartition('\r')[2][:200]
        finally:
            os.close(ours)
        return await self._process.wait()


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode('utf-8', 'replace')
    except OSError:  # the other side has ended
        return ''


def _command(source: Path, results: Path, request: CheckRequest) -> list[str]:
    """Return the command line of a check; the program's own names alone, no shell."""
    program = 'calibrate' if request.kind == 'calibrate' else 'validate'
    words = [sys.executable, '-m', f'vjepa2_planner_ros.cli.{program}', str(source)]
    words += ['--model', request.model]
    if request.kind == 'check':
        return [*words, '--check-only']
    if request.kind == 'calibrate':
        return [*words, '--steps', str(request.windows), '-o', str(results / 'calibration.yaml')]
    words += ['--windows', str(request.windows), '-o', str(results / 'report.html')]
    return [*words, '--json', str(results / 'figures.json')]


def _recordings(folder: Path, depth: int) -> Iterator[Path]:
    """Yield what may be recordings in a folder; links are not followed."""
    try:
        if any((folder / mark).is_file() for mark in MARKS):
            yield folder
            return
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # lost+found of a disk is not for us
        return
    for entry in entries:
        if entry.name.startswith('.') or entry.name == RESULTS:
            continue
        if entry.is_dir(follow_symlinks=False) and depth > 1:
            yield from _recordings(Path(entry.path), depth - 1)
        elif entry.is_file(follow_symlinks=False) and entry.name.endswith(ENDINGS):
            yield Path(entry.path)


def _leaves(source: Path, folder: Path) -> Path | None:
    """Return what in a recording is a link out of a folder, None if nothing is."""
    waiting, seen = [source], set()
    while waiting:
        path = waiting.pop()
        real = path.resolve()
        if not real.is_relative_to(folder):
            return path
        if real not in seen and real.is_dir():
            seen.add(real)
            waiting += real.iterdir()
    return None


def add_routes(router: APIRouter, checks: Checks) -> None:
    """Add what programs and the page ask for."""

    @router.get('/api/recordings', response_model=list[str], tags=['checks'])
    async def recordings() -> list[str]:
        """Return the recordings that can be checked."""
        return await asyncio.to_thread(checks.recordings)

    @router.post('/api/checks', status_code=202, response_model=Check, tags=['checks'])
    async def begin_check(request: CheckRequest) -> Check:
        """Begin to check a recording: 'check' looks at it, the others need the model's weights."""
        return await checks.begin(request)

    @router.get('/api/checks', response_model=list[Check], tags=['checks'])
    async def all_checks() -> list[Check]:
        """Return the checks that were asked for here, newest first."""
        return list(checks.all.values())[::-1]

    @router.get('/api/checks/{check_id}', response_model=Check, tags=['checks'])
    async def check_state(check_id: str) -> Check:
        """Return how a check goes on."""
        return checks.get(check_id)

    @router.delete('/api/checks/{check_id}', response_model=Check, tags=['checks'])
    async def cancel_check(check_id: str) -> Check:
        """Cancel a check; one that has ended stays as it is."""
        check = checks.get(check_id)
        checks.cancel(check)
        return check

    @router.get('/api/checks/{check_id}/report', response_class=Response, tags=['checks'])
    async def check_report(check_id: str) -> Response:
        """Return the report of validate as one HTML page."""
        path = checks.result(checks.get(check_id), 'report.html')
        html = await asyncio.to_thread(path.read_bytes)
        return Response(html, media_type='text/html', headers=SANDBOX)

    @router.get('/api/calibration', response_model=Accepted, tags=['checks'])
    async def calibration() -> Accepted:
        """Return the file of the planner's calibration; '' = none."""
        return Accepted(message=await checks.calibration())

    @router.delete('/api/calibration', response_model=Accepted, tags=['checks'])
    async def remove_calibration() -> Accepted:
        """Take the planner's calibration away."""
        await checks.set_calibration('')
        return Accepted(message='no calibration')

    @router.post('/api/checks/{check_id}/apply', response_model=Check, tags=['checks'])
    async def apply_calibration(check_id: str) -> Check:
        """Give the planner the calibration that a check has found."""
        check = checks.get(check_id)
        await checks.set_calibration(str(checks.result(check, 'calibration.yaml')))
        return check
