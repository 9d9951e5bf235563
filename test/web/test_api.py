# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""REST and WebSocket against the real planner and simulator."""

import asyncio
import base64
import io
import json

from conftest import eventually  # noqa: I100
import numpy as np
from PIL import Image
import pytest
import websockets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SETTINGS = {'optimizer': 'cem', 'samples': 100, 'iterations': 3, 'elite_fraction': 0.2}
AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')


def text_of(picture):
    """Return a file in base64."""
    return base64.b64encode(picture).decode()


def plan(server, pictures, **more):
    """Ask for a plan from the start to the goal; return its id."""
    start, goal, state = pictures
    body = {
        'goalImage': text_of(goal),
        'currentImage': text_of(start),
        'state': dict(zip(AXES, map(float, state))),
        **SETTINGS,
        **more,
    }
    status, answer = server.ask('POST', '/api/plan', body)
    assert status == 202, answer
    return answer['task_id']


def follow(server, task_id):
    """Return all events of a plan, by a WebSocket of an independent library."""

    async def read():
        url = f'{server.url.replace("http", "ws")}/ws/plan/{task_id}'
        async with websockets.connect(url) as socket:
            return [json.loads(message) async for message in socket]

    return asyncio.run(read())


def test_a_plan_leads_from_two_pictures_toward_the_goal(server, pictures):
    task_id = plan(server, pictures, seed=1)
    events = follow(server, task_id)
    assert [event['type'] for event in events] == ['running'] * 3 + ['completed']
    best = [event['energy_best'] for event in events[:-1]]
    assert best == sorted(best, reverse=True)
    result = events[-1]
    assert result['energy'] < result['start_energy']
    assert np.isfinite(result['action']).all() and len(result['action']) == 7
    status, data = server.ask('GET', f'/api/pictures/{result["imagined"]}')
    assert (status, Image.open(io.BytesIO(data)).size) == (200, (128, 128))
    assert 0.0 < result['imagined_error'] < 20.0
    assert follow(server, task_id) == events  # who comes late gets everything
    status, task = server.ask('GET', f'/api/plan/{task_id}')
    assert (status, task['status'], task['events']) == (200, 'completed', events)
    assert task_id in [row['task_id'] for row in server.ask('GET', '/api/plans')[1]]


def test_the_same_seed_gives_the_same_action_by_json_and_by_a_form(server, pictures):
    goal = pictures[1]
    fields = {**SETTINGS, 'time_allowance': 60}
    boundary = b'--x\r\nContent-Disposition: form-data; name="'
    body = b''.join(
        boundary + f'{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()
    )
    body += boundary + b'goalImage"; filename="goal.png"\r\n\r\n' + goal + b'\r\n--x--\r\n'
    form = {'content-type': 'multipart/form-data; boundary=x'}
    status, answer = server.ask('POST', '/api/plan', body, **form)
    assert status == 202, answer
    assert follow(server, answer['task_id'])[-1]['type'] == 'completed'
    ends = [follow(server, plan(server, pictures, seed=7))[-1] for _ in range(2)]
    assert ends[0]['action'] == ends[1]['action']


def test_cost_and_preset_are_those_of_the_search(server, pictures):
    one, other = (follow(server, plan(server, pictures, cost=c))[-1] for c in ('l1', 'l2'))
    # No root of a mean square is less than the mean of the absolute values.
    assert one['start_energy'] < other['start_energy'] and one['energy'] < one['start_energy']
    own = {'samples': 32, 'iterations': 0, 'elite_fraction': 0}
    *running, end = follow(server, plan(server, pictures, preset='meta', **own, optimizer=''))
    assert (len(running), len(end['plan'])) == (10, 2)  # iterations and steps of Meta's planner
    starts = [found['start_energy'] for found in (end, one, other)]
    assert abs(starts[0] - starts[1]) < 0.1 * abs(starts[0] - starts[2])  # by its l1
    assert not np.any(np.array(end['plan'])[:, 3:6])  # which does not turn


def test_a_plan_is_cancelled_while_it_runs_and_while_it_waits(server, pictures):
    running = plan(server, pictures, samples=2000, iterations=100)
    waiting = plan(server, pictures)
    server.ask('DELETE', f'/api/plan/{waiting}')
    eventually(lambda: server.ask('GET', f'/api/plan/{running}')[1]['status'] == 'running')
    server.ask('DELETE', f'/api/plan/{running}')
    for task_id in (running, waiting):
        last = follow(server, task_id)[-1]
        assert (last['type'], last['code']) == ('failed', 'CANCELLED')
        assert server.ask('GET', f'/api/plan/{task_id}')[1]['status'] == 'cancelled'


def test_plans_that_were_cancelled_make_room_for_others(server, pictures):
    running = plan(server, pictures, samples=2000, iterations=100)
    eventually(lambda: server.ask('GET', f'/api/plan/{running}')[1]['status'] == 'running')
    waiting = [plan(server, pictures) for _ in range(16)]
    status, answer = server.ask('POST', '/api/plan', {'goalImage': text_of(pictures[1])})
    assert (status, answer['code']) == (429, 'BUSY')
    for task_id in waiting:
        server.ask('DELETE', f'/api/plan/{task_id}')
    waiting.append(plan(server, pictures))
    for task_id in (waiting[-1], running):
        server.ask('DELETE', f'/api/plan/{task_id}')
    assert follow(server, running)[-1]['code'] == 'CANCELLED'


def test_what_the_planner_refuses_is_told_with_its_code(server, pictures):
    last = follow(server, plan(server, pictures, model='<script>alert(1)</script>'))[-1]
    assert (last['type'], last['code']) == ('failed', 'MODEL_NOT_FOUND')
    assert 'sim-panda-ac' in last['text']


@pytest.mark.parametrize(
    'method, path, body, status, text',
    (
        ('POST', '/api/plan', {'goalImage': 'no base64'}, 422, 'goalImage'),
        ('POST', '/api/plan', {'goalImage': text_of(b'GIF89a')}, 422, 'jpeg, png or webp'),
        ('POST', '/api/plan', {'goalImage': 'AA==', 'samples': -1}, 422, 'samples'),
        ('POST', '/api/plan', {'goalImage': 'AA==', 'cost': 'l3'}, 422, 'cost'),
        ('POST', '/api/plan', {'goalImage': 'AA==', 'preset': 'mine'}, 422, 'preset'),
        ('POST', '/api/plan', {'goalImage': 'AA==', 'path': '/etc/passwd'}, 422, 'path'),
        ('GET', '/api/plan/unknown', None, 404, 'task_id'),
        ('DELETE', '/api/plan/unknown', None, 404, 'task_id'),
        ('POST', '/api/models/unknown/load', None, 404, 'sim-panda-ac'),
        (
            'POST',
            '/api/models/sim-panda/unload',
            None,
            409,
            "'NOT_LOADED', 'text': \"model = 'sim-panda': ",
        ),
        ('GET', '/api/nowhere', None, 404, "path = 'GET /api/nowhere': allowed: what /openapi"),
        ('POST', '/api/plan/a/b', {}, 404, "'NOT_FOUND'"),
        ('GET', '/api/history/..%2F..%2Fetc/report', None, 404, ''),
        ('GET', '/api/history/0000/report', None, 404, 'none of the'),
    ),
)
def test_wrong_requests_are_refused_with_a_reason(server, method, path, body, status, text):
    found, answer = server.ask(method, path, body)
    assert found == status
    assert text in str(answer)


def test_a_model_is_loaded_and_unloaded(server):
    def state():
        return {row['name']: row for row in server.ask('GET', '/api/models')[1]}['sim-panda']

    assert server.ask('POST', '/api/models/sim-panda/load')[0] == 202
    eventually(lambda: state()['state'] == 'loaded')
    assert state()['action_dim'] == 3
    assert state()['memory'] > 0
    eventually(lambda: state()['operation']['ended'])
    assert server.ask('POST', '/api/models/sim-panda/unload')[0] == 202
    eventually(lambda: state()['state'] == 'unloaded')
    assert server.ask('POST', '/api/models/sim-panda-ac/load')[0] == 202
    eventually(lambda: not server.ask('POST', '/api/models/sim-panda-ac/load')[0] == 409)


def test_system_tells_load_and_health(server):
    found = eventually(
        lambda: (
            (answer := server.ask('GET', '/api/system')[1])['metrics'].get('image_age') and answer
        )
    )
    assert found['planner'] and found['metrics']['image_age'] < 5.0
    assert found['metrics']['process_memory'] > 10.0
