# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The inputs of a robot, as the parameter file that starts its planner names them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...messages.input_settings import CameraSettings, GripperSettings, InputSettings, make
from ...messages.params_yaml import sections

NODE = 'planner'


@dataclass(frozen=True)
class Inputs:
    """Settings of a robot's streams, and its cameras by name."""

    settings: InputSettings
    cameras: dict[str, CameraSettings]


def read_inputs(path: str | Path | None) -> Inputs:
    """
    Return the Inputs of a planner's parameter file, None = the defaults.

    What is for every node counts, and more what is for a node called planner, under whatever
    namespace. ValueError of one line, if the file cannot be read or a value is wrong.
    """
    values: dict[str, Any] = {}
    found = [] if path is None else list(sections(str(path)))
    for _, of_node in sorted(
        (item for item in found if item[0].rsplit('/', 1)[-1] in ('**', '*', NODE)),
        key=lambda item: item[0].endswith(NODE),
    ):
        values |= of_node
    gripper = make(GripperSettings, 'gripper.', _of(GripperSettings, 'gripper.', values))
    settings = make(InputSettings, '', {**_of(InputSettings, '', values), 'gripper': gripper})
    cameras = {
        name: make(CameraSettings, prefix, _of(CameraSettings, prefix, values))
        for name in settings.cameras
        for prefix in (f'camera.{name}.',)
    }
    return Inputs(settings, cameras)


def _of(kind: Any, prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a dataclass of settings has, lists as its tuples."""
    found = {row.name: values.get(prefix + row.name) for row in fields(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in found.items()
        if value is not None
    }
