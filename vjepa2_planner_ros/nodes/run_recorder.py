# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record every run of the controller."""

from __future__ import annotations

from copy import copy
from typing import TypeAlias

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep, RunRecord

from .controller_settings import ControllerSettings
from .goal import Goal
from .reach_reader import ReachRequest
from .recorder import key_values, Recorder, Recording
from ..history.store import RunStore
from ..history.topics import (
    COMPRESSED_FRAME,
    COMPRESSED_SUB_GOAL,
    FRAME,
    RUN,
    RUN_RECORD,
    STEP,
    SUB_GOAL,
)

RESULT_FIELDS = ('outcome', 'reason', 'error_code', 'error_msg', 'sub_goals_done', 'run_time')
Picture: TypeAlias = Image | CompressedImage


class RunRecorder(Recorder):
    """Records the runs of a controller, of which there is one at a time."""

    def __init__(self, node: Node, settings: ControllerSettings):
        super().__init__(node, 'A run', RunStore, RUN, settings.history.folder)
        self._recording: Recording | None = None  # of the run that goes on, if it is recorded
        self._record = RunRecord()

    def begin(self, goal: Goal, request: ReachRequest, settings: ControllerSettings) -> None:
        """Begin the recording of a run."""
        if not settings.history.folder:
            return
        stamp = self._clock.now().to_msg()
        self._record = RunRecord(
            header=Header(stamp=stamp, frame_id=settings.base_frame),
            run_id=goal.handle.goal_id,
            camera=request.camera,
            settings=key_values(settings),
            sub_goals=len(request.sub_goals),
            dry_run=request.dry_run,
        )
        identity = bytes(goal.handle.goal_id.uuid)
        self._recording = self.open(settings.history, identity, self._record, RUN_RECORD)
        for sub_goal in request.sub_goals:
            if sub_goal.image.data:
                self._put(SUB_GOAL, sub_goal.image)
            else:
                self._put(COMPRESSED_SUB_GOAL, sub_goal.image_compressed)

    def step(self, step: ReachStep, frame: Picture | None) -> None:
        """Record a step that is planned, after the frame it was planned from."""
        self.frame(frame)
        if self._recording is not None:
            self._recording.put({STEP: lambda: step})

    def frame(self, frame: Picture | None) -> None:
        """Record a frame, if there is one."""
        if frame is not None:
            self._put(FRAME if isinstance(frame, Image) else COMPRESSED_FRAME, frame)

    def end(self, result: ReachGoal.Result, steps: list[ReachStep], model: str) -> None:
        """Close the recording, if there is one, with the run's Result and what it did."""
        self.resume()
        recording, self._recording = self._recording, None
        if recording is None:
            return
        record = copy(self._record)
        record.steps, record.model = steps, model
        for name in RESULT_FIELDS:
            setattr(record, name, getattr(result, name))
        if recording.dropped:
            self._logger.warning(
                f'{recording.dropped} messages are missing in the recording of the run: the disk '
                'is too slow'
            )
        recording.end(RUN_RECORD, record)

    def _put(self, role: str, picture: Picture) -> None:
        if self._recording is not None:
            self._recording.put({role: lambda: picture}, len(picture.data))
