# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals of planner and controller, made of pictures and numbers."""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections.abc import Sequence
import io
from pathlib import Path
from typing import Any, TypeAlias

from builtin_interfaces.msg import Duration
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vjepa2_interfaces.action import PlanAction, ReachGoal
from vjepa2_interfaces.msg import EndEffectorState, SearchSettings, SubGoal
import yaml

from .images import to_image
from .pictures import read_picture
from .times import to_duration

Picture: TypeAlias = Image | CompressedImage | NDArray[np.uint8] | str | Path

MAX_INT32, MAX_UINT32, MAX_UINT64 = 2**31 - 1, 2**32 - 1, 2**64 - 1


def plan_goal(
    goal_image: Picture,
    *,
    current_image: Picture | None = None,
    start_state: EndEffectorState | None = None,
    camera: str = '',
    model: str = '',
    optimizer: str = '',
    samples: int = 0,
    iterations: int = 0,
    elite_fraction: float = 0.0,
    horizon: int = 0,
    cost: str = '',
    preset: str = '',
    seed: int | None = None,
    run_id: bytes = b'',
    time_allowance: float = 0.0,
    best_effort: bool = False,
) -> PlanAction.Goal:
    """
    Return the Goal of a plan; ValueError for a number or id that no goal can have.

    :param goal_image: uint8 array [H, W, 3] RGB, Image, CompressedImage or a file's path.
    :param current_image: picture to start from, as goal_image but not compressed; None = live.
    :param start_state: state to start from; None = live.
    :param camera, model: '' = the first camera, the server's model.
    :param optimizer: 'cem' or 'trust_region'; '' = the server's parameter.
    :param samples, iterations, elite_fraction, horizon: 0 = the server's parameter.
    :param cost, preset: '' = the server's parameter; preset 'meta' = Meta's released planner.
    :param seed: None = the server's parameter.
    :param run_id: 16 bytes, the same for every step of a run; b'' = of none.
    :param time_allowance: s, 0 = none.
    :param best_effort: at the end of time_allowance, the plan so far instead of TIMEOUT.
    """
    _check_counts(seed=(seed or 0, MAX_UINT64))
    if len(run_id) not in (0, 16):  # rclpy would send whatever lies behind fewer
        raise ValueError(f'run_id = {run_id!r}: allowed: 16 bytes, or none')
    goal = PlanAction.Goal(
        camera=camera,
        model=model,
        use_seed=seed is not None,
        seed=seed or 0,
        search=search_settings(
            optimizer, samples, iterations, elite_fraction, horizon, cost, preset
        ),
        time_allowance=_allowance(time_allowance),
        best_effort=best_effort,
    )
    picture = picture_message(goal_image)
    if isinstance(picture, CompressedImage):
        goal.goal_image_compressed = picture
    else:
        goal.goal_image = picture
    if current_image is not None:
        goal.use_current_image, goal.current_image = True, picture_message(current_image)
    if run_id:
        goal.run_id.uuid = np.frombuffer(run_id, np.uint8)
    if start_state is not None:
        goal.use_start_state, goal.start_state = True, start_state
    return goal


def search_settings(
    optimizer: str = '',
    samples: int = 0,
    iterations: int = 0,
    elite_fraction: float = 0.0,
    horizon: int = 0,
    cost: str = '',
    preset: str = '',
) -> SearchSettings:
    """Return SearchSettings, see plan_goal; ValueError for a number that it cannot have."""
    counts = {'samples': samples, 'iterations': iterations, 'horizon': horizon}
    _check_counts(**{name: (value, MAX_UINT32) for name, value in counts.items()})
    return SearchSettings(
        optimizer=optimizer,
        elite_fraction=float(elite_fraction),
        cost=cost,
        preset=preset,
        **counts,
    )


def sub_goal(picture: Picture, max_steps: int = 0, gripper: float | None = None) -> SubGoal:
    """
    Return the SubGoal of a picture; ValueError or OSError as picture_message.

    :param max_steps: most steps toward it; 0 = the server's parameter.
    :param gripper: closedness at its end, 0 open .. 1 closed; None = as it is then.
    """
    _check_counts(max_steps=(max_steps, MAX_UINT32))
    goal = SubGoal(max_steps=max_steps, set_gripper=gripper is not None, gripper=gripper or 0.0)
    message = picture_message(picture)
    if isinstance(message, CompressedImage):
        goal.image_compressed = message
    else:
        goal.image = message
    return goal


def reach_goal(
    goals: Picture | Sequence[Picture | SubGoal],
    *,
    camera: str = '',
    model: str = '',
    max_steps: int = 0,
    time_allowance: float = 0.0,
    dry_run: bool = False,
    **search: Any,
) -> ReachGoal.Goal:
    """
    Return the Goal of a run of the controller; ValueError for a number that no goal can have.

    :param goals: one picture or several in order, see plan_goal; or SubGoals.
    :param camera, model: '' = the first camera, the loaded model.
    :param max_steps: of the whole run; 0 = the server's parameter.
    :param time_allowance: s of the whole run; 0 = the server's parameter.
    :param dry_run: plan and check the first step, move nothing.
    :param search: see search_settings.
    """
    _check_counts(max_steps=(max_steps, MAX_UINT32))
    several = goals if isinstance(goals, (list, tuple)) else [goals]
    return ReachGoal.Goal(
        sub_goals=[goal if isinstance(goal, SubGoal) else sub_goal(goal) for goal in several],
        camera=camera,
        model=model,
        search=search_settings(**search),
        max_steps=max_steps,
        time_allowance=_allowance(time_allowance),
        dry_run=dry_run,
    )


def _allowance(seconds: float) -> Duration:
    _check_counts(time_allowance=(seconds, MAX_INT32))
    return to_duration(seconds)


def _check_counts(**counts: tuple[float, int]) -> None:
    """Raise ValueError naming the first of name=(value, largest) that is out of range."""
    for name, (value, largest) in counts.items():
        if not 0 <= value <= largest:
            raise ValueError(f'{name} = {value}: allowed: 0 to {largest}')


def picture_message(picture: Picture) -> Image | CompressedImage:
    """
    Return the message of a picture: an Image or CompressedImage as it is, an array or a file.

    :param picture: message, uint8 array [H, W, 3] RGB, or path; ValueError or OSError if it is
        none of these.
    """
    if isinstance(picture, (Image, CompressedImage)):
        return picture
    rgb = read_picture(picture) if isinstance(picture, (str, Path)) else np.asarray(picture)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f'picture = {rgb.dtype} {rgb.shape}: allowed: uint8 [H, W, 3] RGB')
    return to_image(rgb, Header())


def to_png(picture: NDArray[np.uint8]) -> CompressedImage:
    """Return a picture, uint8 [H, W, 3] RGB, as a message with its PNG."""
    png = io.BytesIO()
    PillowImage.fromarray(picture).save(png, 'PNG')
    return CompressedImage(format='png', data=array('B', png.getvalue()))


def goal_yaml(goal: PlanAction.Goal | ReachGoal.Goal) -> str:
    """
    Return what a goal sets as YAML on one line, for `ros2 action send_goal`.

    Pictures are !!binary: a list of numbers, as ros2 itself prints it, takes 100 times as long to
    read.
    """
    return yaml.dump(
        _set_fields(goal),
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        width=MAX_INT32,
    ).strip()


def _set_fields(message: Any) -> dict[str, Any]:
    """Return {field: value} of what differs from the defaults."""
    fields: dict[str, Any] = {}
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        if value == getattr(type(message)(), name):
            continue
        if hasattr(value, 'get_fields_and_field_types'):
            value = _set_fields(value)
        elif isinstance(value, list) and hasattr(value[0], 'get_fields_and_field_types'):
            value = [_set_fields(item) for item in value]
        fields[name] = bytes(value) if isinstance(value, array) else value
    return fields


# That of libyaml, where PyYAML has it: the other one looks at each character for a microsecond.
class _Dumper(getattr(yaml, 'CSafeDumper', yaml.SafeDumper)):  # type: ignore[misc]
    """Writes bytes on one line."""


_Dumper.add_representer(
    bytes,
    lambda dumper, data: dumper.represent_scalar(
        'tag:yaml.org,2002:binary', b64encode(data).decode(), style='"'
    ),
)
