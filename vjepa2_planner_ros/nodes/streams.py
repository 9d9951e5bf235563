# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subscriptions to cameras and states, and what they have brought lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
import threading
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
    QoSCompatibility,
    QoSProfile,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from tf2_msgs.msg import TFMessage

from .stream_buffer import Stamped, StreamBuffer
from .transforms import Transforms
from ..messages.images import check_compressed, check_image, UNNAMED
from ..messages.input_settings import CameraSettings, FRAME_TOLERANCE, InputSettings
from ..messages.times import nanoseconds, to_stamp
from ..messages.transforms import to_pose

# Of the time between the frames of a context: the least distance of the frames that are kept.
FRAME_SPACING = 1 / 5
# Messages of the gripper's topic, and of /tf, that may queue up: an arm at 1 kHz may share it, and
# what is wanted must be among those that are kept, also after a second without reading.
QUEUE = 1000
FIXED = 'fixed frames'  # the part of /tf_static
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
POLL = 0.02  # s between looks whether a wait is to end


class Streams:
    """
    Subscribes to cameras and states and keeps their messages for a while.

    A part is the name of a stream: that of a camera, info_of(camera), 'pose' or 'gripper'. Hold
    changed while reading frames, infos, poses or grippers.
    """

    def __init__(self, node: Node, cameras: dict[str, CameraSettings], settings: InputSettings):
        self._node, self._clock = node, node.get_clock()
        # One each: what is throttled for one camera is not for another.
        self._loggers = {name: node.get_logger().get_child(name) for name in cameras}
        self._joint = settings.gripper.joint
        self.changed = threading.Condition()
        self.frames = {name: StreamBuffer() for name in cameras}
        self.infos = {name: StreamBuffer() for name in cameras}
        self.poses, self.grippers = StreamBuffer(), StreamBuffer()
        self.period = 0.0  # s between the frames of a context
        self.topics: dict[str, str] = {}  # resolved name, by part
        self.dropped: Counter[str] = Counter()  # frames that could not be used, by camera
        self._qos: dict[str, QoSProfile] = {}  # by part
        self._types: dict[str, str] = {}  # by part, as pkg/msg/Type
        self._joints: set[str] = set()  # on the gripper's topic, until its own is there
        self._refusals: dict[str, str] = {}  # why the newest message was dropped, by part
        self.prepare(settings)
        for name, camera in cameras.items():
            kind = CompressedImage if camera.compressed else Image
            self._subscribe(
                name, kind, camera.topic, lambda message, name=name: self._on_frame(name, message)
            )
            if any(camera.mount):
                keep = partial(self._keep, self.infos[name])
                self._subscribe(info_of(name), CameraInfo, camera.info_topic, keep)
        if settings.ee_frame:
            self._subscribe_transforms(settings)
        else:
            self._subscribe(
                'pose', PoseStamped, settings.pose_topic, partial(self._keep, self.poses)
            )
        self._subscribe(
            'gripper', JointState, settings.gripper.topic, self._on_gripper, depth=QUEUE, raw=True
        )

    def prepare(self, settings: InputSettings, frames: int = 1, period: float = 0.0) -> None:
        """Keep what a context of some frames, period [s] apart, will need."""
        past = (frames - 1) * period
        with self.changed:
            self.period = period
            for kept in self.frames.values():
                kept.spacing = round(FRAME_SPACING * period * 1e9)
                kept.span = round((past + FRAME_TOLERANCE * period) * 1e9) if past else 0
            for kept, skew in (
                (self.poses, settings.max_skew),
                (self.grippers, settings.gripper.max_age),
            ):
                kept.span = round((past + settings.max_image_age + skew) * 1e9)

    def wait_until(
        self, condition: Callable[[], bool], timeout: float, check: Callable[[], object]
    ) -> None:
        """
        Wait until a condition holds, timeout [s] at most.

        :param check: called while waiting; what it raises ends the wait.
        """
        until = time.monotonic() + timeout
        with self.changed:
            while not condition() and time.monotonic() < until:
                self.changed.wait(POLL)
                check()

    def now(self) -> int:
        """Return the ROS time [ns]."""
        return int(self._clock.now().nanoseconds)

    def age(self, item: Stamped) -> float:
        """Return the age [s] of a Stamped; below 0 if its stamp is in the future."""
        return (self.now() - item.stamp) * 1e-9

    def age_of_frame(self, camera: str) -> float | None:
        """Return the age [s] of a camera's newest frame, None if there is none."""
        with self.changed:
            newest = self.frames[camera].newest
            return None if newest is None else self.age(newest)

    def age_of_state(self) -> float | None:
        """Return the age [s] of the older of newest pose and newest gripper, None if missing."""
        with self.changed:
            pose, gripper = self.poses.newest, self.grippers.newest
            if pose is None or gripper is None:
                return None
            return max(self.age(pose), self.age(gripper))

    def why_silent(self, part: str) -> str:
        """Return why a stream may bring nothing; '' if its publishers look right."""
        if self._refusals.get(part):
            fixed = self._why_no_message(FIXED) if part == 'pose' and FIXED in self.topics else ''
            fixed = fixed and f", and '{self.topics[FIXED]}'{fixed}"
            return f': what arrives cannot be used, {self._refusals[part]}{fixed}'
        return self._why_no_message(part)

    def why_no_clock(self) -> str:
        """Return why there is no time to compare stamps with; '' if there is."""
        simulated = getattr(self._clock, 'ros_time_is_active', False)
        if simulated and self._clock.now().nanoseconds == 0:
            return "use_sim_time = True, but no time has arrived on '/clock'"
        return ''

    def _why_no_message(self, part: str) -> str:
        publishers = self._node.get_publishers_info_by_topic(self.topics[part])
        if not publishers:
            return ': nobody publishes it'
        fitting = [item for item in publishers if item.topic_type == self._types[part]]
        if not fitting:
            return self._why_wrong_type(part, publishers[0])
        for publisher in fitting:
            fit, reason = qos_check_compatible(publisher.qos_profile, self._qos[part])
            if fit == QoSCompatibility.ERROR:
                return f': the QoS of {publisher.node_name} does not fit: {reason}'
        return ''

    def _why_wrong_type(self, part: str, publisher: Any) -> str:
        hint = f'; set camera.{part}.compressed' if part in self.frames else ''
        if {publisher.topic_type, self._types[part]} != {_type_name(Image), _COMPRESSED}:
            hint = ''
        return (
            f': {publisher.node_name} publishes {publisher.topic_type} there: allowed: '
            f'{self._types[part]}{hint}'
        )

    def _subscribe_transforms(self, settings: InputSettings) -> None:
        bases = [settings.base_frame, *filter(None, settings.base_frame_aliases)]
        transforms = Transforms(bases, settings.ee_frame, self._stamp)
        keep = partial(self._on_transforms, transforms, settings.base_frame)
        self._subscribe('pose', TFMessage, '/tf', keep, depth=QUEUE, raw=True)
        self._subscribe(FIXED, TFMessage, '/tf_static', transforms.add_fixed, LATCHED)

    def _subscribe(
        self,
        part: str,
        kind: Any,
        topic: str,
        callback: Any,
        qos: QoSProfile | None = None,
        depth: int = 1,
        raw: bool = False,
    ) -> None:
        qos = qos or QoSProfile(
            depth=depth,
            reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability,
        )
        subscription = self._node.create_subscription(
            kind,
            topic,
            callback,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=raw,
        )
        self._types[part] = _type_name(kind)
        self.topics[part], self._qos[part] = subscription.topic_name, subscription.qos_profile

    def _keep(self, kept: StreamBuffer, message: Any, position: float = 0.0) -> None:
        with self.changed:
            kept.add(Stamped(message, self._stamp(message), position))
            self.changed.notify_all()

    def _on_frame(self, camera: str, message: Any) -> None:
        try:
            if isinstance(message, Image):
                check_image(message)
            else:
                check_compressed(message)
        except ValueError as error:
            self.dropped[camera] += 1
            self._refusals[camera] = str(error)
            self._loggers[camera].warning(
                f"Frame on '{self.topics[camera]}' dropped: {error}", throttle_duration_sec=10.0
            )
            return
        self._refusals.pop(camera, None)
        if getattr(message, 'encoding', '') in UNNAMED:
            self._loggers[camera].warning(
                f"'{self.topics[camera]}': image.encoding = {message.encoding!r} does not name "
                f'the channels: taken for {UNNAMED[message.encoding]}',
                once=True,
            )
        self._keep(self.frames[camera], message)

    def _on_gripper(self, queued: list[bytes]) -> None:
        """Keep the newest JointState with the gripper's joint; the arm may share the topic."""
        wanted = self._joint.encode()
        for data in reversed(queued):
            if wanted not in data and self.grippers.newest is not None:
                continue  # most messages of an arm; unpacking each would cost a plan its speed
            message = deserialize_message(data, JointState)
            names = list(message.name)
            if self._joint in names:
                index = names.index(self._joint)
                known = index < len(message.position)
                self._refusals.pop('gripper', None)
                self._keep(
                    self.grippers, message, message.position[index] if known else float('nan')
                )
                return
            self._joints.update(names)
            self._refusals['gripper'] = f'its joints are {", ".join(sorted(self._joints))}'

    def _on_transforms(self, transforms: Transforms, base: str, queued: list[bytes]) -> None:
        """Keep the pose of the end effector that the frames of /tf lead to."""
        transforms.add(queued)
        try:
            stamp, rigid = transforms.pose()
        except ValueError as error:
            self._refusals['pose'] = str(error)
            return
        self._refusals['pose'] = transforms.complaint()
        message = PoseStamped(pose=to_pose(rigid))
        message.header.frame_id, message.header.stamp = base, to_stamp(stamp)
        with self.changed:
            self.poses.add(Stamped(message, stamp))
            self.changed.notify_all()

    def _stamp(self, message: Any) -> int:
        """Return the stamp [ns] of a message; of a source without a clock, the time of arrival."""
        return nanoseconds(message.header.stamp) or self._clock.now().nanoseconds


def _type_name(kind: Any) -> str:
    return f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}'


_COMPRESSED = _type_name(CompressedImage)


def info_of(camera: str) -> str:
    """Return the part of a camera's CameraInfo."""
    return f'{camera} info'
