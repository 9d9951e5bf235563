# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of a video file, found by their time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .libraries import library

OPEN = 4  # files that are kept open
AHEAD = 2.0  # s; to a frame further ahead it is jumped


class Video:
    """
    A video file, opened by PyAV.

    ValueError that names the file if it cannot be opened.
    """

    def __init__(self, path: Path):
        av = _av()
        self._path = path
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, IndexError) as error:
            raise ValueError(f'{path}: damaged, or no video: {error}') from error
        self.rate = float(self._stream.average_rate or 30)
        base = self._stream.time_base
        self.duration = float((self._stream.duration or 0) * base)  # s
        self.start = float((self._stream.start_time or 0) * base)  # s
        self._frames: Iterator[Any] = iter(())
        self._last: Any = None

    def at(self, time: float) -> NDArray[np.uint8]:
        """Return the frame [H, W, 3] RGB at a time [s] since the start; ValueError if damaged."""
        av = _av()
        wanted, tolerance = self.start + time, 0.5 / self.rate
        try:
            if self._last is None or not -tolerance < wanted - self._last.time < AHEAD:
                self._jump(wanted)
            while self._last is None or self._last.time < wanted - tolerance:
                self._last = next(self._frames)
            if self._last.time > wanted + 2.0 * tolerance:
                raise ValueError(f'{self._path}: no frame at {time:.3f} s')
            return np.asarray(self._last.to_ndarray(format='rgb24'), np.uint8)
        except (av.FFmpegError, StopIteration, OSError) as error:
            self._last = None
            raise ValueError(
                f'{self._path}: no frame at {time:.3f} s: {error or "the file ends before"}'
            ) from error

    def _jump(self, wanted: float) -> None:
        place = int((wanted + 0.5 / self.rate) / self._stream.time_base)
        self._container.seek(place, stream=self._stream)
        self._frames, self._last = self._container.decode(self._stream), None


@lru_cache(maxsize=OPEN)
def video(path: Path) -> Video:
    """Return the Video of a file; a few are kept open."""
    return Video(path)


class VideoFrames:
    """
    Some frames of a video file as Frames.

    :param times: of each [T] s since the start.
    """

    def __init__(self, path: Path, times: NDArray[np.float64]):
        self._path, self._times = path, times

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return video(self._path).at(float(self._times[index]))


def readable_until(path: Path, times: NDArray[np.float64]) -> int:
    """
    Return how many of the frames at rising times [s] a file has; ValueError if it has none.

    A file that was cut is found by its last frames.
    """
    film, low, high = video(path), 0, len(times)
    if _has(film, times[-1]):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _has(film, times[middle]) else (low, middle)
    if low == 0 and not _has(film, times[0]):
        raise ValueError(f'{path}: damaged: not even its first frame can be decoded')
    return low + 1


def _has(film: Video, time: float) -> bool:
    try:
        film.at(float(time))
    except ValueError:
        return False
    return True


def _av() -> Any:
    av = library('av')
    av.logging.set_level(None)  # errors are raised as well
    return av
