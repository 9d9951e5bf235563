# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The loop to the goal: when to step and when to stop; no ROS, no torch."""
