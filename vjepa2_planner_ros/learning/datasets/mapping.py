# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which columns of a data set hold pictures, pose and gripper, and in which units."""

from __future__ import annotations

from collections.abc import Callable, Mapping as Names, Sequence
from dataclasses import dataclass, fields, replace
import math
from pathlib import Path
import re

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
import yaml

from ...planning.config import require

UNITS = {'m': 1.0, 'cm': 0.01, 'mm': 0.001}
ROTATIONS = ('euler', 'rotvec', 'quaternion')
COLUMN = re.compile(r'(?P<name>[^\[\]]+?)\s*(\[(?P<part>[^\[\]]+)\])?\s*')


@dataclass(frozen=True)
class Mapping:
    """
    Columns, each with the part of its numbers that is meant: state[0:3], state[ee.x, ee.y, ee.z].

    picture: column of the pictures, '' = the only one.
    position, position_unit: x y z in the robot base frame [m, cm or mm].
    rotation, rotation_kind, rotation_unit: euler (fixed axes x y z), rotvec or quaternion (x y z
    w), angles in rad or degrees.
    gripper, gripper_open, gripper_closed: its position, and what that is at its ends.
    rate: of the rows [Hz], for a data set that does not tell; 0 = it does.
    """

    picture: str = ''
    position: str = ''
    position_unit: str = 'm'
    rotation: str = ''
    rotation_kind: str = 'euler'
    rotation_unit: str = 'rad'
    gripper: str = ''
    gripper_open: float = 0.0
    gripper_closed: float = 1.0
    rate: float = 0.0

    def __post_init__(self) -> None:
        for row in fields(self):
            value, is_text = getattr(self, row.name), isinstance(row.default, str)
            good = isinstance(value, str if is_text else (int, float))
            require(good, row.name, repr(value), 'a text' if is_text else 'a number')
        for name in ('position', 'rotation', 'gripper'):
            text = getattr(self, name)
            require(COLUMN.fullmatch(text), name, repr(text), 'a column such as state[0:3]')
        for name, choices in (
            ('position_unit', tuple(UNITS)),
            ('rotation_kind', ROTATIONS),
            ('rotation_unit', ('rad', 'degrees')),
        ):
            value = getattr(self, name)
            require(value in choices, name, repr(value), ', '.join(choices))
        good = abs(self.gripper_closed - self.gripper_open) > 1e-6
        require(good, 'gripper_closed', self.gripper_closed, 'another value than gripper_open')
        require(self.rate >= 0.0, 'rate', self.rate, '0 or more Hz')


DROID = 'observation.state.cartesian_position'
SO101 = 'observation.state'
# By what they are called; the first of which a data set has every column is taken.
LEROBOT = {
    'DROID': Mapping(
        '', f'{DROID}[0:3]', 'm', f'{DROID}[3:6]', gripper=f'{SO101}.gripper_position'
    ),
    'SO-101': Mapping(
        position=f'{SO101}[ee.x, ee.y, ee.z]',
        rotation=f'{SO101}[ee.wx, ee.wy, ee.wz]',
        rotation_kind='rotvec',
        gripper=f'{SO101}[ee.gripper_pos]',
        gripper_open=100.0,
        gripper_closed=0.0,
    ),
}
# From robosuite, with a Panda; positions are in the frame of its world.
ROBOMIMIC = Mapping(
    picture='agentview_image',
    position='robot0_eef_pos',
    rotation='robot0_eef_quat',
    rotation_kind='quaternion',
    gripper='robot0_gripper_qpos[0]',
    gripper_open=0.04,
    gripper_closed=0.0,
)


def read_mapping(path: str | Path) -> Mapping:
    """Return the Mapping of a YAML file; ValueError of one line if it has another entry."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f'mapping = {str(path)!r}: allowed: YAML: {error}') from error
    names = [row.name for row in fields(Mapping)]
    require(isinstance(content, dict), 'mapping', repr(str(path)), f'entries {", ".join(names)}')
    for name in content:
        require(name in names, 'mapping', f'{name!r} in {path}', ', '.join(names))
    return Mapping(**content)


def with_picture(mapping: Mapping, pictures: Sequence[str], camera: str) -> Mapping:
    """Return a Mapping that names one of the columns with pictures; ValueError if it cannot."""
    wanted = camera or mapping.picture
    found = [name for name in pictures if name == wanted or name.endswith(f'.{wanted}')]
    if not wanted:
        found = list(pictures)
    require(
        len(found) == 1,
        'camera',
        repr(wanted),
        f'one of {", ".join(pictures) or "no pictures at all"}; name it by --camera',
    )
    return replace(mapping, picture=found[0])


def column_of(text: str) -> str:
    """Return the name of the column that a text such as state[0:3] means."""
    match = COLUMN.fullmatch(text)
    return match['name'] if match else text


def part_of(
    text: str, table: Callable[[str], NDArray[np.float64]], names: Names[str, Sequence[str]]
) -> NDArray[np.float64]:
    """
    Return the numbers [T, D] that a text such as state[0:3] means.

    :param table: returns a column [T] or [T, D] by its name.
    :param names: of the numbers in a column, by its name.
    :raise LookupError: there are none.
    """
    match = COLUMN.fullmatch(text)
    assert match is not None  # Mapping has checked it
    values = np.asarray(table(match['name']), np.float64)
    values = values.reshape(len(values), -1)
    if match['part'] is None:
        return values
    known = list(names.get(match['name'], ()))
    numbers: list[int] = []
    for part in match['part'].split(','):
        word = part.strip()
        start, colon, stop = word.partition(':')
        if colon:
            numbers += range(int(start or 0), int(stop or values.shape[1]))
        else:
            numbers.append(int(word) if word.isdecimal() else known.index(word))
    return values[:, numbers]


def poses_of(
    mapping: Mapping, table: Callable[[str], NDArray[np.float64]], names: Names[str, Sequence[str]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return poses [T, 6] (m, rad fixed axes) and closedness [T]; LookupError as part_of.

    ValueError naming the column, if it has another number of values.
    """
    found = {}
    size = 4 if mapping.rotation_kind == 'quaternion' else 3
    for name, count in (('position', 3), ('rotation', size), ('gripper', 1)):
        text = getattr(mapping, name)
        found[name] = part_of(text, table, names)
        good = found[name].shape[1] == count
        require(good, name, repr(text), f'{count} numbers, not {found[name].shape[1]}')
    position = found['position'] * UNITS[mapping.position_unit]
    travel = mapping.gripper_closed - mapping.gripper_open
    closedness = (found['gripper'][:, 0] - mapping.gripper_open) / travel
    return np.concatenate([position, _angles(mapping, found['rotation'])], axis=1), closedness


def _angles(mapping: Mapping, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fixed-axis angles [T, 3] in rad; NaN where there is no rotation."""
    values = np.radians(values) if mapping.rotation_unit == 'degrees' else values
    if mapping.rotation_kind == 'euler':
        return values
    angles = np.full((len(values), 3), math.nan)
    good = np.isfinite(values).all(axis=1)
    if mapping.rotation_kind == 'quaternion':
        good &= np.linalg.norm(values, axis=1) > 0.5
    make = Rotation.from_rotvec if mapping.rotation_kind == 'rotvec' else Rotation.from_quat
    if good.any():
        angles[good] = make(values[good]).as_euler('xyz')
    return angles
