# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What doctor asks a running planner: its diagnostics, and who publishes to its topics."""

from __future__ import annotations

from collections.abc import Iterator
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility
from rclpy.topic_endpoint_info import TopicEndpointInfo

from .doctor_streams import (
    CAMERAS,
    facts,
    GRIPPER,
    KINDS,
    listen,
    POSE,
    problem,
    settings_of,
    skew,
)
from ..nodes.settings import Settings

SUFFIX = ': planner'
NO_STREAMS = ('/parameter_events', '/clock')


def heard(node: Node, wait: float) -> dict[str, DiagnosticStatus]:
    """Return {full name of a node: its newest status} of the planners heard within wait [s]."""
    found: dict[str, DiagnosticStatus] = {}

    def keep(array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.endswith(SUFFIX):
                found[status.name.removesuffix(SUFFIX)] = status

    subscription = node.create_subscription(DiagnosticArray, '/diagnostics', keep, 10)
    time.sleep(wait)  # a planner tells of itself once a second; one beside it may come later
    node.destroy_subscription(subscription)
    return dict(sorted(found.items()))


def stream_lines(node: Node, planner: str) -> Iterator[tuple[str, str, str]]:
    """Yield (level, name, text) of every topic that a planner subscribes to."""
    settings = settings_of(node, planner)
    if settings is None:
        text = f'{planner} does not answer for its parameters: the defaults are taken'
        yield 'WARN', '  parameters', text
        settings = Settings()
    namespace, _, name = planner.rpartition('/')
    subscribed = node.get_subscriber_names_and_types_by_node(name, namespace or '/')
    topics = {topic: kind for topic, (kind, *_) in sorted(subscribed) if topic not in NO_STREAMS}
    wrong = {topic: _why_unheard(node, planner, topic, kind) for topic, kind in topics.items()}
    heard = {topic: kind for topic, kind in topics.items() if kind in KINDS and not wrong[topic]}
    streams = listen(node, heard, settings.gripper.joint)
    frames = [stream for stream in streams.values() if stream.kind in CAMERAS]
    for topic, kind in topics.items():
        if topic == '/tf_static' and not node.count_publishers(topic):
            yield 'OK', topic, f'{kind}: nobody publishes; no frame is fixed'
            continue
        if wrong[topic]:
            yield 'FAIL', topic, wrong[topic]
            continue
        writers = ' and '.join(map(_name, node.get_publishers_info_by_topic(topic)))
        text, failure = f'{kind} from {writers}, QoS matches', ''
        if topic in streams:
            stream = streams[topic]
            apart = skew(stream, frames) if kind in (POSE, GRIPPER) else None
            text += f', {facts(stream, apart, settings)}'
            failure = problem(stream, apart, settings)
        yield ('FAIL', topic, f'{text}: {failure}') if failure else ('OK', topic, text)


def _why_unheard(node: Node, planner: str, topic: str, kind: str) -> str:
    """Return why nothing can arrive on a topic of a planner, and what to do; '' if it can."""
    writers = node.get_publishers_info_by_topic(topic)
    if not writers:
        return f'{kind}: nobody publishes; start the driver, or remap the topic'
    for writer in writers:
        if writer.topic_type != kind:
            other = writer.topic_type
            return f'{_name(writer)} publishes {other}, the planner reads {kind}: remap it'
        for reader in node.get_subscriptions_info_by_topic(topic):
            if _name(reader) != planner:
                continue
            match, reason = qos_check_compatible(writer.qos_profile, reader.qos_profile)
            if match == QoSCompatibility.ERROR:
                text = f'{kind}: the QoS of {_name(writer)} does not match: {reason}'
                return f'{text}; change that of {_name(writer)}'
    return ''


def _name(info: TopicEndpointInfo) -> str:
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'
