# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The goal picture of a command: a file, or what a topic has."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
import threading

import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ..messages.images import to_rgb
from ..messages.pictures import read_picture
from ..nodes.process import spinning


def add_goal_options(parser: ArgumentParser):
    """Add --goal, --goal-topic and --wait; return the group, one of which is required."""
    parser.add_argument(
        '--wait',
        type=float,
        default=10.0,
        metavar='S',
        help='how long to wait for the planner and a goal topic [s]',
    )
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument('--goal', metavar='FILE', help='picture of the goal, any usual format')
    goal.add_argument('--goal-topic', metavar='TOPIC', help='sensor_msgs/Image topic with it')
    return goal


def goal_picture(options: Namespace) -> np.ndarray:
    """Return the picture, uint8 [H, W, 3] RGB; OSError or ValueError if there is none."""
    if options.goal:
        return read_picture(options.goal)
    return to_rgb(image_from_topic(options.goal_topic, options.wait))


def image_from_topic(topic: str, timeout: float) -> Image:
    """Return the next Image on a topic, or the latched one; OSError if none comes within [s]."""
    node = rclpy.create_node('plan_goal')
    arrived, images = threading.Event(), []

    def keep(image):
        images.append(image)
        arrived.set()

    try:
        # A latched picture reaches only subscriptions that ask for it, and those no other ones.
        for durability, reliability in (
            (DurabilityPolicy.VOLATILE, ReliabilityPolicy.BEST_EFFORT),
            (DurabilityPolicy.TRANSIENT_LOCAL, ReliabilityPolicy.RELIABLE),
        ):
            qos = QoSProfile(depth=1, durability=durability, reliability=reliability)
            node.create_subscription(Image, topic, keep, qos)
        with spinning(node):
            arrived.wait(timeout)
    finally:
        node.destroy_node()
    if not images:
        raise OSError(f"no image on '{topic}' within {timeout:g} s")
    return images[0]
