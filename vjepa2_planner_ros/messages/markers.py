# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The search, its command and landscapes as markers around the end effector.

All are in the robot base frame, without a stamp: rviz shows them at the newest transform.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import cache
from typing import Any, TYPE_CHECKING

from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
import numpy as np
from numpy.typing import ArrayLike, NDArray
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from .states import quaternion_of_rpy
from ..planning.landscape import Landscape

if TYPE_CHECKING:  # it needs torch
    from ..planning.search import SearchIteration

MOST_CANDIDATES = 400  # shown of an iteration, without its elites, all of which are shown
CANDIDATE_SIZE, ELITE_SIZE, LINE_WIDTH, THINNEST = 0.002, 0.004, 0.002, 0.001  # m
FINGERS = (0.006, 0.015, 0.03)  # m, thickness, width and length of a finger as drawn
OPENING = 0.08  # m between the fingers of an open gripper as drawn
WHITE, ORANGE, GREY = (1.0, 1.0, 1.0, 0.25), (1.0, 0.55, 0.0, 1.0), (0.6, 0.6, 0.6, 1.0)
# Dark blue at the lowest to yellow at the highest; red, green, blue at equal distances.
COLOURS = np.array(
    [
        [0.27, 0.00, 0.33],
        [0.23, 0.32, 0.55],
        [0.13, 0.57, 0.55],
        [0.37, 0.79, 0.38],
        [0.99, 0.91, 0.14],
    ]
)


def iteration_markers(
    iteration: SearchIteration, start: NDArray[np.float64], frame: str
) -> MarkerArray:
    """
    Return the MarkerArray of a planning.SearchIteration, in the frame's coordinates.

    Where the candidates end (dark = low energy, elites larger), how far one standard deviation
    of the search reaches, and, beyond one step, the path of its mean.

    :param start: state [7] that the candidates start from.
    """
    ends = start[:3] + iteration.actions[..., :3].sum(axis=1)  # [S, 3]
    colours = energy_colours(iteration.energies)
    elites = iteration.elites
    shown = np.isfinite(iteration.energies)
    shown[elites] = False
    others = np.flatnonzero(shown)
    others = others[:: 1 + len(others) // MOST_CANDIDATES]
    path = start[:3] + np.cumsum(iteration.mean[:, :3], axis=0)  # [H, 3]
    # The steps are independent in the search, so their variances add up.
    reach = np.sqrt((iteration.std[:, :3] ** 2).sum(axis=0))
    markers = [
        _clear(frame),
        points_marker(frame, 'candidates', ends[others], colours[others], CANDIDATE_SIZE),
        points_marker(frame, 'elites', ends[elites], colours[elites], ELITE_SIZE),
        make_marker(
            frame,
            'distribution',
            Marker.SPHERE,
            WHITE,
            pose=Pose(position=_point(path[-1])),
            scale=_vector(np.maximum(2.0 * reach, THINNEST)),
        ),
    ]
    if len(path) > 1:
        markers.append(_path(frame, start, path))
    return MarkerArray(markers=markers)


def command_markers(answer: Any, start: NDArray[np.float64], frame: str) -> MarkerArray:
    """
    Return the MarkerArray of an Answer: the command as an arrow, the gripper at its end.

    :param start: state [7] that the plan starts from.
    """
    target = answer.target
    path = start[:3] + np.cumsum(answer.commands[:, :3], axis=0)
    arrow = make_marker(
        frame,
        'command',
        Marker.ARROW,
        ORANGE,
        scale=Vector3(x=2 * LINE_WIDTH, y=5 * LINE_WIDTH, z=0.0),
        points=[_point(start), _point(target)],
    )
    markers = [arrow, *_gripper_markers(target, answer.commands[0][6], frame)]
    if len(path) > 1:
        markers.append(_path(frame, start, path))
    return MarkerArray(markers=markers)


def _gripper_markers(target: NDArray[np.float64], command: float, frame: str) -> list[Marker]:
    """
    Return the fingers at a state [7], and the gripper's command as text.

    The fingers lie on the end effector's y axis, as on a Panda, as far apart as the gripper will
    be open.
    """
    orientation = quaternion_of_rpy(*map(float, target[3:6]))
    side = _y_axis(orientation) * OPENING / 2.0 * (1.0 - target[6])
    fingers = [
        make_marker(
            frame,
            'gripper',
            Marker.CUBE,
            GREY,
            number=number,
            pose=Pose(position=_point(target[:3] + sign * side), orientation=orientation),
            scale=_vector(FINGERS),
        )
        for number, sign in enumerate((-1.0, 1.0))
    ]
    # Without a space: rviz draws one a metre wide (ros2/rviz issue 1336).
    text = make_marker(
        frame,
        'gripper',
        Marker.TEXT_VIEW_FACING,
        ORANGE,
        number=2,
        pose=Pose(position=_point(target[:3] + [0.0, 0.0, 0.05])),
        scale=Vector3(z=0.015),
        text=f'gripper:{command:+.2f}',
    )
    return [*fingers, text]


def slice_markers(landscape: Landscape, corner: NDArray[np.float64], frame: str) -> MarkerArray:
    """
    Return the MarkerArray of a Landscape over translations: slices through its minimum.

    :param corner: position [3] from which the steps start, offset included.
    """
    grid, markers = landscape.grid, [_clear(frame)]
    axes = ['xyz'.index(axis) for axis in grid.axes]
    lowest = np.array(corner, float)
    lowest[axes] += [values[at] for values, at in zip(grid.values, landscape.lowest)]
    colours = energy_colours(landscape.energies).reshape(*landscape.energies.shape, 4)
    for first, second, _ in landscape.slices():
        index = tuple(
            slice(None) if i in (first, second) else at for i, at in enumerate(landscape.lowest)
        )
        points = np.tile(lowest, (*grid.shape[first : first + 1], grid.shape[second], 1))
        points[..., axes[first]] = corner[axes[first]] + grid.values[first][:, None]
        points[..., axes[second]] = corner[axes[second]] + grid.values[second]
        markers.append(
            _slice(frame, f'{grid.axes[first]}{grid.axes[second]} slice', points, colours[index])
        )
    markers.append(
        make_marker(
            frame,
            'minimum',
            Marker.SPHERE,
            (1.0, 0.0, 0.0, 1.0),
            pose=Pose(position=_point(lowest)),
            scale=_vector([ELITE_SIZE] * 3),
        )
    )
    return MarkerArray(markers=markers)


def no_markers(frame: str) -> MarkerArray:
    """Return the MarkerArray that removes all markers of its topic."""
    return MarkerArray(markers=[_clear(frame)])


def energy_colours(energies: ArrayLike) -> NDArray[np.float64]:
    """Return red, green, blue, opacity [S, 4] of energies: dark = low, not finite = invisible."""
    values = np.asarray(energies, float).ravel()
    finite = np.isfinite(values)
    low, high = values[finite].min(), values[finite].max()
    share = np.where(finite, values - low, 0.0) / ((high - low) or 1.0)
    at = np.linspace(0.0, 1.0, len(COLOURS))
    return np.stack([*(np.interp(share, at, channel) for channel in COLOURS.T), finite], axis=1)


def points_marker(
    frame: str, namespace: str, points: ArrayLike, colours: NDArray[np.float64], size: float
) -> Marker:
    """Return a Marker of spheres at points [S, 3] in colours [S, 4]."""
    return make_marker(
        frame,
        namespace,
        Marker.SPHERE_LIST,
        WHITE,
        scale=_vector([size] * 3),
        points=_points(points),
        colors=_colours(colours),
    )


def _slice(
    frame: str, namespace: str, points: NDArray[np.float64], colours: NDArray[np.float64]
) -> Marker:
    """Return a Marker of two triangles for each cell of a grid of points [I, J, 3]."""
    corners = [(0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1)]
    rows, columns = points.shape[0] - 1, points.shape[1] - 1

    def triangles(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(
            [values[i : i + rows, j : j + columns] for i, j in corners], axis=2
        ).reshape(-1, values.shape[-1])

    return make_marker(
        frame,
        namespace,
        Marker.TRIANGLE_LIST,
        WHITE,
        scale=_vector([1.0] * 3),
        points=_points(triangles(points)),
        colors=_colours(triangles(colours)),
    )


def _path(frame: str, start: NDArray[np.float64], path: NDArray[np.float64]) -> Marker:
    return make_marker(
        frame,
        'path',
        Marker.LINE_STRIP,
        ORANGE,
        scale=Vector3(x=LINE_WIDTH),
        points=_points(np.concatenate([start[None, :3], path])),
    )


def make_marker(
    frame: str,
    namespace: str,
    kind: int,
    colour: tuple[float, ...],
    number: int = 0,
    **fields: Any,
) -> Marker:
    """Return a Marker of a namespace and number; fields are others of its message."""
    marker = copy(BLANK)  # a Marker() makes twenty objects, most of which stay as they are
    marker.header, marker.color = Header(frame_id=frame), ColorRGBA(**dict(zip('rgba', colour)))
    marker.ns, marker.id, marker.type, marker.action = namespace, number, kind, Marker.ADD
    for name, value in fields.items():
        setattr(marker, name, value)
    return marker


BLANK = Marker()


@cache
def _clear(frame: str) -> Marker:
    return Marker(header=Header(frame_id=frame), action=Marker.DELETEALL)


def _points(points: ArrayLike) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in np.asarray(points, float).tolist()]


def _colours(colours: NDArray[np.float64]) -> list[ColorRGBA]:
    return [ColorRGBA(r=r, g=g, b=b, a=a) for r, g, b, a in colours.tolist()]


def _point(position: NDArray[np.float64]) -> Point:
    x, y, z = map(float, position[:3])
    return Point(x=x, y=y, z=z)


def _vector(numbers: Iterable[float]) -> Vector3:
    x, y, z = map(float, numbers)
    return Vector3(x=x, y=y, z=z)


def _y_axis(q: Quaternion) -> NDArray[np.float64]:
    """Return the direction [3] of the y axis turned by a quaternion."""
    x, y = 2.0 * (q.x * q.y - q.w * q.z), 1.0 - 2.0 * (q.x**2 + q.z**2)
    return np.array([x, y, 2.0 * (q.y * q.z + q.w * q.x)])
