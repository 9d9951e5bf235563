# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a lab has recorded, and the trajectories of a model's frame period in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..trajectory import Frames, PinholeCamera, Trajectory
from ...messages.input_settings import FRAME_TOLERANCE, GripperSettings, InputSettings
from ...messages.states import GRIPPER_TOLERANCE, LARGEST_POSITION

Array: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Recording:
    """
    Streams of one source as they were recorded: nothing is checked, resampled or left out.

    Stamps [s] are those of a source's own clock and may go back; records are the times at which
    they were written down, the stamps where a source has no others.
    """

    source: str
    frames: Frames  # N of them
    frame_stamps: Array  # [N]
    pose_stamps: Array  # [P]
    poses: Array  # [P, 6] x y z, roll pitch yaw, as told: metres and rad if all is well
    gripper_stamps: Array  # [G]
    closedness: Array  # [G] 0 open .. 1 closed if all is well
    frame_records: Array = field(default_factory=lambda: np.empty(0))  # [N], empty = no others
    camera: PinholeCamera | None = None
    gripper_ends: tuple[float, float] = (0.0, 1.0)  # open and closed in the source's own unit
    # Frames lie a model's step apart already, whatever their stamps say.
    stepped: bool = False


@dataclass(frozen=True)
class Limits:
    """How far apart in time [s] what belongs together may be, as for the live planner."""

    max_skew: float = InputSettings.max_skew
    gripper_max_age: float = GripperSettings.max_age


class Chosen:
    """Some Frames of others, by their numbers."""

    def __init__(self, frames: Frames, numbers: NDArray[np.int64]):
        self._frames, self._numbers = frames, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self._frames[int(self._numbers[index])]


def trajectories_of(recording: Recording, period: float, limits: Limits) -> list[Trajectory]:
    """
    Return what can be used of a Recording, in pieces without a gap.

    As the live planner does it: a frame may be FRAME_TOLERANCE of the period from where it should
    be, a state is that of the pose and of the gripper nearest to its frame, and what is not finite
    or out of range is refused.

    :param period: time [s] between the frames of a model.
    """
    states = states_at_frames(recording, limits)
    good = np.asarray(np.isfinite(states).all(axis=1))
    pieces = _steps(good) if recording.stepped else _chains(recording.frame_stamps, good, period)
    return [
        Trajectory(
            frames=Chosen(recording.frames, numbers),
            states=np.asarray(states[numbers], np.float64),
            stamps=np.asarray(recording.frame_stamps[numbers], np.float64),
            source=recording.source,
            camera=recording.camera,
            first=int(numbers[0]),
        )
        for numbers in pieces
        if len(numbers) > 1
    ]


def states_at_frames(recording: Recording, limits: Limits) -> Array:
    """Return states [N, 7] at the frames of a Recording; NaN where there is none of use."""
    stamps = recording.frame_stamps
    poses, closedness = recording.poses.copy(), recording.closedness.copy()
    poses[(abs(poses[:, :3]) > LARGEST_POSITION).any(axis=1)] = math.nan
    poses[(abs(poses[:, 3:]) > 2.0 * math.pi).any(axis=1)] = math.nan
    closedness[(closedness < -GRIPPER_TOLERANCE) | (closedness > 1.0 + GRIPPER_TOLERANCE)] = np.nan
    return np.concatenate(
        [
            _nearest(stamps, recording.pose_stamps, poses, limits.max_skew),
            _nearest(
                stamps,
                recording.gripper_stamps,
                closedness[:, None].clip(0.0, 1.0),
                limits.gripper_max_age,
            ),
        ],
        axis=1,
    )


def _nearest(wanted: Array, stamps: Array, values: Array, limit: float) -> Array:
    """Return the values [N, D] nearest to times [N]; NaN where none is within a limit [s]."""
    if not len(stamps):
        return np.full((len(wanted), values.shape[1]), math.nan)
    order = np.argsort(stamps, kind='stable')
    stamps, values = stamps[order], values[order]
    after = np.searchsorted(stamps, wanted).clip(1, max(len(stamps) - 1, 1))
    before = after - 1
    after = after.clip(max=len(stamps) - 1)
    nearest = np.where(wanted - stamps[before] <= stamps[after] - wanted, before, after)
    found = values[nearest]
    found[abs(stamps[nearest] - wanted) > limit] = math.nan
    return found


def _steps(good: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of frames, one after the other, that are good."""
    numbers = np.flatnonzero(good)
    yield from np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)


def _chains(stamps: Array, good: NDArray[np.bool_], period: float) -> Iterator[NDArray[np.int64]]:
    """
    Yield the numbers of good frames that lie a period [s] apart.

    They follow a grid. A camera whose clock differs slides along it: where a frame is not on the
    grid any more, but one is a period after the last, a new grid begins there without a gap.
    """
    order = np.argsort(stamps, kind='stable')
    sorted_stamps, tolerance = stamps[order], FRAME_TOLERANCE * period
    place, count = 0, len(order)
    while place < count:
        if not good[order[place]]:
            place += 1
            continue
        chain, start, steps = [place], sorted_stamps[place], 0
        while True:
            steps += 1
            found = _frame_at(sorted_stamps, start + steps * period, tolerance, chain[-1])
            if found is None:
                start, steps = sorted_stamps[chain[-1]], 1
                found = _frame_at(sorted_stamps, start + period, tolerance, chain[-1])
            if found is None or not good[order[found]]:
                break
            chain.append(found)
        yield order[chain]
        place = chain[-1] + 1 if found is None else found + 1


def _frame_at(stamps: Array, wanted: float, tolerance: float, last: int) -> int | None:
    """Return the number of the frame nearest to a time [s] that comes after the last."""
    after = int(np.searchsorted(stamps, wanted))
    found = [number for number in (after - 1, after) if last < number < len(stamps)]
    nearest = min(found, key=lambda number: abs(stamps[number] - wanted), default=None)
    if nearest is None or abs(stamps[nearest] - wanted) > tolerance:
        return None
    return nearest
