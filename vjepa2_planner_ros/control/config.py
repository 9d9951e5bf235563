# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the loop to the goal: limits of the motion, and when a run ends; no ROS."""

from __future__ import annotations

from dataclasses import dataclass
import math

from ..planning.config import require, setting


@dataclass(frozen=True)
class Limits:
    """What no step and no target goes beyond, in the robot base frame."""

    workspace: tuple[float, ...] = setting(
        (0.25, 0.75, -0.4, 0.4, 0.05, 0.6),
        'Box that the end effector stays in: lowest and highest x, y and z in the base frame; the '
        'lowest z is the least height.',
        unit='m',
        low=-3.0,
        high=3.0,
    )
    max_step: float = setting(
        0.1,
        'Longest translation of a step; a longer one is shortened.',
        unit='m',
        low=0.001,
        high=0.3,
    )
    max_turn: float = setting(
        0.5,
        'Largest rotation of a step; a larger one is shortened.',
        unit='rad',
        low=0.0,
        high=math.pi,
    )
    max_speed: float = setting(
        0.1, 'Highest speed of the target.', unit='m/s', low=0.001, high=1.0
    )
    max_turn_speed: float = setting(
        0.5, 'Highest rotation speed of the target.', unit='rad/s', low=0.01, high=3.0
    )
    max_lag: float = setting(
        0.05,
        'Largest distance of the measured pose from the target while the arm moves; beyond it the '
        'arm is blocked or does not listen.',
        unit='m',
        low=0.005,
        high=0.5,
    )
    max_jump: float = setting(
        0.05,
        'Largest change of the measured pose from one message to the next.',
        unit='m',
        low=0.005,
        high=0.5,
    )

    def __post_init__(self) -> None:
        lows, highs = self.workspace[::2], self.workspace[1::2]
        good = all(low < high for low, high in zip(lows, highs))
        allowed = 'lowest x, highest x, lowest y, highest y, lowest z, highest z'
        require(good, 'workspace', list(self.workspace), allowed)


@dataclass(frozen=True)
class Arrival:
    """When the arm has arrived at the end of a step and is at rest."""

    tolerance: float = setting(
        0.01,
        'Distance from the target at which the arm has arrived.',
        unit='m',
        low=0.0005,
        high=0.1,
    )
    turn_tolerance: float = setting(
        0.05,
        'Angle from the target at which the arm has arrived.',
        unit='rad',
        low=0.005,
        high=0.5,
    )
    rest_time: float = setting(
        0.2, 'How long the arm must be still to be at rest.', unit='s', low=0.02, high=5.0
    )
    rest_distance: float = setting(
        0.001, 'How far the pose may wander in that time.', unit='m', low=0.0001, high=0.05
    )
    rest_travel: float = setting(
        0.02, 'How far the gripper may move in that time.', unit='closedness', low=0.001, high=0.5
    )
    gripper_delay: float = setting(
        1.0, 'Longest wait for the gripper to begin to move.', unit='s', low=0.0, high=10.0
    )
    timeout: float = setting(
        5.0,
        'Longest wait for arrival and rest after the target has stopped.',
        unit='s',
        low=0.1,
        high=60.0,
    )


@dataclass(frozen=True)
class Ending:
    """When a run ends by itself; see control.stop_rule."""

    max_steps: int = setting(20, 'Most steps of a run.', low=1, high=1000)
    sub_goal_steps: int = setting(12, 'Most steps toward one sub-goal.', low=1, high=1000)
    max_time: float = setting(300.0, 'Longest run.', unit='s', low=1.0, high=86400.0)
    min_confidence: float = setting(
        0.03,
        'A plan with less confidence is not worth a step, if the confidence is not calibrated.',
        low=0.0,
        high=1.0,
    )
    min_probability: float = setting(
        0.6, 'The same for a calibrated confidence, which is a probability.', low=0.0, high=1.0
    )
    max_surprise: float = setting(
        4.0,
        'Largest distance of the picture after a step from the predicted one, in units of what is '
        'usual for the model, if that is known.',
        low=0.0,
        high=1000.0,
    )
    patience: int = setting(
        3,
        'Steps without a new lowest energy after which a sub-goal has settled, and plans in a row '
        'without confidence after which it is given up.',
        low=1,
        high=100,
    )
    reached_energy: float = setting(
        1.5,
        'Highest energy at which a sub-goal that has settled counts as reached, in units of what '
        'is usual for the model 1 to 3 cm from a goal (near_energy of PlanAction), if that is '
        'known.',
        low=0.0,
        high=100.0,
    )
    min_drop: float = setting(
        0.5,
        'Where it is not known: share by which the energy must have fallen since the start of a '
        'sub-goal for it to count as reached.',
        low=0.0,
        high=1.0,
    )
    max_energy_rise: float = setting(
        0.5,
        'Largest energy above the predicted one after a step, as a share of the energy at the '
        'start of the sub-goal, or of near_energy where that is higher.',
        low=0.0,
        high=100.0,
    )


@dataclass(frozen=True)
class DeadMan:
    """A switch that somebody must hold while the arm moves."""

    topic: str = setting('', "Topic of the switch; '' = there is none.", read_only=True)
    button: int = setting(
        -1,
        'Index of the button of a sensor_msgs/Joy; -1 = the topic carries std_msgs/Bool.',
        low=-1,
        high=31,
        read_only=True,
    )
    timeout: float = setting(
        0.5, 'Longest silence of the topic.', unit='s', low=0.05, high=10.0, read_only=True
    )
