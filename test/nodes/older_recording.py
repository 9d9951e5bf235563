# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings as an earlier version would have made them."""

from dataclasses import replace
import shutil

from vjepa2_planner_ros.history import bag
from vjepa2_planner_ros.history.topics import RECORD


def to_older(folder):
    """Write a recording anew with a PlanRecord that lacks its last field, uint32 dropped."""
    items = list(bag.read(folder))
    shutil.rmtree(folder)
    writer = bag.BagWriter(folder)
    for item in items:
        if item.topic.role == RECORD:
            older = item.topic.definition.replace('uint32 dropped\n', '')
            assert older != item.topic.definition
            item = replace(item, topic=replace(item.topic, definition=older), data=item.data[:-4])
        writer.write(item)
    writer.close()
