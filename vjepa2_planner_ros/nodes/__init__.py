# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes: the planner as a lifecycle action server."""
