# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Downloads from a real HTTP server on this machine that breaks, stalls and lies."""

import functools
import hashlib
import json
import socket
import threading
import time

from file_server import CONTENT, serve
import pytest
from vjepa2_planner_ros.world_model import DownloadError
from vjepa2_planner_ros.world_model.download import download


def status(code):
    """Return the answer of a server that says nothing but a status."""
    return lambda handler: handler.send_error(code)


def without_length(handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT)


@pytest.fixture
def fetch(server, tmp_path):
    """Download the server's file; tests change what they need to."""
    return functools.partial(download, server.url, tmp_path / 'vitx.pt', timeout=10.0, wait=0.01)


def broken(after, **how):
    return functools.partial(serve, cut=after, **how)


def ranges(server):
    return [headers['Range'] for headers in server.asked]


def test_a_whole_file_comes_with_progress(server, fetch, tmp_path):
    seen, digests = [], []
    path = fetch(
        progress=lambda *step: seen.append(step),
        check=lambda complete, digest: digests.append(digest),
    )
    assert path.read_bytes() == CONTENT
    assert digests == [hashlib.sha256(CONTENT).hexdigest()]
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1] == ('download', len(CONTENT), len(CONTENT))
    assert [file.name for file in tmp_path.iterdir()] == ['vitx.pt']


def test_broken_connections_are_taken_up_again(server, fetch):
    server.answers = [broken(100_000), broken(0), broken(50_000)]
    digests = []
    path = fetch(check=lambda complete, digest: digests.append(digest))
    assert path.read_bytes() == CONTENT
    assert digests == [hashlib.sha256(CONTENT).hexdigest()]
    assert ranges(server) == [None, 'bytes=100000-', 'bytes=100000-', 'bytes=150000-']


def test_a_later_download_goes_on(server, fetch, tmp_path):
    server.answers = [broken(100_000)] + 3 * [status(503)]
    with pytest.raises(DownloadError, match='503'):
        fetch()
    assert not (tmp_path / 'vitx.pt').exists()
    seen, digests = [], []
    path = fetch(
        progress=lambda *step: seen.append(step),
        check=lambda complete, digest: digests.append(digest),
    )
    assert path.read_bytes() == CONTENT
    assert digests == [hashlib.sha256(CONTENT).hexdigest()]
    assert ranges(server)[-1] == 'bytes=100000-'
    assert seen[0] == ('verify', 100_000, 100_000)


def test_a_complete_part_only_gets_its_name(server, fetch, tmp_path):
    class Refused(Exception):
        pass

    def interrupted(complete, digest):
        complete.with_name('kept').write_bytes(complete.read_bytes())
        (tmp_path / 'notes').write_bytes((tmp_path / 'vitx.partial.pt.json').read_bytes())
        raise Refused

    with pytest.raises(Refused):
        fetch(check=interrupted)
    (tmp_path / 'kept').rename(tmp_path / 'vitx.partial.pt')  # as if it had died just before
    (tmp_path / 'notes').rename(tmp_path / 'vitx.partial.pt.json')
    assert fetch().read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_server_may_ignore_ranges(server, fetch):
    server.answers = [broken(100_000), functools.partial(serve, ranges=False)]
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, 'bytes=100000-']


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server, fetch):
    server.answers = 20 * [broken(100_000, ranges=False)]
    with pytest.raises(DownloadError, match='ended after 100000 of 300000 bytes'):
        fetch()
    assert len(server.asked) == 4


@pytest.mark.parametrize('later', [False, True])
def test_two_versions_are_never_mixed(server, fetch, later):
    server.answers = [broken(100_000)] + later * 3 * [status(500)]
    if later:
        with pytest.raises(DownloadError):
            fetch()
    server.content, server.etag = CONTENT[::-1], '"second"'
    assert fetch().read_bytes() == CONTENT[::-1]


def test_without_a_version_it_starts_over(server, fetch):
    server.etag = None
    server.answers = [broken(100_000)]
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, None]


@pytest.mark.parametrize(
    'content_range',
    [
        'bytes 0-299999/300000',
        'bytes 100000-299999/400000',
        'bytes 100000-299999/*',
        'nonsense',
        'bytes 100000-299999/300000',
    ],
)  # the last is right, but more than it says comes
def test_wrong_ranges_are_not_believed(server, fetch, content_range):
    server.answers = [broken(100_000), functools.partial(serve, content_range=content_range)]
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, 'bytes=100000-', None]


def test_a_part_that_the_server_refuses_is_dropped(server, fetch):
    server.answers = [broken(100_000), status(416)]
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, 'bytes=100000-', None]


def test_a_length_that_never_comes_is_an_error(server, fetch, tmp_path):
    server.answers = 20 * [functools.partial(serve, claim=300_001, ranges=False)]
    with pytest.raises(DownloadError, match='ended after 300000 of 300001 bytes'):
        fetch()
    assert not (tmp_path / 'vitx.pt').exists()


def test_no_length_is_an_error(server, fetch, tmp_path):
    server.answers = [without_length]
    with pytest.raises(DownloadError, match='Content-Length'):
        fetch()
    assert not any(tmp_path.iterdir())


def test_silence_ends(server, fetch):
    server.answers = [broken(100_000, stall=True), broken(0, stall=True)]
    with pytest.raises(DownloadError, match='nothing came for 0.3 s'):
        fetch(timeout=0.3, patience=1)
    server.answers = [lambda handler: server.released.wait(5)]
    with pytest.raises(DownloadError, match='no answer for 0.3 s'):
        fetch(timeout=0.3, patience=1)


def test_a_silent_download_can_be_stopped(server, fetch, tmp_path):
    server.answers = [broken(100_000, stall=True)]
    began = threading.Event()

    def stop_when_silent(phase, done, total):
        if done == 100_000:
            began.set()

    def check_stop():
        if began.is_set():
            raise KeyError('stopped')

    with pytest.raises(KeyError, match='stopped'):
        fetch(progress=stop_when_silent, check_stop=check_stop, timeout=600.0)
    assert not (tmp_path / 'vitx.pt').exists()
    assert fetch().read_bytes() == CONTENT
    assert ranges(server)[-1] == 'bytes=100000-'


@pytest.mark.parametrize('code', [403, 404, 410])
def test_a_missing_file_is_named_at_once(server, fetch, tmp_path, code):
    server.answers = [status(code)]
    with pytest.raises(DownloadError, match=f'/models/vitx.pt: the server answers {code}'):
        fetch()
    assert len(server.asked) == 1
    assert not any(tmp_path.iterdir())


def test_no_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{free.getsockname()[1]}/vitx.pt'
    with pytest.raises(DownloadError, match=f'{url}: no connection to the server'):
        download(url, tmp_path / 'vitx.pt', wait=0.01)
    with pytest.raises(DownloadError, match='no connection to the server'):
        download('http://host.invalid/vitx.pt', tmp_path / 'vitx.pt', wait=0.01)


def test_too_little_space_is_named_before_anything_comes(server, fetch, tmp_path):
    server.answers = [functools.partial(serve, claim=10**18)]
    with pytest.raises(DownloadError, match=r'GB free; vitx.pt needs 1000000000.00 GB more'):
        fetch()
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(DownloadError, match='vitx.pt cannot be written'):
        download(server.url, tmp_path / 'file' / 'vitx.pt')


def test_one_download_of_a_file_at_a_time(server, fetch):
    server.answers = [broken(100_000, stall=True)]

    def try_too(phase, done, total):
        with pytest.raises(DownloadError, match='by another process'):
            fetch()
        server.released.set()

    fetch(progress=try_too, patience=1000)
    assert len(server.asked) == 2


def test_what_the_check_refuses_gets_no_name(server, fetch, tmp_path):
    def refuse(complete, digest):
        assert complete.read_bytes() == CONTENT
        raise DownloadError('no')

    with pytest.raises(DownloadError, match='no'):
        fetch(check=refuse)
    assert not any(tmp_path.iterdir())


def partial_answer(handler):
    """Answer 206 though nothing but the whole file was asked for."""
    handler.send_response(206)
    handler.send_header('Content-Range', f'bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}')
    handler.send_header('Content-Length', str(len(CONTENT)))
    handler.end_headers()


def test_a_part_that_nobody_asked_for_is_an_error(server, fetch):
    server.answers = 9 * [partial_answer]
    with pytest.raises(DownloadError, match='the server sent Content-Range'):
        fetch()


@pytest.mark.parametrize('name', ('vitx.partial.pt', 'vitx.partial.pt.json'))
def test_what_a_symbolic_link_leads_to_is_left_alone(fetch, tmp_path, name):
    other = tmp_path / 'other'
    other.write_text('mine')
    (tmp_path / name).symlink_to(other)
    with pytest.raises(DownloadError, match='is a symbolic link'):
        fetch()
    assert other.read_text() == 'mine'


@pytest.mark.parametrize('validator', ('"a"\r\nX-Forged: 1', 7, ['"a"'], 'x' * 10**6))
def test_notes_that_are_no_header_are_not_sent(server, fetch, tmp_path, validator):
    (tmp_path / 'vitx.partial.pt').write_bytes(CONTENT[:1000])
    notes = {'url': server.url, 'size': len(CONTENT), 'validator': validator}
    (tmp_path / 'vitx.partial.pt.json').write_text(json.dumps(notes))
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None]


def test_a_server_that_says_nothing_is_left_at_once(server, fetch):
    class Cancelled(Exception):
        pass

    def check_stop():
        if server.asked:
            raise Cancelled

    server.answers = [lambda handler: server.released.wait(20.0)]
    began = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(check_stop=check_stop)
    assert time.monotonic() - began < 2.0
