# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Settings that planner and controller share: cameras, pose, gripper and history; no ROS.

A setting is a dataclass field that describes its parameter; nodes.parameters declares and reads
them on a node. One YAML file of a robot's inputs serves both nodes, and the readers of recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, Field, field, fields, is_dataclass
import math
import os
from typing import Any, TypeAlias

from ..planning.config import check_setting, described, require, SearchConfig, setting

# Of the time between the frames of a context: how far one may be from where it should be.
FRAME_TOLERANCE = 1 / 3


@dataclass(frozen=True)
class GripperSettings:
    """Which joint is the gripper, and what its position means."""

    topic: str = setting('~/gripper', 'Topic with that joint (JointState).', read_only=True)
    joint: str = setting(
        'panda_finger_joint1',
        "Joint whose position tells the gripper's closedness.",
        read_only=True,
    )
    open_position: float = setting(
        0.04,
        'Position of that joint when the gripper is open: m, rad, per cent, 0 to 255.',
        unit="the joint's own unit",
        low=-1000.0,
        high=1000.0,
    )
    closed_position: float = setting(
        0.0,
        'Position of that joint when the gripper is closed.',
        unit="the joint's own unit",
        low=-1000.0,
        high=1000.0,
    )
    max_age: float = setting(
        1.0,
        'Oldest gripper position that is planned from, and largest time between it and the frame; '
        'many grippers tell theirs a few times a second only.',
        unit='s',
        low=0.01,
        high=60.0,
    )

    def __post_init__(self) -> None:
        require(
            abs(self.open_position - self.closed_position) > 1e-6,
            'open_position',
            self.open_position,
            'another position than gripper.closed_position',
        )


CROPS = ('', 'center_square', 'droid')  # of world_model.preprocessing, which needs torch
SMALLEST_CROP = 0.05  # share of a picture's width or height
Crop: TypeAlias = str | tuple[float, float, float, float]


def read_crop(text: str) -> Crop:
    """Return a camera's crop as world models take it; ValueError if there is no such crop."""
    if text in CROPS:
        return text
    try:
        left, top, width, height = map(float, text.split())
    except ValueError:
        left = top = width = height = math.nan
    good = all(
        start >= 0.0 and size >= SMALLEST_CROP and start + size <= 1.0 + 1e-9
        for start, size in ((left, width), (top, height))
    )
    allowed = (
        f"{', '.join(filter(None, CROPS))}, '', or 'left top width height' in shares of the "
        f'picture, 0 to 1 in all, width and height {SMALLEST_CROP} or more'
    )
    require(good, 'crop', repr(text), allowed)
    return left, top, width, height


@dataclass(frozen=True)
class CameraSettings:
    """The parameters of one camera, under camera.NAME."""

    topic: str = setting(
        '',
        "Topic of the frames; '' = ~/image for the first camera, ~/NAME/image for others.",
        read_only=True,
    )
    compressed: bool = setting(
        False,
        'The topic carries sensor_msgs/CompressedImage (jpeg or png), not Image.',
        read_only=True,
    )
    crop: str = setting(
        '',
        "Part of the frames, and of goal pictures, that the model sees: '' = as it was made, "
        "'center_square' = the largest square in the middle, 'droid' = as it was trained on "
        'DROID: in the middle, at most 1.35 times as wide as high, or a rectangle as '
        "'left top width height' in shares of the picture's width and height, '0.2 0.1 0.6 0.8' "
        "say. All but a square is squashed to the model's square.",
        read_only=True,
    )
    mount: tuple[float, ...] = setting(
        (0.0,) * 6,
        "Pose of the camera's optical frame (x right, y down, z ahead) in the frame of the end "
        'effector, x y z and roll pitch yaw; zeros = the camera is not on the hand. This and the '
        'next three are for models that are an encoder alone.',
        unit='m, rad',
        low=-math.pi,
        high=math.pi,
        read_only=True,
    )
    plane_height: float = setting(
        0.0,
        'Height of what the camera on the hand looks at, a table say, in the base frame.',
        unit='m',
        low=-3.0,
        high=3.0,
        read_only=True,
    )
    intrinsics: tuple[float, ...] = setting(
        (0.0,) * 4,
        'fx fy cx cy of the frames; zeros = those of the CameraInfo.',
        unit='pixels',
        low=0.0,
        high=16384.0,
        read_only=True,
    )
    info_topic: str = setting(
        '',
        "Topic of the CameraInfo; '' = camera_info beside the frames, where image_transport has "
        'it.',
        read_only=True,
    )

    def __post_init__(self) -> None:
        for row in described(self):
            check_setting(row, getattr(self, row.name), row.name)
        fx, fy, *_ = self.intrinsics
        good = (fx > 0.0 and fy > 0.0) or not any(self.intrinsics)
        allowed = 'fx and fy above 0, or four zeros'
        require(good, 'intrinsics', list(self.intrinsics), allowed)
        read_crop(self.crop)


@dataclass(frozen=True)
class HistorySettings:
    """Whether and where the planner records its plans, and the controller its runs."""

    folder: str = setting(
        '',
        'Folder into which the planner records every plan, and the controller every run, as a '
        "bag; '' = nothing is recorded. Both may have the same.",
    )
    max_plans: int = setting(
        1000,
        'Plans of the planner, or runs of the controller, kept in that folder; the oldest are '
        'deleted first.',
        low=1,
        high=1_000_000,
    )
    max_size: int = setting(
        2000,
        'Size of all plans of the planner, or runs of the controller, in that folder; the oldest '
        'are deleted first.',
        unit='MB',
        low=1,
        high=10_000_000,
    )

    def __post_init__(self) -> None:
        good = not os.path.expanduser(self.folder).startswith('~')
        allowed = "a folder, after ~ the name of a user, or ''"
        require(good, 'folder', repr(self.folder), allowed)


@dataclass(frozen=True)
class InputSettings:
    """The parameters that planner and controller share: their inputs, history and start."""

    cameras: tuple[str, ...] = setting(
        ('main',),
        'Names of the cameras; each has parameters of its own, camera.NAME.topic and so on.',
        read_only=True,
    )
    base_frame: str = setting(
        'panda_link0',
        "The robot's base frame: of states, commands and target poses.",
        read_only=True,
    )
    base_frame_aliases: tuple[str, ...] = setting(
        ('',),
        "Other names of base_frame, which poses may have as well, at the same place; '' = none.",
        read_only=True,
    )
    pose_topic: str = setting(
        '~/pose', "Topic of the end effector's pose (PoseStamped).", read_only=True
    )
    ee_frame: str = setting(
        '',
        'Frame of the end effector, whose pose in base_frame is read from /tf and /tf_static; '
        "'' = the pose comes on pose_topic.",
        read_only=True,
    )
    tool_offset: tuple[float, ...] = setting(
        (0.0,) * 6,
        'Pose of the point that is planned for, between the finger tips say, in the frame that '
        'pose_topic or ee_frame tells: x y z and roll pitch yaw; zeros = it is that frame. The '
        "controller's targets are of that frame again.",
        unit='m, rad',
        low=-math.pi,
        high=math.pi,
        read_only=True,
    )
    image_timeout: float = setting(
        2.0, 'Longest wait for a frame and a state that are fresh.', unit='s', low=0.0, high=60.0
    )
    max_image_age: float = setting(
        1.0, 'Oldest frame that is planned from.', unit='s', low=0.01, high=60.0
    )
    max_state_age: float = setting(
        1.0, 'Oldest end-effector pose that is planned from.', unit='s', low=0.01, high=60.0
    )
    max_skew: float = setting(
        0.25, 'Largest time between frame and end-effector pose.', unit='s', low=0.001, high=60.0
    )
    gripper: GripperSettings = field(default_factory=GripperSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    autostart: bool = setting(
        True, 'Configure and activate at start, without a lifecycle manager.', read_only=True
    )
    result_timeout: int = setting(
        60,
        'How long a result is kept for its client; with each that is kept every goal takes a '
        'little longer.',
        unit='s',
        low=1,
        high=86400,
        read_only=True,
    )

    def __post_init__(self) -> None:
        for name, row in rows(type(self)):
            check_setting(row, value_of(self, name), name)
        require(self.cameras, 'cameras', '[]', 'one name or more, such as main')
        for camera in self.cameras:
            require(camera.isidentifier(), 'cameras', list(self.cameras), 'names like main')
        for name in ('base_frame', 'gripper.joint'):
            require(value_of(self, name), name, "''", 'a name')


def rows(kind: type) -> Iterator[tuple[str, Field[Any]]]:
    """Yield (ROS name, field) of every parameter; those of a group have a dot in their names."""
    for row in fields(kind):
        group = row.default_factory
        if is_dataclass(group):
            # What the optimizers share is declared once, under search.
            inherited = () if group is SearchConfig else fields(SearchConfig)
            left_out = {shared.name for shared in inherited}
            for inner in described(group):
                if inner.name not in left_out:
                    yield f'{row.name}.{inner.name}', inner
        elif row.metadata:
            yield row.name, row


def value_of(settings: Any, name: str) -> Any:
    """Return the value of a parameter by its ROS name."""
    for part in name.split('.'):
        settings = getattr(settings, part)
    return settings


def make(kind: Any, prefix: str, values: dict[str, Any]) -> Any:
    """Return kind(**values); a ValueError gets the prefix of the parameters' names."""
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f'{prefix}{error}') from error
