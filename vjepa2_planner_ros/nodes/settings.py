# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The planner's settings: a dataclass field for each, which describes its parameter; no ROS.

parameters.py declares and reads them on a node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, Field, field, fields, is_dataclass, replace
import math
import os
from typing import Any

from ..planning.config import (
    CemConfig,
    check_setting,
    described,
    OPTIMIZERS,
    require,
    SearchConfig,
    setting,
    TrustRegionConfig,
)

# Names of world_model.catalogue, which needs torch.
MODELS = (
    *('sim-panda-ac', 'sim-panda', 'vit-large', 'vit-huge', 'vit-giant', 'vit-giant-384'),
    'vit-giant-ac',
)


@dataclass(frozen=True)
class LandscapeSettings:
    """How energy landscapes are computed."""

    batch: int = setting(
        128,
        'Points of an energy landscape evaluated at once; a plan may have to wait for them.',
        low=1,
        high=1024,
    )


@dataclass(frozen=True)
class GripperSettings:
    """Which joint is the gripper, and what its position means."""

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


@dataclass(frozen=True)
class HistorySettings:
    """Whether and where plans are recorded."""

    folder: str = setting('', "Folder into which every plan is recorded as a bag, '' = none is.")
    max_plans: int = setting(
        1000, 'Plans kept in that folder; the oldest are deleted first.', low=1, high=1_000_000
    )
    max_size: int = setting(
        2000,
        'Size of that folder; the oldest plans are deleted first.',
        unit='MB',
        low=1,
        high=10_000_000,
    )

    def __post_init__(self) -> None:
        good = not os.path.expanduser(self.folder).startswith('~')
        allowed = "a folder, after ~ the name of a user, or ''"
        require(good, 'folder', repr(self.folder), allowed)


@dataclass(frozen=True)
class Settings:
    """Every parameter of the planner and its value; a goal is planned with one such set."""

    model: str = setting(
        'sim-panda-ac',
        'World model to plan with, unless ~/load_model or a goal asks for another; loaded at the '
        'next configure.',
    )
    checkpoint: str = setting(
        '',
        "File with the model's weights, '' = those of the catalogue; read at the next configure.",
    )
    model_cache: str = setting('', "Folder of downloaded weights; '' = torch.hub's.")
    device: str = setting(
        'auto', 'Torch device: auto, cpu, cuda or cuda:N; used from the next configure.'
    )
    dtype: str = setting(
        'auto',
        'Precision of the model; used from the next configure.',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    optimizer: str = setting(
        'trust_region',
        'How plans are searched: trust_region needs about 70 candidates where cem, the '
        'cross-entropy method, takes 2500. Both read the parameters under search.',
        choices=tuple(OPTIMIZERS),
    )
    search: SearchConfig = field(default_factory=SearchConfig)
    cem: CemConfig = field(default_factory=CemConfig)
    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)
    landscape: LandscapeSettings = field(default_factory=LandscapeSettings)
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
    context_frames: int = setting(
        1,
        "Frames the model sees: the newest and those before it, the model's period apart; fewer "
        'just after the start.',
        low=1,
        high=16,
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
        300,
        'How long a result is kept for its client.',
        unit='s',
        low=1,
        high=86400,
        read_only=True,
    )

    def __post_init__(self) -> None:
        for name, row in rows(Settings):
            check_setting(row, value_of(self, name), name)
        for camera in self.cameras:
            require(camera.isidentifier(), 'cameras', list(self.cameras), 'names like main')
        for name in ('model', 'device', 'base_frame', 'gripper.joint'):
            require(value_of(self, name), name, "''", 'a name')

    def plan_config(self, **changes: Any) -> CemConfig | TrustRegionConfig:
        """Return the chosen optimizer's settings with what both share, and changes over them."""
        shared = {row.name: getattr(self.search, row.name) for row in fields(SearchConfig)}
        return replace(getattr(self, self.optimizer), **{**shared, **changes})


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


def value_of(settings: Settings, name: str) -> Any:
    """Return the value of a parameter by its ROS name."""
    for part in name.split('.'):
        settings = getattr(settings, part)
    return settings


def with_goal(settings: Settings, search: Any, seed: int | None) -> Settings:
    """
    Return settings with a goal's SearchSettings message over them (0 or '' = keep).

    ValueError naming the setting, its value and what is allowed.
    """
    optimizer = search.optimizer or settings.optimizer
    require(optimizer in OPTIMIZERS, 'optimizer', repr(optimizer), ', '.join(OPTIMIZERS))
    names = ['samples', 'iterations', *(['elite_fraction'] if optimizer == 'cem' else [])]
    changed = {name: getattr(search, name) for name in names if getattr(search, name)}
    shared = {'horizon': search.horizon} if search.horizon else {}
    if seed is not None:
        shared['seed'] = seed
    groups = {}
    for group, changes in ((optimizer, changed), ('search', shared)):
        before = getattr(settings, group)
        values = {**{row.name: getattr(before, row.name) for row in fields(before)}, **changes}
        groups[group] = make(type(before), f'{group}.', values)
    return replace(settings, optimizer=optimizer, **groups)


def with_model(
    settings: Settings, name: str = '', checkpoint: str = '', device: str = '', dtype: str = ''
) -> Settings:
    """Return settings with a model asked for over them ('' = keep); ValueError if wrong."""
    same = name in ('', settings.model)
    return replace(
        settings,
        model=name or settings.model,
        device=device or settings.device,
        dtype=dtype or settings.dtype,
        checkpoint=checkpoint or (settings.checkpoint if same else ''),
    )


def make(kind: Any, prefix: str, values: dict[str, Any]) -> Any:
    """Return kind(**values); a ValueError gets the prefix of the parameters' names."""
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f'{prefix}{error}') from error
