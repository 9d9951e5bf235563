# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings as parameters of a node: declared, and read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
import os
from pathlib import Path
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from .params_file import check_known, nearest
from .settings import Settings
from ..messages.input_settings import CameraSettings, HistorySettings, InputSettings, make, rows
from ..messages.texts import one_line
from ..planning.config import described, require

# Parameters that name a file to read.
FILES = {
    'calibration': 'a file that `calibrate` wrote',
    'confidence_fit': 'a file that `validate --fit` wrote',
    'decoder': "a file with a decoder of the model's latents",
}
MAX_INT = 2**63 - 1  # of a ROS parameter
Kind = TypeVar('Kind', bound=Any)
Inputs = TypeVar('Inputs', bound=InputSettings)
KINDS = {
    bool: ('true or false', 'true and false'),
    int: ('a whole number', 'whole numbers'),
    float: ('a number with a dot', 'numbers with a dot'),
    str: ('text', 'texts'),
}


def declare(node: Node, kind: type[Kind]) -> Kind:
    """
    Declare the parameters of a kind of settings; return them.

    ValueError naming the parameter, if an override is not allowed.
    """
    for name, row in rows(kind):
        _declare(node, name, row)
    return read(node, kind)


def declare_inputs(node: Node, kind: type[Inputs]) -> tuple[Inputs, dict[str, CameraSettings]]:
    """
    Declare the parameters of a kind of settings; return them and {camera name: CameraSettings}.

    ValueError naming the parameter, if an override is not allowed or not known.
    """
    settings = declare(node, kind)
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


def check_changes(node: Node, check: Callable[[list[Parameter]], object]) -> None:
    """Refuse changes for which check(changed) raises; its text is the reason."""

    def answer(changed: list[Parameter]) -> SetParametersResult:
        try:
            check(changed)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=one_line(str(error)))
        except Exception as error:  # rclpy would send no answer, and the client wait for ever
            reason = one_line(f'{type(error).__name__}: {error}')
            return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(answer)


def check_reachable(
    settings: Settings, changed: Sequence[str], models: Sequence[str] = ()
) -> None:
    """
    Raise ValueError if what a changed parameter names is not there: a model, a folder, a file.

    What is in the other files than a calibration is told at the next configure.

    :param changed: names of parameters.
    :param models: names of models that there are; none = any.
    """
    if 'model' in changed and models:
        known = settings.model in models
        allowed = f'{", ".join(models)}{nearest(settings.model, models)}'
        require(known, 'model', repr(settings.model), allowed)
    check_folder(settings.history, changed)
    for name, kind in FILES.items():
        if name in changed and (path := getattr(settings, name)):
            _check_file(name, path, kind)


def check_folder(history: HistorySettings, changed: Sequence[str] = ('history.folder',)) -> None:
    """Raise ValueError if history.folder was changed to what cannot be written."""
    if 'history.folder' in changed and history.folder:
        folder = Path(history.folder).expanduser()
        there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
        good = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
        allowed = f"a folder that can be written, which '{there}' is not"
        require(good, 'history.folder', repr(history.folder), allowed)


def _check_file(name: str, path: str, kind: str) -> None:
    file = os.path.expanduser(path)
    good = os.path.isfile(file) and os.access(file, os.R_OK)
    require(good, name, repr(path), f"{kind}, which exists and may be read, or ''")
    if name == 'calibration':
        try:
            from ..world_model.calibration import read_calibration
        except ImportError:  # of torch, which configure tells
            return
        read_calibration(path)


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
        values.setdefault(group, {})[leaf] = _as_in(row, value, name)
    groups = {row.name: row.default_factory for row in fields(kind)}
    made = {
        group: make(groups[group], f'{group}.', inner) for group, inner in values.items() if group
    }
    return kind(**values[''], **made)


def _as_in(row: Field[Any], value: Any, name: str) -> Any:
    many = isinstance(row.default, tuple)
    # ROS knows no type of an empty list, which is then as if it were not set.
    require(value is not None, name, '[]' if many else 'not set', _allowed(row))
    return tuple(value) if many else value


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
    return _as_in(row, value, name)


def _allowed(row: Field[Any]) -> str:
    """Return what a parameter's value can be, in words."""
    default: Any = row.default
    data = row.metadata
    many = isinstance(default, tuple)
    one, several = KINDS[type(default[0] if many else default)]
    text = f'a list of {several}, not empty' if many else one
    if data['low'] is not None:
        low, high = (n if isinstance(n, int) else f'{n:g}' for n in (data['low'], data['high']))
        text += f', {low} to {high}'
    if data['choices']:
        text += f': {", ".join(data["choices"])}; quotes around y and n, which YAML takes for bool'
    return text
