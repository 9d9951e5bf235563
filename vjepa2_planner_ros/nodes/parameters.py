# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings as parameters of a node: declared, and read."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import Field, fields
import os
from pathlib import Path
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from .params_file import check_known, nearest
from .settings import Settings
from ..messages.input_settings import CameraSettings, HistorySettings, InputSettings, make, rows
from ..planning.config import described, require

MAX_INT = 2**63 - 1  # of a ROS parameter
Kind = TypeVar('Kind', bound=InputSettings)
KINDS = {
    bool: ('true or false', 'true and false'),
    int: ('a whole number', 'whole numbers'),
    float: ('a number with a dot', 'numbers with a dot'),
    str: ('text', 'texts'),
}


def declare(node: Node, kind: type[Kind]) -> tuple[Kind, dict[str, CameraSettings]]:
    """
    Declare the parameters of a kind of settings; return them and {camera name: CameraSettings}.

    ValueError naming the parameter, if an override is not allowed or not known.
    """
    for name, row in rows(kind):
        _declare(node, name, row)
    settings = read(node, kind)
    cameras = {}
    for index, camera in enumerate(settings.cameras):
        prefix = f'camera.{camera}.'
        values = {
            row.name: _declare(node, prefix + row.name, row) for row in described(CameraSettings)
        }
        values['topic'] = values['topic'] or ('~/image' if index == 0 else f'~/{camera}/image')
        values['info_topic'] = values['info_topic'] or _info_topic(node, values)
        cameras[camera] = make(CameraSettings, prefix, values)
    overrides: dict[str, Any] = {
        name: item.value for name, item in node._parameter_overrides.items()
    }
    check_known(
        {name: list(v) if isinstance(v, array) else v for name, v in overrides.items()},
        cameras=settings.cameras,
    )
    return settings, cameras


def check_reachable(
    settings: Settings, changed: Sequence[str], models: Sequence[str] = ()
) -> None:
    """
    Raise ValueError if what a changed parameter names is not there: a model, a folder to write.

    :param changed: names of parameters.
    :param models: names of models that there are; none = any.
    """
    if 'model' in changed and models:
        known = settings.model in models
        allowed = f'{", ".join(models)}{nearest(settings.model, models)}'
        require(known, 'model', repr(settings.model), allowed)
    check_folder(settings.history, changed)


def check_folder(history: HistorySettings, changed: Sequence[str] = ('history.folder',)) -> None:
    """Raise ValueError if history.folder was changed to what cannot be written."""
    if 'history.folder' in changed and history.folder:
        folder = Path(history.folder).expanduser()
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        good = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        allowed = f"a folder that can be written, which '{there}' is not"
        require(good, 'history.folder', repr(history.folder), allowed)


def read(node: Node, kind: type[Kind], changed: list[Parameter] | tuple[()] = ()) -> Kind:
    """
    Return the node's values as settings of a kind, with changed Parameters put over them.

    ValueError naming parameter, value and what is allowed, if one is wrong.
    """
    changes = {item.name: item.value for item in changed}
    values: dict[str, dict[str, Any]] = {}  # by group; '' = without one
    for name, row in rows(kind):
        value = changes[name] if name in changes else node.get_parameter(name).value
        group, _, leaf = name.rpartition('.')
        values.setdefault(group, {})[leaf] = _as_in(row, value)
    groups = {row.name: row.default_factory for row in fields(kind)}
    made = {
        group: make(groups[group], f'{group}.', inner) for group, inner in values.items() if group
    }
    return kind(**values[''], **made)


def _as_in(row: Field[Any], value: Any) -> Any:
    return tuple(value) if isinstance(row.default, tuple) else value


def _info_topic(node: Node, values: dict[str, Any]) -> str:
    """Return the topic of the CameraInfo beside a camera's frames, wherever it is remapped to."""
    topic = node.resolve_topic_name(values['topic'])
    if values['compressed']:
        topic = topic.removesuffix('/compressed')
    return f'{topic.rpartition("/")[0]}/camera_info'


def _declare(node: Node, name: str, row: Field[Any]) -> Any:
    data = row.metadata
    unit = f' [{data["unit"]}]' if data['unit'] else ''
    descriptor = ParameterDescriptor(
        description=data['text'] + unit,
        additional_constraints=f'One of: {", ".join(data["choices"])}.' if data['choices'] else '',
        read_only=data['read_only'],
    )
    if isinstance(row.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=data['low'], to_value=data['high'])
        ]
    elif isinstance(row.default, int) and not isinstance(row.default, bool):
        descriptor.integer_range = [
            IntegerRange(from_value=data['low'], to_value=min(data['high'], MAX_INT), step=1)
        ]
    default = list(row.default) if isinstance(row.default, tuple) else row.default
    try:
        value: Any = node.declare_parameter(name, default, descriptor).value
    except ParameterException as error:
        given = node._parameter_overrides[name].value
        raise ValueError(f'{name} = {given!r}: allowed: {_allowed(row)}') from error
    return _as_in(row, value)


def _allowed(row: Field[Any]) -> str:
    """Return what a parameter's value can be, in words."""
    default: Any = row.default
    data = row.metadata
    many = isinstance(default, tuple)
    one, several = KINDS[type(default[0] if many else default)]
    text = f'a list of {several}' if many else one
    if data['low'] is not None:
        text += f', {data["low"]:g} to {data["high"]:g}'
    if data['choices']:
        text += f': {", ".join(data["choices"])}; quotes around y and n, which YAML takes for bool'
    return text
