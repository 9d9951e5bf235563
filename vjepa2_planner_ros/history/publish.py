# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Replay a recorded plan from a process of its own."""

from contextlib import suppress
import time

import rclpy
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from . import bag
from .replay import replay
from .topics import LIVE, SEARCH, TYPES

DELIVERY = Duration(seconds=5)  # for the last messages to arrive


def publish_plan(folder, rate, step, settle):
    """
    Publish a recording on the topics that it was recorded from; print each iteration.

    :param rate: times as fast as it was.
    :param step: wait for Enter before each iteration instead of keeping time; the end of the
        input stops it.
    :param settle: time for subscribers to find the topics first [s].
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('plans')
    try:
        publishers = {
            topic: _publisher(node, topic)
            for topic in {item.topic for item in bag.read(folder, LIVE)}
        }
        time.sleep(settle)
        with suppress(EOFError):
            _replay(folder, publishers, rate, step)
        for publisher in publishers.values():
            publisher.wait_for_all_acked(DELIVERY)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _replay(folder, publishers, rate, step):
    iterations = 0
    if step:
        input('Enter for iteration 1 ')

    def publish(item):
        nonlocal iterations
        if item.topic.role == SEARCH:
            iterations += 1
            if step and iterations > 1:
                input(f'Enter for iteration {iterations} ')
            print(f'iteration {iterations}', flush=True)
        publishers[item.topic].publish(item.data)

    def wait(delay):
        time.sleep(0.0 if step else delay)
        return True

    replay(folder, publish, wait, rate)


def _publisher(node, topic):
    durability = DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE
    return node.create_publisher(
        TYPES[topic.role],
        topic.name,
        QoSProfile(depth=1 if topic.latched else 10, durability=durability),
    )
