# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""A simulated Franka Panda at a table, seen by a camera (MuJoCo, no ROS)."""

from vjepa2_planner_ros.simulation.rendering import choose_opengl

choose_opengl()  # mujoco reads the choice once, when it is imported

from vjepa2_planner_ros.simulation.episodes import Episode, sample_episode  # noqa: E402, I100
from vjepa2_planner_ros.simulation.panda import ACTION_BOUNDS, PandaSim  # noqa: E402
from vjepa2_planner_ros.simulation.scene import WORKSPACE  # noqa: E402

__all__ = ['ACTION_BOUNDS', 'Episode', 'PandaSim', 'WORKSPACE', 'sample_episode']
