# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a lab gets wrong with its camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math

import numpy as np

from .camera_motion import camera_motion
from .findings import ERROR, Finding, NOTE, OK, some_names, WARNING
from .recording import Array, Recording
from ..trajectory import Frames

CHECKED = 12  # recordings whose pictures are looked at
MOVED = 0.01  # of the picture's width
SEEN = 0.02  # m; a motion of the arm that changes a picture


def check_pictures(recordings: Sequence[Recording]) -> Iterable[Finding]:
    """Yield what there is to say of size, brightness and whether pictures change."""
    sizes: dict[str, int] = {}
    frozen = pairs = 0
    bright: list[float] = []
    for item in _some(recordings, CHECKED):
        last = None
        place: Array = np.empty(0)
        for number in np.unique(np.linspace(0, len(item.frames) - 1, 5).astype(int)):
            try:
                picture = item.frames[int(number)]
            except ValueError as error:
                yield Finding(WARNING, 'pictures', str(error), 'it is left out of windows')
                continue
            name = f'{picture.shape[1]} x {picture.shape[0]}'
            sizes[name] = sizes.get(name, 0) + 1
            bright.append(float(picture[::4, ::4].mean()))
            here = _position_at(item, int(number))
            if last is not None and np.linalg.norm(here - place) > SEEN:
                pairs += 1
                frozen += np.array_equal(last, picture)
            last, place = picture, here
    if not sizes:
        yield Finding(ERROR, 'pictures', 'there is none that can be read', 'record a camera')
        return
    text = f'{", ".join(sizes)} pixels, mean brightness {float(np.mean(bright)):.0f} of 255'
    if pairs and frozen > 0.5 * pairs:
        yield Finding(
            ERROR,
            'pictures',
            f'{text}: {frozen} of {pairs} are the ones before though the arm has moved',
            'the camera or its driver hangs: look at its pictures while the arm moves',
        )
    elif not 20.0 < float(np.mean(bright)) < 235.0:
        yield Finding(WARNING, 'pictures', text, 'set the exposure: the model sees little')
    elif len(sizes) > 1:
        yield Finding(WARNING, 'pictures', text, 'record one camera with one resolution')
    else:
        yield Finding(OK, 'pictures', text)


def _position_at(item: Recording, number: int) -> Array:
    """Return where the arm was [3] at a frame; NaN if nobody tells."""
    if not len(item.pose_stamps):
        return np.full(3, math.nan)
    return item.poses[abs(item.pose_stamps - item.frame_stamps[number]).argmin(), :3]


def check_camera(recordings: Sequence[Recording]) -> Iterable[Finding]:
    """Yield whether the camera stood still."""
    motions = [(item.source, _motion(item.frames)) for item in _some(recordings, CHECKED)]
    unknown = [source for source, motion in motions if motion is None]
    moved = {source: motion for source, motion in motions if motion and motion > MOVED}
    if moved:
        yield Finding(
            WARNING,
            'camera',
            f'the background moved by {100.0 * max(moved.values()):.1f} % of the width since the '
            f'start in {some_names(moved)}',
            'fix the camera and use what was recorded before or after it moved; a camera on the '
            'hand is not what the model was trained with',
        )
    elif len(unknown) < len(motions):
        count, all_of_them = len(motions), len(recordings)
        text = f'the background stands still in {count - len(unknown)} of {count} recordings'
        text += f' that were looked at, of {all_of_them}' if count < all_of_them else ''
        if unknown:
            text += f'; too few of its features are found again in {some_names(unknown)}'
        yield Finding(OK, 'camera', text)
    else:
        yield Finding(NOTE, 'camera', 'the pictures do not tell whether the camera stood still')


def _motion(frames: Frames) -> float | None:
    """
    Return the largest motion since the first frame; None if the pictures do not tell.

    One that does not tell may be of a camera that was turned away.
    """
    last, found = len(frames) - 1, []
    for number in sorted({last // 2, 3 * last // 4, last} - {0}):
        try:
            found.append(camera_motion(frames[0], frames[number]))
        except ValueError:  # damaged, which _pictures tells
            continue
    largest = max((motion for motion in found if motion is not None), default=0.0)
    return largest if largest > MOVED or found and None not in found else None


def _some(items: Sequence[Recording], count: int) -> list[Recording]:
    """Return some items with frames, evenly spread."""
    full = [item for item in items if len(item.frames)]
    numbers = np.unique(np.linspace(0, len(full) - 1, min(count, len(full))).astype(int))
    return [full[number] for number in numbers]
