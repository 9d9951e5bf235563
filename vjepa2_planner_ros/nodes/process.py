# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start a node as a process and end it on SIGINT or SIGTERM within two seconds."""

from contextlib import contextmanager
import faulthandler
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback

import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

# Every goal that runs and every service that waits for torch takes one: plan, landscape, loading,
# replay, energy. The others keep cancels, frames and states coming in.
THREADS = 10
ANSWERING = 0.2  # s in which the executor still sends the results of goals that were ended
LETTING_GO = 2.0  # s for the middleware to end


def run(make_node, args=None) -> int:
    """
    Spin a node that has stop(timeout) until a signal, then end the process with code 0.

    Return 1 if the node cannot be made. The code is 1, too, with a traceback, where the middleware
    does not let go of the node: Fast DDS 3.2.3 as built for PyPI may wait for ever, and with
    Python's lock, if another participant leaves at that moment.
    """
    # Torch's threads spin while they wait for each other. Where cameras and drivers want the same
    # cores that makes plans ten times slower. OpenMP reads this when torch is imported.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
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
    # Else a thread is inside a call that cannot be interrupted, such as loading a model.
    if at_rest and not spinner.is_alive():
        faulthandler.dump_traceback_later(LETTING_GO, exit=True)
        executor.shutdown(timeout_sec=0.3)
        node.destroy_node()
        rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # taking torch down module by module lasts longer than all of this


def start(make_node, args=None):
    """
    Initialise ROS and make a node; return it and an event that SIGINT and SIGTERM set.

    None, with a line on stderr, if the node cannot be made.
    """
    # rclpy's handlers would shut the context down at once, in the middle of a callback, and
    # before the running goal's client has been told; so the signals are taken here.
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        return make_node(), asked
    except Exception as error:
        print(f'The node cannot start: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return None


def spin_until(executor, node, ended):
    """
    Spin until the event ended is set, whatever a callback raises.

    Not by executor.spin(): shutting it down from outside destroys what callbacks still use.
    """
    while not ended.is_set():
        try:
            executor.spin_once(timeout_sec=0.2)
        except Exception:
            # One callback's mistake must not take the whole server away.
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=1.0)
    time.sleep(0.05)  # for the callbacks that are under way in the executor's threads


@contextmanager
def spinning(node):
    """
    Spin a node on a thread of its own; yield its executor.

    For commands that Ctrl-C may end: it raises KeyboardInterrupt on the main thread, and where
    rclpy takes a message there, that comes out as a TypeError and the message is lost.
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


def free_domain():
    """Return a ROS domain of which nobody on this machine listens to the discovery port."""
    # Up to 101: beyond it the ports of a domain overlap those that Linux hands out.
    for domain in random.sample(range(1, 102), 101):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain))
                return domain
            except OSError:
                continue
    raise TimeoutError('every ROS domain from 1 to 101 is in use')
