# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is good in an MCAP file, which may be damaged; mcap is imported where it is used."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import struct
from typing import Any, BinaryIO
import zlib

MAGIC = b'\x89MCAP0\r\n'  # at both ends
FOOTER = struct.Struct('<QQI')  # without its opcode and length


def summary(file):
    """Return the Summary at the end of a bag's file; None if it is damaged."""
    from mcap.reader import make_reader

    try:
        # What comes last: a footer, whose last field is the CRC of all from where its first field
        # says to that CRC, and 8 bytes of magic.
        file.seek(-FOOTER.size - 8, os.SEEK_END)
        start, _, crc = FOOTER.unpack(file.read(FOOTER.size))
        file.seek(start)
        good = crc in (0, zlib.crc32(file.read()[:-12]))  # 0 = not known
        file.seek(0)
        return make_reader(file).get_summary() if good else None
    except _damages():
        return None


def indexed(file, summary, roles, on_damage):
    """Yield (schema, channel, message) of the chunks that have messages of some roles."""
    wanted = {
        channel.id
        for channel in summary.channels.values()
        if roles is None or channel.metadata.get('role') in roles
    }
    for place in summary.chunk_indexes:
        if wanted.isdisjoint(place.message_index_offsets):
            continue
        try:
            found = [
                (summary.schemas[channel.schema_id], channel, message)
                for channel, message in _messages(file, place, summary.channels)
            ]
        except _damages():
            on_damage(f'{place.chunk_length} bytes from {place.chunk_start_offset} on are damaged')
            continue
        yield from found


def _messages(file, place, channels):
    from mcap.records import Message
    from mcap.stream_reader import breakup_chunk, StreamReader

    file.seek(place.chunk_start_offset)
    chunk = next(StreamReader(file, skip_magic=True, emit_chunks=True).records)
    return [
        (channels[record.channel_id], record)
        for record in breakup_chunk(chunk, validate_crc=True)
        if isinstance(record, Message)
    ]


def from_the_start(file: BinaryIO) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (schema, channel, message) up to the first damage."""
    from mcap.records import Channel, Message, Schema
    from mcap.stream_reader import StreamReader

    schemas: dict[int, Any] = {}
    channels: dict[int, Any] = {}
    file.seek(0)
    try:
        for record in StreamReader(file, validate_crcs=True).records:
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = record
            elif isinstance(record, Message):
                channel = channels[record.channel_id]
                yield schemas[channel.schema_id], channel, record
    except _damages():
        return


def is_open_ended(path: Path) -> bool:
    """Return whether a file begins like one of MCAP, but was not closed."""
    with open(path, 'rb') as file:
        begin = file.read(len(MAGIC))
        file.seek(-min(len(MAGIC), path.stat().st_size), os.SEEK_END)
        return begin == MAGIC and file.read() != MAGIC


def write_closed(path: Path, target: Path) -> int:
    """Write what a file of ROS 2 has up to its first damage, closed; return its messages."""
    from mcap.writer import CompressionType, Writer

    count, channels = 0, {}
    with open(path, 'rb') as source, open(target, 'wb') as file:
        writer = Writer(file, compression=CompressionType.LZ4)
        writer.start(profile='ros2')
        for schema, channel, message in from_the_start(source):
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, number, channel.metadata
                )
            writer.add_message(
                channels[channel.id], message.log_time, message.data, message.publish_time
            )
            count += 1
        writer.finish()
    return count


def _damages():
    """Return the exceptions with which a damaged file is read."""
    from mcap.exceptions import McapError
    from zstandard import ZstdError

    # lz4 raises RuntimeError. An offset may be any number, and what is there any record.
    return (
        McapError,
        ZstdError,
        RuntimeError,
        struct.error,
        ValueError,
        LookupError,
        OverflowError,
        OSError,
        MemoryError,
        AttributeError,
    )
