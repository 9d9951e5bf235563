# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Markers of a run for rviz: the workspace, the path of the targets and the newest one."""

from __future__ import annotations

from collections.abc import Sequence

from geometry_msgs.msg import Point, Pose, Vector3
from visualization_msgs.msg import Marker, MarkerArray
from vjepa2_interfaces.msg import ReachStep

from .markers import LINE_WIDTH, make_marker

GREEN, BLUE = (0.2, 0.7, 0.3, 1.0), (0.12, 0.37, 0.71, 1.0)
BALL = 0.015  # m
LINE = Vector3(x=LINE_WIDTH)


def run_markers(steps: Sequence[ReachStep], workspace: Sequence[float]) -> MarkerArray:
    """
    Return the MarkerArray of a run's steps.

    :param workspace: lowest and highest x, y and z [m] of the box, as limits.workspace.
    """
    frame, places = steps[-1].header.frame_id, [_start(steps[0])]
    places += [step.target_pose.pose.position for step in steps]
    return MarkerArray(
        markers=[
            make_marker(
                frame, 'workspace', Marker.LINE_LIST, GREEN, scale=LINE, points=_edges(workspace)
            ),
            make_marker(frame, 'run', Marker.LINE_STRIP, BLUE, scale=LINE, points=places),
            make_marker(
                frame,
                'target',
                Marker.SPHERE,
                BLUE,
                pose=Pose(position=places[-1]),
                scale=Vector3(x=BALL, y=BALL, z=BALL),
            ),
        ]
    )


def _start(step: ReachStep) -> Point:
    """Return where a step starts."""
    target, move = step.target_pose.pose.position, step.limited_command
    return Point(x=target.x - move[0], y=target.y - move[1], z=target.z - move[2])


def _edges(workspace: Sequence[float]) -> list[Point]:
    """Return the ends of the twelve edges of a box, two by two."""
    ends = [workspace[0:2], workspace[2:4], workspace[4:6]]
    corners = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    pairs = [
        (one, other)
        for one in corners
        for other in corners
        if one < other and sum(a != b for a, b in zip(one, other)) == 1
    ]
    return [
        Point(**{axis: float(ends[row][side]) for row, (axis, side) in enumerate(zip('xyz', end))})
        for pair in pairs
        for end in pair
    ]
