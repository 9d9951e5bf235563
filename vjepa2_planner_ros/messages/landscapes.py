# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energy landscapes between numbers and ROS messages."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import ComputeEnergyLandscape
from vjepa2_interfaces.msg import LandscapeAxis

from .commands import command_numbers
from .searches import to_pose_message
from .times import to_duration
from ..planning.actions import UNITS
from ..planning.landscape import Grid, Landscape

FIELDS = ('x', 'y', 'z', 'energy')


def to_landscape_result(
    landscape: Landscape,
    header: Header,
    start: NDArray[np.float64],
    model: str,
    plan_id: UUID | None,
    computing_time: float,
) -> ComputeEnergyLandscape.Result:
    """
    Return the Result of a Landscape.

    :param start: state [7] that the steps start from.
    :param plan_id: of the plan whose command is marked; None without one.
    :param computing_time: s.
    """
    result = ComputeEnergyLandscape.Result(
        header=header,
        start_pose=to_pose_message(start, header),
        model=model,
        axes=[
            LandscapeAxis(name=axis, unit=UNITS[axis], values=values.tolist())
            for axis, values in zip(landscape.grid.axes, landscape.grid.values)
        ],
        energies=array('f', landscape.energies.tobytes()),
        minimum=landscape.minimum,
        minimum_command=command_numbers(landscape.minimum_command),
        start_energy=landscape.start_energy,
        computing_time=to_duration(computing_time),
    )
    if landscape.command is not None:
        result.has_command, result.plan_id = True, plan_id
        result.command = command_numbers(landscape.command)
        result.command_energy = landscape.command_energy
    return result


def to_landscape(result: ComputeEnergyLandscape.Result) -> Landscape:
    """Return the Landscape of a ComputeEnergyLandscape Result."""
    names = tuple(axis.name for axis in result.axes)
    offset = np.where(np.isin(list(UNITS), names), 0.0, result.minimum_command)
    grid = Grid(names, tuple(np.array(axis.values) for axis in result.axes), offset)
    energies = np.array(result.energies, np.float32).reshape(grid.shape)
    if not result.has_command:
        return Landscape(grid, energies, result.start_energy)
    return Landscape(
        grid, energies, result.start_energy, np.array(result.command), result.command_energy
    )


def to_cloud(
    landscape: Landscape | None, corner: NDArray[np.float64], header: Header
) -> PointCloud2:
    """
    Return the PointCloud2 of a Landscape over translations, with an energy at each point.

    :param landscape: None = a cloud without points.
    :param corner: position [3] from which the steps start, offset included.
    """
    points: NDArray[np.float32] = np.zeros((0, len(FIELDS)), np.float32)
    if landscape is not None:
        steps = landscape.grid.commands()[:, :3] - landscape.grid.offset[:3]
        points = np.column_stack([corner + steps, landscape.energies.ravel()]).astype(np.float32)
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        is_dense=bool(np.isfinite(points).all()),
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(FIELDS)
        ],
        point_step=4 * len(FIELDS),
        row_step=points.nbytes,
        data=array('B', points.tobytes()),
    )
