# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The server: FastAPI with the pages of NiceGUI, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
import signal

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nicegui import ui
import uvicorn

from .api import add_api, refuse_other_paths
from .console import Console
from .guard import Guard
from .pages import PAGES

TITLE = 'V-JEPA 2 console'


def make_app(console: Console) -> FastAPI:
    """Return the application without the guard."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        console.tasks.start()
        yield
        await console.checks.stop()
        await console.tasks.stop()

    app = FastAPI(
        title=TITLE,
        version='1',
        lifespan=lifespan,
        docs_url=None,  # its page fetches from another host
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    add_api(app, console)
    refuse_other_paths(app)
    app.mount('/static', StaticFiles(directory=Path(__file__).parent / 'static'))
    for page in PAGES:
        page.register(console)
    ui.run_with(
        app,
        title=TITLE,
        favicon=Path(__file__).parent / 'static' / 'icon.svg',
        language='en-US',
        tailwind=False,
        show_welcome_message=False,
        message_history_length=200,
        reconnect_timeout=5.0,
    )
    return app


def serve(console: Console, host: str, port: int, token: str) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        Guard(make_app(console), token),
        host=host,
        port=port,
        log_level='warning',
        proxy_headers=False,  # who is on this machine is what the socket says
        server_header=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=1,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends in order at these, then raises them once more, which is to do nothing.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()
    for number in (signal.SIGINT, signal.SIGTERM):
        # `ros2 launch` sends once more what the terminal has sent; it must not end the end.
        signal.signal(number, signal.SIG_IGN)
