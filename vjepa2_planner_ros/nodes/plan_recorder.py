# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record every plan."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, TYPE_CHECKING

from rclpy.node import Node
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, PlanRecord, SearchIteration

from .goal import Goal
from .goal_reader import PlanRequest
from .recorder import key_values, Recorder, Recording
from .settings import Settings
from ..history.store import PlanStore
from ..history.topics import CANDIDATES, CURRENT_IMAGE, MARKERS, PLAN, RECORD, SEARCH
from ..messages.images import to_image
from ..messages.searches import to_candidates_message, to_pose_message
from ..messages.texts import dtype_name
from ..messages.times import to_duration

if TYPE_CHECKING:  # it needs torch
    from ..planning.search import SearchIteration as Iteration

MakeMarkers = Callable[[], MarkerArray]
RESULT_FIELDS = (
    'error_code',
    'error_msg',
    'command',
    'plan',
    'target_pose',
    'energy',
    'start_energy',
    'confidence',
    'confidence_calibrated',
    'has_surprise',
    'surprise',
    'calibration',
    'has_imagined',
    'imagined_error',
    'iterations',
    'planning_time',
    'encoding_time',
    'optimization_time',
)


class PlanRecorder(Recorder):
    """Records the plans of a planner."""

    def __init__(self, node: Node, settings: Settings):
        super().__init__(node, 'A plan', PlanStore, PLAN, settings.history.folder)
        self._recordings: dict[Goal, PlanRecording] = {}

    def begin(self, goal: Goal, request: PlanRequest, model: Any) -> PlanRecording | NoRecording:
        """
        Return the recording of a plan that begins; one that does nothing if recording is off.

        :param request: the goal's, complete.
        :param model: the loaded world model.
        """
        limits, identity = request.settings.history, bytes(goal.handle.goal_id.uuid)
        if not limits.folder:
            return NoRecording()
        self.pause()
        record = _begun(goal, request, model)
        recording = self.open(limits, identity, record, RECORD)
        frame, frame_header = request.frames[-1], request.image_header
        recording.put({CURRENT_IMAGE: lambda: to_image(frame, frame_header)}, frame.nbytes)
        self._recordings[goal] = PlanRecording(recording, record)
        return self._recordings[goal]

    def end(self, goal: Goal, result: PlanAction.Result, outcome: str) -> None:
        """Close the recording of a goal, if there is one, with its Result and outcome."""
        recording = self._recordings.pop(goal, None)
        if recording is not None:
            recording.end(result, outcome)
        if not self._recordings:
            self.resume()


class NoRecording:
    """Stands for a PlanRecording where none is made."""

    records = False

    def image(self, role: str, message: Image) -> None:
        """Do nothing."""

    def iteration(
        self, message: SearchIteration, iteration: Iteration, make_markers: MakeMarkers
    ) -> None:
        """Do nothing."""

    def markers(self, make: MakeMarkers) -> None:
        """Do nothing."""


class PlanRecording:
    """One plan on its way into a bag; returns at once."""

    records = True

    def __init__(self, recording: Recording, record: PlanRecord):
        self._recording, self._record = recording, record

    def image(self, role: str, message: Image) -> None:
        """Record an Image."""
        self._recording.put({role: lambda: message}, len(message.data))

    def iteration(
        self, message: SearchIteration, iteration: Iteration, make_markers: MakeMarkers
    ) -> None:
        """Record a SearchIteration message, its candidates and markers."""
        plan_id = self._record.plan_id
        self._recording.put(
            {
                SEARCH: lambda: message,
                CANDIDATES: lambda: to_candidates_message(iteration, plan_id),
                MARKERS: make_markers,
            },
            iteration.actions.nbytes + 2 * iteration.energies.nbytes,
        )

    def markers(self, make: MakeMarkers) -> None:
        """Record the MarkerArray that make() returns."""
        self._recording.put({MARKERS: make})

    def end(self, result: PlanAction.Result, outcome: str) -> None:
        """Record how the plan ended, and close the bag."""
        record = copy(self._record)
        record.outcome, record.dropped = outcome, self._recording.dropped
        for name in RESULT_FIELDS:
            setattr(record, name, getattr(result, name))
        self._recording.end(RECORD, record)


def _begun(goal: Goal, request: PlanRequest, model: Any) -> PlanRecord:
    """Return the PlanRecord of a plan that begins."""
    header = request.header
    return PlanRecord(
        header=header,
        plan_id=goal.handle.goal_id,
        run_id=goal.request.run_id,
        model=model.name,
        device=str(model.device),
        dtype=dtype_name(model.dtype),
        camera=request.camera,
        settings=key_values(request.settings),
        time_allowance=to_duration(request.allowance),
        states=[
            EndEffectorState(
                header=header, pose=to_pose_message(state, header).pose, gripper=float(state[6])
            )
            for state in request.states
        ],
    )
