# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What doctor asks a running planner: its diagnostics, and who publishes to its topics."""

from __future__ import annotations

from collections.abc import Iterator
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility

SUFFIX = ': planner'
SETTLE = 0.3  # s; planners beside the first are heard within their period of 1 s at most
NO_STREAMS = ('/parameter_events', '/clock')


def heard(node: Node, wait: float) -> dict[str, DiagnosticStatus]:
    """Return {full name of a node: its newest status} of the planners heard within wait [s]."""
    found: dict[str, DiagnosticStatus] = {}

    def keep(array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.endswith(SUFFIX):
                found[status.name.removesuffix(SUFFIX)] = status

    subscription = node.create_subscription(DiagnosticArray, '/diagnostics', keep, 10)
    until = time.monotonic() + wait
    while time.monotonic() < until and not found:
        time.sleep(0.05)
    time.sleep(1.0 + SETTLE if found else 0.0)
    node.destroy_subscription(subscription)
    return dict(sorted(found.items()))


def stream_lines(node: Node, planner: str) -> Iterator[tuple[str, str, str]]:
    """Yield (level, name, text) of every topic that a planner subscribes to."""
    namespace, _, name = planner.rpartition('/')
    topics = node.get_subscriber_names_and_types_by_node(name, namespace or '/')
    for topic, (kind, *_) in sorted(topics):
        if topic in NO_STREAMS:
            continue
        readers = [
            info
            for info in node.get_subscriptions_info_by_topic(topic)
            if (info.node_name, info.node_namespace) == (name, namespace or '/')
        ]
        writers = node.get_publishers_info_by_topic(topic)
        if not writers:
            text = f'{kind}: nobody publishes; start the driver, or remap the topic'
            yield 'FAIL', topic, text
        for writer in writers:
            yield _pair(topic, kind, readers, writer)


def _pair(topic, kind, readers, writer) -> tuple[str, str, str]:
    source = f'{writer.node_namespace.rstrip("/")}/{writer.node_name}'
    if writer.topic_type != kind:
        text = f'{source} publishes {writer.topic_type}, the planner reads {kind}: remap it'
        return 'FAIL', topic, text
    for reader in readers:
        match, reason = qos_check_compatible(writer.qos_profile, reader.qos_profile)
        if match == QoSCompatibility.ERROR:
            text = f'{source}, {kind}: QoS does not match: {reason}; change that of {source}'
            return 'FAIL', topic, text
    return 'OK', topic, f'{source}, {kind}, QoS matches'
