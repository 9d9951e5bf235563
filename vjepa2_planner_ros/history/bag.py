# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A rosbag2 folder with one MCAP file: metadata.yaml and plan_0.mcap.

The file grows message by message and is complete up to the last one at any moment; metadata.yaml
appears when it is closed. A folder without it was left by a process that was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
import fcntl
from functools import lru_cache
import os
from pathlib import Path
import shutil
from typing import Any

import yaml

from .schemas import ADDED
from ..learning import mcap_file

# mcap and rosbags are imported where they are used: a planner that records nothing does not need
# them, and starts sooner.

MCAP, METADATA = 'plan_0.mcap', 'metadata.yaml'
# The newest version of rosbag2's metadata that Humble reads; later ones read it too.
METADATA_VERSION = 5
VOLATILE, TRANSIENT_LOCAL = 2, 1  # as rmw numbers them
FOREVER = {'sec': 9223372036, 'nsec': 854775807}


class BagInUse(RuntimeError):  # noqa: N818
    """Another process writes this bag."""


@dataclass(frozen=True)
class Topic:
    """A topic in a bag; role says what it is to the planner, whatever its name."""

    name: str
    kind: str  # package/msg/Type
    role: str
    latched: bool
    definition: str  # of the message and those in it


@dataclass(frozen=True)
class Item:
    """A recorded message."""

    topic: Topic
    time: int  # ns, ROS time at which it was published
    data: bytes  # CDR

    def decode(self) -> Any:
        """
        Return the message; fields that were ADDED since have the values that stand there.

        :raise ValueError: it is damaged, or its definition is none.
        """
        message = self._decode()
        for name, value in ADDED.get(self.topic.kind, {}).items():
            if not hasattr(message, name):
                setattr(message, name, value)
        return message

    def encode(self, definition: str, defaults: dict[str, Any]) -> bytes:
        """Return the message in CDR as another definition has it, with defaults it may lack."""
        message = self._decode()
        for name, value in defaults.items():
            if not hasattr(message, name):
                setattr(message, name, value)
        types = _types(self.topic.kind, definition)
        return bytes(types.serialize_cdr(message, self.topic.kind))

    def _decode(self) -> Any:
        try:
            types = _types(self.topic.kind, self.topic.definition)
            return types.deserialize_cdr(self.data, self.topic.kind)
        except Exception as error:  # rosbags raises anything for damaged data
            raise ValueError(f'{self.topic.name}: no {self.topic.kind}: {error}') from error


class BagWriter:
    """Writes one bag into a folder that does not exist yet; locked against other processes."""

    def __init__(self, folder: str | Path):
        from mcap.writer import CompressionType, Writer

        self._folder = Path(folder)
        if self._folder.exists():
            raise FileExistsError(f"'{folder}' exists already")
        # Hidden until it is locked: another planner may delete or recover what is not.
        hidden = self._folder.with_name(f'.{self._folder.name}')
        hidden.mkdir(parents=True)
        try:
            self._file = open(hidden / MCAP, 'xb')
            _lock(self._file)
            self._mcap = Writer(self._file, compression=CompressionType.LZ4)  # quicker than zstd
            self._mcap.start(profile='ros2', library='vjepa2_planner_ros')
            os.rename(hidden, self._folder)
        except OSError:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        self._channels: dict[Topic, int] = {}
        self._summary = Summary()

    def write(self, *items: Item) -> None:
        """Write messages; they are in the file when this returns."""
        for item in items:
            channel = self._channels.get(item.topic) or self._add(item.topic)
            self._mcap.add_message(channel, item.time, item.data, item.time)
            self._summary.add(item)
        self._mcap.flush()

    def close(self) -> None:
        """Write what comes at the end: the index, and metadata.yaml."""
        self._mcap.finish()
        self._file.flush()
        os.fsync(self._file.fileno())  # metadata.yaml says that all of it is there
        write_metadata(self._folder, self._summary)
        self._file.close()  # and unlock it, last

    def abandon(self) -> None:
        """Leave the bag as it is, readable up to its last message."""
        with suppress(OSError):  # a full disk has no room for what is still buffered
            self._file.close()

    def discard(self) -> None:
        """Remove the bag, which could not be written whole."""
        self.abandon()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add(self, topic):
        schema = self._mcap.register_schema(topic.kind, 'ros2msg', topic.definition.encode())
        self._channels[topic] = self._mcap.register_channel(
            topic.name,
            'cdr',
            schema,
            {'offered_qos_profiles': qos_text(topic.latched), 'role': topic.role},
        )
        return self._channels[topic]


class Summary:
    """What metadata.yaml says of a bag."""

    def __init__(self):
        self.counts: Counter[Topic] = Counter()  # of messages
        self.begin = self.end = 0

    def add(self, item: Item) -> None:
        """Count a message."""
        self.begin = min(self.begin, item.time) if self.counts else item.time
        self.end = max(self.end, item.time)
        self.counts[item.topic] += 1


def write_metadata(folder: str | Path, summary: Summary) -> None:
    """Write metadata.yaml as rosbag2 does."""
    total = sum(summary.counts.values())
    times = {
        'starting_time': {'nanoseconds_since_epoch': summary.begin},
        'duration': {'nanoseconds': summary.end - summary.begin},
        'message_count': total,
    }
    metadata = {
        'rosbag2_bagfile_information': {
            'version': METADATA_VERSION,
            'storage_identifier': 'mcap',
            **times,
            'topics_with_message_count': [
                {
                    'topic_metadata': {
                        'name': topic.name,
                        'type': topic.kind,
                        'serialization_format': 'cdr',
                        'offered_qos_profiles': qos_text(topic.latched),
                    },
                    'message_count': count,
                }
                for topic, count in summary.counts.items()
            ],
            'compression_format': '',
            'compression_mode': '',
            'relative_file_paths': [MCAP],
            'files': [{'path': MCAP, **times}],
        }
    }
    temporary = Path(folder, METADATA + '.new')
    with open(temporary, 'w') as file:
        file.write(_yaml(metadata))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, Path(folder, METADATA))


@lru_cache
def qos_text(latched: bool) -> str:
    """Return the offered QoS as rosbag2 writes it: keep last and reliable are 1."""
    return _yaml(
        [
            {
                'history': 1,
                'depth': 1 if latched else 10,
                'reliability': 1,
                'durability': TRANSIENT_LOCAL if latched else VOLATILE,
                'deadline': FOREVER,
                'lifespan': FOREVER,
                'liveliness': 1,
                'liveliness_lease_duration': FOREVER,
                'avoid_ros_namespace_conventions': False,
            }
        ]
    )


def _yaml(data):
    # Written in Python, a bag's YAML would take most of the time that recording takes.
    return yaml.dump(data, Dumper=getattr(yaml, 'CSafeDumper', yaml.SafeDumper), sort_keys=False)


def is_complete(folder: str | Path) -> bool:
    """Return whether a bag was closed."""
    return Path(folder, METADATA).is_file()


def read(
    folder: str | Path,
    roles: Collection[str] | None = None,
    on_damage: Callable[[str], None] = lambda text: None,
) -> Iterator[Item]:
    """
    Yield the Items of a bag in the order of its file; those of some roles, None = all.

    What is damaged in a bag that was closed is left out. One that was not closed, or has lost its
    index, is read from the start as far as it is good.

    :param on_damage: called with a text for each damage of a bag that was closed.
    """
    with open(Path(folder, MCAP), 'rb') as file:
        index = _index(folder, file)
        if index is None and is_complete(folder):
            on_damage(f'the end of {MCAP} is damaged or missing')
        records = (
            mcap_file.from_the_start(file)
            if index is None
            else mcap_file.indexed(file, index, roles, on_damage)
        )
        for schema, channel, message in records:
            item = Item(_topic(schema, channel), message.log_time, message.data)
            if roles is None or item.topic.role in roles:
                yield item


def topics(folder: str | Path) -> set[Topic]:
    """Return the topics of a bag, as far as it can be read."""
    with open(Path(folder, MCAP), 'rb') as file:
        index = _index(folder, file)
    if index is None:
        return {item.topic for item in read(folder)}
    return {
        _topic(index.schemas[channel.schema_id], channel) for channel in index.channels.values()
    }


def _index(folder, file):
    """Return the Summary of a bag that was closed; None if there is none, or it is damaged."""
    return mcap_file.summary(file) if is_complete(folder) else None


def recover(folder: str | Path) -> int:
    """
    Make a bag that was not closed a closed one; return how many messages it has.

    :raise BagInUse: somebody is writing it.
    """
    folder = Path(folder)
    with open(folder / MCAP, 'rb') as file:
        _lock(file)
        temporary = folder.with_name(f'.{folder.name}')
        shutil.rmtree(temporary, ignore_errors=True)
        writer, count = BagWriter(temporary), 0
        try:
            for item in read(folder):
                writer.write(item)
                count += 1
            writer.close()
        except BaseException:
            writer.discard()
            raise
        for name in (MCAP, METADATA):  # in this order: metadata.yaml says that all is well
            os.replace(temporary / name, folder / name)
        temporary.rmdir()
    return count


def is_in_use(folder: str | Path) -> bool:
    """Return whether somebody is writing a bag."""
    try:
        with open(Path(folder, MCAP), 'rb') as file:
            _lock(file)
    except BagInUse:
        return True
    return False


def _lock(file):
    """Lock a file until it is closed or the process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BagInUse(f'{file.name} is being written') from error


def _topic(schema, channel):
    latched = f'durability: {TRANSIENT_LOCAL}\n' in channel.metadata.get(
        'offered_qos_profiles', ''
    )
    return Topic(
        channel.topic, schema.name, channel.metadata.get('role', ''), latched, schema.data.decode()
    )


@lru_cache(maxsize=64)
def _types(name, definition):
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    types = get_typestore(Stores.EMPTY)
    types.register(get_types_from_msg(definition, name))
    return types
