# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the shipped models were made: episodes of the simulated arm, training, evaluation."""
