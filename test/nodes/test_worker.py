# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the world model."""

from concurrent.futures import ThreadPoolExecutor
import threading

from planner_rig import eventually
import pytest
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.errors import GoalError
from vjepa2_planner_ros.nodes.settings import Settings
from vjepa2_planner_ros.nodes.worker import Worker


def test_what_still_waits_when_the_thread_is_closed_is_told_so():
    begun, go_on = threading.Event(), threading.Event()

    def load_model(*args, **options):
        begun.set()
        assert go_on.wait(20.0)
        raise ValueError('there is no model here')

    worker = Worker(load_model)
    with ThreadPoolExecutor(2) as callers:
        loading = callers.submit(worker.load, Settings())
        assert begun.wait(20.0)
        waiting = callers.submit(worker.unload)
        eventually(worker._pool._work_queue.qsize)
        worker.close()
        for call in (waiting, callers.submit(worker.unload)):  # and what comes later
            with pytest.raises(GoalError, match='the node was shut down') as failure:
                call.result(20.0)
            assert failure.value.code == ErrorCode.NODE_DEACTIVATED
        go_on.set()
        with pytest.raises(ValueError, match='no model here'):
            loading.result(20.0)


def test_nobody_waits_for_a_thread_that_is_abandoned():
    begun, go_on = threading.Event(), threading.Event()

    def load_model(*args, **options):
        begun.set()
        assert go_on.wait(20.0)

    worker = Worker(load_model)
    with ThreadPoolExecutor(1) as callers:
        loading = callers.submit(worker.load, Settings())
        assert begun.wait(20.0)
        worker.abandon()
        worker.abandon()  # again changes nothing
        with pytest.raises(GoalError, match='the node was shut down') as failure:
            loading.result(20.0)
        assert failure.value.code == ErrorCode.NODE_DEACTIVATED and worker.busy
    go_on.set()
    worker.close()
