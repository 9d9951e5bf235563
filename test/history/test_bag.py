# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags held against rosbags, which reads, writes and describes them independently."""

import os

from geometry_msgs.msg import PoseStamped
from mcap.reader import make_reader
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.schemas import definition, require_fields
import yaml

POSE, IMAGE = 'geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/Image'
SECOND = 10**9


def pose(number):
    """Return the CDR of a PoseStamped."""
    message = PoseStamped(header=Header(frame_id='base'))
    message.pose.position.x = float(number)
    return serialize_message(message)


def image(number):
    """Return the CDR of an Image that does not compress."""
    pixels = np.random.default_rng(number).integers(0, 256, 4 * 5 * 3, dtype=np.uint8)
    return serialize_message(Image(height=4, width=5, encoding='rgb8', step=15, data=pixels))


def topic(name, kind, latched=False):
    """Return a Topic with the installed definition."""
    return bag.Topic(f'/robot/{name}', kind, name, latched, definition(kind))


ITEMS = [
    bag.Item(topic('picture', IMAGE, latched=True), 100 * SECOND, image(1)),
    *(bag.Item(topic('pose', POSE), (100 + i) * SECOND, pose(i)) for i in range(1, 7)),
    bag.Item(topic('picture', IMAGE, latched=True), 108 * SECOND, image(2)),
]


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a closed bag with ITEMS."""
    writer = bag.BagWriter(tmp_path / 'bag')
    for item in ITEMS:
        writer.write(item)
    writer.close()
    return tmp_path / 'bag'


def messages_of(reader):
    """Return [(topic, type, time, bytes)] of an open Reader."""
    return [
        (connection.topic, connection.msgtype, time, bytes(data))
        for connection, time, data in reader.messages()
    ]


def test_rosbags_reads_what_was_written(folder):
    with Reader(folder) as reader:
        messages, connections = messages_of(reader), list(reader.connections)
        assert reader.message_count == 8
        assert (reader.start_time, reader.end_time) == (100 * SECOND, 108 * SECOND + 1)
    assert messages == [(item.topic.name, item.topic.kind, item.time, item.data) for item in ITEMS]
    offered = {
        connection.topic: connection.ext.offered_qos_profiles[0] for connection in connections
    }
    assert offered['/robot/picture'].durability.name == 'TRANSIENT_LOCAL'
    assert offered['/robot/pose'].durability.name == 'VOLATILE'
    assert all(profile.reliability.name == 'RELIABLE' for profile in offered.values())


def test_metadata_is_of_the_version_it_names(folder):
    metadata = yaml.safe_load((folder / 'metadata.yaml').read_text())[
        'rosbag2_bagfile_information'
    ]
    # rosbag2's fields of version 5: Humble's. From 6 on custom_data would have to be there, from
    # 7 on type_description_hash, from 8 on ros_distro, and from 9 on QoS would not be text.
    assert set(metadata) == set(
        'version storage_identifier duration starting_time message_count compression_format '
        'topics_with_message_count compression_mode relative_file_paths files'.split()
    )
    assert metadata['version'] == 5 and metadata['storage_identifier'] == 'mcap'
    for entry in metadata['topics_with_message_count']:
        assert set(entry['topic_metadata']) == set(
            'name type serialization_format offered_qos_profiles'.split()
        )
        assert isinstance(entry['topic_metadata']['offered_qos_profiles'], str)


def test_messages_are_decoded_by_the_definition_in_the_bag(folder):
    poses = [item.decode() for item in bag.read(folder, ('pose',))]
    assert [message.pose.position.x for message in poses] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert poses[0].header.frame_id == 'base'
    picture, _ = (item.decode() for item in bag.read(folder, ('picture',)))
    assert bytes(picture.data) == bytes(deserialize_message(image(1), Image).data)


@pytest.mark.parametrize('closed', (True, False))
def test_a_bag_that_was_cut_off_anywhere_is_read_up_to_there(folder, closed):
    if not closed:
        (folder / bag.METADATA).unlink()
    whole, counts = (folder / bag.MCAP).read_bytes(), []
    for size in range(0, len(whole), 97):
        (folder / bag.MCAP).write_bytes(whole[:size])
        said = []
        items = list(bag.read(folder, on_damage=said.append))
        assert items == ITEMS[: len(items)]
        assert said == closed * [f'the end of {bag.MCAP} is damaged or missing']
        counts.append(len(items))
    assert counts == sorted(counts) and set(counts) == set(range(9))


@pytest.mark.parametrize('closed', (True, False))
def test_damage_costs_what_is_there_and_is_said_of_a_closed_bag(folder, closed):
    if not closed:
        (folder / bag.METADATA).unlink()
    whole = (folder / bag.MCAP).read_bytes()
    for position in range(8, len(whole), 13):
        damaged, said = bytearray(whole), []
        damaged[position] ^= 0xFF
        (folder / bag.MCAP).write_bytes(damaged)
        items = list(bag.read(folder, on_damage=said.append))
        left = iter(ITEMS)
        assert all(item in left for item in items)  # in order, and none that was not written
        assert said or len(items) == len(ITEMS) or not closed


def test_every_message_is_in_the_file_at_once(tmp_path):
    writer = bag.BagWriter(tmp_path / 'bag')
    for count, item in enumerate(ITEMS, 1):
        writer.write(item)
        assert list(bag.read(tmp_path / 'bag')) == ITEMS[:count]
    writer.abandon()


@pytest.mark.parametrize('count', (0, 3, 8))
def test_a_bag_that_was_left_open_is_recovered(tmp_path, count):
    writer = bag.BagWriter(tmp_path / 'bag')
    for item in ITEMS[:count]:
        writer.write(item)
    with pytest.raises(bag.BagInUse):
        bag.recover(tmp_path / 'bag')
    assert bag.is_in_use(tmp_path / 'bag')
    writer.abandon()
    with open(tmp_path / 'bag' / bag.MCAP, 'ab') as file:
        file.write(b'\x06\xff\xff\x00\x00')  # half a chunk
    assert bag.recover(tmp_path / 'bag') == count
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bag']
    assert sorted(path.name for path in (tmp_path / 'bag').iterdir()) == [bag.METADATA, bag.MCAP]
    if count:
        with Reader(tmp_path / 'bag') as reader:
            assert [data for *_, data in messages_of(reader)] == [
                item.data for item in ITEMS[:count]
            ]


def test_a_definition_that_has_changed_is_told_from_one_that_has_another_comment():
    installed = topic('pose', POSE)
    commented = installed.definition.replace('# ', '# Well, ')
    require_fields(bag.Topic(installed.name, POSE, 'pose', False, commented), exact=True)
    changed = installed.definition.replace('float64 x', 'float32 x', 1)
    assert changed != installed.definition
    with pytest.raises(ValueError, match='another definition of geometry_msgs/msg/PoseStamped'):
        require_fields(bag.Topic(installed.name, POSE, 'pose', False, changed))


def test_a_whole_bag_is_not_said_to_be_damaged(folder):
    said = []
    assert list(bag.read(folder, on_damage=said.append)) == ITEMS and not said


def test_the_messages_around_a_damage_are_read(folder):
    with open(folder / bag.MCAP, 'r+b') as file:
        place = make_reader(file).get_summary().chunk_indexes[3]
        file.seek(place.chunk_start_offset + place.chunk_length // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))
    said = []
    assert list(bag.read(folder, on_damage=said.append)) == ITEMS[:3] + ITEMS[4:]
    assert said == [f'{place.chunk_length} bytes from {place.chunk_start_offset} on are damaged']


def test_a_closed_bag_is_on_the_disk_before_it_says_so(folder, tmp_path, monkeypatch):
    synced = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os,
        'fsync',
        lambda file: (synced.append(os.readlink(f'/proc/self/fd/{file}')), fsync(file)),
    )
    monkeypatch.setattr(os, 'replace', lambda *names: (synced.append('named'), replace(*names)))
    writer = bag.BagWriter(tmp_path / 'other')
    writer.write(*ITEMS)
    writer.close()
    other = tmp_path / 'other'
    assert synced == [str(other / bag.MCAP), str(other / f'{bag.METADATA}.new'), 'named']
