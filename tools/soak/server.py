# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner under test as a process, and what it takes of the machine."""

from dataclasses import dataclass
import os
from statistics import median
import tempfile
import time

import psutil
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.cli.spawn import SpawnedNode
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
    'gripper.max_age': '5.0',
    # Short, so that results of goals that ended do not count as growth.
    'result_timeout': '10',
    # So that a burst of malformed frames gets in, not its last one only.
    **{
        f'qos_overrides.{NAMESPACE}/planner/{topic}.subscription.depth': '20'
        for topic in ('image', 'wrist/image')
    },
}


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


class Server(SpawnedNode):
    """The planner as a process; a context manager that ends it."""

    def __init__(self, model, parameters):
        self._folder = tempfile.TemporaryDirectory(prefix='soak-')
        super().__init__(
            'planner',
            __name__,
            {'model': model, **PARAMETERS, **parameters},
            {'__ns': NAMESPACE},
            {**os.environ, 'ROS_LOG_DIR': self._folder.name},
        )

    def __exit__(self, *error):
        super().__exit__(*error)
        self._folder.cleanup()

    def usage(self) -> Usage:
        """Return what it takes now; memory is the median of half a second."""
        process, memory = psutil.Process(self.pid), []
        for _ in range(5):
            time.sleep(0.1)
            memory.append(process.memory_info().rss / 1e6)
        return Usage(median(memory), process.num_threads())


if __name__ == '__main__':
    raise SystemExit(run(lambda: PlannerNode(load_model=load_model)))
