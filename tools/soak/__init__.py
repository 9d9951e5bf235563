# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A long, random and partly hostile conversation with a real planner; see __main__."""
