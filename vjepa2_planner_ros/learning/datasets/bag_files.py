# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The files of a rosbag2 recording, each by itself, so that a damaged one costs no other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
import shutil
import sqlite3
import struct
import tempfile
from typing import Any, NamedTuple

import yaml

from .libraries import library
from ..mcap_file import is_open_ended, write_closed

SUFFIXES = ('.mcap', '.db3')
FILES = (*SUFFIXES, *(f'{end}.zstd' for end in SUFFIXES))
METADATA = 'metadata.yaml'
OPEN = 8  # files that are kept open
SQLITE_LOGS = ('-wal', '-journal')  # what a .db3 has beside it until it is closed
NOT_CLOSED = 'it was not closed, as after a crash or a loss of power'


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
        self.damage = ''  # what is wrong with a file that is used all the same
        self._reader: Any = None
        self._copy: Path | None = None  # that is read in its place
        self._folder: Any = None  # temporary, of the copy

    def topics(self) -> dict[str, str]:
        """Return the type of each topic that has messages, by its name."""
        return {item.topic: item.msgtype for item in self._open().connections if item.msgcount}

    def counts(self) -> dict[str, int]:
        """Return the number of messages of each topic that has some."""
        found: Counter[str] = Counter()
        for item in self._open().connections:
            found[item.topic] += item.msgcount
        return dict(+found)

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
            if not self.path.is_file():
                raise ValueError(f'{self.path}: it is missing, though metadata.yaml names it')
            library('rosbags.rosbag2')
            try:
                self._reader = _reader(self._file())
            except _damages() as error:
                self._reader = self._without_its_end(error)
            _opened.append(self)
            if len(_opened) > OPEN:
                _opened.popleft().close()
        return self._reader

    def _file(self) -> Path:
        """Return the file, or a copy: unpacked, or with what a killed recorder left beside it."""
        logs = [self.path.with_name(self.path.name + end) for end in SQLITE_LOGS]
        logs = [log for log in logs if log.is_file() and log.stat().st_size]
        if self._copy is None and logs:
            for part in (self.path, *logs):
                shutil.copyfile(part, self._place(part.name))
            self._copy = self._place(self.path.name)
            with closing(sqlite3.connect(self._copy)) as file:
                file.execute('PRAGMA journal_mode = DELETE')  # which takes the logs in
            self.damage = f'{self.path}: {NOT_CLOSED}: what is in {logs[0].name} is used too'
        if self._copy is None and self.path.suffix == '.zstd':
            import zstandard

            self._copy = self._place(self.path.stem)
            with open(self.path, 'rb') as packed, open(self._copy, 'wb') as file:
                zstandard.ZstdDecompressor().copy_stream(packed, file)
        return self._copy or self.path

    def _without_its_end(self, error: Exception) -> Any:
        """Return a reader of what a .mcap file has that was not closed; ValueError for others."""
        text, file = f'{self.path}: {error or type(error).__name__}', self._file()
        if file.suffix == '.mcap' and is_open_ended(file):
            copy = self._place(f'closed_{file.name}')
            if count := write_closed(file, copy):
                self.damage = (
                    f'{self.path}: {NOT_CLOSED}: the {count} messages up to its end are used'
                )
                self._copy = copy
                return _reader(copy)
        raise ValueError(f'{text}; ros2 bag reindex or mcap recover may mend it') from error

    def _place(self, name: str) -> Path:
        """Return where a copy of that name may be written."""
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix='bag_')
        return Path(self._folder.name, name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_reader': None, '_copy': None, '_folder': None}


def _reader(path: Path) -> Any:
    """Return an open reader of a file; it raises _damages()."""
    from rosbags.rosbag2 import Reader

    reader = Reader(path)
    reader.open()
    return reader


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
        sqlite3.Error,
        zstandard.ZstdError,
        struct.error,
    ]
    found += [RuntimeError, ValueError, LookupError, TypeError, OverflowError, EOFError]
    return (*found, AssertionError, MemoryError)
