# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and how much: the guard around an application that says what it got."""

import asyncio
import re

import httpx
import pytest
from vjepa2_planner_ros.web.guard import Guard
from vjepa2_planner_ros.web.limits import MAX_BODY, SMALL_BODY

TOKEN = 'a token'


async def inner(scope, receive, send):
    """Answer with the number of bytes of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get('body', b''))
        more = message.get('more_body', False)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': str(size).encode()})


def ask(method='GET', path='/', *, client='127.0.0.1', host='localhost:8080', token='', **more):
    """Return the answer to one request."""

    async def run():
        transport = httpx.ASGITransport(Guard(inner, token), client=(client, 1))
        base = f'http://{host}'
        async with httpx.AsyncClient(transport=transport, base_url=base) as session:
            return await session.request(method, path, **more)

    return asyncio.run(run())


@pytest.mark.parametrize('host', ('localhost:8080', '127.0.0.1:8080', '[::1]:8080', '127.9.9.9'))
def test_this_machine_needs_no_token(host):
    assert ask(host=host).status_code == 200
    assert ask(host=host, token=TOKEN).status_code == 200


def test_a_host_that_is_no_name_is_not_this_machine():
    for name, value, status in (('host', '[', 401), ('origin', 'http://[', 403)):
        assert ask(token=TOKEN, headers={name: value}).status_code == status


@pytest.mark.parametrize('client, host', (('10.0.0.7', 'lab:8080'), ('127.0.0.1', 'evil.example')))
def test_others_need_the_token(client, host):
    def answer(**more):
        return ask(client=client, host=host, token=TOKEN, **more)

    assert answer().status_code == 401
    assert answer(headers={'authorization': 'Bearer other'}).status_code == 401
    assert answer(headers={'authorization': f'Bearer {TOKEN}'}).status_code == 200
    page = answer(headers={'accept': 'text/html'})
    assert (page.status_code, page.headers['location']) == (303, '/sign-in')
    assert ask(client=client, host=host).status_code == 403  # without a token nobody gets in


def test_signing_in_gives_a_cookie_that_no_other_site_can_use():
    asked = {'client': '10.0.0.7', 'host': 'lab:8080', 'token': TOKEN}
    assert 'Token' in ask('GET', '/sign-in', **asked).text
    wrong = ask('POST', '/sign-in', data={'token': '<script>'}, **asked)
    assert wrong.status_code == 401 and '<script>' not in wrong.text
    right = ask('POST', '/sign-in', data={'token': TOKEN}, **asked)
    cookie = right.headers['set-cookie']
    assert 'HttpOnly' in cookie and re.search('samesite=strict', cookie, re.I)
    value = cookie.partition(';')[0]
    assert ask(**asked, headers={'cookie': value}).status_code == 200
    assert ask(**asked, headers={'cookie': 'vjepa2_console=other'}).status_code == 401


@pytest.mark.parametrize(
    'headers, status',
    (
        ({'origin': 'http://localhost:8080'}, 200),
        ({'origin': 'http://evil.example'}, 403),
        ({'origin': 'null'}, 403),
        ({'origin': 'http://localhost:9999'}, 403),
        ({'sec-fetch-site': 'cross-site'}, 403),
        ({'sec-fetch-site': 'same-origin'}, 200),
    ),
)
def test_pages_of_other_hosts_are_refused(headers, status):
    assert ask('POST', headers=headers).status_code == status


def test_a_socket_from_another_page_is_closed():
    async def run(origin):
        sent = []
        scope = {
            'type': 'websocket',
            'path': '/ws/plan/x',
            'client': ('127.0.0.1', 1),
            'headers': [(b'host', b'localhost'), (b'origin', origin)],
        }

        async def receive():
            return {'type': 'websocket.connect'}

        async def application(scope, receive, send):
            await send({'type': 'websocket.accept'})

        async def send(message):
            sent.append(message['type'])

        await Guard(application)(scope, receive, send)
        return sent

    assert asyncio.run(run(b'http://evil.example')) == ['websocket.close']
    assert asyncio.run(run(b'http://localhost')) == ['websocket.accept']


def test_bodies_are_bounded_with_and_without_a_length():
    assert ask('POST', content=bytes(SMALL_BODY + 1)).text == str(SMALL_BODY + 1)
    assert ask('POST', content=bytes(MAX_BODY + 1)).status_code == 413

    async def endless():
        while True:
            yield bytes(1 << 20)

    assert ask('POST', content=endless()).status_code == 413


def test_every_answer_says_what_a_page_may_load():
    policy = ask().headers['content-security-policy']
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
