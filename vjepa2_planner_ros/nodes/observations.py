# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera, the end-effector state that belongs to it, and the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GoalError
from .settings import Settings
from .stream_buffer import Stamped
from .streams import info_of, Streams
from ..messages.error_codes import ErrorCode
from ..messages.images import picture
from ..messages.input_settings import (
    CameraSettings,
    Crop,
    FRAME_TOLERANCE,
    InputSettings,
    read_crop,
)
from ..messages.states import check_frame, to_closedness, to_state
from ..messages.transforms import point_of

PARTS = ('pose', 'gripper')
# Longest wait [s] of problem() for streams that belong together: what is looked at just before a
# state arrives is no problem.
PATIENCE = 0.2


@dataclass(frozen=True)
class Moment:
    """What the streams had at one time; None = nothing."""

    time: int  # [ns, ROS time], at which ages count: reading a picture makes no state too old
    frame: Stamped | None  # the newest of a camera
    stamp: int | None  # of the frame [ns]; None = the state is to be the newest
    newest: dict[str, Stamped | None]  # by part: pose, gripper
    near: dict[str, Stamped | None]  # by part, taken nearest to stamp; the newest without one

    def age(self, item: Stamped) -> float:
        """Return the age [s] that a Stamped had; below 0 if its stamp was in the future."""
        return (self.time - item.stamp) * 1e-9


class Observations:
    """Returns fresh frames and states from the streams, or raises the GoalError that says why."""

    def __init__(self, streams: Streams, cameras: dict[str, CameraSettings]):
        self._streams, self._cameras = streams, cameras

    def prepare(self, settings: Settings, period: float) -> None:
        """Keep what a context of settings.context_frames, period [s] apart, will need."""
        self._streams.prepare(settings, settings.context_frames, period)

    def look(self, camera: str | None, stamp: int | None = None) -> Moment:
        """
        Return what the streams have now.

        :param camera: whose frame is needed; None = no frame is.
        :param stamp: time [ns] the state is needed of, without a camera; None = the newest.
        """
        streams = self._streams
        with streams.changed:
            now = streams.now()
            frame = None if camera is None else streams.frames[camera].newest
            if frame is not None:
                stamp = frame.stamp
            kept = {'pose': streams.poses, 'gripper': streams.grippers}
            newest = {part: buffer.newest for part, buffer in kept.items()}
            if stamp is None:
                return Moment(now, frame, stamp, newest, newest)
            near = {part: buffer.nearest(stamp) for part, buffer in kept.items()}
            return Moment(now, frame, stamp, newest, near)

    def wait(
        self,
        camera: str | None,
        with_state: bool,
        settings: InputSettings,
        check: Callable[[], object],
        stamp: int | None = None,
        timeout: float | None = None,
    ) -> Moment:
        """
        Return the first Moment at which what is needed is fresh and belongs together.

        After a timeout [s], image_timeout by default, the Moment of then; frame() and state() say
        what is wrong with it.

        :param camera: as in look, which also says what stamp is.
        :param with_state: whether a state is needed.
        :param check: called while waiting; what it raises ends the wait.
        """
        moment = self.look(camera, stamp)

        def ready() -> bool:
            nonlocal moment
            moment = self.look(camera, stamp)
            return self._is_ready(moment, camera is not None, with_state, settings)

        limit = settings.image_timeout if timeout is None else timeout
        self._streams.wait_until(ready, limit, check)
        return moment

    def problem(self, camera: str, settings: InputSettings) -> str:
        """Return the text with which a plan would fail for its live streams now, or ''."""
        moment = self.wait(camera, True, settings, lambda: None, timeout=0.0)
        complete = moment.frame is not None and None not in moment.newest.values()
        if complete and not self._is_ready(moment, True, True, settings):
            moment = self.wait(camera, True, settings, lambda: None, timeout=PATIENCE)
        try:
            self._fresh_frame(camera, moment, settings)
            self.state(moment, settings)
        except GoalError as error:
            return str(error)
        return ''

    def frame(
        self, camera: str, moment: Moment, settings: InputSettings
    ) -> tuple[NDArray[np.uint8], int]:
        """
        Return (uint8 RGB [H, W, 3], stamp [ns]) of the frame of a Moment.

        GoalError NO_IMAGE or IMAGE_STALE if it is not fresh.
        """
        frame = self._fresh_frame(camera, moment, settings)
        try:
            return picture(frame.message), frame.stamp
        except ValueError as error:  # a jpeg that is whole only at its start
            raise GoalError(
                ErrorCode.NO_IMAGE,
                f"the frame on '{self._streams.topics[camera]}' is damaged: {error}",
            ) from error

    def state(self, moment: Moment, settings: InputSettings) -> NDArray[np.float64]:
        """
        Return the state [7] of a Moment.

        GoalError NO_STATE, STATE_STALE, STREAMS_OUT_OF_SYNC or INVALID_STATE.
        """
        (pose, gripper), near = moment.newest.values(), moment.near
        near_pose, near_gripper = near['pose'], near['gripper']
        if pose is None or gripper is None or near_pose is None or near_gripper is None:
            raise self._no_state(moment.newest, settings)
        for part, item in (('pose', pose), ('gripper', gripper)):
            parameter, limit = _age_limit(part, settings)
            self._check_age(moment, item, limit, parameter, part, ErrorCode.STATE_STALE)
        if moment.stamp is not None:
            for part, item in (('pose', near_pose), ('gripper', near_gripper)):
                self._check_skew(moment, item, part, moment.stamp, settings)
        return self._state(near_pose, near_gripper, settings)

    def past(
        self, camera: str, stamp: int, settings: Settings
    ) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        """
        Return (frame, state) pairs before the frame of a stamp [ns], oldest first.

        They lie the model's period apart and are settings.context_frames - 1 at most: fewer just
        after the start and after a gap in a stream.
        """
        streams, pairs = self._streams, []
        tolerance = FRAME_TOLERANCE * streams.period
        for steps in range(1, settings.context_frames):
            wanted = stamp - round(steps * streams.period * 1e9)
            with streams.changed:
                frame = streams.frames[camera].nearest(wanted)
                if frame is None or _skew(frame, wanted) > tolerance:
                    break
                pose = streams.poses.nearest(frame.stamp)
                gripper = streams.grippers.nearest(frame.stamp)
            if pose is None or gripper is None:
                break
            if _skew(pose, frame.stamp) > settings.max_skew:
                break
            if _skew(gripper, frame.stamp) > settings.gripper.max_age:
                break
            try:
                pairs.append((picture(frame.message), self._state(pose, gripper, settings)))
            except (GoalError, ValueError):
                break  # damaged
        return pairs[::-1]

    def crop(self, camera: str) -> Crop:
        """Return the part of a camera's pictures that models see; '' = the model's own."""
        return read_crop(self._cameras[camera].crop)

    def hand_camera(
        self,
        name: str,
        shape: tuple[int, ...],
        settings: InputSettings,
        check: Callable[[], object],
    ) -> tuple[Any, ...]:
        """
        Return intrinsics (fx fy cx cy), mount [6] and plane height of a camera on the hand.

        GoalError INVALID_SETTINGS if it is not on the hand or its intrinsics are of no use,
        NO_IMAGE if it has none by image_timeout.

        :param shape: rows and columns of its frames.
        :param check: as in wait.
        """
        camera = self._cameras[name]
        if not any(camera.mount):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                f'camera.{name}.mount = {list(camera.mount)}: allowed: the pose of a camera '
                'on the hand, without which a model that is an encoder alone cannot plan',
            )
        intrinsics = camera.intrinsics
        if not any(intrinsics):
            info = self._streams.infos[name]
            self._streams.wait_until(
                lambda: info.newest is not None, settings.image_timeout, check
            )
            intrinsics = self._intrinsics(name, info.newest, shape)
        return intrinsics, camera.mount, camera.plane_height

    def _intrinsics(
        self, name: str, info: Stamped | None, shape: tuple[int, ...]
    ) -> tuple[float, ...]:
        topic, parameter = self._streams.topics[info_of(name)], f'camera.{name}.intrinsics'
        if info is None:
            raise GoalError(
                ErrorCode.NO_IMAGE,
                f"no CameraInfo on '{topic}' within image_timeout, and {parameter} is not set"
                f'{self._streams.why_silent(info_of(name))}',
            )
        fx, _, cx, _, fy, cy, *_ = info.message.k
        if not (fx > 0.0 and fy > 0.0 and math.isfinite(fx + fy + cx + cy)):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                f"'{topic}': k = {list(info.message.k)}: allowed: the matrix of a calibrated "
                f'camera, or set {parameter}',
            )
        if (info.message.height, info.message.width) != tuple(shape):
            raise GoalError(
                ErrorCode.INVALID_SETTINGS,
                f"'{topic}': {info.message.width} x {info.message.height} pixels: allowed: "
                f'{shape[1]} x {shape[0]} as the frame has, or set {parameter}',
            )
        return fx, fy, cx, cy

    def _is_ready(
        self, moment: Moment, with_frame: bool, with_state: bool, settings: InputSettings
    ) -> bool:
        """Return whether what is needed is fresh and belongs together."""
        if with_frame and (
            moment.frame is None or abs(moment.age(moment.frame)) > settings.max_image_age
        ):
            return False
        for part in PARTS if with_state else ():
            newest, near = moment.newest[part], moment.near[part]
            limit = _age_limit(part, settings)[1]
            if newest is None or near is None or abs(moment.age(newest)) > limit:
                return False
            apart = moment.stamp is not None and (
                _skew(near, moment.stamp) > _skew_limit(part, settings)[1]
            )
            # To a frame that was given, what is still to come may be nearer only if it is newer.
            if apart and (with_frame or newest.stamp < (moment.stamp or 0)):
                return False
        return True

    def _fresh_frame(self, camera: str, moment: Moment, settings: InputSettings) -> Stamped:
        """Return the frame of a Moment; GoalError NO_IMAGE or IMAGE_STALE if it is not fresh."""
        if moment.frame is None:
            raise GoalError(
                ErrorCode.NO_IMAGE,
                f"no image on '{self._streams.topics[camera]}' within image_timeout = "
                f'{settings.image_timeout:g} s{self._streams.why_silent(camera)}',
            )
        limit = settings.max_image_age
        code = ErrorCode.IMAGE_STALE
        self._check_age(moment, moment.frame, limit, 'max_image_age', camera, code)
        return moment.frame

    def _state(
        self, pose: Stamped, gripper: Stamped, settings: InputSettings
    ) -> NDArray[np.float64]:
        part = 'pose'
        try:
            check_frame(pose.message.header.frame_id, settings, 'pose')
            state = to_state(pose.message.pose, 0.0, 'pose')
            if any(settings.tool_offset):
                state[:6] = point_of(state[:6], settings.tool_offset)
            part = 'gripper'
            state[6] = to_closedness(gripper.position, settings.gripper)
        except ValueError as error:
            topic = self._streams.topics[part]
            raise GoalError(ErrorCode.INVALID_STATE, f"'{topic}': {error}") from error
        return state

    def _no_state(self, newest: dict[str, Stamped | None], settings: InputSettings) -> GoalError:
        hints = {'gripper': f" with a joint '{settings.gripper.joint}'"}
        silent = [
            f"'{self._streams.topics[part]}'{hints.get(part, '')}{self._streams.why_silent(part)}"
            for part, item in newest.items()
            if item is None
        ]
        return GoalError(
            ErrorCode.NO_STATE,
            f'no state within image_timeout = {settings.image_timeout:g} s on '
            f'{" and on ".join(silent)}',
        )

    def _check_age(
        self,
        moment: Moment,
        item: Stamped,
        max_age: float,
        parameter: str,
        part: str,
        code: ErrorCode,
    ) -> None:
        age = moment.age(item)
        if abs(age) <= max_age:
            return
        when, why = f'{age:.3f} s old', self._streams.why_silent(part)
        if age < 0:
            hint = self._streams.why_no_clock() or 'are the clocks synchronised?'
            when, why = f'stamped {-age:.3f} s in the future ({hint})', ''
        raise GoalError(
            code,
            f"the newest message on '{self._streams.topics[part]}' is {when}: allowed: "
            f'{parameter} = {max_age:g} s{why}',
        )

    def _check_skew(
        self, moment: Moment, item: Stamped, part: str, stamp: int, settings: InputSettings
    ) -> None:
        skew, (parameter, limit) = _skew(item, stamp), _skew_limit(part, settings)
        if skew > limit:
            age = moment.age(item)
            raise GoalError(
                ErrorCode.STREAMS_OUT_OF_SYNC,
                f"frame and '{self._streams.topics[part]}' were taken {skew:.3f} s apart: "
                f'allowed: {parameter} = {limit:g} s; the frame is '
                f'{age + (item.stamp - stamp) * 1e-9:.3f} s old, the nearest {part} {age:.3f} s',
            )


def _age_limit(part: str, settings: InputSettings) -> tuple[str, float]:
    """Return the parameter that limits the age of a part of the state, and its value [s]."""
    if part == 'gripper':
        return 'gripper.max_age', settings.gripper.max_age
    return 'max_state_age', settings.max_state_age


def _skew_limit(part: str, settings: InputSettings) -> tuple[str, float]:
    """Return the parameter that limits the time from a frame to a part, and its value [s]."""
    if part == 'gripper':
        return 'gripper.max_age', settings.gripper.max_age
    return 'max_skew', settings.max_skew


def _skew(item: Stamped, stamp: int) -> float:
    """Return the time [s] between a Stamped and a stamp [ns]."""
    return abs(item.stamp - stamp) * 1e-9
