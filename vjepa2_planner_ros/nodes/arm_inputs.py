# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller measures: the arm's state, and that pose and camera are alive."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from .controller_settings import ControllerSettings
from .errors import GoalError
from .observations import Observations
from .stream_buffer import Stamped
from .streams import Streams
from ..control.reasons import Reason, RunEnd


class ArmInputs:
    """Reads the streams for a run; check_alive() goes by a steady clock, which never jumps."""

    def __init__(self, streams: Streams, observations: Observations, camera: str):
        self._streams, self._observations, self._camera = streams, observations, camera
        self._seen: dict[str, tuple[int, float]] = {}  # newest stamp and when it changed, by part

    def restart(self) -> None:
        """Count silence from now on."""
        self._seen = {}

    def state(self, settings: ControllerSettings) -> NDArray[np.float64]:
        """Return the measured state [7]; RunEnd STALE_INPUT if there is none that can be used."""
        try:
            return self._observations.state(self._observations.look(None), settings)
        except GoalError as error:
            raise RunEnd(Reason.STALE_INPUT, str(error)) from error

    def check_alive(self, settings: ControllerSettings) -> None:
        """Raise RunEnd STALE_INPUT if the stamps of pose or frames stood still for too long."""
        now, moment = time.monotonic(), self._observations.look(self._camera)
        for part, item in (('pose', moment.newest['pose']), (self._camera, moment.frame)):
            stamp = 0 if item is None else item.stamp
            before, since = self._seen.get(part, (None, now))
            if stamp != before:
                self._seen[part] = (stamp, now)
            elif now - since > settings.input_timeout:
                raise RunEnd(
                    Reason.STALE_INPUT,
                    f"nothing new on '{self._streams.topics[part]}' for {now - since:.2f} s: "
                    f'allowed: input_timeout = {settings.input_timeout:g} s'
                    f'{self._streams.why_silent(part)}',
                )

    def frame(self) -> Stamped | None:
        """Return the camera's newest frame."""
        return self._observations.look(self._camera).frame

    def pose_stamp(self) -> int:
        """Return the stamp [ns] of the newest pose, 0 without one."""
        pose = self._observations.look(None).newest['pose']
        return 0 if pose is None else pose.stamp
