# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera, the end-effector state that belongs to it, and the past."""

from __future__ import annotations

from collections.abc import Callable
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GoalError
from .settings import CameraSettings, Settings
from .stream_buffer import Stamped
from .streams import FRAME_TOLERANCE, info_of, Streams
from ..messages.error_codes import ErrorCode
from ..messages.images import picture
from ..messages.states import check_frame, to_closedness, to_state


class Observations:
    """Returns fresh frames and states from the streams, or raises the GoalError that says why."""

    def __init__(self, streams: Streams, cameras: dict[str, CameraSettings]):
        self._streams, self._cameras = streams, cameras

    def prepare(self, settings: Settings, period: float) -> None:
        """Keep what a context of settings.context_frames, period [s] apart, will need."""
        self._streams.prepare(settings, period)

    def wait(
        self, camera: str | None, with_state: bool, settings: Settings, check: Callable[[], object]
    ) -> None:
        """
        Wait until what is needed is fresh, all of it at once; image_timeout at most.

        :param camera: whose frame is needed; None = no frame is.
        :param with_state: whether a state is.
        :param check: called while waiting; what it raises ends the wait.
        """
        streams = self._streams
        needed = [] if camera is None else [(streams.frames[camera], settings.max_image_age)]
        if with_state:
            needed += [
                (kept, settings.max_state_age) for kept in (streams.poses, streams.grippers)
            ]
        streams.wait_until(
            lambda: all(
                kept.newest is not None and abs(streams.age(kept.newest)) <= max_age
                for kept, max_age in needed
            ),
            settings.image_timeout,
            check,
        )

    def frame(self, camera: str, settings: Settings) -> tuple[NDArray[np.uint8], int]:
        """
        Return (uint8 RGB [H, W, 3], stamp [ns]) of the newest frame.

        GoalError NO_IMAGE or IMAGE_STALE if it is not fresh; wait() waits for that.
        """
        streams, topic = self._streams, self._streams.topics[camera]
        with streams.changed:
            newest = streams.frames[camera].newest
        if newest is None:
            raise GoalError(
                ErrorCode.NO_IMAGE,
                f"no image on '{topic}' within image_timeout = {settings.image_timeout:g} s"
                f'{streams.why_silent(camera)}',
            )
        self._check_age(
            newest, settings.max_image_age, 'max_image_age', camera, ErrorCode.IMAGE_STALE
        )
        try:
            return picture(newest.message), newest.stamp
        except ValueError as error:  # a jpeg that is whole only at its start
            raise GoalError(
                ErrorCode.NO_IMAGE, f"the frame on '{topic}' is damaged: {error}"
            ) from error

    def state(self, frame_stamp: int | None, settings: Settings) -> NDArray[np.float64]:
        """
        Return the state [7] taken nearest to frame_stamp [ns]; the newest if that is None.

        GoalError NO_STATE, STATE_STALE, STREAMS_OUT_OF_SYNC or INVALID_STATE; see frame().
        """
        streams = self._streams
        with streams.changed:
            pose, gripper = streams.poses.newest, streams.grippers.newest
            if frame_stamp is None:
                near_pose, near_gripper = pose, gripper
            else:
                near_pose = streams.poses.nearest(frame_stamp)
                near_gripper = streams.grippers.nearest(frame_stamp)
        if pose is None or gripper is None or near_pose is None or near_gripper is None:
            raise self._no_state({'pose': pose, 'gripper': gripper}, settings)
        for part, item in (('pose', pose), ('gripper', gripper)):
            self._check_age(
                item, settings.max_state_age, 'max_state_age', part, ErrorCode.STATE_STALE
            )
        if frame_stamp is not None:
            for part, item in (('pose', near_pose), ('gripper', near_gripper)):
                self._check_skew(item, part, frame_stamp, settings.max_skew)
        return _state(near_pose, near_gripper, settings)

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
            if max(_skew(pose, frame.stamp), _skew(gripper, frame.stamp)) > settings.max_skew:
                break
            try:
                pairs.append((picture(frame.message), _state(pose, gripper, settings)))
            except (GoalError, ValueError):
                break  # damaged
        return pairs[::-1]

    def hand_camera(
        self, name: str, shape: tuple[int, ...], settings: Settings, check: Callable[[], object]
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

    def _no_state(self, newest: dict[str, Stamped | None], settings: Settings) -> GoalError:
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
        self, item: Stamped, max_age: float, parameter: str, part: str, code: ErrorCode
    ) -> None:
        age = self._streams.age(item)
        if abs(age) <= max_age:
            return
        when = f'{age:.3f} s old'
        if age < 0:
            when = f'stamped {-age:.3f} s in the future (are the clocks synchronised?)'
        raise GoalError(
            code,
            f"the newest message on '{self._streams.topics[part]}' is {when}: allowed: "
            f'{parameter} = {max_age:g} s',
        )

    def _check_skew(self, item: Stamped, part: str, frame_stamp: int, max_skew: float) -> None:
        skew = _skew(item, frame_stamp)
        if skew > max_skew:
            raise GoalError(
                ErrorCode.STREAMS_OUT_OF_SYNC,
                f"frame and '{self._streams.topics[part]}' were taken {skew:.3f} s apart: "
                f'allowed: max_skew = {max_skew:g} s',
            )


def _skew(item: Stamped, stamp: int) -> float:
    """Return the time [s] between a Stamped and a stamp [ns]."""
    return abs(item.stamp - stamp) * 1e-9


def _state(pose: Stamped, gripper: Stamped, settings: Settings) -> NDArray[np.float64]:
    try:
        check_frame(pose.message.header.frame_id, settings.base_frame, 'pose')
        closedness = to_closedness(gripper.position, settings.gripper)
        return to_state(pose.message.pose, closedness, 'pose')
    except ValueError as error:
        raise GoalError(ErrorCode.INVALID_STATE, str(error)) from error
