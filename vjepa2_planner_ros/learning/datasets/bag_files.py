# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a rosbag2 recording, each by itself, so that a damaged one costs no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
import struct
import tempfile
from typing import Any, NamedTuple

import yaml

from .libraries import library

SUFFIXES = ('.mcap', '.db3')
FILES = (*SUFFIXES, *(f'{end}.zstd' for end in SUFFIXES))
METADATA = 'metadata.yaml'
OPEN = 8  # files that are kept open


class Message(NamedTuple):
    """A message as it was recorded."""

    topic: str
    kind: str  # package/msg/Type
    time: int  # ns, when it was recorded
    data: bytes  # CDR


_opened: deque[BagFile] = deque()


class BagFile:
    """
    One .mcap or .db3 file of a recording, opened when it is needed.

    ValueError that names the file for one that cannot be read.

    :param compressed: each message is compressed, as compression_mode MESSAGE of rosbag2 does it.
    """

    def __init__(self, path: Path, compressed: bool = False):
        self.path, self._compressed = path, compressed
        self._reader: Any = None
        self._unpacked: Any = None  # temporary folder

    def topics(self) -> dict[str, str]:
        """Return the type of each topic that has messages, by its name."""
        return {item.topic: item.msgtype for item in self._open().connections if item.msgcount}

    def definition(self, topic: str) -> str:
        """Return the definition of a topic's messages, as far as the file has it."""
        found = (item.msgdef.data for item in self._open().connections if item.topic == topic)
        return str(next(found, ''))

    def messages(
        self, topics: set[str], start: int | None = None, stop: int | None = None
    ) -> Iterator[Message]:
        """Yield the messages of some topics that were recorded from start to before stop [ns]."""
        reader = self._open()
        chosen = [item for item in reader.connections if item.topic in topics]
        if not chosen:
            return
        try:
            for connection, time, data in reader.messages(chosen, start, stop):
                if self._compressed:
                    data = _unpack(data)
                yield Message(connection.topic, connection.msgtype, time, bytes(data))
        except _damages() as error:
            raise ValueError(f'{self.path}: damaged: {error or type(error).__name__}') from error

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(Exception):
                reader.close()

    def _open(self) -> Any:
        if self._reader is None:
            reader_of = library('rosbags.rosbag2').Reader
            if not self.path.is_file():
                raise ValueError(f'{self.path}: it is missing, though metadata.yaml names it')
            try:
                reader = reader_of(self._file())
                reader.open()
            except _damages() as error:
                raise ValueError(
                    f'{self.path}: {error or type(error).__name__}; ros2 bag reindex or mcap '
                    'recover may mend it'
                ) from error
            self._reader = reader
            _opened.append(self)
            if len(_opened) > OPEN:
                _opened.popleft().close()
        return self._reader

    def _file(self) -> Path:
        """Return the file, unpacked to a temporary folder if it is compressed as a whole."""
        if self.path.suffix != '.zstd':
            return self.path
        import zstandard

        if self._unpacked is None:
            self._unpacked = tempfile.TemporaryDirectory(prefix='bag_')
            with open(self.path, 'rb') as packed:
                with open(Path(self._unpacked.name, self.path.stem), 'wb') as file:
                    zstandard.ZstdDecompressor().copy_stream(packed, file)
        return Path(self._unpacked.name, self.path.stem)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_reader': None, '_unpacked': None}


def is_bag(path: Path) -> bool:
    """Return whether a path is a recording of rosbag2, or a file of one."""
    if path.is_file():
        return path.name.endswith(FILES)
    found = (item for end in FILES for item in path.glob(f'*{end}'))
    return (path / METADATA).is_file() or next(found, None) is not None


def files_of(path: Path) -> tuple[list[BagFile], list[str]]:
    """
    Return the files of a recording in their order, and what is wrong with its metadata.yaml.

    Without it, as after a crash of the recorder, those that are there.
    """
    if path.is_file():
        return [BagFile(path)], []
    problems, information = [], {}
    try:
        information = yaml.safe_load((path / METADATA).read_text())['rosbag2_bagfile_information']
        names = [Path(name).name for name in information['relative_file_paths']]
        compressed = str(information.get('compression_mode', '')).lower() == 'message'
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeError) as error:
        names, compressed = [], False
        problems.append(
            f'{path / METADATA}: {type(error).__name__}: {error}: the files beside it are used; '
            f'ros2 bag reindex {path} makes it anew'.replace('\n', ' ')
        )
    names = names or sorted(item.name for item in path.iterdir() if item.name.endswith(FILES))
    return [BagFile(path / name, compressed) for name in names], problems


@lru_cache
def typestore() -> Any:
    """Return the definitions of ROS' own messages."""
    from rosbags.typesys import get_typestore, Stores

    return get_typestore(Stores.ROS2_HUMBLE)


def decode(message: Message) -> Any:
    """Return a Message as an object with the fields of its .msg file; ValueError if damaged."""
    try:
        return typestore().deserialize_cdr(message.data, message.kind)
    except Exception as error:  # it raises anything for damaged data
        raise ValueError(f'{message.topic}: no {message.kind}: {error}') from error


def _unpack(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)


def _damages() -> tuple[type[Exception], ...]:
    """Return the exceptions with which a damaged file is read."""
    import apsw
    from rosbags.rosbag2 import ReaderError
    import zstandard

    found: list[type[Exception]] = [
        OSError,
        ReaderError,
        apsw.Error,
        zstandard.ZstdError,
        struct.error,
    ]
    found += [RuntimeError, ValueError, LookupError, TypeError, OverflowError, EOFError]
    return (*found, AssertionError, MemoryError)
