# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Planning in the latent space of a world model; no ROS. Import from the modules."""
