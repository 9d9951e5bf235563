# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Downloads by huggingface_hub itself from a server on this machine that answers like the Hub."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import os
import re
import subprocess
import sys
import threading

import pytest
from vjepa2_planner_ros.world_model import DownloadError, find_weights, model_spec
from vjepa2_planner_ros.world_model.hub import default_hub_cache, download_from_hub

COMMIT = '0123456789abcdef0123456789abcdef01234567'
REPOSITORY = 'facebook/vjepa2-vitl-fpc64-256'  # of vit-large
FILES = {
    'model.safetensors.index.json': json.dumps({'weight_map': {'a': 'one.safetensors'}}).encode(),
    'one.safetensors': bytes(range(256)) * 4000,
    'pytorch_model.bin': b'not needed',
    'config.json': b'{}',
}


class Hub(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):  # noqa: N802
        self.server.asked.append((self.path, self.headers))
        file = re.fullmatch(rf'/{REPOSITORY}/resolve/{COMMIT}/(.+)', self.path)
        listing = [
            {
                'type': 'file',
                'path': name,
                'rfilename': name,
                'size': len(content),
                'oid': '0' * 40,
            }
            for name, content in FILES.items()
        ]
        if file and file[1] in FILES:
            self._send(FILES[file[1]], {'ETag': f'"{hash(file[1]):x}"', 'X-Repo-Commit': COMMIT})
        elif self.path.startswith(f'/api/models/{REPOSITORY}/revision/main'):
            model = {'id': REPOSITORY, 'sha': COMMIT, 'siblings': listing}
            self._send(json.dumps(model).encode())
        elif self.path.startswith(f'/api/models/{REPOSITORY}/tree/'):
            self._send(json.dumps(listing).encode())
        else:
            self._send(b'{}', {'X-Error-Code': 'RepoNotFound'}, 404)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, content, headers=None, status=200):
        self.send_response(status)
        for name, value in {**(headers or {}), 'Content-Length': len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serve a Hub; yield a function that runs Python with it and returns what was printed."""
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'huggingface'))
    for name in ('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE'):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(('127.0.0.1', 0), Hub) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        environment = {
            **os.environ,
            'HF_ENDPOINT': f'http://127.0.0.1:{server.server_port}',
            'HF_TOKEN': 'hf_of_the_user',
            'no_proxy': '*',
        }

        def run(*arguments):
            done = subprocess.run(
                [sys.executable, *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=100,
            )
            return done.returncode, done.stdout, done.stderr

        run.server = server
        yield run
        server.shutdown()
        thread.join()


MODELS = ('-m', 'vjepa2_planner_ros.cli.models')


@pytest.mark.slow
def test_a_repository_is_downloaded_into_the_hubs_cache_and_found(hub, tmp_path):
    code, printed, said = hub(*MODELS, 'download', f'hf:{REPOSITORY}')
    assert code == 0, said
    assert 'model card' in said
    (source,) = find_weights(model_spec('vit-large'), cache=tmp_path)
    (path,) = source.paths
    assert printed.split() == [str(path)]
    assert path.is_symlink() and path.read_bytes() == FILES['one.safetensors']
    asked = [name.rpartition('/')[2] for name, _ in hub.server.asked]
    assert 'one.safetensors' in asked and 'pytorch_model.bin' not in asked
    tokens = {headers['Authorization'] for _, headers in hub.server.asked}
    assert 'Bearer hf_of_the_user' in tokens
    code, printed, _ = hub(*MODELS, 'download', f'hf:{REPOSITORY}/config.json')
    assert code == 0 and printed.strip().endswith('config.json')
    code, _, said = hub(*MODELS, 'download', f'hf:{REPOSITORY}/absent.pt')
    assert code == 1 and 'has no absent.pt' in said
    code, _, said = hub(*MODELS, 'download', 'hf:lab/nothing')
    assert code == 1 and said.splitlines()[-1].startswith('hf:lab/nothing: 404')


STOPPED = """
from vjepa2_planner_ros.world_model.hub import download_from_hub

class Stop(Exception): pass
steps = []
def progress(*step): steps.append(step)
def stop():
    if steps: raise Stop
try:
    download_from_hub('hf:facebook/vjepa2-vitl-fpc64-256', progress, stop)
except Stop:
    print(steps[0])
steps.clear()
download_from_hub('hf:facebook/vjepa2-vitl-fpc64-256', progress)
print(steps[-1])
"""


@pytest.mark.slow
def test_a_download_tells_how_far_it_is_and_can_be_stopped(hub):
    code, printed, said = hub('-c', STOPPED)
    assert code == 0, said
    first, last = (eval(line) for line in printed.splitlines())
    assert first[0] == last[0] == 'download'
    assert 0 < last[1] <= last[2]


def test_without_huggingface_hub_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(DownloadError, match='pip install huggingface_hub'):
        download_from_hub('hf:lab/tiny')


def test_the_hubs_cache_is_where_its_variables_say(monkeypatch, tmp_path):
    for name in ('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    assert default_hub_cache() == tmp_path / '.cache' / 'huggingface' / 'hub'
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'x'))
    assert default_hub_cache() == tmp_path / 'x' / 'huggingface' / 'hub'
    monkeypatch.setenv('HF_HOME', '~/hf')
    assert default_hub_cache() == tmp_path / 'hf' / 'hub'
    monkeypatch.setenv('HF_HUB_CACHE', '~/cache')
    assert default_hub_cache() == tmp_path / 'cache'
