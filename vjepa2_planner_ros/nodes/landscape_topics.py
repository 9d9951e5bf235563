# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest landscape on topics, latched: as a picture, as points and as markers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import traceback
from typing import Any

import numpy as np
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ComputeEnergyLandscape

from ..messages.images import to_image
from ..messages.landscapes import to_cloud, to_landscape
from ..messages.markers import ELITE_SIZE, no_markers, ORANGE, points_marker, slice_markers
from ..planning.landscape import Landscape
from ..planning.landscape_plot import draw

# A picture of one panel then takes 495 kB. Over Fast DDS, best-effort subscribers such as
# rqt_image_view got every picture of up to 520 kB, and one in four of 771 kB.
TOPIC_DPI = 80


class LandscapeTopics:
    """Shows landscapes on a separate thread: no result waits for a picture to be drawn."""

    def __init__(self, node: Node):
        self._node = node
        self._newest: Any = None  # Result
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = node.create_publisher(Image, '~/landscape/image', latched)
        self._points = node.create_publisher(PointCloud2, '~/landscape/points', latched)
        self._markers = node.create_publisher(MarkerArray, '~/landscape/markers', latched)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix='landscape')

    def show(self, result: ComputeEnergyLandscape.Result) -> None:
        """Publish a Result soon, unless a newer one comes first."""
        self._newest = result
        self._pool.submit(self._show, result)

    def _show(self, result: ComputeEnergyLandscape.Result) -> None:
        if result is not self._newest:
            return
        try:
            landscape = to_landscape(result)
            self._show_in_space(landscape, result)
            self._image.publish(to_image(draw(landscape, TOPIC_DPI), result.header))
        except InvalidHandle:
            pass  # the node is being destroyed
        except Exception:
            if self._node.context.ok():
                self._node.get_logger().error(traceback.format_exc())

    def _show_in_space(self, landscape: Landscape, result: ComputeEnergyLandscape.Result) -> None:
        position = result.start_pose.pose.position
        start, header = np.array([position.x, position.y, position.z]), result.header
        corner, spatial = start + landscape.grid.offset[:3], landscape.translations()
        self._points.publish(to_cloud(spatial, corner, header))
        if spatial is None:
            self._markers.publish(no_markers(header.frame_id))
            return
        shown = slice_markers(spatial, corner, header.frame_id)
        if landscape.command is not None:
            end, colour = start + landscape.command[:3], np.array([ORANGE])
            shown.markers.append(
                points_marker(header.frame_id, 'command', [end], colour, 1.5 * ELITE_SIZE)
            )
        self._markers.publish(shown)
