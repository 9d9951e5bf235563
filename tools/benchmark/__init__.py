# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How fast this machine encodes, predicts and plans, beside the reference."""
