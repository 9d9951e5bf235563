# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who may use the console, and how much may be sent: around everything, pages and sockets too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
import ipaddress
import secrets
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from .limits import (
    BODIES,
    BODY_WITHIN,
    LONGEST_REST,
    MAX_BODY,
    REFUSE_AFTER,
    REST,
    SHORTEST_REST,
    SMALL_BODY,
    WAITING,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE = 'vjepa2_console'
SIGN_IN = '/sign-in'
SAFE_METHODS = ('GET', 'HEAD', 'OPTIONS')
HEADERS = {
    # Vue compiles templates in the browser. Nothing is fetched from another host.
    'Content-Security-Policy': "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'same-origin',  # without one a form is sent with the origin null
}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto;
    padding: 0 1rem; }}
input, button {{ font: inherit; padding: .5rem .75rem; width: 100%; box-sizing: border-box; }}
button {{ margin-top: .75rem; }}</style></head><body><main><h1>V-JEPA 2 console</h1>
<p>{text}</p><form method="post" action="/sign-in"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<button>Sign in</button></form></main></body></html>"""


class Guard:
    """
    An ASGI application around another one.

    A request is let through if it comes from this machine, by a name of this machine, or brings
    the token: as a Bearer, or as the cookie that signing in with it gives. A browser's request
    must come from a page of this console.

    :param token: '' = none: this machine only.
    """

    def __init__(self, app: Any, token: str = ''):
        self.app, self._token = app, token
        self._reading, self._using = asyncio.Semaphore(BODIES), asyncio.Semaphore(1)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] not in ('http', 'websocket'):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope['type'] == 'websocket':
            if refusal is not None:
                await receive()
                await send({'type': 'websocket.close', 'code': 1008})
                return
            await self.app(scope, receive, send)
        elif scope['path'] == SIGN_IN and same_origin(headers):
            await self._sign_in(scope, receive, send)
        elif refusal is not None:
            await refusal(scope, receive, _with_headers(send))
        else:
            await self._bounded(scope, headers, receive, _with_headers(send))

    def is_trusted(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request comes from this machine or brings the token."""
        if is_local(scope, headers):
            return True
        given = headers.get('authorization', '').removeprefix('Bearer ').strip()
        if not given:
            try:
                cookie = SimpleCookie(headers.get('cookie', '')).get(COOKIE)
            except CookieError:
                cookie = None
            given = cookie.value if cookie else ''
        return self._fits(given)

    def _fits(self, given: str) -> bool:
        return bool(self._token) and secrets.compare_digest(given.encode(), self._token.encode())

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if not same_origin(headers):
            return _problem(403, 'OTHER_ORIGIN', 'requests from pages of other hosts are refused')
        if self.is_trusted(scope, headers):
            return None
        if not self._token:
            text = 'this console answers this machine only, by a name such as localhost'
            return _problem(403, 'THIS_MACHINE_ONLY', text)
        if 'text/html' in headers.get('accept', ''):
            return RedirectResponse(SIGN_IN, 303)
        return _problem(
            401, 'TOKEN_NEEDED', f'sign in at {SIGN_IN}, or send the token as a Bearer'
        )

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = 'Enter the token that the console printed when it was started.'
        response: Response
        if scope['method'] == 'POST':
            body = await _read(receive, 4096)
            fields = parse_qs((body or b'').decode(errors='replace'))
            if self._fits(fields.get('token', [''])[0]):
                response = RedirectResponse('/', 303)
                # Strict: no other site's link or form brings it along.
                response.set_cookie(COOKIE, self._token, httponly=True, samesite='strict')
                await response(scope, receive, _with_headers(send))
                return
            text = 'That is not the token. ' + text
        response = HTMLResponse(PAGE.format(text=text), 401 if scope['method'] == 'POST' else 200)
        await response(scope, receive, _with_headers(send))

    async def _bounded(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Hand a request on with its body, of which only a few big ones are held at once."""
        if scope['method'] in SAFE_METHODS:
            await self.app(scope, receive, send)
            return
        length = headers.get('content-length', '')
        if length.isdecimal() and int(length) > MAX_BODY:
            too_big = f'body = {length} bytes: allowed: up to {MAX_BODY}'
            await _problem(413, 'TOO_BIG', too_big)(scope, receive, send)
        elif length.isdecimal() and int(length) <= SMALL_BODY:
            await self.app(scope, receive, send)
        elif self._waiting >= WAITING:
            await asyncio.sleep(REFUSE_AFTER)
            busy = _problem(429, 'BUSY', 'too many uploads at once: try again in a few seconds')
            await busy(scope, receive, send)
        else:
            self._waiting += 1
            try:
                async with self._reading:
                    await self._with_body(scope, receive, send)
            finally:
                self._waiting -= 1

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asyncio.wait_for(_read(receive, MAX_BODY), BODY_WITHIN)
        except asyncio.TimeoutError:
            await _problem(408, 'TOO_SLOW', 'the body took too long')(scope, receive, send)
            return
        if body is None:
            too_big = f'body: allowed: up to {MAX_BODY} bytes'
            await _problem(413, 'TOO_BIG', too_big)(scope, receive, send)
            return
        parts = iter([{'type': 'http.request', 'body': body, 'more_body': False}])
        del body

        async def once() -> MutableMapping[str, Any]:
            return next(parts, None) or await receive()

        # One at a time, with rests: a flood of uploads takes little of the planner's processor.
        async with self._using:
            began = time.monotonic()
            await self.app(scope, once, send)
            rest = max(REST * (time.monotonic() - began), SHORTEST_REST)
            await asyncio.sleep(min(rest, LONGEST_REST))


def is_local(scope: Scope, headers: Headers) -> bool:
    """Return whether a request comes from this machine and by one of its own names."""
    client = scope.get('client')
    # The name too: a page of another site may have a name that leads to this machine.
    try:
        host = urlsplit(f'//{headers.get("host", "")}').hostname or ''
    except ValueError:  # of a bracket too many
        return False
    return client is not None and _is_loopback(client[0]) and _is_loopback(host)


def same_origin(headers: Headers) -> bool:
    """Return whether a request that a page makes is made by a page of this console."""
    if headers.get('sec-fetch-site', 'none') not in ('none', 'same-origin'):
        # A link of another page may lead here; nothing else may.
        return headers.get('sec-fetch-mode') == 'navigate' and 'origin' not in headers
    origin = headers.get('origin')
    return origin is None or origin.partition('://')[2] == headers.get('host')


def _is_loopback(host: str) -> bool:
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _read(receive: Receive, most: int) -> bytes | None:
    """Return the body of a request, None if it has more bytes than that."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message['type'] == 'http.disconnect':
            break
        parts.append(message.get('body', b''))
        size += len(parts[-1])
        if size > most:
            return None
        more = message.get('more_body', False)
    return b''.join(parts)


def _problem(status: int, code: str, text: str) -> JSONResponse:
    return JSONResponse({'code': code, 'text': text}, status)


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message['type'] == 'http.response.start':
            names = {name.lower() for name, _ in message['headers']}
            message['headers'] = [
                *message['headers'],
                *(
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in names
                ),
            ]
        await send(message)

    return sending
