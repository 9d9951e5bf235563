# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of recordings from the console: real processes, on a folder that nothing leaves."""

import os

from conftest import eventually, Server
import pytest

pytestmark = pytest.mark.slow
DRIVE = 'monday/drive.npz'


@pytest.fixture
def begin(server):
    """Return a function that begins a check and returns its id; what still runs is cancelled."""
    begun = []

    def go(kind, **fields):
        body = {'kind': kind, 'recording': DRIVE, 'model': 'sim-panda-ac', **fields}
        status, check = server.ask('POST', '/api/checks', body)
        assert status == 202, check
        begun.append(check['id'])
        return check['id']

    yield go
    for check_id in begun:
        server.ask('DELETE', f'/api/checks/{check_id}')
        ended(server, check_id)


def ended(server, check_id):
    """Return a check once it has ended."""

    def over():
        check = server.ask('GET', f'/api/checks/{check_id}')[1]
        return check if check['state'] != 'running' else None

    return eventually(over)


def test_a_recording_is_looked_at(server, begin):
    assert server.ask('GET', '/api/recordings') == (200, [DRIVE])
    check = ended(server, begin('check'))
    assert check['state'] == 'done', check
    assert any('windows' in line and '39 of 1 step' in line for line in check['lines'])
    assert not check['report'] and not check['calibration']
    assert server.ask('GET', f'/api/checks/{check["id"]}/report')[0] == 404


@pytest.mark.parametrize(
    'name', ['../secret.npz', '/etc/passwd', 'monday/../../secret.npz', 'x', '', '.', 300 * 'x']
)
def test_nothing_outside_the_folder_is_read(server, name):
    body = {'kind': 'check', 'recording': name, 'model': 'sim-panda-ac'}
    status, problem = server.ask('POST', '/api/checks', body)
    assert status == 422
    assert problem['text'] == f'recording = {name!r}: allowed: one of GET /api/recordings'


def test_a_link_to_the_outside_is_not_followed(server, recordings):
    link = recordings / 'link.npz'
    link.symlink_to(recordings.parent / 'secret.npz')
    try:
        assert server.ask('GET', '/api/recordings')[1] == [DRIVE]
        body = {'kind': 'check', 'recording': 'link.npz', 'model': 'sim-panda-ac'}
        assert server.ask('POST', '/api/checks', body)[0] == 422
        link.rename(recordings / 'monday' / 'link.npz')  # as a part of a recording
        status, problem = server.ask('POST', '/api/checks', {**body, 'recording': 'monday'})
        assert status == 422 and 'link.npz is a link out of the folder' in problem['text']
    finally:
        for path in recordings.rglob('link.npz'):
            path.unlink()


def test_a_result_that_was_replaced_by_a_link_is_not_shown(server, begin, recordings):
    check_id = ended(server, begin('check'))['id']
    for name, path in (('report.html', 'report'), ('calibration.yaml', 'apply')):
        (recordings / 'checks' / check_id / name).symlink_to(recordings.parent / 'secret.npz')
        method = 'GET' if path == 'report' else 'POST'
        assert server.ask(method, f'/api/checks/{check_id}/{path}')[0] == 404


def test_a_calibration_that_is_refused_says_why(server, begin):
    check = ended(server, begin('calibrate', windows=10))
    assert check['state'] == 'failed' and not check['calibration']
    assert any('steps with motion: allowed: 40 or more' in line for line in check['lines'])
    assert server.ask('POST', f'/api/checks/{check["id"]}/apply')[0] == 404


def test_one_at_a_time_and_a_cancel_ends_the_process(server, begin):
    before = processes()
    check_id = begin('validate', windows=2000)
    body = {'kind': 'check', 'recording': DRIVE, 'model': 'sim-panda-ac'}
    assert server.ask('POST', '/api/checks', body)[0] == 409
    eventually(lambda: server.ask('GET', f'/api/checks/{check_id}')[1]['progress'])
    children = [pid for pid in processes() - before if is_check(pid)]
    assert children
    assert server.ask('DELETE', f'/api/checks/{check_id}')[0] == 200
    assert ended(server, check_id)['state'] == 'cancelled'
    eventually(lambda: not any(map(is_check, children)))
    assert ended(server, begin('check'))['state'] == 'done'


def processes():
    """Return the numbers of all processes."""
    return {int(name) for name in os.listdir('/proc') if name.isdigit()}


def is_check(pid):
    """Return whether a process is one of validate."""
    try:
        with open(f'/proc/{pid}/cmdline') as file:
            return 'vjepa2_planner_ros.cli.validate' in file.read()
    except OSError:
        return False


def test_a_calibration_is_applied_and_taken_away(server, begin, recordings):
    check_id = ended(server, begin('check'))['id']
    path = recordings / 'checks' / check_id / 'calibration.yaml'
    path.write_text(
        'model: sim-panda-ac\nrotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]]\npivot: [0.5, 0, 0.3]\n'
    )
    assert server.ask('POST', f'/api/checks/{check_id}/apply')[0] == 200
    assert server.ask('GET', '/api/calibration') == (200, {'message': str(path)})
    assert server.ask('DELETE', '/api/calibration')[0] == 200
    assert server.ask('GET', '/api/calibration') == (200, {'message': ''})


def test_without_a_folder_the_way_to_one_is_said(nodes):
    other = Server()
    try:
        status, problem = other.ask('GET', '/api/recordings')
        assert status == 404 and '--recordings DIR' in problem['text']
    finally:
        other.stop()
