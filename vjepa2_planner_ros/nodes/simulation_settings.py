# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulation's settings, see messages.input_settings; no ROS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
import math

from ..planning.config import check_setting, described, setting
from ..simulation.episodes import LARGEST_SEED
from ..simulation.panda import FIELDS_OF_VIEW, MODES, STEP_TIME

at_start = partial(setting, read_only=True)


@dataclass(frozen=True)
class SimulationSettings:
    """Every parameter of the simulation and its value."""

    seed: int = at_start(
        2_000_000, 'Seed of the first episode: scene, start and goal.', low=0, high=LARGEST_SEED
    )
    rate: float = at_start(10.0, 'Pictures a second.', unit='Hz', low=1.0, high=60.0)
    state_rate: float = at_start(
        50.0,
        'States a second, and ticks of the arm; not less than rate.',
        unit='Hz',
        low=1.0,
        high=200.0,
    )
    mode: str = at_start('kinematic', 'How commands are followed.', choices=MODES)
    image_size: int = at_start(
        256, 'Width and height of the picture.', unit='pixels', low=64, high=1024
    )
    camera: str = at_start(
        'fixed', "Camera: 'fixed', or 'wrist' on the hand.", choices=tuple(FIELDS_OF_VIEW)
    )
    camera_turn: float = at_start(
        0.0,
        'How far the fixed camera has gone round the workspace, seen from above against the '
        'clock.',
        unit='rad',
        low=-math.pi,
        high=math.pi,
    )
    camera_rise: float = at_start(
        0.0,
        'How much higher the fixed camera is than it was in training.',
        unit='m',
        low=-0.5,
        high=1.0,
    )
    goal_turn: float = at_start(
        0.0,
        'How far goals are turned against the starts about the vertical.',
        unit='rad',
        low=0.0,
        high=0.4,
    )
    step_time: float = at_start(
        STEP_TIME, 'Duration of the motion of one command.', unit='s', low=0.05, high=5.0
    )

    def __post_init__(self) -> None:
        for row in described(self):
            check_setting(row, getattr(self, row.name), row.name)
