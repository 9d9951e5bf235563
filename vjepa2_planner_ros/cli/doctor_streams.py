# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What doctor hears on a planner's streams, and which of it a plan would fail for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from ..messages.images import check_compressed, check_image
from ..messages.input_settings import GripperSettings
from ..messages.states import check_frame, to_closedness, to_state
from ..messages.times import nanoseconds
from ..nodes.settings import Settings
from ..nodes.subscription_reader import SubscriptionReader

LISTEN = 2.0  # s
LONGEST = 5.0  # s, for streams that are slower
ANSWER = 3.0  # s; the planner's parameters
DEPTH = 300  # messages between two looks: those of an arm at 1 kHz, of a machine that stands still
KINDS = {
    f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}': kind
    for kind in (Image, CompressedImage, CameraInfo, PoseStamped, JointState)
}
IMAGE, COMPRESSED, _, POSE, GRIPPER = KINDS
CAMERAS = (IMAGE, COMPRESSED)
NEEDED = ('base_frame', 'base_frame_aliases', 'max_image_age', 'max_state_age', 'max_skew')
OF_GRIPPER = ('joint', 'open_position', 'closed_position', 'max_age')


@dataclass
class Stream:
    """The messages of a topic that arrived."""

    kind: str  # as pkg/msg/Type
    newest: Any = None
    arrivals: list[float] = field(default_factory=list)  # of time.monotonic() [s]
    stamps: list[int] = field(default_factory=list)  # ns
    age: float = 0.0  # s, of the newest when it arrived
    joints: set[str] = field(default_factory=set)  # of messages without the gripper's joint

    @property
    def rate(self) -> float:
        """Return messages a second, 0 if there were not two."""
        first, last = self.arrivals[:1], self.arrivals[-1:]
        return (len(self.arrivals) - 1) / (last[0] - first[0]) if first != last else 0.0


def settings_of(node: Node, planner: str) -> Settings | None:
    """Return those settings of a planner that its streams are checked by; None if it is mute."""
    names = [*NEEDED, *(f'gripper.{name}' for name in OF_GRIPPER), 'use_sim_time']
    client: Any = node.create_client(GetParameters, f'{planner}/get_parameters')
    try:
        if not client.wait_for_service(ANSWER):
            return None
        answer = client.call_async(GetParameters.Request(names=names))
        until = time.monotonic() + ANSWER
        while not answer.done() and time.monotonic() < until:
            time.sleep(0.02)
        if not answer.done():
            return None
    finally:
        node.destroy_client(client)
    found = map(parameter_value_to_python, answer.result().values)
    values: dict[str, Any] = dict(zip(names, found))
    node.set_parameters([Parameter('use_sim_time', value=bool(values['use_sim_time']))])
    gripper = GripperSettings(**{name: values[f'gripper.{name}'] for name in OF_GRIPPER})
    fields = {name: values[name] for name in NEEDED}
    aliases = tuple(fields.pop('base_frame_aliases'))
    return Settings(gripper=gripper, base_frame_aliases=aliases, **fields)


def listen(node: Node, kinds: dict[str, str], joint: str) -> dict[str, Stream]:
    """
    Return {topic: Stream} of what arrives within LISTEN, or LONGEST where not two came.

    :param kinds: {topic: type}, of KINDS.
    :param joint: of JointStates, only those with this joint count.
    """
    reader = SubscriptionReader()
    qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
    streams, subscriptions = {}, []
    for topic, kind in kinds.items():
        stream = streams[topic] = Stream(kind)

        def keep(message: Any, stream: Stream = stream) -> None:
            _keep(stream, message, joint, node)

        subscriptions.append(
            node.create_subscription(KINDS[kind], topic, keep, qos, callback_group=reader)
        )
    reader.start(node)
    began = time.monotonic()
    while time.monotonic() < began + LONGEST:
        time.sleep(0.1)
        heard = all(len(stream.arrivals) > 1 for stream in streams.values())
        if heard and time.monotonic() > began + LISTEN:
            break
    reader.stop()
    for subscription in subscriptions:
        node.destroy_subscription(subscription)
    return streams


def _keep(stream: Stream, message: Any, joint: str, node: Node) -> None:
    if stream.kind == GRIPPER and joint not in message.name:
        stream.joints.update(message.name)
        return
    now = node.get_clock().now().nanoseconds
    stamp = nanoseconds(message.header.stamp) or now
    stream.newest, stream.age = message, (now - stamp) * 1e-9
    stream.arrivals.append(time.monotonic())
    stream.stamps.append(stamp)


def skew(stream: Stream, frames: Iterable[Stream]) -> float | None:
    """
    Return the median time [s] from the newest frame to the nearest state then, None if unknown.

    Looked at whenever a state arrives, as a plan does that waits for the two to match.
    """
    apart = [_skew(stream, camera) for camera in frames if camera.stamps and stream.stamps]
    return max((value for value in apart if value is not None), default=None)


def _skew(stream: Stream, camera: Stream) -> float | None:
    stamps, found = np.array(stream.stamps), []
    newest = np.searchsorted(camera.arrivals, stream.arrivals, side='right') - 1
    for count, index in enumerate(newest, 1):
        # What came before doctor listened may have been nearer to a frame that is older.
        if index >= 0 and stamps[0] <= camera.stamps[index]:
            found.append(np.abs(stamps[:count] - camera.stamps[index]).min())
    return float(np.median(found)) * 1e-9 if found else None


def facts(stream: Stream, apart: float | None, settings: Settings) -> str:
    """Return rate, age, content and skew of a stream as text."""
    if stream.newest is None:
        return 'nothing arrives'
    message = stream.newest
    content = ''
    if stream.kind in CAMERAS:
        content = str(getattr(message, 'encoding', getattr(message, 'format', '')))
        if hasattr(message, 'width'):
            content += f' {message.width} x {message.height}'
    elif stream.kind == GRIPPER:
        content = settings.gripper.joint
    return ', '.join(
        part
        for part in (
            f'{stream.rate:.3g} Hz',
            f'{stream.age:.3f} s old',
            content,
            f'frame {message.header.frame_id!r}',
            '' if apart is None else f'{apart:.3f} s from the frames',
        )
        if part
    )


def problem(stream: Stream, apart: float | None, settings: Settings) -> str:
    """Return what a plan would fail for, and what to do; '' if nothing is wrong."""
    if stream.newest is None:
        if stream.joints:
            found = ', '.join(sorted(stream.joints))
            return f'gripper.joint = {settings.gripper.joint!r}: allowed: {found}'
        return 'start its driver; if it runs, see shared memory and net.core.rmem_max above'
    of_gripper = ('gripper.max_age', settings.gripper.max_age)
    name, limit = {POSE: ('max_state_age', settings.max_state_age), GRIPPER: of_gripper}.get(
        stream.kind, ('max_image_age', settings.max_image_age)
    )
    if abs(stream.age) > limit:
        return f'allowed: {name} = {limit:g} s; synchronise the clocks, or raise it'
    name, limit = of_gripper if stream.kind == GRIPPER else ('max_skew', settings.max_skew)
    if apart is not None and apart > limit:
        return f'allowed: {name} = {limit:g} s from the frames; synchronise clocks, or raise it'
    try:
        _check(stream, settings)
    except ValueError as error:
        return str(error)
    return ''


def _check(stream: Stream, settings: Settings) -> None:
    """Raise the ValueError that a plan raises for the newest message."""
    message = stream.newest
    if stream.kind == IMAGE:
        check_image(message)
    elif stream.kind == COMPRESSED:
        check_compressed(message)
    elif stream.kind == POSE:
        check_frame(message.header.frame_id, settings, 'pose')
        to_state(message.pose, 0.0, 'pose')
    elif stream.kind == GRIPPER:
        index = list(message.name).index(settings.gripper.joint)
        known = index < len(message.position)
        to_closedness(message.position[index] if known else float('nan'), settings.gripper)
