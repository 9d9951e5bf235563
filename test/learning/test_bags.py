# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of rosbag2 as trajectories."""

import numpy as np
import pytest
import recordings
from vjepa2_planner_ros.learning.datasets import open_dataset

PERIOD = 0.25


def assert_follows_the_drive(trajectory, rate=30.0):
    """Every frame is the one of its stamp, and its state that of the arm at that time."""
    times = trajectory.stamps - recordings.START
    for index, time in enumerate(times):
        assert recordings.number_of(trajectory.frames[index]) == pytest.approx(
            time * rate, abs=0.1
        )
    expected = np.array([recordings.state_at(time) for time in times])
    assert trajectory.states == pytest.approx(expected, abs=0.02)
    assert np.diff(times) == pytest.approx(PERIOD, abs=2.0 / 3.0 * PERIOD)


@pytest.mark.parametrize(
    ('storage', 'compression', 'picture'),
    [
        ('mcap', None, recordings.image),
        ('mcap', 'STORAGE', recordings.compressed_image),
        ('mcap', 'MESSAGE', recordings.image),
        ('mcap', 'FILE', recordings.image),
        ('sqlite3', None, recordings.compressed_image),
        ('sqlite3', 'MESSAGE', recordings.image),
        ('sqlite3', 'FILE', recordings.image),
    ],
)
def test_a_bag_of_each_storage_and_compression(tmp_path, storage, compression, picture):
    messages = recordings.drive(picture=picture)
    bag = recordings.write_bag(tmp_path / 'drive', messages, storage, compression)
    found = open_dataset(bag, period=PERIOD)
    (trajectory,) = found.trajectories
    assert found.problems == []
    assert len(trajectory) == 21  # the last one is a thirtieth of a second before its place
    assert len(trajectory.frames) == len(trajectory.stamps) == 21
    assert_follows_the_drive(trajectory)
