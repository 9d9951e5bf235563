# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""HDF5 files: those of robomimic, and the raw episodes of DROID with their videos."""

from __future__ import annotations

from functools import lru_cache, partial
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .libraries import library
from .mapping import column_of, Mapping, poses_of, ROBOMIMIC, with_picture
from .recording import Recording
from .video import readable_until, video, VideoFrames
from ..trajectory import Frames

SUFFIXES = ('.hdf5', '.h5')
DROID_FILE = 'trajectory.h5'
RATE = 20.0  # Hz; robosuite's, where a file does not tell
HAND = 0  # type of DROID's camera on the hand
# What h5py raises for damage, and for a group where a table was expected or the other way round.
DAMAGES = (OSError, RuntimeError, LookupError, TypeError, AttributeError)


def read_hdf5(
    path: Path, mapping: Mapping | None = None, camera: str = ''
) -> tuple[list[Recording], list[str]]:
    """
    Return the Recordings of a file, and what is damaged in it; ValueError if nothing can be read.

    :param mapping: of a robomimic file, whose columns are below obs; None = ROBOMIMIC.
    :param camera: of robomimic the column with the pictures, of DROID the camera's number.
    """
    file = _file(path)
    try:
        if 'observation/robot_state/cartesian_position' in file:
            recording = _droid(path, file, camera)
            return [recording], _missing(recording, file)
        if 'data' in file:
            return _robomimic(path, file, mapping or ROBOMIMIC, camera)
        found = ', '.join(file)
    except DAMAGES as error:
        raise ValueError(f'{path}: damaged, or of another layout: {error}') from error
    raise ValueError(
        f'{path}: it has {found}: allowed: data as robomimic, or observation as DROID'
    )


def _robomimic(
    path: Path, file: Any, mapping: Mapping, camera: str
) -> tuple[list[Recording], list[str]]:
    recordings, problems = [], []
    rate = mapping.rate or _control_rate(file)
    demos = sorted(file['data'], key=lambda name: (len(name), name))
    for name in demos:
        source = f'{path}:{name}'
        try:
            group = file[f'data/{name}/obs']
            pictures = [key for key in group if group[key].ndim == 4 and group[key].shape[-1] == 3]
            chosen = with_picture(mapping, pictures, camera)
            _require(group, [chosen.position, chosen.rotation, chosen.gripper])
            poses, closedness = poses_of(chosen, partial(_column, group), {})
            frames = Hdf5Pictures(path, f'data/{name}/obs/{chosen.picture}', len(poses))
        except (ValueError, *DAMAGES) as error:
            problems.append(f'{source}: {error}: left out')
            continue
        stamps = np.arange(len(poses)) / rate
        recordings.append(
            Recording(
                source,
                frames,
                stamps,
                stamps,
                poses,
                stamps,
                closedness,
                gripper_ends=(mapping.gripper_open, mapping.gripper_closed),
            )
        )
    return recordings, problems


def _droid(path: Path, file: Any, camera: str) -> Recording:
    state, times = file['observation/robot_state'], file['observation/timestamp']
    poses = np.asarray(state['cartesian_position'][()], np.float64)
    closedness = np.asarray(state['gripper_position'][()], np.float64).ravel()
    stamps = np.asarray(times['robot_state/read_start'][()], np.float64) * 1e-3
    number = _droid_camera(path, file, camera)
    received = np.asarray(times[f'cameras/{number}_frame_received'][()], np.float64)
    captured = f'cameras/{number}_estimated_capture'
    taken = np.asarray(times[captured][()], np.float64) if captured in times else received
    frames = _droid_frames(path.parent / 'recordings' / 'MP4' / f'{number}.mp4', received)
    return Recording(
        source=f'{path.parent}:{number}',
        frames=frames,
        frame_stamps=taken[: len(frames)] * 1e-3,
        pose_stamps=stamps,
        poses=poses,
        gripper_stamps=stamps,
        closedness=closedness,
    )


def _droid_camera(path: Path, file: Any, camera: str) -> str:
    """Return the number of a camera, by default of the first one that is not on the hand."""
    folder = path.parent / 'recordings' / 'MP4'
    numbers = sorted(item.stem for item in folder.glob('*.mp4') if 'stereo' not in item.stem)
    kinds = file.get('observation/camera_type', {})
    still = [name for name in numbers if name not in kinds or int(kinds[name][0]) != HAND]
    wanted = [camera] if camera else still[:1]
    if not wanted or wanted[0] not in numbers:
        raise ValueError(
            f'camera = {camera!r}: allowed: {", ".join(numbers) or f"none, {folder} is empty"}'
        )
    return wanted[0]


def _droid_frames(path: Path, received: NDArray[np.float64]) -> Frames:
    """
    Return the frames of a video that belong to the steps of an episode.

    It has one a step, or times [ms] of its own beside it, in which those of the steps are found.
    """
    beside = path.with_name(f'{path.stem}_timestamps.json')
    numbers: NDArray[np.int64] = np.arange(len(received))
    if beside.is_file():
        own = np.sort(np.asarray(json.loads(beside.read_text()), np.float64))
        numbers = np.searchsorted(own, received - 1.0).clip(max=len(own) - 1)
    times = numbers / video(path).rate
    return VideoFrames(path, times[: readable_until(path, times)])


def _missing(recording: Recording, file: Any) -> list[str]:
    steps = len(file['observation/robot_state/cartesian_position'])
    if len(recording.frames) == steps:
        return []
    return [
        f'{recording.source}: its video has {len(recording.frames)} frames for {steps} steps: the '
        'rest is left out'
    ]


def _require(group: Any, texts: list[str]) -> None:
    lacking = [name for name in map(column_of, texts) if name not in group]
    if lacking:
        raise ValueError(
            f'obs lacks {", ".join(lacking)}: it has {", ".join(group)}; name others by --mapping '
            'FILE'
        )


def _control_rate(file: Any) -> float:
    """Return the steps a second [Hz] of a robomimic file."""
    try:
        arguments = json.loads(file['data'].attrs['env_args'])['env_kwargs']
        return float(arguments['control_freq'])
    except (KeyError, TypeError, ValueError):
        return RATE


def _column(group: Any, name: str) -> NDArray[np.float64]:
    return np.asarray(group[name][()], np.float64)


class Hdf5Pictures:
    """Pictures of a dataset in a file, read one by one."""

    def __init__(self, path: Path, name: str, count: int):
        self._path, self._name, self._count = path, name, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        try:
            return np.asarray(_file(self._path)[self._name][index], np.uint8)
        except DAMAGES as error:
            raise ValueError(f'{self._path}: {self._name}, row {index}: {error}') from error


@lru_cache(maxsize=4)
def _file(path: Path) -> Any:
    h5py = library('h5py')
    try:
        return h5py.File(path, 'r')
    except OSError as error:
        raise ValueError(f'{path}: damaged: {error}') from error
