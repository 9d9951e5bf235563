# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""A simulated Franka Panda at a table, seen by a camera (MuJoCo, no ROS)."""

from .rendering import import_mujoco

import_mujoco()  # before the modules below do

from .episodes import Episode, sample_episode  # noqa: E402, I100
from .panda import ACTION_BOUNDS, PandaSim  # noqa: E402
from .scene import WORKSPACE  # noqa: E402

__all__ = ['ACTION_BOUNDS', 'Episode', 'PandaSim', 'WORKSPACE', 'sample_episode']
