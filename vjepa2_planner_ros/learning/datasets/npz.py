# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of the simulated arm, and clips as V-JEPA 2's notebooks have them: .npz files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
import zipfile

import numpy as np
from numpy.typing import NDArray

from .recording import Recording

# Names of the pictures [T, H, W, 3] or [B, T, H, W, 3], and of the states beside them.
PICTURES, STATES = ('frames', 'observations'), 'states'


def read_npz(path: Path, period: float) -> list[Recording]:
    """
    Return the Recordings of a file; ValueError that names it and what it lacks, if it has none.

    :param period: time [s] between its frames, a step of the model apart.
    """
    names, states = _open(path)
    if states.ndim == 2:
        states = states[None]
    count, frames = states.shape[:2]
    stamps = np.arange(frames) * period
    return [
        Recording(
            source=f'{path}:{clip}' if count > 1 else str(path),
            frames=NpzPictures(path, names, clip, frames),
            frame_stamps=stamps,
            pose_stamps=stamps,
            poses=states[clip, :, :6],
            gripper_stamps=stamps,
            closedness=states[clip, :, 6],
            stepped=True,
        )
        for clip in range(count)
    ]


class NpzPictures:
    """Frames of one clip of a file."""

    def __init__(self, path: Path, name: str, clip: int, count: int):
        self._path, self._name, self._clip, self._count = path, name, clip, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        pictures = _pictures(self._path, self._name)
        return np.array(pictures[index] if pictures.ndim == 4 else pictures[self._clip, index])


@lru_cache(maxsize=2)
def _pictures(path: Path, name: str) -> NDArray[np.uint8]:
    try:
        with np.load(path) as file:
            return np.asarray(file[name])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f'{path}: damaged: {error}') from error


def _open(path: Path) -> tuple[str, NDArray[np.float64]]:
    """Return the name of the pictures in a file, and its states [T, 7] or [B, T, 7]."""
    try:
        with np.load(path) as file:
            name = next((name for name in PICTURES if name in file), '')
            states = np.asarray(file[STATES], np.float64) if STATES in file else np.empty(0)
            found = ', '.join(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f'{path}: damaged: {error}') from error
    if not name or states.ndim not in (2, 3) or states.shape[-1] != 7:
        raise ValueError(
            f'{path}: it has {found} and states {list(states.shape)}: allowed: frames '
            '[T, H, W, 3] and states [T, 7], as simulated episodes have'
        )
    shape = _pictures(path, name).shape
    if shape[: states.ndim - 1] != states.shape[:-1] or shape[-1] != 3:
        raise ValueError(
            f'{path}: {name} {list(shape)} beside states {list(states.shape)}: allowed: a state '
            'for every picture [H, W, 3]'
        )
    return name, states
