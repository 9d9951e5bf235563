# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time what is not planning: importing, loading, starting the node, and ROS around a plan."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
import os
from statistics import median
import subprocess
import sys
from time import perf_counter

IMPORT = 'from time import perf_counter as now; began = now(); import {}; print(now() - began)'
LOAD = (
    'from time import perf_counter as now; '
    'from vjepa2_planner_ros.world_model import load_world_model; began = now(); '
    "load_world_model('sim-panda-ac'); print(now() - began)"
)
ACTIVE = 'Goals are accepted'  # what the node logs then
PATIENCE = 60.0  # s


def measure(repeats: int = 3) -> dict[str, float]:
    """Return the median times [s], each taken in processes of their own."""
    programs = {
        'import vjepa2_planner_ros': IMPORT.format('vjepa2_planner_ros'),
        'import vjepa2_planner_ros.world_model': IMPORT.format('vjepa2_planner_ros.world_model'),
        'load sim-panda-ac': LOAD,
    }
    times = {
        title: median(_run(program) for _ in range(repeats)) for title, program in programs.items()
    }
    times['node active with sim-panda-ac'] = median(_start_node() for _ in range(repeats))
    return times


def _run(program) -> float:
    return float(
        subprocess.run(
            [sys.executable, '-c', program],
            check=True,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
        ).stdout
    )


def _start_node() -> float:
    """Return the time from starting the planner's process until it accepts goals."""
    from vjepa2_planner_ros.nodes.process import free_domain

    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, '-m', 'vjepa2_planner_ros.nodes.planner_node'],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={
            **os.environ,
            'ROS_DOMAIN_ID': str(free_domain()),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        },
    )
    try:
        for line in process.stdout:
            if ACTIVE in line:
                return perf_counter() - began
        raise RuntimeError('the planner ended before it was active')
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def ros_overhead(repeats: int = 15) -> dict[str, float]:
    """
    Return the median times [s] of small plans directly and through the action.

    A process of its own is the client: this one has had much to do.
    """
    with ProcessPoolExecutor(1, get_context('spawn')) as client:
        return client.submit(_ros_overhead, repeats).result()


def _ros_overhead(repeats):
    import rclpy
    from tools.soak import latency
    from tools.soak.robot import Robot
    from tools.soak.scenarios import PACES
    from tools.soak.server import Server
    from vjepa2_planner_ros.nodes.process import free_domain

    model = 'sim-panda-ac'
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    with ExitStack() as stack:
        server = stack.enter_context(Server(model, {}))
        rclpy.init(args=[])
        stack.callback(rclpy.try_shutdown)
        robot = stack.enter_context(Robot(0))
        robot.wait_until_ready(server.check)
        times = latency.overhead(robot, PACES[model], model, repeats)
        server.end()
    return times
