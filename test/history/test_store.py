# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of recordings: found, bounded, and nothing else in it touched."""

import time

import pytest
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.schemas import definition
from vjepa2_planner_ros.history.store import PlanNotFound, PlanStore, size_of

ITEM = bag.Item(
    bag.Topic('/text', 'std_msgs/msg/String', 'text', False, definition('std_msgs/msg/String')),
    1,
    bytes(300),
)


def record(store, plan_id):
    """Make a closed recording; return its folder."""
    path = store.new(plan_id)
    writer = bag.BagWriter(path)
    writer.write(ITEM)
    writer.close()
    time.sleep(0.001)
    return path


@pytest.fixture
def store(tmp_path):
    """Return a store with three recordings and other people's files."""
    store = PlanStore(tmp_path / 'history')
    for first in (0xAB, 0xAC, 0x12):
        record(store, bytes([first] * 16))
    (store.folder / 'notes.txt').write_text('mine')
    (store.folder / 'other_bag').mkdir()
    (store.folder / 'other_bag' / bag.MCAP).write_text('mine')
    (store.folder / f'20200101T000000.000000Z_{"00" * 16}').mkdir()  # no bag in it
    return store


def test_recordings_are_listed_by_time(store):
    assert [path.name[-2:] for path in store.recordings()] == ['ab', 'ac', '12']
    assert PlanStore(store.folder / 'nowhere').recordings() == []


@pytest.mark.parametrize(
    'asked, found',
    [('12', '12'), ('ab', 'ab'), ('ABABAB', 'ab'), ('ac' * 16, 'ac'), ('latest', '12')],
)
def test_a_recording_is_found_by_what_is_unique(store, asked, found):
    assert store.find(asked).name.endswith(found)
    assert store.find(store.find(asked).name) == store.find(asked)


@pytest.mark.parametrize(
    'asked, count',
    [('a', '2'), ('', 'none'), ('ff', 'none'), ('other_bag', 'none'), ('../history', 'none')],
)
def test_what_is_not_unique_is_refused_by_name(store, asked, count):
    with pytest.raises(PlanNotFound, match=f"plan = '{asked}': {count} of the 3 recordings"):
        store.find(asked)


def test_a_recording_is_deleted_and_no_other_file(store):
    before = set(store.folder.rglob('*'))
    gone = store.delete('ac')
    assert before - set(store.folder.rglob('*')) == {gone, gone / bag.MCAP, gone / bag.METADATA}


def test_the_oldest_go_first_beyond_a_count(store):
    assert [path.name[-2:] for path in store.prune(2, 10**9)] == ['ab']
    assert store.prune(2, 10**9) == []
    assert (store.folder / 'notes.txt').exists() and (store.folder / 'other_bag').exists()


def test_the_oldest_go_first_beyond_a_size(store):
    size = size_of(store.recordings()[0])
    assert store.prune(100, 3 * size) == []
    assert [path.name[-2:] for path in store.prune(100, 2 * size)] == ['ab']
    assert [path.name[-2:] for path in store.prune(100, 1)] == ['ac']  # the newest stays


def test_what_a_recording_grows_to_counts(store):
    writer = bag.BagWriter(store.new(bytes([0xDD] * 16)))
    writer.write(ITEM)
    assert store.prune(100, 10**9) == []  # it looks at the sizes while one is small
    for _ in range(20):
        writer.write(ITEM)
    writer.close()
    size = sum(map(size_of, store.recordings()))
    assert store.prune(100, size) == []
    assert [path.name[-2:] for path in store.prune(100, size - 1)] == ['ab']


def test_a_recording_that_is_being_written_stays(store):
    writer = bag.BagWriter(store.new(bytes([0xDD] * 16)))
    writer.write(ITEM)
    with pytest.raises(bag.BagInUse):
        store.delete('dd')
    record(store, bytes([0xEE] * 16))
    assert 'dd' not in [path.name[-2:] for path in store.prune(1, 1)]
    assert store.recover() == []
    writer.abandon()
    (recovered,) = store.recover()
    assert recovered.name.endswith('dd') and bag.is_complete(recovered)


def test_a_recording_without_a_message_is_no_recording(store):
    bag.BagWriter(store.new(bytes([0xDD] * 16))).abandon()
    assert len(store.recover()) == 1 and len(store.recordings()) == 3


def test_a_recording_that_cannot_be_deleted_does_not_end_pruning(store, tmp_path):
    elsewhere = record(PlanStore(tmp_path / 'elsewhere'), bytes([1] * 16))
    link = store.folder / f'20200101T000000.000001Z_{"01" * 16}'
    link.symlink_to(elsewhere)
    assert [path.name[-2:] for path in store.prune(2, 10**9)] == ['ab']
    assert list(store.stuck) == [link] and 'OSError' in store.stuck[link]
    record(store, bytes([2] * 16))
    assert [path.name[-2:] for path in store.prune(2, 10**9)] == ['ac']
    assert link.exists() and elsewhere.exists()


def test_broken_leftovers_do_not_keep_a_good_one_open(store, monkeypatch):
    for number in range(5):
        broken = store.folder / f'20200101T00000{number}.000000Z_{"00" * 16}'
        broken.mkdir(exist_ok=True)
        (broken / bag.MCAP).write_bytes(bytes(100))
        (store.folder / f'.{broken.name}').write_text('in the way of a new file')
    good = store.recordings()[-1]
    (good / bag.METADATA).unlink()
    assert good in store.recover()
    assert bag.is_complete(good) and len(store.stuck) == 5


def test_a_recording_is_locked_from_the_moment_it_is_seen(store, monkeypatch):
    seen = []

    def look(*args):
        seen.append([path.name[-2:] for path in store.recordings()])
        return original(*args)

    original = bag._lock
    monkeypatch.setattr(bag, '_lock', look)
    writer = bag.BagWriter(store.new(bytes([0xDD] * 16)))
    assert seen == [['ab', 'ac', '12']] and len(store.recordings()) == 4
    monkeypatch.undo()
    metadata = bag.write_metadata
    monkeypatch.setattr(
        bag,
        'write_metadata',
        lambda folder, summary: (seen.append(bag.is_in_use(folder)), metadata(folder, summary)),
    )
    writer.write(ITEM)
    writer.close()
    assert seen[-1] is True
