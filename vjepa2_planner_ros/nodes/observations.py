# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera and the end-effector state that belongs to it."""

from collections import deque
from dataclasses import dataclass
import threading
import time

from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image, JointState

from .errors import GoalError
from .images import check_compressed, check_image, compressed_to_rgb, to_rgb
from .states import check_frame, to_closedness, to_state
from ..error_codes import ErrorCode

# States arrive up to 1 kHz; this many are searched for the one nearest to the frame.
STATES_KEPT = 256


@dataclass(frozen=True)
class Stamped:
    """A message with the time it was taken [ns, ROS time]."""

    message: object
    stamp: int
    position: float = 0.0  # of the gripper joint [m], for a JointState


class Observations:
    """Subscribes to cameras and states; keeps the newest, and hands out what is fresh."""

    def __init__(self, node, cameras, settings):
        self._clock = node.get_clock()
        self._logger = node.get_logger()
        self._joint = settings.gripper_joint
        self._arrived = threading.Condition()
        self._frames = {}
        self._poses = deque(maxlen=STATES_KEPT)
        self._grippers = deque(maxlen=STATES_KEPT)
        self._topics = {}
        for name, camera in cameras.items():
            kind = CompressedImage if camera.compressed else Image
            self._subscribe(node, name, kind, camera.topic,
                            lambda message, name=name: self._on_frame(name, message))
        self._subscribe(node, 'pose', PoseStamped, '~/pose', self._on_pose)
        self._subscribe(node, 'gripper', JointState, '~/gripper', self._on_gripper)

    def frame(self, camera, settings, should_stop, deadline):
        """
        Return (uint8 RGB [H, W, 3], stamp [ns]) of the newest frame, once it is fresh.

        GoalError NO_IMAGE or IMAGE_STALE if none is by image_timeout; should_stop() raises.
        """
        newest = self._wait(lambda: self._frames.get(camera), settings.max_image_age,
                            settings, should_stop, deadline)
        if newest is None:
            raise GoalError(ErrorCode.NO_IMAGE, (
                f"no image on '{self._topics[camera]}' within image_timeout = "
                f'{settings.image_timeout:g} s'))
        self._check_age(newest, settings.max_image_age, 'max_image_age', camera,
                        ErrorCode.IMAGE_STALE)
        convert = to_rgb if isinstance(newest.message, Image) else compressed_to_rgb
        try:
            return convert(newest.message), newest.stamp
        except ValueError as error:  # a jpeg that is whole only at its start
            raise GoalError(ErrorCode.NO_IMAGE, (
                f"the frame on '{self._topics[camera]}' is damaged: {error}")) from error

    def state(self, frame_stamp, settings, should_stop, deadline):
        """
        Return the state [7] taken nearest to frame_stamp [ns]; the newest if that is None.

        GoalError NO_STATE, STATE_STALE, STREAMS_OUT_OF_SYNC or INVALID_STATE.
        """
        parts = []
        for part, kept in (('pose', self._poses), ('gripper', self._grippers)):
            newest = self._wait(lambda kept=kept: kept[-1] if kept else None,
                                settings.max_state_age, settings, should_stop, deadline)
            if newest is None:
                raise GoalError(ErrorCode.NO_STATE, (
                    f"no state on '{self._topics[part]}' within image_timeout = "
                    f'{settings.image_timeout:g} s{self._joint_hint(part)}'))
            self._check_age(newest, settings.max_state_age, 'max_state_age', part,
                            ErrorCode.STATE_STALE)
            parts.append(self._nearest(kept, newest, part, frame_stamp, settings.max_skew))
        pose, gripper = parts
        try:
            check_frame(pose.message.header.frame_id, settings.base_frame, 'pose')
            return to_state(pose.message.pose, to_closedness(gripper.position, settings), 'pose')
        except ValueError as error:
            raise GoalError(ErrorCode.INVALID_STATE, str(error)) from error

    def age_of_frame(self, camera):
        """Return the age [s] of a camera's newest frame, None if there is none."""
        return self._age(self._frames.get(camera))

    def age_of_state(self):
        """Return the age [s] of the older of newest pose and newest gripper, None if missing."""
        with self._arrived:
            newest = [kept[-1] if kept else None for kept in (self._poses, self._grippers)]
        return None if None in newest else max(map(self._age, newest))

    def _subscribe(self, node, name, kind, topic, callback):
        qos = QoSProfile(
            depth=1, reliability=qos_profile_sensor_data.reliability,
            durability=qos_profile_sensor_data.durability)
        subscription = node.create_subscription(
            kind, topic, callback, qos, callback_group=MutuallyExclusiveCallbackGroup(),
            qos_overriding_options=QoSOverridingOptions.with_default_policies())
        self._topics[name] = subscription.topic_name

    def _on_frame(self, camera, message):
        try:
            if isinstance(message, Image):
                check_image(message)
            else:
                check_compressed(message)
        except ValueError as error:
            self._logger.warning(f"Frame on '{self._topics[camera]}' dropped: {error}",
                                 throttle_duration_sec=10.0)
            return
        with self._arrived:
            self._frames[camera] = Stamped(message, self._stamp(message))
            self._arrived.notify_all()

    def _on_pose(self, message):
        with self._arrived:
            self._poses.append(Stamped(message, self._stamp(message)))
            self._arrived.notify_all()

    def _on_gripper(self, message):
        names = list(message.name)
        if self._joint not in names:
            return  # other joints of the robot may share the topic
        index = names.index(self._joint)
        position = message.position[index] if index < len(message.position) else float('nan')
        with self._arrived:
            self._grippers.append(Stamped(message, self._stamp(message), position))
            self._arrived.notify_all()

    def _stamp(self, message):
        stamp = nanoseconds(message.header.stamp)
        # A source without a clock: time of arrival.
        return stamp if stamp else self._clock.now().nanoseconds

    def _age(self, item):
        if item is None:
            return None
        return (self._clock.now().nanoseconds - item.stamp) * 1e-9

    def _wait(self, newest, max_age, settings, should_stop, deadline):
        """Return newest() when it is fresh, or whatever it is at image_timeout (wall time)."""
        until = min(time.monotonic() + settings.image_timeout, deadline)
        with self._arrived:
            while True:
                item = newest()
                fresh = item is not None and abs(self._age(item)) <= max_age
                left = until - time.monotonic()
                if fresh or left <= 0.0:
                    break
                self._arrived.wait(min(left, 0.02))
                should_stop()
        if not fresh and time.monotonic() >= deadline:
            raise GoalError(ErrorCode.TIMEOUT, (
                'time_allowance exceeded while waiting for a fresh image and state, '
                'after 0 iterations'))
        return item

    def _check_age(self, item, max_age, parameter, part, code):
        age = self._age(item)
        if abs(age) > max_age:
            when = f'{age:.3f} s old' if age > 0 else (
                f'stamped {-age:.3f} s in the future (are the clocks synchronised?)')
            raise GoalError(code, (
                f"the newest message on '{self._topics[part]}' is {when}: allowed: "
                f'{parameter} = {max_age:g} s'))

    def _nearest(self, kept, newest, part, frame_stamp, max_skew):
        if frame_stamp is None:
            return newest
        with self._arrived:
            nearest = min(kept, key=lambda item: abs(item.stamp - frame_stamp), default=newest)
        skew = abs(nearest.stamp - frame_stamp) * 1e-9
        if skew > max_skew:
            raise GoalError(ErrorCode.STREAMS_OUT_OF_SYNC, (
                f"frame and '{self._topics[part]}' were taken {skew:.3f} s apart: allowed: "
                f'max_skew = {max_skew:g} s'))
        return nearest

    def _joint_hint(self, part):
        return f" with a joint '{self._joint}'" if part == 'gripper' else ''


def nanoseconds(stamp):
    """Return a Time or Duration message as whole nanoseconds."""
    return stamp.sec * 10 ** 9 + stamp.nanosec
