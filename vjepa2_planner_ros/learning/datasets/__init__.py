# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Recordings of many formats as trajectories; no ROS installation is needed.

The libraries that decode a format are imported where they are used; one that is missing is named,
with what installs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .bag_files import is_bag
from .bags import read_bag
from .hdf5 import DROID_FILE, read_hdf5, SUFFIXES as HDF5
from .history import plans_in, read_history
from .inputs import Inputs, read_inputs
from .lerobot import is_lerobot, read_lerobot
from .mapping import Mapping, read_mapping
from .npz import read_npz
from .recording import Limits, Recording, trajectories_of
from ..trajectory import Trajectory

PERIOD = 0.25  # s; of V-JEPA 2-AC
ALLOWED = (
    'a bag of rosbag2 (folder with metadata.yaml, .mcap, .db3), a LeRobotDataset v3 (folder with '
    'meta/info.json), an .hdf5 or .h5 file of robomimic or DROID, a folder of recorded plans, an '
    '.npz file of a simulated episode, or a folder of these'
)


@dataclass(frozen=True)
class Dataset:
    """What was found in a source."""

    trajectories: list[Trajectory]
    problems: list[str]  # what is damaged and left out, by name
    recordings: list[Recording]  # what the trajectories were taken from, for checks
    period: float  # s between the frames of a trajectory


def open_dataset(
    source: str | Path,
    *,
    period: float = PERIOD,
    params: str | Path | None = None,
    camera: str = '',
    mapping: str | Path | None = None,
) -> Dataset:
    """
    Return the trajectories of a recording, as far as it can be read.

    Pictures are decoded when they are asked for; the rest is in memory.

    :param source: see ALLOWED.
    :param period: time [s] between the frames of the model.
    :param params: the planner's parameter file: topics, frames, gripper and limits of a bag.
    :param camera: whose pictures are wanted: its name in that file, a topic, a column; '' = the
        first one, or the only one.
    :param mapping: YAML file with a Mapping, for columns that are not known.
    :raise OSError, ValueError: nothing in it can be used; the text says what to do.
    """
    path, inputs = Path(source).expanduser(), read_inputs(params)
    if not path.exists():
        raise FileNotFoundError(f'{source}: there is no such file or folder')
    columns = None if mapping is None else read_mapping(mapping)
    recordings, problems = _read(path, _Choice(inputs, camera, columns, period))
    if not recordings:
        found = problems or [f'allowed: {ALLOWED}']
        raise ValueError('\n'.join([f'{path}: nothing in it can be used', *found]))
    limits = Limits(inputs.settings.max_skew, inputs.settings.gripper.max_age)
    trajectories = [
        piece for recording in recordings for piece in trajectories_of(recording, period, limits)
    ]
    return Dataset(trajectories, problems, recordings, period)


@dataclass(frozen=True)
class _Choice:
    inputs: Inputs
    camera: str
    mapping: Mapping | None
    period: float


def _read(path: Path, choice: _Choice) -> tuple[list[Recording], list[str]]:
    """Return the recordings of a source, and what is damaged in it."""
    if path.is_dir() and is_lerobot(path):
        return read_lerobot(path, choice.mapping, choice.camera)
    if path.is_dir() and plans_in(path):
        return read_history(path)
    if is_bag(path):
        return read_bag(path, choice.inputs, choice.camera)
    if path.is_dir():
        return _read_folder(path, choice)
    if path.suffix in HDF5:
        return read_hdf5(path, choice.mapping, choice.camera)
    if path.suffix == '.npz':
        return read_npz(path, choice.period), []
    raise ValueError(f'{path}: allowed: {ALLOWED}')


def _read_folder(folder: Path, choice: _Choice) -> tuple[list[Recording], list[str]]:
    """Return the recordings of all sources in a folder; one that cannot be read is a problem."""
    recordings: list[Recording] = []
    problems: list[str] = []
    for source in _sources(folder):
        try:
            found, damage = _read(source, choice)
        except (ValueError, OSError) as error:
            problems.append(f'{error}: left out')
            continue
        recordings += found
        problems += damage
    return recordings, problems


def _sources(folder: Path) -> list[Path]:
    """Return what may be read in a folder; episodes of DROID also deep below."""
    found = {item for item in folder.iterdir() if item.suffix in (*HDF5, '.npz')}
    for item in folder.iterdir():
        if item.is_dir() and (is_lerobot(item) or plans_in(item) or is_bag(item)):
            found.add(item)
    return sorted({*found, *folder.rglob(DROID_FILE)})
