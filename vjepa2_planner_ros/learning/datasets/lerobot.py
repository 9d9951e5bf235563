# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset v3: meta/info.json, episodes in parquet files, pictures in mp4 files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .libraries import library
from .mapping import column_of, LEROBOT, Mapping, poses_of, with_picture
from .recording import Recording
from .video import readable_until, VideoFrames
from ..trajectory import Frames
from ...messages.pictures import picture_of_bytes

INFO = 'meta/info.json'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
CONVERT = 'python -m lerobot.scripts.convert_dataset_v21_to_v30 makes version 3 of it'


def is_lerobot(path: Path) -> bool:
    """Return whether a folder is a LeRobotDataset."""
    return (path / INFO).is_file()


def read_lerobot(
    folder: Path, mapping: Mapping | None = None, camera: str = ''
) -> tuple[list[Recording], list[str]]:
    """
    Return the Recordings of a LeRobotDataset, one an episode, and what is damaged in it.

    ValueError that names what is there, if its columns are not known.

    :param mapping: None = the one of LEROBOT whose columns it has.
    :param camera: the feature with the pictures, or its last word; '' = the mapping's.
    """
    info = _info(folder)
    features: dict[str, Any] = info['features']
    names = {name: _names(feature) for name, feature in features.items()}
    pictures = [name for name, feature in features.items() if feature['dtype'] in KINDS]
    library('pyarrow.parquet')
    mapping = with_picture(mapping or _preset(folder, names), pictures, camera)
    if features[mapping.picture]['dtype'] == 'video':
        library('av')
    problems: list[str] = []
    metas = {
        row['episode_index']: row
        for file in sorted(folder.glob('meta/episodes/*/*.parquet'))
        for row in _rows(file, problems)
    }
    recordings = []
    for file in sorted(folder.glob('data/*/*.parquet')):
        try:
            table = _Table(file, mapping, features[mapping.picture]['dtype'] == 'image')
        except ValueError as error:
            problems.append(f'{error}: its episodes are left out')
            continue
        for episode, start, stop in table.episodes():
            name = f'{folder}:episode {episode}'
            try:
                frames = _frames(
                    folder, info, mapping.picture, metas.get(episode), table, start, stop
                )
                recordings.append(_recording(name, frames, mapping, names, table, start))
            except ValueError as error:
                problems.append(f'{name}: {error}: left out')
                continue
            if len(frames) < stop - start:
                problems.append(
                    f'{name}: its video has {len(frames)} of {stop - start} frames: the rest is '
                    'left out'
                )
    return recordings, problems


KINDS = ('video', 'image')


class _Table:
    """The columns of one data file that are needed, without the pictures."""

    def __init__(self, path: Path, mapping: Mapping, has_images: bool):
        self.path, self.has_images = path, has_images
        wanted = [mapping.position, mapping.rotation, mapping.gripper]
        columns = {'episode_index', 'timestamp', *map(column_of, wanted)}
        with _parquet(path) as file:
            lacking = columns - set(file.schema_arrow.names)
            if lacking:
                raise ValueError(f'{path}: it lacks the columns {", ".join(sorted(lacking))}')
            try:
                table = file.read(columns=sorted(columns))
            except (OSError, ValueError) as error:
                raise ValueError(f'{path}: damaged: {error}') from error
        self.columns = {name: _array(table.column(name)) for name in columns}

    def episodes(self) -> Iterator[tuple[int, int, int]]:
        """Yield the number of each episode, its first row and the one after its last."""
        numbers = self.columns['episode_index'].astype(int).ravel()
        edges = [0, *np.flatnonzero(np.diff(numbers)) + 1, len(numbers)]
        for start, stop in zip(edges, edges[1:]):
            if stop > start:
                yield int(numbers[start]), int(start), int(stop)


def _recording(
    source: str,
    frames: Frames,
    mapping: Mapping,
    names: dict[str, list[str]],
    table: _Table,
    start: int,
) -> Recording:
    rows = slice(start, start + len(frames))
    try:
        poses, closedness = poses_of(mapping, lambda name: table.columns[name][rows], names)
    except LookupError as error:
        raise ValueError(f'its columns are not as the mapping says: {error}') from error
    stamps = table.columns['timestamp'].ravel()[rows].astype(float)
    ends = (mapping.gripper_open, mapping.gripper_closed)
    return Recording(source, frames, stamps, stamps, poses, stamps, closedness, gripper_ends=ends)


def _frames(
    folder: Path,
    info: dict[str, Any],
    key: str,
    meta: dict[str, Any] | None,
    table: _Table,
    start: int,
    stop: int,
) -> Frames:
    if table.has_images:
        return ParquetPictures(table.path, key, start, stop - start)
    try:
        place = meta or {}
        name = info['video_path'].format(
            video_key=key,
            chunk_index=place[f'videos/{key}/chunk_index'],
            file_index=place[f'videos/{key}/file_index'],
        )
        begin = float(place[f'videos/{key}/from_timestamp'])
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'meta does not say where its video is: {error!r}') from error
    path = folder / name
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder)):
        raise ValueError(f'video_path = {name!r}: allowed: a path in the data set')
    stamps = table.columns['timestamp'].ravel()[start:stop].astype(float)
    times = begin + stamps
    return VideoFrames(path, times[: readable_until(path, times)])


class ParquetPictures:
    """Pictures that are in a column of a parquet file, as the bytes of picture files."""

    def __init__(self, path: Path, key: str, start: int, count: int):
        self._path, self._key, self._start, self._count = path, key, start, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        row = self._start + index
        with _parquet(self._path) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if row < size:
                    break
                row -= size
        try:
            value = _group(self._path, self._key, group)[row].as_py()
            return picture_of_bytes(value['bytes'])
        except Exception as error:  # a damaged picture makes Pillow raise anything
            raise ValueError(f'{self._path}: row {self._start + index}: {error}') from error


@lru_cache(maxsize=1)
def _group(path: Path, key: str, group: int) -> Any:
    with _parquet(path) as file:
        return file.read_row_group(group, columns=[key]).column(key)


def _info(folder: Path) -> dict[str, Any]:
    try:
        info = json.loads((folder / INFO).read_text())
        version = str(info['codebase_version'])
        features = {
            name: {**item, 'dtype': item['dtype']} for name, item in info['features'].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{folder / INFO}: {type(error).__name__}: {error}') from error
    if not version.startswith('v3'):
        raise ValueError(
            f'{folder / INFO}: codebase_version = {version}: allowed: v3.x; {CONVERT}'
        )
    return {'video_path': VIDEO_PATH, **info, 'features': features}


def _preset(folder: Path, names: dict[str, list[str]]) -> Mapping:
    """Return the first preset whose columns a data set has."""
    for mapping in LEROBOT.values():
        texts = (mapping.position, mapping.rotation, mapping.gripper)
        words = [word.strip(' ]') for text in texts for word in text.partition('[')[2].split(',')]
        known = {word for text in texts for word in names.get(column_of(text), ())}
        named = all(word in known for word in words if word and not word[0].isdigit())
        if named and all(column_of(text) in names for text in texts):
            return mapping
    listed = '; '.join(f'{name} {values}'.replace("'", '') for name, values in names.items())
    raise ValueError(
        f'{folder}: which columns are the pose of the end effector and the gripper? It has '
        f'{listed}. Name them by --mapping FILE; joint angles alone are no pose: add the pose by '
        'forward kinematics'
    )


def _names(feature: dict[str, Any]) -> list[str]:
    """Return the names of the numbers in a feature; they stand in a list or under a word."""
    names = feature.get('names') or []
    if isinstance(names, dict):
        names = next((item for item in names.values() if isinstance(item, list)), list(names))
    return [str(name) for name in names]


def _rows(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Return the rows of a file of meta/episodes, without statistics."""
    try:
        with _parquet(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith('stats/')]
            return list(file.read(columns=names).to_pylist())
    except (ValueError, OSError) as error:
        problems.append(f'{error}: the videos of its episodes are not found')
        return []


def _parquet(path: Path) -> Any:
    """Return an open ParquetFile; ValueError that names a damaged one."""
    parquet = library('pyarrow.parquet')
    try:
        return parquet.ParquetFile(path)
    except (library('pyarrow').ArrowException, OSError) as error:
        raise ValueError(f'{path}: damaged: {error}') from error


def _array(column: Any) -> NDArray[Any]:
    """Return a column of numbers [T], or of lists [T, D]."""
    return np.asarray(column.to_pylist())
