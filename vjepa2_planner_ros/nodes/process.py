# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start a node as a process and end it on SIGINT or SIGTERM within two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import faulthandler
import os
import random
import signal
import socket
import sys
from tempfile import TemporaryDirectory
import threading
import time
import traceback
from typing import Any

import rclpy
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from .params_file import check_args, is_for, params_files, readable_args

# Every goal that runs and every service that waits for the model takes one: plan, landscape,
# loading, replay, energy. The others serve cancels, parameters and services.
THREADS = 10
ANSWERING = 0.2  # s in which clients still ask for the results of goals that were just accepted
SHUTDOWN = 2.0  # s for the middleware to end
STUCK = 5.0  # s until the process is ended from outside Python


def run(make_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """
    Spin a node that has stop(timeout) until a signal, then end the process with code 0.

    Return 1 if the node cannot be made. The code is also 1, with a traceback, if the middleware
    does not end and holds Python's lock: Fast DDS 3.2.3 as built for PyPI may do so for ever, if
    another participant leaves at that moment.
    """
    started = start(make_node, args)
    if started is None:
        return 1
    node, asked = started
    executor = MultiThreadedExecutor(num_threads=THREADS)
    executor.add_node(node)
    ended = threading.Event()
    spinner = threading.Thread(target=spin_until, args=(executor, node, ended), daemon=True)
    spinner.start()
    asked.wait()
    at_rest = node.stop(timeout=1.0)
    time.sleep(ANSWERING)
    ended.set()
    executor.wake()
    spinner.join(0.3)
    # Otherwise a thread is in a call that cannot be interrupted, such as loading a model.
    if at_rest and not spinner.is_alive():
        faulthandler.dump_traceback_later(STUCK, exit=True)
        leaving = threading.Thread(target=_leave, args=(executor, node), daemon=True)
        leaving.start()
        leaving.join(SHUTDOWN)
        if leaving.is_alive():  # others find out that the node is gone, only later
            print(f'The middleware has not ended within {SHUTDOWN:g} s: left', file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the normal exit, which unloads torch module by module, takes longer than this


def _leave(executor: Executor, node: Any) -> None:
    """Tell the other participants that the node goes."""
    executor.shutdown(timeout_sec=0.3)
    node.destroy_node()
    rclpy.try_shutdown()


def start(
    make_node: Callable[[], Any], args: list[str] | None = None
) -> tuple[Any, threading.Event] | None:
    """
    Initialise ROS and make a node; return it and an event that SIGINT and SIGTERM set.

    None, with a line on stderr, if the node cannot be made.
    """
    # rclpy's handlers would shut the context down at once, before the client of the running goal
    # has its result; so the signals are handled here.
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    given = sys.argv if args is None else args
    try:
        with TemporaryDirectory() as folder:
            arguments = readable_args(given, folder)
            check_args(given)
            rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        _warn_of_files(node, params_files(given))
        return node, asked
    except Exception as error:
        print(f'The node cannot start: {" ".join(str(error).split())}', file=sys.stderr)
        rclpy.try_shutdown()
        return None


def _warn_of_files(node: Any, files: list[str]) -> None:
    """Warn of parameter files that are for other nodes alone, which a launch file may give."""
    for file in files:
        if not is_for(file, node.get_fully_qualified_name()):
            node.get_logger().warning(
                f'params_file = {file!r}: nothing in it is for {node.get_fully_qualified_name()}'
            )


def spin_until(executor: Executor, node: Node, ended: threading.Event) -> None:
    """
    Spin until the event ended is set, whatever a callback raises.

    Not by executor.spin(): its shutdown from another thread destroys what callbacks still use.
    """
    while not ended.is_set():
        try:
            executor.spin_once(timeout_sec=0.2)
        except Exception:
            # An error in one callback must not end the server.
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=1.0)
    time.sleep(0.05)  # for the callbacks that are under way in the executor's threads


@contextmanager
def spinning(node: Node) -> Iterator[Executor]:
    """
    Spin a node on a separate thread; yield its executor.

    For commands that Ctrl-C may end: it raises KeyboardInterrupt on the main thread, and if rclpy
    is taking a message there, that becomes a TypeError and the message is lost.
    """
    executor, ended = SingleThreadedExecutor(context=node.context), threading.Event()
    executor.add_node(node)
    thread = threading.Thread(target=spin_until, args=(executor, node, ended), daemon=True)
    thread.start()
    try:
        yield executor
    finally:
        ended.set()
        executor.wake()
        thread.join(5.0)
        executor.shutdown(timeout_sec=2.0)


def free_domain() -> int:
    """Return a ROS domain whose discovery port no process on this machine uses."""
    # Up to 101: beyond it the ports of a domain overlap the ephemeral ports of Linux.
    for domain in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain))
                return domain
            except OSError:
                continue
    raise TimeoutError('every ROS domain from 1 to 101 is in use')
