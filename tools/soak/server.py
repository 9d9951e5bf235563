# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner under test as a process, and what it takes of the machine."""

from dataclasses import dataclass
import os
from pathlib import Path
from statistics import median
import subprocess
import sys
import tempfile
import time

import psutil
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import run

NAMESPACE = '/soak'
PARAMETERS = {
    'cameras': '[main, wrist]',
    'camera.wrist.compressed': 'true',
    # Patient, for a machine may stand still for seconds; drop-outs shorten image_timeout.
    'image_timeout': '30.0',
    'max_image_age': '3.0',
    'max_state_age': '3.0',
    'max_skew': '5.0',
    # Short, so that results of goals that ended do not count as growth.
    'result_timeout': '10',
    # So that a burst of malformed frames gets in, not its last one only.
    **{
        f'qos_overrides.{NAMESPACE}/planner/{topic}.subscription.depth': '20'
        for topic in ('image', 'wrist/image')
    },
}
END_WITHIN = 5.0  # s after SIGTERM


class SlowToyWorldModel(ToyWorldModel):
    """The toy world model with a rollout that lasts, so that goals can be stopped under way."""

    ROLLOUT_TIME = 0.005  # s

    def rollout(self, context, states, actions):
        """Return what the toy world model returns, later."""
        time.sleep(self.ROLLOUT_TIME)
        return super().rollout(context, states, actions)


def load_model(name, **options):
    """Return the toy world model for 'toy', and what load_world_model returns otherwise."""
    if name == 'toy':
        return SlowToyWorldModel()
    from vjepa2_planner_ros.world_model import load_world_model

    return load_world_model(name, **options)


@dataclass(frozen=True)
class Usage:
    """What the planner takes of the machine."""

    memory: float  # MB, resident
    threads: int


class Server:
    """The planner as a process; a context manager that ends it."""

    def __init__(self, model, parameters):
        self._folder = tempfile.TemporaryDirectory(prefix='soak-')
        self._log = Path(self._folder.name) / 'planner.log'
        values = {'model': model, **PARAMETERS, **parameters}
        with self._log.open('w') as log:
            # A session of its own: Ctrl-C reaches the soak alone, which then ends it.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    __name__,
                    '--ros-args',
                    '-r',
                    f'__ns:={NAMESPACE}',
                    *(
                        part
                        for name, value in values.items()
                        for part in ('-p', f'{name}:={value}')
                    ),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # This module imports torch, so what the planner itself does would come too late.
                env={'OMP_WAIT_POLICY': 'PASSIVE', **os.environ, 'ROS_LOG_DIR': self._folder.name},
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def check(self):
        """Raise RuntimeError if the planner has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f'the planner ended with exit code {self._process.returncode}')

    def usage(self) -> Usage:
        """Return what it takes now; memory is the median of half a second."""
        process, memory = psutil.Process(self._process.pid), []
        for _ in range(5):
            time.sleep(0.1)
            memory.append(process.memory_info().rss / 1e6)
        return Usage(median(memory), process.num_threads())

    def end(self):
        """End it with SIGTERM; return what is wrong with how it ended."""
        self._process.terminate()
        try:
            code = self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            return [f'the planner had not ended {END_WITHIN:g} s after SIGTERM']
        return [f'the planner ended with exit code {code}'] if code else []

    def tracebacks(self) -> int:
        """Return how many tracebacks its log holds."""
        return self._log.read_text(errors='replace').count('Traceback')

    def last_lines(self, count=30) -> str:
        """Return the end of its log."""
        return '\n'.join(self._log.read_text(errors='replace').splitlines()[-count:])


if __name__ == '__main__':
    raise SystemExit(run(lambda: PlannerNode(load_model=load_model)))
