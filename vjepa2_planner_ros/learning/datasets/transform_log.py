# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Poses of one frame in another over a recording, from what /tf and /tf_static have brought."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ...messages.transforms import rigid_of, without_shared

SPACING = 0.005  # s between the transforms of a frame that are kept, as in the live planner


@dataclass
class _Frame:
    parent: str
    fixed: bool
    stamps: array[float] = field(default_factory=lambda: array('d'))
    values: array[float] = field(default_factory=lambda: array('d'))  # 7 each: x y z, x y z w


class TransformLog:
    """Every transform of a recording, thinned, by its frame."""

    def __init__(self) -> None:
        self._frames: dict[str, _Frame] = {}
        self._refused = 0  # transforms that were no rigid ones
        self._moved: set[str] = set()  # frames that got another parent

    def add(self, message: Any, fixed: bool) -> None:
        """Take a TFMessage."""
        for transform in message.transforms:
            name = transform.child_frame_id.removeprefix('/')
            parent = transform.header.frame_id.removeprefix('/')
            stamp = transform.header.stamp.sec + transform.header.stamp.nanosec * 1e-9
            kept, moved = self._frames.get(name), False
            if kept is not None and (kept.parent != parent or (kept.fixed and not fixed)):
                moved, kept = kept.parent != parent, None  # forgotten, as in the live planner
            if kept is not None and not fixed and abs(stamp - kept.stamps[-1]) < SPACING:
                continue
            try:
                rigid = rigid_of(transform.transform)
            except ValueError:
                self._refused += 1
                continue
            if moved:
                self._moved.add(name)
            if kept is None:
                kept = self._frames[name] = _Frame(parent, fixed)
            kept.stamps.append(stamp)
            kept.values.extend((*rigid.position, *rigid.turn))

    def problems(self) -> list[str]:
        """Return what was wrong with transforms."""
        found = []
        if self._refused:
            found.append(
                f'/tf: {self._refused} transforms: allowed: finite numbers and a quaternion of '
                'norm 1; left out'
            )
        if self._moved:
            names = ', '.join(sorted(self._moved))
            found.append(
                f'/tf: {names} had more than one parent: what came before it changed for the last '
                'time is left out; let one node publish a frame'
            )
        return found

    def poses(
        self, bases: Sequence[str], frame: str, limit: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """
        Return (stamps [P] s, poses [P, 6]: x y z, roll pitch yaw) of a frame in a base.

        At the times of that moving frame between the two which has the fewest; one stamp, 0, if
        nothing between them moves. ValueError that names what is missing if they are not
        connected.

        :param bases: names of the base, which are at the same place; the first that is there.
        :param limit: longest time [s] from a moving frame's transform.
        """
        up, down = self._ways(bases, frame)
        moving = [self._frames[name] for name in (*up, *down) if not self._frames[name].fixed]
        times = np.zeros(1)
        if moving:
            scarce = min(moving, key=lambda item: len(item.stamps))
            times = np.unique(np.array(scarce.stamps))
            times = times[np.all([_is_near(times, item, limit) for item in moving], axis=0)]
        point, turn = self._along(up, times)
        base_point, base_turn = self._along(down, times)
        back = base_turn.inv()
        point, turn = back.apply(point - base_point), back * turn
        return times, np.concatenate([point, turn.as_euler('xyz')], axis=1)

    def is_fixed(self, bases: Sequence[str], frame: str) -> bool:
        """Return whether nothing between a frame and a base moves; ValueError as for poses."""
        return all(self._frames[name].fixed for way in self._ways(bases, frame) for name in way)

    def _ways(self, bases: Sequence[str], frame: str) -> tuple[list[str], list[str]]:
        known = {*self._frames, *(item.parent for item in self._frames.values())}
        base = next((name for name in bases if name in known), None)
        for parameter, name, there in (
            ('ee_frame', frame, frame in known),
            ('base_frame', bases[0], base is not None),
        ):
            if not there:
                names = ', '.join(sorted(known)) or 'none is recorded: record /tf and /tf_static'
                raise ValueError(f'{parameter} = {name!r}: allowed: a frame of /tf: {names}')
        up, down = self._way_up(frame), self._way_up(base or '')
        if up[-1] != down[-1]:
            raise ValueError(
                f'ee_frame = {frame!r} is below {up[-1]!r}, base_frame = {base!r} below '
                f'{down[-1]!r}: allowed: frames that are connected; record /tf_static as well'
            )
        return without_shared(up, down)

    def _way_up(self, name: str) -> list[str]:
        way = [name]
        while way[-1] in self._frames and self._frames[way[-1]].parent not in way:
            way.append(self._frames[way[-1]].parent)
        return way

    def _along(
        self, way: Sequence[str], times: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], Rotation]:
        """Return the poses at some times of the first frame of a way in the parent of its last."""
        point, turn = np.zeros((len(times), 3)), Rotation.identity(len(times))
        for name in way:
            move, rotation = _at(self._frames[name], times)
            point, turn = move + rotation.apply(point), rotation * turn
        return point, turn


def _is_near(times: NDArray[np.float64], frame: _Frame, limit: float) -> NDArray[np.bool_]:
    stamps = np.unique(np.array(frame.stamps))
    after = np.searchsorted(stamps, times)
    before = np.abs(times - stamps[(after - 1).clip(0)])
    nearest = np.minimum(before, np.abs(stamps[after.clip(max=len(stamps) - 1)] - times))
    inside = (times >= stamps[0]) & (times <= stamps[-1])
    return np.asarray((nearest <= limit) & inside)


def _at(frame: _Frame, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], Rotation]:
    """Return positions [P, 3] and turns of a frame in its parent at some times [P]."""
    values: NDArray[np.float64] = np.array(frame.values).reshape(-1, 7)
    if frame.fixed or len(values) == 1:
        last = np.repeat(values[-1:], len(times), axis=0)
        return last[:, :3], Rotation.from_quat(last[:, 3:])
    stamps, first = np.unique(np.array(frame.stamps), return_index=True)
    values = values[first]
    if len(stamps) == 1:
        last = np.repeat(values, len(times), axis=0)
        return last[:, :3], Rotation.from_quat(last[:, 3:])
    inside = times.clip(stamps[0], stamps[-1])
    move = np.stack([np.interp(inside, stamps, values[:, axis]) for axis in range(3)], axis=1)
    return move, Slerp(stamps, Rotation.from_quat(values[:, 3:]))(inside)
