# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console as a process beside the real planner and the simulator."""

from contextlib import ExitStack
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
from PIL import Image
import pytest
from vjepa2_planner_ros.cli.spawn import SpawnedNode
from vjepa2_planner_ros.simulation import PandaSim, sample_episode

NAMESPACE = f'/web_test_{os.getpid()}'  # what a killed run left behind is not heard
SEED = 2_000_000
# config/robots/simulation.yaml, as -p of the command line.
SIMULATION = {
    'limits.workspace': '[0.32, 0.62, -0.25, 0.25, 0.08, 0.40]',
    'limits.max_speed': 0.25,
    'limits.max_turn_speed': 1.5,
    'gripper_output.kind': 'gripper_command',
    'gripper_output.name': 'gripper_cmd',
}


def eventually(condition, timeout=90.0):
    """Return what a condition gives once it is true; fail the test if it does not get so."""
    until = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < until, 'it did not happen in time'
        time.sleep(0.05)
    return found


class Server:
    """The console as a process, and requests to it."""

    def __init__(self, environment=(), host='127.0.0.1', arguments=()):
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = probe.getsockname()[1]
        self.url = f'http://{host}:{self.port}'
        self.host, self.arguments = host, arguments
        self.environment = {**os.environ, **dict(environment)}
        self.start()

    def start(self):
        """Start the process and wait until it answers."""
        command = [sys.executable, '-m', 'vjepa2_planner_ros.cli.web', '--host', self.host]
        command += ['--port', str(self.port), *self.arguments]
        command += ['--ros-args', '-r', f'__ns:={NAMESPACE}']
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )
        eventually(self._answers)

    def stop(self):
        """End the process in order; return its exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(60.0)
        finally:
            self.process.kill()
        self.output = self.process.stdout.read()
        return code

    def _answers(self):
        assert self.process.poll() is None, self.process.stdout.read()
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def ask(self, method, path, body=None, **headers):
        """Return (status, what the JSON of the answer holds, or its bytes)."""
        if isinstance(body, dict):
            body, headers = (
                json.dumps(body).encode(),
                {'content-type': 'application/json', **headers},
            )
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _content(answer)
        except urllib.error.HTTPError as error:
            return error.code, _content(error)


def _content(answer):
    data = answer.read()
    return json.loads(data) if 'json' in answer.headers.get('content-type', '') else data


@pytest.fixture(scope='session')
def nodes(tmp_path_factory):
    """Start simulator and planner as processes; return the folder of recorded plans."""
    folder = tmp_path_factory.mktemp('plans')
    inputs = {f'~/{name}': name for name in ('image', 'pose', 'gripper')}
    # Patient: a busy machine, and a console of little priority, may stand still for seconds.
    patient = {'image_timeout': 20.0, 'max_image_age': 5.0, 'max_state_age': 5.0}
    arm = {'dry_run': False, 'dead_man.topic': 'web/alive', 'dead_man.timeout': 10.0}
    arm |= {**SIMULATION, **patient, 'history.folder': folder}
    arm['ending.reached_energy'] = 2.0  # with 1.5 one run in ten ends "unsure", near its goal
    with ExitStack() as stack:
        for name, parameters, remapped in (
            ('simulation', {'seed': SEED}, {}),
            ('planner', {'history.folder': folder, 'model': 'sim-panda-ac', **patient}, inputs),
            ('controller', arm, {**inputs, '~/target_pose': 'target_pose'}),
        ):
            module = f'vjepa2_planner_ros.nodes.{name}_node'
            names = {'__ns': NAMESPACE, **remapped}
            stack.enter_context(SpawnedNode(name, module, parameters, names))
        yield folder


@pytest.fixture(scope='session')
def recordings(tmp_path_factory):
    """Return a folder with the recording of a short random drive, seen by a camera of noise."""
    folder = tmp_path_factory.mktemp('recordings')
    rng = np.random.default_rng(0)
    steps = rng.uniform(-0.02, 0.02, (40, 7)) * (1, 1, 1, 0, 0, 0, 1)
    states = np.cumsum(steps, axis=0) + (0.5, 0.0, 0.3, 3.1, 0.0, 0.0, 0.5)
    (folder / 'monday').mkdir()
    frames = rng.integers(255, size=(40, 64, 64, 3), dtype=np.uint8)
    np.savez(folder / 'monday' / 'drive.npz', frames=frames, states=states)
    np.savez(folder.parent / 'secret.npz', frames=frames, states=states)
    return folder


@pytest.fixture(scope='session')
def server(nodes, recordings):
    """Start the console; it hears the planner, which is ready."""
    # A browser on a busy machine may stand still for seconds.
    server = Server(arguments=('--recordings', str(recordings), '--browser-timeout', '5'))
    ready = {f'{NAMESPACE}/planner: planner': 'ok'}

    def hears():
        rows = server.ask('GET', '/api/system')[1]['diagnostics']
        return {row['name']: row['level'] for row in rows}.items() >= ready.items()

    eventually(hears)
    yield server
    if server.process.poll() is None:
        assert server.stop() == 0, server.output


def _png(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, 'PNG')
    return file.getvalue()


@pytest.fixture(scope='session')
def pictures():
    """Return the start and the goal of the simulator's episode as png files, and its start [7]."""
    episode = sample_episode(SEED)
    sim = PandaSim(SEED)
    sim.set_state(episode.goal)
    goal = _png(sim.render())
    sim.set_state(episode.start)
    start = _png(sim.render())
    sim.close()
    return start, goal, episode.start
