# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of rosbag2, read by the parameter file that starts the planner."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
import math
from pathlib import Path
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .bag_files import BagFile, decode, files_of, Message
from .inputs import Inputs
from .recording import Recording
from .transform_log import TransformLog
from ..trajectory import PinholeCamera
from ...messages.images import check_compressed, check_image, picture
from ...messages.states import rpy_of_quaternion

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
POSE, JOINTS = 'geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/JointState'
INFO, TF = 'sensor_msgs/msg/CameraInfo', 'tf2_msgs/msg/TFMessage'
SPACING = 5_000_000  # ns between the poses and gripper positions that are kept
LISTED = 5  # different things that are wrong with a topic, and are told


def read_bag(path: Path, inputs: Inputs, camera: str = '') -> tuple[list[Recording], list[str]]:
    """
    Return the Recording of one camera of a bag, in a list, and what is damaged in it.

    ValueError that names parameter, value and the topics that are there, if none fits.

    :param path: folder with metadata.yaml, or a .mcap or .db3 file.
    :param camera: name of a camera in the parameter file, or a topic; '' = the first one, or the
        only topic with pictures.
    """
    files, problems = files_of(path)
    kinds: dict[str, str] = {}
    good: list[BagFile] = []
    for file in files:
        try:
            kinds |= file.topics()
            good.append(file)
            problems += [file.damage] if file.damage else []
        except ValueError as error:
            problems.append(f'{error}: left out')
    if not good:
        raise ValueError('\n'.join([f'{path}: nothing in it can be read', *problems]))
    topics = _Topics(kinds, inputs, camera)
    streams = _Streams(topics, inputs)
    for number, file in enumerate(good):
        streams.read(file, number, problems)
    problems += streams.problems()
    return [streams.recording(f'{path}:{topics.frames}', good)], problems


class _Topics:
    """The topics of a bag that hold what the planner subscribes to."""

    def __init__(self, kinds: dict[str, str], inputs: Inputs, camera: str):
        self._kinds, settings = kinds, inputs.settings
        self.frames, info_topic = self._camera(inputs, camera)
        beside = self.frames.removesuffix('/compressed').rpartition('/')[0]
        self.info = info_topic or f'{beside}/camera_info'
        self.pose = (
            '' if settings.ee_frame else self._find(settings.pose_topic, (POSE,), 'pose_topic')
        )
        self.gripper = self._find(settings.gripper.topic, (JOINTS,), 'gripper.topic')

    def _camera(self, inputs: Inputs, camera: str) -> tuple[str, str]:
        if camera and camera not in inputs.cameras:
            return self._find(camera, IMAGES, 'camera'), ''
        name = camera or next(iter(inputs.cameras))
        chosen = inputs.cameras[name]
        default = '~/image' if name == next(iter(inputs.cameras)) else f'~/{name}/image'
        found = self._find(chosen.topic or default, IMAGES, f'camera.{name}.topic')
        return found, chosen.info_topic

    def _find(self, wanted: str, kinds: tuple[str, ...], parameter: str) -> str:
        """
        Return the topic that a parameter means.

        A name with ~ is in the recording without the node's, as launch files remap it, or alone
        of its type.
        """
        fitting = [name for name, kind in self._kinds.items() if kind in kinds]
        if not wanted.startswith('~'):
            name = f'/{wanted.lstrip("/")}'
            found = [name] if name in fitting else []
        else:
            end = wanted[1:]
            exact = [name for name in (f'/planner{end}', end) if name in fitting]
            found = exact[:1] or [name for name in fitting if name.endswith(end)]
            if len(found) != 1 and len(fitting) == 1:
                found = fitting
        if len(found) == 1:
            return found[0]
        how = '--camera' if kinds is IMAGES else '--params FILE'
        there = f'{", ".join(sorted(fitting))}; name it by {how}'
        if not fitting:
            there = f'none is there, but {", ".join(sorted(self._kinds)) or "nothing"}; record one'
        raise ValueError(
            f'{parameter} = {wanted!r}: allowed: a topic of {" or ".join(kinds)} in the '
            f'recording: {there}'
        )

    def read(self) -> set[str]:
        """Return all topics that are needed."""
        wanted = {self.frames, self.info, self.pose, self.gripper}
        return {name for name, kind in self._kinds.items() if name in wanted or kind == TF}


class _Streams:
    """What the topics have brought, without the pictures themselves."""

    def __init__(self, topics: _Topics, inputs: Inputs):
        self._topics, self._settings = topics, inputs.settings
        self.frames = array('q')  # file, record time [ns], stamp [ns]
        self.poses = array('d')  # stamp [s], x y z, roll pitch yaw
        self.grippers = array('d')  # stamp [s], position
        self.transforms = TransformLog()
        self.info: Any = None
        self._bad: dict[str, dict[str, str]] = {}  # by topic and what is wrong, the first place
        self._bad_count: dict[str, int] = {}
        self._last: dict[str, int] = {}  # record time [ns] of what was kept, by topic
        self._other_frames: set[str] = set()
        self._joints: set[str] = set()

    def read(self, file: BagFile, number: int, problems: list[str]) -> None:
        """Read one file, up to where it is damaged."""
        try:
            for message in file.messages(self._topics.read()):
                try:
                    self._take(message, number)
                except ValueError as error:
                    place = f'{file.path}: at {message.time * 1e-9:.3f} s'
                    bad = self._bad.setdefault(message.topic, {})
                    if len(bad) < LISTED:
                        bad.setdefault(str(error), place)
                    count = self._bad_count.get(message.topic, 0)
                    self._bad_count[message.topic] = count + 1
        except ValueError as error:
            problems.append(f'{error}: what comes after it in this file is left out')

    def problems(self) -> list[str]:
        """Return what was wrong with messages, a few things of each topic by name."""
        found = [f'{bad[error]}: {error}' for bad in self._bad.values() for error in bad]
        found += [
            f'{topic}: {count} messages like that in all, left out'
            for topic, count in self._bad_count.items()
            if count > len(self._bad[topic])
        ]
        if self._other_frames:
            names = ', '.join(sorted(self._other_frames))
            found.append(
                f'{self._topics.pose}: poses in {names} are left out: allowed: base_frame = '
                f'{self._settings.base_frame!r} or base_frame_aliases; set them by --params FILE'
            )
        if not self.grippers and self._joints:
            found.append(
                f'{self._topics.gripper}: no joint gripper.joint = '
                f'{self._settings.gripper.joint!r}: allowed: {", ".join(sorted(self._joints))}; '
                'set it by --params FILE'
            )
        return found + self.transforms.problems()

    def recording(self, source: str, files: list[BagFile]) -> Recording:
        """Return everything as a Recording."""
        frames = np.array(self.frames, np.int64).reshape(-1, 3)
        pose_stamps, poses = self._poses()
        grippers = np.array(self.grippers).reshape(-1, 2)
        gripper = self._settings.gripper
        travel = gripper.closed_position - gripper.open_position
        return Recording(
            source=source,
            frames=BagPictures(files, self._topics.frames, frames),
            frame_stamps=frames[:, 2] * 1e-9,
            frame_records=frames[:, 1] * 1e-9,
            pose_stamps=pose_stamps,
            poses=poses,
            gripper_stamps=grippers[:, 0],
            closedness=(grippers[:, 1] - gripper.open_position) / travel,
            camera=self._camera(),
            gripper_ends=(gripper.open_position, gripper.closed_position),
        )

    def _take(self, message: Message, number: int) -> None:
        if message.kind in IMAGES:
            image = decode(message)
            (check_image if message.kind == IMAGES[0] else check_compressed)(image)
            self.frames.extend((number, message.time, stamp_of(message)))
        elif message.kind == TF:
            log = decode(message)
            self.transforms.add(log, message.topic.endswith('tf_static'))
        elif message.kind == INFO:
            self.info = self.info or decode(message)
        elif abs(message.time - self._last.get(message.topic, -SPACING)) >= SPACING:
            taken = self._pose(message) if message.kind == POSE else self._gripper(message)
            if taken:
                self._last[message.topic] = message.time

    def _pose(self, message: Message) -> bool:
        stamped = decode(message)
        names = ('', self._settings.base_frame, *self._settings.base_frame_aliases)
        if stamped.header.frame_id not in names:
            self._other_frames.add(stamped.header.frame_id)
            return False
        place, turn = stamped.pose.position, stamped.pose.orientation
        quaternion = (turn.x, turn.y, turn.z, turn.w)
        norm = math.hypot(*quaternion)
        if not abs(norm - 1.0) <= 1e-2:
            raise ValueError(f'orientation = {quaternion}: allowed: a quaternion of norm 1')
        rpy = rpy_of_quaternion(*(value / norm for value in quaternion))
        self.poses.extend((stamp_of(message) * 1e-9, place.x, place.y, place.z, *rpy))
        return True

    def _gripper(self, message: Message) -> bool:
        joint = self._settings.gripper.joint
        if joint.encode() not in message.data and self.grippers:
            return False
        state = decode(message)
        names = list(state.name)
        if joint not in names:
            self._joints.update(names)
            return False
        index = names.index(joint)
        if index >= len(state.position):
            raise ValueError(f'joint {joint!r} has no position')
        self.grippers.extend((stamp_of(message) * 1e-9, state.position[index]))
        return True

    def _poses(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        settings = self._settings
        if settings.ee_frame:
            stamps, poses = self.transforms.poses(
                self._bases(), settings.ee_frame, settings.max_skew
            )
        else:
            table = np.array(self.poses).reshape(-1, 7)
            stamps, poses = table[:, 0], table[:, 1:]
        return stamps, with_offset(poses, settings.tool_offset)

    def _bases(self) -> list[str]:
        return [self._settings.base_frame, *filter(None, self._settings.base_frame_aliases)]

    def _camera(self) -> PinholeCamera | None:
        """Return the camera, if its intrinsics are known and it stands still in the base frame."""
        if self.info is None or not (self.info.k[0] > 0.0 and self.info.k[4] > 0.0):
            return None
        frame = self.info.header.frame_id.removeprefix('/')
        try:
            if not self.transforms.is_fixed(self._bases(), frame):
                return None
            _, poses = self.transforms.poses(self._bases(), frame, math.inf)
        except ValueError:  # tf does not tell where it is
            return None
        fx, _, cx, _, fy, cy = map(float, self.info.k[:6])
        x, y, z, roll, pitch, yaw = map(float, poses[0])
        return PinholeCamera((fx, fy, cx, cy), (x, y, z, roll, pitch, yaw))


class BagPictures:
    """
    Frames of a topic, decoded when they are asked for.

    :param frames: [N, 3]: the number of its file, when it was recorded [ns], its stamp [ns].
    """

    def __init__(self, files: list[BagFile], topic: str, frames: NDArray[np.int64]):
        self._files, self._topic, self._frames = files, topic, frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        number, time, stamp = map(int, self._frames[index])
        file = self._files[number]
        try:
            for message in file.messages({self._topic}, time, time + 1):
                if stamp_of(message) == stamp:
                    return picture(decode(message))
        except ValueError as error:
            raise ValueError(
                f'{file.path}: {self._topic} at {time * 1e-9:.3f} s: {error}'
            ) from error
        raise ValueError(f'{file.path}: {self._topic} at {time * 1e-9:.3f} s: it is gone')


def with_offset(poses: NDArray[np.float64], offset: Iterable[float]) -> NDArray[np.float64]:
    """Return the poses [P, 6] of the point that is planned for; offset is tool_offset."""
    x, y, z, *rpy = offset
    if not any((x, y, z, *rpy)) or not len(poses):
        return poses
    turn = Rotation.from_euler('xyz', poses[:, 3:])
    angles = (turn * Rotation.from_euler('xyz', rpy)).as_euler('xyz')
    return np.concatenate([poses[:, :3] + turn.apply([x, y, z]), angles], axis=1)


def stamp_of(message: Message) -> int:
    """Return the stamp [ns] of a message that starts with a Header; its record time if it is 0."""
    order = '<' if message.data[1] & 1 else '>'
    sec, nanosec = struct.unpack_from(f'{order}iI', message.data, 4)
    return sec * 10**9 + nanosec or message.time
