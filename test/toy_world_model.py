# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The toy world model, where the tests look for it."""

from vjepa2_planner_ros.planning.toy_world_model import ToyWorldModel

__all__ = ['ToyWorldModel']
