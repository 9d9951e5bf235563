# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings as an earlier version would have made them."""

from dataclasses import replace
import shutil

from rosbags.typesys import get_types_from_msg, get_typestore, Stores
from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.topics import RECORD, SEARCH


def to_older(folder):
    """Write a recording anew with a PlanRecord that lacks its last field, uint32 dropped."""
    _rewrite(folder, RECORD, _without_dropped)


def to_without_run(folder):
    """Write a recording anew with a PlanRecord as the first versions had, without run_id."""
    _rewrite(folder, RECORD, _without_run)


def to_renamed(folder):
    """Write a recording anew with iterations of a type that is not installed any more."""
    _rewrite(
        folder,
        SEARCH,
        lambda item: replace(
            item, topic=replace(item.topic, kind='vjepa2_interfaces/msg/CemIteration', role='cem')
        ),
    )


def _without_dropped(item):
    older = item.topic.definition.replace('uint32 dropped\n', '')
    assert older != item.topic.definition
    return replace(item, topic=replace(item.topic, definition=older), data=item.data[:-4])


def _without_run(item):
    older = item.topic.definition
    for field in (
        'unique_identifier_msgs/UUID run_id',
        'bool confidence_calibrated',
        'bool has_surprise',
        'float64 surprise',
        'string calibration',
        'bool has_imagined',
        'float32 imagined_error',
    ):
        assert f'{field}\n' in older
        older = older.replace(f'{field}\n', '')
    types = get_typestore(Stores.EMPTY)
    types.register(get_types_from_msg(older, item.topic.kind))
    data = bytes(types.serialize_cdr(item.decode(), item.topic.kind))
    return replace(item, topic=replace(item.topic, definition=older), data=data)


def _rewrite(folder, role, change):
    items = list(bag.read(folder))
    shutil.rmtree(folder)
    writer = bag.BagWriter(folder)
    writer.write(*(change(item) if item.topic.role == role else item for item in items))
    writer.close()
