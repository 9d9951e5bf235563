# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that exist only while somebody looks."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

LINGER = 5.0  # s after the last look
PICTURES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}


class OnDemand:
    """A topic that is subscribed to while look() is called, and LINGER longer."""

    def __init__(self, node: Node, kind: Any, topic: str, qos: Any, keep: Callable[[Any], None]):
        self._node, self._kind, self._topic, self._qos = node, kind, topic, qos
        self._keep = keep
        self._lock = threading.Lock()
        self._until = 0.0
        self._subscription: Any = None

    def look(self) -> None:
        """Subscribe, unless it is done."""
        with self._lock:
            self._until = time.monotonic() + LINGER
            if self._subscription is None:
                self._subscription = self._node.create_subscription(
                    self._kind, self._topic, self._keep, self._qos
                )

    def expire(self) -> None:
        """Unsubscribe if nobody has looked for a while; called from time to time."""
        with self._lock:
            if self._subscription is not None and time.monotonic() > self._until:
                self._node.destroy_subscription(self._subscription)
                self._subscription = None


class Camera:
    """
    The newest frame of a camera of the planner, while somebody looks.

    :param planner: name of the planner's node, whose subscriptions tell the topics.
    """

    def __init__(self, node: Node, planner: str):
        self._node, self._planner = node, planner
        self._topics: dict[str, OnDemand] = {}
        self._frames: dict[str, tuple[float, Any]] = {}  # (when, message) by topic

    def topics(self) -> dict[str, Any]:
        """Return {topic: message type} of the pictures that the planner listens to."""
        namespace = self._node.get_namespace()
        try:
            found = self._node.get_subscriber_names_and_types_by_node(self._planner, namespace)
        except Exception:  # rclpy's NodeNameNonExistentError: no planner
            return {}
        return {name: PICTURES[kind] for name, (kind, *_) in found if kind in PICTURES}

    def look(self, topic: str = '') -> tuple[float, Any] | None:
        """
        Return (time.monotonic() of arrival, message) of the newest frame, None before the first.

        :param topic: '' = the planner's first; ValueError if the planner does not listen to it.
        """
        topics = self.topics()
        topic = topic or next(iter(topics), '')
        if topic not in topics:
            raise ValueError(
                'camera: the planner listens to no picture: allowed: a running planner'
                if not topics
                else f'camera = {topic!r}: allowed: {", ".join(topics)}'
            )
        if topic not in self._topics:

            def keep(message: Any) -> None:
                self._frames[topic] = time.monotonic(), message

            self._topics[topic] = OnDemand(
                self._node, topics[topic], topic, qos_profile_sensor_data, keep
            )
        self._topics[topic].look()
        return self._frames.get(topic)

    def expire(self) -> None:
        """Unsubscribe from what nobody looks at, and forget old frames."""
        for topic in self._topics.values():
            topic.expire()
        now = time.monotonic()
        for topic_name, (arrived, _) in list(self._frames.items()):
            if now - arrived > LINGER:
                self._frames.pop(topic_name, None)


def deep(depth: int) -> QoSProfile:
    """Return the QoS of a reliable topic of which so many messages may wait."""
    return QoSProfile(depth=depth)
