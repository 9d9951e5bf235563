# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plan robot motion from a picture of the goal with V-JEPA 2 world models, in ROS 2."""

import os

# Torch's threads spin while they wait for each other. Where other programs use the same cores,
# that makes plans five to ten times slower. OpenMP reads this when torch is first imported.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
