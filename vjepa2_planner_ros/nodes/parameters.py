# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's settings as parameters of a node: declared, and read."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from .settings import CameraSettings, make, rows, Settings
from ..planning.config import described

MAX_INT = 2**63 - 1  # of a ROS parameter


def declare(node: Node) -> tuple[Settings, dict[str, CameraSettings]]:
    """
    Declare the parameters on a node; return (Settings, {camera name: CameraSettings}).

    ValueError or an rclpy exception naming the parameter, if an override is not allowed.
    """
    for name, row in rows(Settings):
        _declare(node, name, row)
    settings = read(node)
    cameras = {}
    for index, camera in enumerate(settings.cameras):
        prefix = f'camera.{camera}.'
        values = {
            row.name: _declare(node, prefix + row.name, row) for row in described(CameraSettings)
        }
        values['topic'] = values['topic'] or ('~/image' if index == 0 else f'~/{camera}/image')
        values['info_topic'] = values['info_topic'] or _info_topic(node, values)
        cameras[camera] = make(CameraSettings, prefix, values)
    return settings, cameras


def read(node: Node, changed: list[Parameter] | tuple[()] = ()) -> Settings:
    """
    Return the node's values as Settings, with changed Parameters put over them.

    ValueError naming parameter, value and what is allowed, if one is wrong.
    """
    changes = {item.name: item.value for item in changed}
    values: dict[str, dict[str, Any]] = {}  # by group; '' = without one
    for name, row in rows(Settings):
        value = changes[name] if name in changes else node.get_parameter(name).value
        group, _, leaf = name.rpartition('.')
        values.setdefault(group, {})[leaf] = _as_in(row, value)
    groups = {row.name: row.default_factory for row in fields(Settings)}
    made = {
        group: make(groups[group], f'{group}.', inner) for group, inner in values.items() if group
    }
    return Settings(**values[''], **made)


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
    return _as_in(row, node.declare_parameter(name, default, descriptor).value)
