# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded data, and how world models are trained and evaluated on it; no ROS."""
