# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera, the end-effector state that belongs to it, and the past."""

from collections import Counter
import math
import threading
import time

from geometry_msgs.msg import PoseStamped
from rclpy.qos import qos_check_compatible, qos_profile_sensor_data, QoSCompatibility, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from .errors import GoalError
from .stream_buffer import Stamped, StreamBuffer
from ..messages.error_codes import ErrorCode
from ..messages.images import check_compressed, check_image, picture
from ..messages.states import check_frame, to_closedness, to_state
from ..messages.times import nanoseconds

# Of the time between the frames of a context: how near together frames are kept, and how far one
# may be from where it should be.
FRAME_SPACING = 1 / 5
FRAME_TOLERANCE = 1 / 3
POLL = 0.02  # s between looks whether a wait is to end


class Observations:
    """Subscribes to cameras and states; keeps them a while, and hands out what is fresh."""

    def __init__(self, node, cameras, settings):
        self._node = node
        self._clock = node.get_clock()
        # One each: what is throttled for one camera is not for another.
        self._loggers = {name: node.get_logger().get_child(name) for name in cameras}
        self._joint = settings.gripper.joint
        self._arrived = threading.Condition()
        self._period = 0.0
        self._frames = {name: StreamBuffer() for name in cameras}
        self._poses, self._grippers = StreamBuffer(), StreamBuffer()
        self._cameras = cameras
        self._infos = {name: StreamBuffer() for name in cameras}
        self.prepare(settings, 0.0)
        self._topics, self._qos = {}, {}
        self.dropped = Counter()  # frames that could not be used, by camera
        self._refusals = {}  # why, the last time
        for name, camera in cameras.items():
            kind = CompressedImage if camera.compressed else Image
            self._subscribe(
                node,
                name,
                kind,
                camera.topic,
                lambda message, name=name: self._on_frame(name, message),
            )
            if any(camera.mount):
                self._subscribe(
                    node,
                    f'{name} info',
                    CameraInfo,
                    camera.info_topic,
                    lambda message, name=name: self._on_info(name, message),
                )
        self._subscribe(node, 'pose', PoseStamped, '~/pose', self._on_pose)
        self._subscribe(node, 'gripper', JointState, '~/gripper', self._on_gripper)

    def prepare(self, settings, period):
        """Keep what a context of settings.context_frames, period [s] apart, will need."""
        past = (settings.context_frames - 1) * period
        with self._arrived:
            self._period = period
            for kept in self._frames.values():
                kept.spacing = round(FRAME_SPACING * period * 1e9)
                kept.span = round((past + FRAME_TOLERANCE * period) * 1e9) if past else 0
            for kept in (self._poses, self._grippers):
                kept.span = round((past + settings.max_image_age + settings.max_skew) * 1e9)

    def wait(self, camera, with_state, settings, check):
        """
        Wait until what is needed is fresh, all of it at once; image_timeout at most.

        :param camera: whose frame is needed; None = no frame is.
        :param with_state: whether a state is.

        :param check: called while waiting; what it raises ends the wait.
        """
        needed = [] if camera is None else [(self._frames[camera], settings.max_image_age)]
        if with_state:
            needed += [(kept, settings.max_state_age) for kept in (self._poses, self._grippers)]
        self._wait_until(
            lambda: all(
                kept.newest is not None and abs(self._age(kept.newest)) <= max_age
                for kept, max_age in needed
            ),
            settings,
            check,
        )

    def frame(self, camera, settings):
        """
        Return (uint8 RGB [H, W, 3], stamp [ns]) of the newest frame.

        GoalError NO_IMAGE or IMAGE_STALE if it is not fresh; wait() waits for that.
        """
        with self._arrived:
            newest = self._frames[camera].newest
        if newest is None:
            raise GoalError(
                ErrorCode.NO_IMAGE,
                (
                    f"no image on '{self._topics[camera]}' within image_timeout = "
                    f'{settings.image_timeout:g} s{self._why_not(camera)}'
                ),
            )
        self._check_age(
            newest, settings.max_image_age, 'max_image_age', camera, ErrorCode.IMAGE_STALE
        )
        try:
            return picture(newest.message), newest.stamp
        except ValueError as error:  # a jpeg that is whole only at its start
            raise GoalError(
                ErrorCode.NO_IMAGE, (f"the frame on '{self._topics[camera]}' is damaged: {error}")
            ) from error

    def state(self, frame_stamp, settings):
        """
        Return the state [7] taken nearest to frame_stamp [ns]; the newest if that is None.

        GoalError NO_STATE, STATE_STALE, STREAMS_OUT_OF_SYNC or INVALID_STATE; see frame().
        """
        with self._arrived:
            newest = {'pose': self._poses.newest, 'gripper': self._grippers.newest}
            nearest = (
                newest
                if frame_stamp is None
                else {
                    'pose': self._poses.nearest(frame_stamp),
                    'gripper': self._grippers.nearest(frame_stamp),
                }
            )
        silent = [
            f"'{self._topics[part]}'{self._joint_hint(part)}{self._why_not(part)}"
            for part, item in newest.items()
            if item is None
        ]
        if silent:
            raise GoalError(
                ErrorCode.NO_STATE,
                (
                    f'no state within image_timeout = {settings.image_timeout:g} s on '
                    f'{" and on ".join(silent)}'
                ),
            )
        for part, item in newest.items():
            self._check_age(
                item, settings.max_state_age, 'max_state_age', part, ErrorCode.STATE_STALE
            )
        if frame_stamp is not None:
            for part, item in nearest.items():
                self._check_skew(item, part, frame_stamp, settings.max_skew)
        return _state(*nearest.values(), settings)

    def past(self, camera, stamp, settings):
        """
        Return (frame, state) pairs before the frame of a stamp [ns], oldest first.

        They lie the model's period apart and are settings.context_frames - 1 at most: fewer just
        after the start and after a gap in a stream.
        """
        pairs = []
        for steps in range(1, settings.context_frames):
            wanted = stamp - round(steps * self._period * 1e9)
            with self._arrived:
                frame = self._frames[camera].nearest(wanted)
                parts = [kept.nearest(frame.stamp) for kept in (self._poses, self._grippers)]
            if abs(frame.stamp - wanted) > FRAME_TOLERANCE * self._period * 1e9 or any(
                _skew(part, frame.stamp) > settings.max_skew for part in parts
            ):
                break
            try:
                pairs.insert(0, (picture(frame.message), _state(*parts, settings)))
            except (GoalError, ValueError):
                break  # damaged
        return pairs

    def hand_camera(self, name, shape, settings, check):
        """
        Return intrinsics (fx fy cx cy), mount [6] and plane height of a camera on the hand.

        :param shape: rows and columns of its frames.

        GoalError INVALID_SETTINGS if it is not on the hand or its intrinsics are of no use,
        NO_IMAGE if it has none by image_timeout; check as in wait.
        """
        camera = self._cameras[name]
        if not any(camera.mount):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                (
                    f'camera.{name}.mount = {list(camera.mount)}: allowed: the pose of a camera '
                    'on the hand, without which a model that is an encoder alone cannot plan'
                ),
            )
        intrinsics = camera.intrinsics
        if not any(intrinsics):
            info = self._infos[name]
            self._wait_until(lambda: info.newest is not None, settings, check)
            intrinsics = self._intrinsics(name, info.newest, shape)
        return intrinsics, camera.mount, camera.plane_height

    def _intrinsics(self, name, info, shape):
        topic, parameter = self._topics[f'{name} info'], f'camera.{name}.intrinsics'
        if info is None:
            raise GoalError(
                ErrorCode.NO_IMAGE,
                (
                    f"no CameraInfo on '{topic}' within image_timeout, and {parameter} is not set"
                    f'{self._why_not(f"{name} info")}'
                ),
            )
        fx, _, cx, _, fy, cy, *_ = info.message.k
        if not (fx > 0.0 and fy > 0.0 and math.isfinite(fx + fy + cx + cy)):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                (
                    f"'{topic}': k = {list(info.message.k)}: allowed: the matrix of a calibrated "
                    f'camera, or set {parameter}'
                ),
            )
        if (info.message.height, info.message.width) != tuple(shape):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                (
                    f"'{topic}': {info.message.width} x {info.message.height} pixels: allowed: "
                    f'{shape[1]} x {shape[0]} as the frame has, or set {parameter}'
                ),
            )
        return fx, fy, cx, cy

    def age_of_frame(self, camera):
        """Return the age [s] of a camera's newest frame, None if there is none."""
        with self._arrived:
            return self._age(self._frames[camera].newest)

    def age_of_state(self):
        """Return the age [s] of the older of newest pose and newest gripper, None if missing."""
        with self._arrived:
            ages = [self._age(kept.newest) for kept in (self._poses, self._grippers)]
        return None if None in ages else max(ages)

    def _subscribe(self, node, name, kind, topic, callback):
        qos = QoSProfile(
            depth=1,
            reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability,
        )
        subscription = node.create_subscription(
            kind,
            topic,
            callback,
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._topics[name], self._qos[name] = subscription.topic_name, subscription.qos_profile

    def _on_frame(self, camera, message):
        try:
            if isinstance(message, Image):
                check_image(message)
            else:
                check_compressed(message)
        except ValueError as error:
            self.dropped[camera] += 1
            self._refusals[camera] = str(error)
            self._loggers[camera].warning(
                f"Frame on '{self._topics[camera]}' dropped: {error}", throttle_duration_sec=10.0
            )
            return
        with self._arrived:
            self._frames[camera].add(Stamped(message, self._stamp(message)))
            self._arrived.notify_all()

    def _on_info(self, camera, message):
        with self._arrived:
            self._infos[camera].add(Stamped(message, self._stamp(message)))
            self._arrived.notify_all()

    def _on_pose(self, message):
        with self._arrived:
            self._poses.add(Stamped(message, self._stamp(message)))
            self._arrived.notify_all()

    def _on_gripper(self, message):
        names = list(message.name)
        if self._joint not in names:
            return  # other joints of the robot may share the topic
        index = names.index(self._joint)
        position = message.position[index] if index < len(message.position) else float('nan')
        with self._arrived:
            self._grippers.add(Stamped(message, self._stamp(message), position))
            self._arrived.notify_all()

    def _stamp(self, message):
        stamp = nanoseconds(message.header.stamp)
        # A source without a clock: time of arrival.
        return stamp if stamp else self._clock.now().nanoseconds

    def _age(self, item):
        if item is None:
            return None
        return (self._clock.now().nanoseconds - item.stamp) * 1e-9

    def _wait_until(self, condition, settings, check):
        """Wait until a condition holds, image_timeout at most; see wait()."""
        until = time.monotonic() + settings.image_timeout
        with self._arrived:
            while not condition() and time.monotonic() < until:
                self._arrived.wait(POLL)
                check()

    def _check_age(self, item, max_age, parameter, part, code):
        age = self._age(item)
        if abs(age) > max_age:
            when = (
                f'{age:.3f} s old'
                if age > 0
                else (f'stamped {-age:.3f} s in the future (are the clocks synchronised?)')
            )
            raise GoalError(
                code,
                (
                    f"the newest message on '{self._topics[part]}' is {when}: allowed: "
                    f'{parameter} = {max_age:g} s'
                ),
            )

    def _check_skew(self, nearest, part, frame_stamp, max_skew):
        skew = _skew(nearest, frame_stamp)
        if skew > max_skew:
            raise GoalError(
                ErrorCode.STREAMS_OUT_OF_SYNC,
                (
                    f"frame and '{self._topics[part]}' were taken {skew:.3f} s apart: allowed: "
                    f'max_skew = {max_skew:g} s'
                ),
            )

    def _joint_hint(self, part):
        return f" with a joint '{self._joint}'" if part == 'gripper' else ''

    def _why_not(self, part):
        """Return why a stream may bring nothing; '' if its publishers look right."""
        if self._refusals.get(part):
            return f': what arrives cannot be used, {self._refusals[part]}'
        publishers = self._node.get_publishers_info_by_topic(self._topics[part])
        if not publishers:
            return ': nobody publishes it'
        for publisher in publishers:
            fit, reason = qos_check_compatible(publisher.qos_profile, self._qos[part])
            if fit == QoSCompatibility.ERROR:
                return f': the QoS of {publisher.node_name} does not fit: {reason}'
        return ''


def _skew(item, stamp):
    return abs(item.stamp - stamp) * 1e-9


def _state(pose, gripper, settings):
    try:
        check_frame(pose.message.header.frame_id, settings.base_frame, 'pose')
        return to_state(
            pose.message.pose, to_closedness(gripper.position, settings.gripper), 'pose'
        )
    except ValueError as error:
        raise GoalError(ErrorCode.INVALID_STATE, str(error)) from error
