# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plan robot motion from a picture of the goal with V-JEPA 2 world models, in ROS 2."""
