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
from .inputs import Inputs, read_inputs
from .npz import read_npz
from .recording import Limits, Recording, trajectories_of
from ..trajectory import Trajectory

PERIOD = 0.25  # s; of V-JEPA 2-AC
ALLOWED = (
    'a bag of rosbag2 (folder with metadata.yaml, .mcap, .db3), an .npz file of a simulated '
    'episode, or a folder of these'
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
) -> Dataset:
    """
    Return the trajectories of a recording, as far as it can be read.

    :param source: see ALLOWED.
    :param period: time [s] between the frames of the model.
    :param params: the planner's parameter file: topics, frames, gripper and limits of a bag.
    :param camera: name of a camera there, or a topic; '' = the first one.
    :raise OSError, ValueError: nothing in it can be used; the text says what to do.
    """
    path, inputs = Path(source).expanduser(), read_inputs(params)
    if not path.exists():
        raise FileNotFoundError(f'{source}: there is no such file or folder')
    recordings, problems = _read(path, inputs, camera, period)
    limits = Limits(inputs.settings.max_skew, inputs.settings.gripper.max_age)
    trajectories = [
        piece for recording in recordings for piece in trajectories_of(recording, period, limits)
    ]
    return Dataset(trajectories, problems, recordings, period)


def _read(
    path: Path, inputs: Inputs, camera: str, period: float
) -> tuple[list[Recording], list[str]]:
    """Return the recordings of a source, and what is damaged in it."""
    if is_bag(path):
        return read_bag(path, inputs, camera)
    if path.is_dir():
        return _read_folder(path, inputs, camera, period)
    if path.suffix == '.npz':
        return read_npz(path, period), []
    raise ValueError(f'{path}: allowed: {ALLOWED}')


def _read_folder(
    folder: Path, inputs: Inputs, camera: str, period: float
) -> tuple[list[Recording], list[str]]:
    """Return the recordings of all sources in a folder; one that cannot be read is a problem."""
    recordings: list[Recording] = []
    problems: list[str] = []
    sources = [item for item in sorted(folder.iterdir()) if item.suffix == '.npz' or is_bag(item)]
    for source in sources:
        try:
            found, damage = _read(source, inputs, camera, period)
        except ValueError as error:
            problems.append(str(error))
            continue
        recordings += found
        problems += damage
    if not recordings:
        raise ValueError('\n'.join([f'{folder}: nothing to read: allowed: {ALLOWED}', *problems]))
    return recordings, problems
