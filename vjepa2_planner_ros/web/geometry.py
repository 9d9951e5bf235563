# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where points of a frame are in the camera's picture, as CameraInfo and tf tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo
from tf2_msgs.msg import TFMessage

from .link import Link
from .on_demand import OnDemand

Matrix = NDArray[np.float64]
LONGEST_CHAIN = 100  # frames from one to its root; a loop has no end
NEAREST = 0.05  # m before the camera; what is nearer is not drawn


class CameraGeometry:
    """Subscribes to /tf, /tf_static and CameraInfo while look() is called."""

    def __init__(self, link: Link):
        self._link = link
        self._parents: dict[str, tuple[str, Matrix]] = {}  # pose [4, 4] in the parent, by frame
        self._info: CameraInfo | None = None
        self._info_topic: tuple[str, OnDemand] | None = None
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._tf = [
            link.on_demand(TFMessage, topic, self._on_tf, qos)
            for topic, qos in (('/tf', QoSProfile(depth=100)), ('/tf_static', latched))
        ]

    def look(self) -> None:
        """Listen, for some seconds from now."""
        for topic in self._tf:
            topic.look()
        image = next(iter(self._link.camera.topics()), None)
        if image is None:
            return
        name = f'{image.rpartition("/")[0]}/camera_info'
        if self._info_topic is None or self._info_topic[0] != name:
            added = self._link.on_demand(CameraInfo, name, self._on_info, qos_profile_sensor_data)
            self._info_topic = name, added
        self._info_topic[1].look()

    def project(self, points: Matrix, frame: str, size: tuple[int, int]) -> Matrix | None:
        """
        Return where points are in the picture [N, 2] (pixels), None if that is not known.

        :param points: [N, 3] m in a frame.
        :param size: width and height of the picture, which must be those of the CameraInfo.
        """
        info = self._info
        if info is None or (info.width, info.height) != size or info.k[0] <= 0.0:
            return None
        camera = self._to_root(info.header.frame_id)
        base = self._to_root(frame)
        if camera is None or base is None or camera[0] != base[0]:
            return None
        pose = np.linalg.inv(camera[1]) @ base[1]
        seen = points @ pose[:3, :3].T + pose[:3, 3]
        if (seen[:, 2] < NEAREST).any():
            return None
        pixels = seen @ np.array(info.k, float).reshape(3, 3).T
        return np.asarray(pixels[:, :2] / pixels[:, 2:])

    def _to_root(self, frame: str) -> tuple[str, Matrix] | None:
        """Return the root above a frame, and the frame's pose [4, 4] in it."""
        pose: Matrix = np.eye(4)
        for _ in range(LONGEST_CHAIN):
            if frame not in self._parents:
                return frame, pose
            frame, step = self._parents[frame]
            pose = step @ pose
        return None

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_tf(self, message: TFMessage) -> None:
        for each in message.transforms[:1000]:
            if len(self._parents) < 1000 or each.child_frame_id in self._parents:
                place = each.header.frame_id, _matrix(each.transform)
                self._parents[each.child_frame_id] = place


def _matrix(transform: Any) -> Matrix:
    """Return a Transform as [4, 4]."""
    turn, move = transform.rotation, transform.translation
    x, y, z, w = np.array([turn.x, turn.y, turn.z, turn.w]) / max(
        np.linalg.norm([turn.x, turn.y, turn.z, turn.w]), 1e-9
    )
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = move.x, move.y, move.z
    return matrix


def arrow(start: Matrix, end: Matrix, size: tuple[int, int]) -> str:
    """Return an arrow between two points [2] of a picture of that size (pixels) as SVG."""
    (x, y), (u, v) = start.round(1).tolist(), end.round(1).tolist()
    unit = max(size) / 100.0
    along = end - start
    length = float(np.linalg.norm(along))
    parts = [f'<circle cx="{x}" cy="{y}" r="{1.1 * unit:.2f}" fill="#fff"/>']
    if length > 0.5 * unit:
        along = along / length
        across = np.array([-along[1], along[0]])
        back = end - 2.4 * unit * along
        corners = (end, back + 1.3 * unit * across, back - 1.3 * unit * across)
        head = ' '.join(f'{corner[0]:.1f},{corner[1]:.1f}' for corner in corners)
        for colour, width in (('#fff', 1.5), ('#e8590c', 0.9)):
            line = f'stroke="{colour}" stroke-width="{width * unit:.2f}"'
            parts.append(f'<line x1="{x}" y1="{y}" x2="{u}" y2="{v}" {line}/>')
            parts.append(f'<polygon points="{head}" fill="#e8590c" {line}/>')
    return ''.join(parts)
