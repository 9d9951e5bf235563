# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a folder or a bag, uint8 [H, W, 3] RGB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
import logging
from pathlib import Path
import re

import numpy as np
from PIL import Image

from .bag_files import decode, files_of, is_bag
from .bags import IMAGES
from ...messages.images import picture
from ...messages.pictures import read_picture

log = logging.getLogger(__name__)


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
    if path.is_file() or is_bag(path):
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
        self._files, _ = files_of(bag)
        counts: Counter[str] = Counter()
        for file in self._files:
            kinds = file.topics()
            counts.update({n: c for n, c in file.counts().items() if kinds[n] in IMAGES})
            if file.damage:
                log.warning('%s', file.damage)
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
        first = None
        messages = chain.from_iterable(file.messages({self._topic}) for file in self._files)
        for message in islice(messages, 0, None, self._every):
            first = message.time if first is None else first
            seconds = (message.time - first) * 1e-9
            try:
                yield seconds, picture(decode(message))
            except ValueError as error:
                raise ValueError(
                    f'{self._bag}:{self._topic} after {seconds:.3f} s: {error}'
                ) from error


def _natural(path: Path) -> list[int | str]:
    """Return a key by which frame10 comes after frame9."""
    text_and_numbers = re.split(r'(\d+)', path.name)  # one after the other, text first
    return [int(part) if index % 2 else part for index, part in enumerate(text_and_numbers)]
