# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The pose of a frame in another by what /tf and /tf_static bring.

One class instead of tf2_ros' Buffer and TransformListener: the listener unpacks every message of
/tf, in Python, for which a plan would wait. Here messages come unread, and only the newest of
those that have a frame between the two are unpacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import reduce
from typing import Any

from rclpy.serialization import deserialize_message
from tf2_msgs.msg import TFMessage

from .stream_buffer import Stamped, StreamBuffer
from ..messages.transforms import between, compose, inverse, Rigid, rigid_of, without_shared

HISTORY = 10 * 10**9  # ns; tf2 keeps as much
SPACING = 5 * 10**6  # ns
BEHIND = 10**8  # ns; a frame that is further behind the others is named
# Messages that are unpacked of one reading while frames are searched for.
SEARCHED = 20
LISTED = 20  # names in a text


class Transforms:
    """
    The tree of frames, and the pose of one frame in a base in it.

    :param bases: names of the base, which are at the same place; the first that is there counts.
    :param stamp_of: returns the stamp [ns] of a message with a header.
    """

    def __init__(self, bases: Iterable[str], frame: str, stamp_of: Callable[[Any], int]):
        self._bases, self._frame, self._stamp_of = list(bases), frame, stamp_of
        self._parents: dict[str, str] = {}
        self._fixed: dict[str, Rigid] = {}  # pose in its parent, by frame
        self._moving: dict[str, StreamBuffer] = {}  # the same, of frames on /tf
        self._ways: tuple[list[str], list[str]] | None = None  # see _find_ways
        self._wanted: dict[str, bytes] = {}  # name as it is in a message, by moving frame on them
        self._refusals: dict[str, str] = {}  # why the newest transform was not taken, by frame

    def add_fixed(self, message: TFMessage) -> None:
        """Take a message of /tf_static."""
        for transform in message.transforms:
            self._add(transform, fixed=True)

    def add(self, queued: list[bytes]) -> None:
        """Take the messages of /tf that have queued up, oldest first, not unpacked."""
        if self._ways is None:
            for data in queued[-SEARCHED:]:
                for transform in deserialize_message(data, TFMessage).transforms:
                    self._add(transform)
            return
        missing = dict(self._wanted)
        for data in reversed(queued):
            if any(name in data for name in missing.values()):
                for transform in deserialize_message(data, TFMessage).transforms:
                    if missing.pop(_name(transform.child_frame_id), None):
                        self._add(transform)
                if not missing:
                    return

    def pose(self) -> tuple[int, Rigid]:
        """
        Return (stamp [ns], pose) of the frame in the base, at the newest time that all have.

        ValueError, if there is none: the text names frame or base, and what is there.
        """
        if self._ways is None:
            self._ways = self._find_ways()
            frames = [name for way in self._ways for name in way if name in self._moving]
            self._wanted = {name: f'{name}\0'.encode() for name in frames}
        stamps = self._stamps()
        if not stamps:
            raise ValueError(
                f'every transform from {self._bases[0]!r} to {self._frame!r} is fixed: allowed: '
                'those of an arm that moves'
            )
        stamp = min(stamps.values())
        up, down = (
            reduce(compose, [self._at(name, stamp) for name in reversed(way)], _HERE)
            for way in self._ways
        )
        return stamp, compose(inverse(down), up)

    def complaint(self) -> str:
        """Return what keeps the pose from being newer, or ''."""
        refused = [name for name in self._wanted if name in self._refusals]
        if refused:
            return self._refusals[refused[0]]
        stamps = self._stamps()
        late = min(stamps, key=stamps.__getitem__, default='')
        behind = max(stamps.values(), default=0) - stamps.get(late, 0)
        return f'frame {late!r} is {behind * 1e-9:.1f} s behind' if behind > BEHIND else ''

    def _stamps(self) -> dict[str, int]:
        """Return the newest stamp [ns] of the moving frames between base and frame."""
        newest = {name: self._moving[name].newest for name in self._wanted}
        return {name: item.stamp for name, item in newest.items() if item is not None}

    def _add(self, transform: Any, fixed: bool = False) -> None:
        name, parent = _name(transform.child_frame_id), _name(transform.header.frame_id)
        try:
            rigid = rigid_of(transform.transform)
        except ValueError as error:
            self._refusals[name] = f'frame {name!r}: {error}'
            return
        self._refusals.pop(name, None)
        if self._parents.get(name) != parent or fixed != (name in self._fixed):
            self._parents[name] = parent
            self._fixed.pop(name, None)
            self._moving.pop(name, None)
            self._ways = None
        if fixed:
            self._fixed[name] = rigid
            return
        if name not in self._moving:
            self._moving[name] = StreamBuffer()
            self._moving[name].span, self._moving[name].spacing = HISTORY, SPACING
        self._moving[name].add(Stamped(rigid, self._stamp_of(transform)))

    def _find_ways(self) -> tuple[list[str], list[str]]:
        """Return the frames from the frame, and from the base, up to where the two ways meet."""
        known = {*self._parents, *self._parents.values()}
        base = next((name for name in self._bases if name in known), None)
        for parameter, name in (
            ('ee_frame', self._frame if self._frame not in known else None),
            ('base_frame', self._bases[0] if base is None else None),
        ):
            if name in self._refusals:
                raise ValueError(self._refusals[name])
            if name is not None:
                raise ValueError(f'{parameter} = {name!r}: allowed: {_list(known, name)}')
        assert base is not None
        up, down = self._way_up(self._frame), self._way_up(base)
        if up[-1] != down[-1]:
            raise ValueError(
                f'the frames are not connected: ee_frame = {self._frame!r} is below {up[-1]!r}, '
                f'base_frame = {base!r} below {down[-1]!r}: allowed: {_list(known, base)}'
            )
        return without_shared(up, down)

    def _way_up(self, name: str) -> list[str]:
        """Return a frame, its parent and so on up to the root."""
        way = [name]
        while (parent := self._parents.get(way[-1])) is not None:
            if parent in way:
                raise ValueError(f'the frames {", ".join(way)} are in a circle: allowed: a tree')
            way.append(parent)
        return way

    def _at(self, name: str, stamp: int) -> Rigid:
        """Return the pose of a frame in its parent at a time [ns], not after the newest."""
        if name in self._fixed:
            return self._fixed[name]
        before, after = self._moving[name].around(stamp)
        if before is None or after is None:
            stamps = self._stamps()
            oldest = min(stamps, key=stamps.__getitem__)
            raise ValueError(
                f'frame {oldest!r} is {(stamps[name] - stamp) * 1e-9:.1f} s behind {name!r}: '
                f'allowed: {HISTORY * 1e-9:g} s; what never moves belongs on /tf_static'
            )
        if after.stamp == before.stamp:
            return before.message
        share = (stamp - before.stamp) / (after.stamp - before.stamp)
        return between(before.message, after.message, share)


_HERE = Rigid((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def _name(frame: str) -> str:
    return frame.removeprefix('/')


def _list(known: set[str], name: str) -> str:
    """Return the names of frames that are there, the nearest one to a name first."""
    if not known:
        return 'a frame that is on /tf; none has come'
    near = get_close_matches(name, known, 1, 0.0)
    names = sorted(known - set(near))
    more = f' and {len(names) - LISTED} more' if len(names) > LISTED else ''
    others = f', the others are {", ".join(names[:LISTED])}{more}' if names else ''
    return f'a frame that is there; the nearest name is {near[0]!r}{others}'
