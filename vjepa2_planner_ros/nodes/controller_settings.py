# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller's settings, see messages.input_settings; no ROS."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..control.config import Arrival, DeadMan, Ending, Limits
from ..messages.input_settings import GripperSettings, InputSettings
from ..planning.config import setting

OUTPUTS = ('pose', 'twist')
GRIPPERS = ('', 'gripper_command', 'parallel_gripper_command', 'position')


@dataclass(frozen=True)
class GripperOutput:
    """How the gripper is moved."""

    kind: str = setting(
        '',
        "'gripper_command' and 'parallel_gripper_command' are the actions of control_msgs, "
        "'position' is std_msgs/Float64MultiArray; '' = the gripper is not moved.",
        choices=GRIPPERS,
        read_only=True,
    )
    name: str = setting(
        '~/gripper_command', 'Name of the action, or of the topic.', read_only=True
    )
    max_effort: float = setting(
        0.0, "Force of GripperCommand; 0 = the driver's own.", unit='N', low=0.0, high=500.0
    )
    open_position: float = setting(
        0.0,
        'Position that opens the gripper, if commands have another scale than the joint; equal to '
        'closed_position = they have the same.',
        unit="the command's own unit",
        low=-1000.0,
        high=1000.0,
    )
    closed_position: float = setting(
        0.0, 'Position that closes it.', unit="the command's own unit", low=-1000.0, high=1000.0
    )

    def scale(self, gripper: GripperSettings) -> GripperOutput | GripperSettings:
        """Return what has open_position and closed_position of commands."""
        return self if self.open_position != self.closed_position else gripper


@dataclass(frozen=True)
class ControllerSettings(InputSettings):
    """Every parameter of the controller and its value; a run uses one such set."""

    planner: str = setting(
        'plan', "Name of the planner's action, relative to the namespace.", read_only=True
    )
    dry_run: bool = setting(
        True, 'Plan and check the first step of each run and show it; nothing moves.'
    )
    confirm: bool = setting(False, 'Wait for ~/confirm before each step.')
    plan_timeout: float = setting(60.0, 'Longest wait for a plan.', unit='s', low=0.1, high=3600.0)
    input_timeout: float = setting(
        0.5,
        'Longest silence of the pose, and of the camera, while the arm moves.',
        unit='s',
        low=0.05,
        high=10.0,
    )
    rate: float = setting(
        50.0, 'Targets a second.', unit='Hz', low=10.0, high=1000.0, read_only=True
    )
    output: str = setting(
        'pose',
        "'pose' publishes ~/target_pose (PoseStamped), 'twist' ~/twist (TwistStamped).",
        choices=OUTPUTS,
        read_only=True,
    )
    output_topic: str = setting(
        '', "Topic of the targets; '' = ~/target_pose or ~/twist.", read_only=True
    )
    output_frame: str = setting(
        '',
        "Frame of targets in their header; '' = base_frame. It must be at the same place.",
        read_only=True,
    )
    repeat_hold: bool = setting(
        True, 'Repeat the last target while the arm holds; false = publish it once and be silent.'
    )
    gripper_output: GripperOutput = field(default_factory=GripperOutput)
    limits: Limits = field(default_factory=Limits)
    arrival: Arrival = field(default_factory=Arrival)
    ending: Ending = field(default_factory=Ending)
    dead_man: DeadMan = field(default_factory=DeadMan)
