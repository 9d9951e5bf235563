# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The goal picture of a command: a file, or what a topic has."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
import sys
import threading
import time

import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from .common import QUIET
from ..client.bare_node import bare_node
from ..client.goal_client import check_name
from ..messages.images import compressed_to_rgb, to_rgb
from ..messages.pictures import read_picture
from ..nodes.process import spinning

KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


def add_goal_options(parser: ArgumentParser):
    """Add --goal, --goal-topic and --wait; return the group, one of which is required."""
    parser.add_argument(
        '--wait',
        type=float,
        default=120.0,
        metavar='S',
        help='how long to wait for the planner and a goal topic [s] (default: %(default)g)',
    )
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument('--goal', metavar='FILE', help='picture of the goal, any usual format')
    goal.add_argument(
        '--goal-topic', metavar='TOPIC', help='topic with it, Image or CompressedImage'
    )
    return goal


def goal_picture(options: Namespace) -> np.ndarray:
    """Return the picture, uint8 [H, W, 3] RGB; OSError or ValueError if there is none."""
    if options.goal:
        return read_picture(options.goal)
    image = image_from_topic(options.goal_topic, options.wait)
    return to_rgb(image) if isinstance(image, Image) else compressed_to_rgb(image)


def image_from_topic(topic: str, timeout: float) -> Image | CompressedImage:
    """
    Return the next picture on a topic, or the latched one.

    After QUIET s it says on stderr what it waits for. OSError if none comes within timeout [s],
    ValueError if the topic is no name or has another type.
    """
    check_name('--goal-topic', topic)
    node = bare_node('goal_picture')
    arrived, images = threading.Event(), []
    until, said = time.monotonic() + timeout, ''
    quiet = time.monotonic() + QUIET

    def say(text):
        nonlocal said
        if text != said and time.monotonic() > quiet:
            print(f"waiting for a picture on '{name}': {text}", file=sys.stderr, flush=True)
            said = text

    def keep(image):
        images.append(image)
        arrived.set()

    try:
        with spinning(node):
            name = node.resolve_topic_name(topic)
            while time.monotonic() < until:
                if publishers := node.get_publishers_info_by_topic(name):
                    kind, qos = _kind(topic, publishers[0]), _qos(publishers[0])
                    node.create_subscription(kind, topic, keep, qos)
                    break
                say('nothing publishes it')
                time.sleep(0.05)
            while time.monotonic() < until and not arrived.wait(0.05):
                say('what publishes it has sent none yet')
    finally:
        node.destroy_node()
    if not images:
        raise OSError(f"no image on '{topic}' within {timeout:g} s")
    return images[0]


def _kind(topic, publisher):
    if publisher.topic_type not in KINDS:
        allowed = ' or '.join(KINDS)
        raise ValueError(f"goal-topic '{topic}' = {publisher.topic_type}: allowed: {allowed}")
    return KINDS[publisher.topic_type]


def _qos(publisher):
    """Return the QoS that a publisher offers: another makes cameras log a warning."""
    offered = publisher.qos_profile
    return QoSProfile(depth=1, durability=offered.durability, reliability=offered.reliability)
