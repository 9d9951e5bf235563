# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a folder or a bag, uint8 [H, W, 3] RGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
import re
from typing import Any

import numpy as np
from PIL import Image

from ...messages.pictures import read_picture

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


def open_frames(source: str | Path, every: int = 1) -> FolderFrames | BagFrames:
    """
    Return the Frames of a folder of pictures or of a bag; OSError or ValueError if there are none.

    :param source: a folder; a bag (folder with metadata.yaml, .mcap or .db3 file); BAG:TOPIC where
        a bag has several topics with pictures.
    :param every: 2 = every second one, and so on.
    """
    if every < 1:
        raise ValueError(f'every = {every}: allowed: 1 or more')
    path, topic = Path(source), ''
    if not path.exists():
        name, _, topic = str(source).rpartition(':')
        path = Path(name or topic)
    if not path.exists():
        raise FileNotFoundError(f'{source}: there is no such folder or bag')
    if path.is_file() or (path / 'metadata.yaml').exists():
        return BagFrames(path, topic, every)
    return FolderFrames(path, every)


class FolderFrames:
    """The pictures of a folder with their numbers from 1, in the order of their names' numbers."""

    axis = 'picture'

    def __init__(self, folder: Path, every: int = 1):
        suffixes = Image.registered_extensions()
        files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes]
        if not files:
            raise ValueError(f'{folder}: there is no picture in this folder')
        self._files = sorted(files, key=_natural)[::every]
        self._every = every

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (number, picture)."""
        for index, file in enumerate(self._files):
            yield 1 + index * self._every, read_picture(file)


class BagFrames:
    """The pictures of one topic of a bag with their times [s] since the first."""

    axis = 'time [s]'

    def __init__(self, bag: Path, topic: str = '', every: int = 1):
        self._bag, self._every = bag, every
        with _reader(bag) as reader:
            counts = {
                connection.topic: connection.msgcount
                for connection in reader.connections
                if connection.msgtype in IMAGE_TYPES and connection.msgcount
            }
        if topic not in counts and (topic or len(counts) != 1):
            raise ValueError(
                f"{bag}: topic is '{topic}': allowed: {', '.join(counts) or 'none has pictures'}; "
                f'name one as {bag}:TOPIC'
            )
        self._topic = topic or next(iter(counts))
        self._count = counts[self._topic]

    def __len__(self) -> int:
        return -(-self._count // self._every)

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (time, picture)."""
        with _reader(self._bag) as reader:
            chosen = [item for item in reader.connections if item.topic == self._topic]
            first = None
            for connection, time, data in islice(reader.messages(chosen), 0, None, self._every):
                first = time if first is None else first
                seconds = (time - first) * 1e-9
                try:
                    yield seconds, _decode(data, connection.msgtype)
                except ValueError as error:
                    raise ValueError(
                        f'{self._bag}:{self._topic} after {seconds:.3f} s: {error}'
                    ) from error


@contextmanager
def _reader(bag: Path) -> Iterator[Any]:
    try:
        from rosbags.rosbag2 import Reader, ReaderError
    except ImportError as error:
        raise ValueError(f'{error}: bags are read by rosbags: pip install rosbags') from error
    try:
        with Reader(bag) as reader:
            yield reader
    except ReaderError as error:
        raise ValueError(f'{bag}: {error}') from error


def _decode(data: bytes, kind: str) -> np.ndarray:
    """Return the picture of a serialised message; ValueError if it holds none."""
    from rosbags.typesys import get_typestore, Stores

    from ...messages.images import picture

    return picture(get_typestore(Stores.ROS2_HUMBLE).deserialize_cdr(data, kind))


def _natural(path: Path) -> list[int | str]:
    """Return a key by which frame10 comes after frame9."""
    text_and_numbers = re.split(r'(\d+)', path.name)  # one after the other, text first
    return [int(part) if index % 2 else part for index, part in enumerate(text_and_numbers)]
