# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how much longer plans take for being shown and recorded.

Three planners plan in turn, a few plans at a time: a silent one that answers its client alone,
with feedback and result, one as it is, and one that records too; with nobody on their topics, then
beside a process that reads them all. It takes messages as bytes, like rosbag2, or makes Python
objects of them, like a node of rclpy. Times are a client's, from sending a goal to its result;
what the reader itself works is given beside them.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager, ExitStack
import os
from pathlib import Path
import signal
from statistics import median
import subprocess
import sys
from tempfile import TemporaryDirectory
import threading
from time import perf_counter, sleep

import numpy as np
import psutil
import rclpy
from rclpy.publisher import Publisher
from rclpy.signals import SignalHandlerOptions
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.history.topics import LIVE, TYPES
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import free_domain, run, spinning
from vjepa2_planner_ros.nodes.reporting import PlanReport

KINDS = ('silent', 'as it is', 'recording')
READERS = ('bytes', 'objects')
OPTIMIZERS = {'trust_region': 30, 'cem': 5}  # and turns of each planner
BURST = 3  # plans a turn: what a recording writes after a plan meets the next one
REST = 0.2  # s between turns
PATIENCE = 120.0  # s


def main(args=None) -> int:
    """Measure; print medians, and by how much turns were longer than the silent planner's."""
    options = _parser().parse_args(args)
    if options.role == 'planner':
        return run(PlannerNode, ['--ros-args', *options.ros_args])
    if options.role == 'silent':
        return run(_silent_planner, ['--ros-args', *options.ros_args])
    if options.role in READERS:
        return _read(raw=options.role == 'bytes')
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        rclpy.init(args=[])
        stack.callback(rclpy.try_shutdown)
        clients = [stack.enter_context(_planner(kind, folder)) for kind in KINDS]
        print(
            f'{"planner":<11}{"optimizer":<14}{"topics read":<13}{"a plan":>10}{"longer":>9}'
            f'{"reader works":>14}'
        )
        _compare(clients, 'by nobody')
        for reader in READERS:
            with _process(reader) as process:
                sleep(5.0)  # until it has found every topic
                _compare(clients, f'as {reader}', psutil.Process(process.pid))
    return 0


def _compare(clients, title, reader=None):
    rng = np.random.default_rng(0)
    start, goal = rng.integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    state = EndEffectorState()
    state.header.frame_id, state.pose.position.x, state.pose.position.z = 'panda_link0', 0.4, 0.3
    for optimizer, turns in OPTIMIZERS.items():
        fields = {
            'optimizer': optimizer,
            'current_image': start,
            'start_state': state,
            'timeout': PATIENCE,
            'seed': 0,
        }
        times, work = {kind: [] for kind in KINDS}, dict.fromkeys(KINDS, 0.0)
        for turn in range(turns + 1):
            for kind, client in zip(KINDS, clients):
                sleep(REST)
                worked, began = _cpu_time(reader), perf_counter()
                for _ in range(BURST):
                    client.plan(goal, **fields)
                if turn:  # the first one takes memory that the others find
                    times[kind].append((perf_counter() - began) / BURST)
                    work[kind] += (_cpu_time(reader) - worked) / turns / BURST
        for kind in KINDS:
            longer = median(own / silent - 1 for own, silent in zip(times[kind], times['silent']))
            print(
                f'{kind:<11}{optimizer:<14}{title:<13}{median(times[kind]) * 1e3:>7.1f} ms'
                f'{longer:>+9.1%}{work[kind] * 1e3:>11.1f} ms',
                flush=True,
            )


def _cpu_time(process) -> float:
    """Return the seconds that a process has worked so far, 0 if there is none."""
    return 0.0 if process is None else sum(process.cpu_times()[:2])


@contextmanager
def _planner(kind, folder):
    """Yield a PlannerClient of a new planner of that kind."""
    namespace = f'/{kind.replace(" ", "_")}'
    recorded = Path(folder) / 'plans' if kind == 'recording' else ''
    with _process(
        'silent' if kind == 'silent' else 'planner',
        '-r',
        f'__ns:={namespace}',
        '-p',
        f"history.folder:='{recorded}'",
        '--log-level',
        'WARN',
    ):
        with PlannerClient(action=f'{namespace}/plan') as client:
            if not client.wait_until_ready(PATIENCE):
                raise TimeoutError(f'{namespace}/plan was not ready within {PATIENCE:g} s')
            yield client


@contextmanager
def _process(*arguments):
    process = subprocess.Popen(
        [sys.executable, '-m', __spec__.name, *arguments], stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _silent_planner():
    """Return a planner that tells nobody but its client what it does."""
    Publisher.get_subscription_count = lambda self: 0
    PlanReport._image = lambda self, role, rgb: None
    return PlannerNode()


def _read(raw) -> int:
    """Read every topic of the planners until SIGTERM, as bytes if raw."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('reader')
    for kind in KINDS:
        for role in LIVE:
            topic = f'/{kind.replace(" ", "_")}/planner/{role}'
            node.create_subscription(TYPES[role], topic, lambda message: None, 10, raw=raw)
    with spinning(node):
        asked.wait()
    node.destroy_node()
    rclpy.shutdown()
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog='showing', description=__doc__.splitlines()[1])
    parser.add_argument(
        'role', nargs='?', choices=('planner', 'silent', *READERS), help=argparse.SUPPRESS
    )  # of the processes it starts
    parser.add_argument('ros_args', nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


if __name__ == '__main__':
    sys.exit(main())
