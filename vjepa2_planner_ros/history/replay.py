# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publish recorded plans once more, in the rhythm in which they were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
import time

import rclpy
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile

from . import bag
from .schemas import require_fields
from .store import id_of
from .topics import LIVE, SEARCH, TYPES

DELIVERY = Duration(seconds=5)  # for the last messages to arrive


def replay(
    folder: Path,
    publish: Callable[[bag.Item], None],
    wait: Callable[[float], bool],
    rate: float = 1.0,
) -> None:
    """
    Publish what a recording holds of the planner's topics.

    :param publish: called with each bag Item when its time has come.
    :param wait: called with the seconds until then, at least once an iteration; False = stop.
    :param rate: how many times as fast as it was, above 0.
    :raise ValueError: it was recorded with other message definitions.
    """
    for topic in bag.topics(folder):
        require_fields(topic, exact=topic.role in LIVE)
    began, first = time.monotonic(), None
    for item in bag.read(folder, LIVE):
        first = item.time if first is None else first
        due = began + (item.time - first) * 1e-9 / rate
        if not wait(max(due - time.monotonic(), 0.0)):
            break
        publish(item)


def count_iterations(folder: Path) -> int:
    """Return how many iterations a recording holds."""
    return sum(1 for _ in bag.read(folder, (SEARCH,)))


def replay_by_command(folders: Sequence[Path], rate: float, step: bool, settle: float) -> None:
    """
    Publish recorded plans on the topics that they were recorded from; print each iteration.

    ROS is initialised. The end of the input stops it.

    :param folders: one or more, to be published one after the other.
    :param rate: times as fast as it was.
    :param step: wait for Enter before each iteration instead of keeping time.
    :param settle: time for subscribers to find the topics first [s].
    """
    node = rclpy.create_node('history')
    try:
        topics = set().union(*map(bag.topics, folders))
        publishers = {  # a plan may hold topics that another does not
            (topic.name, topic.role): _publisher(node, topic)
            for topic in topics
            if topic.role in LIVE
        }
        time.sleep(settle)
        with suppress(EOFError):
            for number, folder in enumerate(folders, 1):
                if len(folders) > 1:
                    print(f'plan {number} of {len(folders)}: {id_of(folder)[:8]}', flush=True)
                _replay(folder, publishers, rate, step)
        for publisher in publishers.values():
            publisher.wait_for_all_acked(DELIVERY)
    finally:
        node.destroy_node()


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
        publishers[item.topic.name, item.topic.role].publish(item.data)

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
