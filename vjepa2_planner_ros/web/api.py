# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The REST and WebSocket interface; OpenAPI at /openapi.json describes it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from . import checks, history
from .console import Console
from .link import NoAnswer
from .model_loads import Busy, NotLoaded
from .pictures import check
from .schemas import (
    Accepted,
    Model,
    PictureInfo,
    PlanRequest,
    PlanSettings,
    Problem,
    System,
    Task,
    TaskId,
)
from .system import system
from .tasks import PlanTask, QueueFull

STATUS: dict[type[Exception], tuple[int, str]] = {
    LookupError: (404, 'NOT_FOUND'),
    ValueError: (422, 'INVALID'),
    Busy: (409, 'BUSY'),
    NotLoaded: (409, 'NOT_LOADED'),
    QueueFull: (429, 'BUSY'),
    NoAnswer: (503, 'NO_ANSWER'),
}
METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
PICTURES: dict[str, dict[str, Any]] = {'image/png': {}, 'image/jpeg': {}, 'image/webp': {}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {'model': Problem} for status in (401, 403, 404, 409, 413, 422, 429, 503)
}


def add_api(app: FastAPI, console: Console) -> None:
    """Add the routes, and what errors become."""
    for kind, (status, code) in STATUS.items():
        app.add_exception_handler(kind, _handler(status, code))
    for router in (_plans(console), _models(console), _others(console)):
        app.include_router(router)


def refuse_other_paths(app: FastAPI) -> None:
    """Answer what is under /api/ and no route by then as a Problem, not by NiceGUI's page."""

    @app.api_route('/api/{path:path}', methods=METHODS, include_in_schema=False)
    async def nothing(request: Request) -> None:
        path = f'{request.method} {request.url.path}'
        raise LookupError(f'path = {path!r}: allowed: what /openapi.json describes')


def _handler(status: int, code: str) -> Callable[[Request, Exception], JSONResponse]:
    def handle(request: Request, error: Exception) -> JSONResponse:
        text = str(error.args[0]) if error.args else code
        return JSONResponse({'code': code, 'text': text}, status)

    return handle


def _plans(console: Console) -> APIRouter:
    router = APIRouter(tags=['plans'], responses=REFUSALS)

    def found(task_id: str) -> PlanTask:
        task = console.tasks.get(task_id)
        if task is None:
            raise LookupError(f'task_id = {task_id!r}: allowed: one of GET /api/plans')
        return task

    @router.post(
        '/api/plan', status_code=202, response_model=TaskId, openapi_extra={'requestBody': _body()}
    )
    async def plan(request: Request) -> TaskId:
        """Plan; the pictures as base64 in JSON, or as files of a form."""
        settings, goal, current = await _plan_request(request)
        return TaskId(task_id=console.tasks.add(settings, goal, current).id)

    @router.get('/api/plans', response_model=list[Task])
    async def plans() -> list[Task]:
        """Return the plans that were asked for here, newest first."""
        return [task.shown() for task in console.tasks.all()]

    @router.get('/api/plan/{task_id}', response_model=Task)
    async def plan_state(task_id: str) -> Task:
        """Return how a plan goes on."""
        return found(task_id).shown()

    @router.delete('/api/plan/{task_id}', response_model=Task)
    async def cancel(task_id: str) -> Task:
        """Cancel a plan; it ends within an iteration. One that has ended stays as it is."""
        task = found(task_id)
        console.tasks.cancel(task)
        return task.shown()

    @router.websocket('/ws/plan/{task_id}')
    async def follow(socket: WebSocket, task_id: str) -> None:
        """Send every event of a plan, those before the connection first, and close at its end."""
        await socket.accept()
        task = console.tasks.get(task_id)
        if task is None:
            await socket.close(4404, 'no such task')
            return
        try:
            async for event in task.follow():
                await socket.send_text(event.model_dump_json())
            await socket.close()
        except RuntimeError:  # the browser has gone
            return

    return router


async def _plan_request(request: Request) -> tuple[PlanSettings, bytes, bytes | None]:
    """Return settings, goal and current picture of a request in JSON or as a form."""
    if request.headers.get('content-type', '').startswith('multipart/form-data'):
        async with request.form(max_files=2, max_fields=40) as form:
            files = {name: await _file(value) for name, value in form.multi_items()}
        fields = {name: value for name, value in files.items() if isinstance(value, str)}
        goal, current = files.get('goalImage'), files.get('currentImage')
        for name, value in (('goalImage', goal), ('currentImage', current)):
            if isinstance(value, bytes):
                check(value, name)
        if not isinstance(goal, bytes):
            raise ValueError('goalImage: allowed: a file of the form')
        settings = _validated(partial(PlanSettings.model_validate, fields))
        return settings, goal, current if isinstance(current, bytes) else None
    body = await request.body()
    return await asyncio.to_thread(_from_json, body)  # off the event loop: it may be 20 MB


def _from_json(body: bytes) -> tuple[PlanSettings, bytes, bytes | None]:
    asked = _validated(partial(PlanRequest.model_validate_json, body))
    goal = _from_base64(asked.goalImage, 'goalImage')
    current = asked.currentImage and _from_base64(asked.currentImage, 'currentImage')
    settings = asked.model_dump(exclude={'goalImage', 'currentImage'})
    return PlanSettings(**settings), goal, current or None


def _validated(validate: Callable[[], Any]) -> Any:
    try:
        return validate()
    except ValidationError as error:
        raise ValueError(
            '; '.join(
                f'{".".join(map(str, fault["loc"])) or "body"}: {fault["msg"]}'
                for fault in error.errors(include_url=False, include_input=False)
            )
        ) from error


def _from_base64(text: str, field: str) -> bytes:
    if text.startswith('data:'):
        text = text.partition(',')[2]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f'{field}: {error}: allowed: base64') from error
    check(data, field)
    return data


async def _file(value: UploadFile | str) -> bytes | str:
    return value if isinstance(value, str) else await value.read()


def _body() -> dict[str, Any]:
    """Return the OpenAPI description of a plan's request: JSON, or a form with files."""
    template = '#/components/schemas/{model}'
    as_json = PlanRequest.model_json_schema(ref_template=template)
    as_form = PlanSettings.model_json_schema(ref_template=template)
    for schema in (as_json, as_form):
        state = schema.pop('$defs')['StartState']
        schema['properties']['state'] = {'anyOf': [state, {'type': 'null'}]}
    file = {'type': 'string', 'format': 'binary'}
    del as_form['properties']['state'], as_form['properties']['seed']
    as_form['properties'].update(goalImage=file, currentImage=file)
    as_form['required'] = ['goalImage']
    return {
        'required': True,
        'content': {
            'application/json': {'schema': as_json},
            'multipart/form-data': {'schema': as_form},
        },
    }


def _models(console: Console) -> APIRouter:
    router = APIRouter(tags=['models'], responses=REFUSALS)

    @router.get('/api/models', response_model=list[Model])
    async def models() -> list[Model]:
        """Return the planner's models and what is being done with them."""
        return await console.models.list()

    @router.post('/api/models/{name}/{kind}', status_code=202, response_model=Accepted)
    async def change(name: str, kind: Literal['download', 'load', 'unload']) -> Accepted:
        """Begin to download or load a model, or free the memory of the loaded one."""
        if kind != 'unload':
            await console.models.begin(name, kind)
            return Accepted(message=f'{kind} of {name} has begun')
        states = {model.name: model.state for model in await console.models.list()}
        if name not in states:
            raise LookupError(f'model = {name!r}: allowed: {", ".join(states)}')
        if states[name] == 'unloaded':
            raise NotLoaded(f'model = {name!r}: allowed: one that is loaded; it is not')
        if states[name] != 'loaded':
            raise Busy(f'{name} is {states[name]}: wait, or cancel it')
        return Accepted(message=await console.models.unload())

    return router


def _others(console: Console) -> APIRouter:
    router = APIRouter(responses=REFUSALS)

    @router.post('/api/stop', response_model=Accepted, tags=['controller'])
    async def stop() -> Accepted:
        """Make the arm hold, and disarm the controller; no certified emergency stop."""
        if not console.runs.is_there:
            raise LookupError('no controller is there: nothing can move')
        return Accepted(message=await console.runs.stop('STOP'))

    @router.get('/api/system', response_model=System, tags=['system'])
    async def state() -> System:
        """Return load and health of planner and machine."""
        return system(console.link.heard())

    @router.post(
        '/api/pictures',
        status_code=201,
        response_model=PictureInfo,
        tags=['pictures'],
        openapi_extra={'requestBody': {'required': True, 'content': PICTURES}},
    )
    async def add_picture(request: Request) -> PictureInfo:
        """Keep a picture for the pages; it is forgotten when newer ones need the room."""
        picture = await console.pictures.add(await request.body())
        return PictureInfo(id=picture.id, width=picture.width, height=picture.height)

    @router.get('/api/pictures/{picture_id}', response_class=Response, tags=['pictures'])
    async def picture(picture_id: str) -> Response:
        """Return a picture that is kept, as a smaller jpeg."""
        kept = console.pictures.get(picture_id)
        if kept is None:
            raise HTTPException(404, 'no such picture')
        return Response(kept.preview, media_type='image/jpeg')

    @router.get('/api/camera', response_class=Response, tags=['pictures'])
    async def camera() -> Response:
        """Return the newest frame of the planner's camera as a small jpeg."""
        jpeg = await console.preview.jpeg()
        if jpeg is None:
            raise LookupError('no frame has come yet')
        return Response(jpeg, media_type='image/jpeg', headers={'Cache-Control': 'no-store'})

    history.add_routes(router, console)
    checks.add_routes(router, console.checks)
    return router
