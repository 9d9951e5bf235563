# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real HTTP server on this machine with a file of weights; it may break, stall and lie."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import random
import re
import threading

import pytest

CONTENT = random.Random(0).randbytes(300_000)


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.headers)
        answer = self.server.answers.pop(0) if self.server.answers else serve
        answer(self)
        self.close_connection = True

    def log_message(self, *_):
        pass


def serve(handler, *, ranges=True, cut=None, claim=None, stall=False, content_range=None):
    """
    Answer as a good server, or not.

    :param ranges: honour Range.
    :param cut: bytes of the body after which the connection ends.
    :param claim: Content-Length, whatever really comes.
    :param stall: be silent instead of ending the connection.
    :param content_range: what to put there; then the whole content comes as if it were that.
    """
    server, begin = handler.server, 0
    asked = re.fullmatch(r'bytes=(\d+)-', handler.headers['Range'] or '')
    if asked and content_range:
        handler.send_response(206)
        handler.send_header('Content-Range', content_range)
    elif asked and ranges and handler.headers['If-Range'] == server.etag:
        begin = int(asked[1])
        handler.send_response(206)
        handler.send_header(
            'Content-Range', f'bytes {begin}-{len(server.content) - 1}/{len(server.content)}'
        )
    else:
        handler.send_response(200)
    body = server.content[begin:]
    handler.send_header('Content-Length', str(len(body) if claim is None else claim))
    if server.etag:
        handler.send_header('ETag', server.etag)
    handler.end_headers()
    try:
        handler.wfile.write(body[:cut])
        if stall:
            server.released.wait(20)
    except OSError:
        pass  # the client has gone


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.content, server.etag = CONTENT, '"first"'
        server.answers, server.asked, server.released = [], [], threading.Event()
        server.url = f'http://127.0.0.1:{server.server_port}/models/vitx.pt'
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
