# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether goals move the arm: armed, disarmed or stopped, whoever asks at the same time."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time

POLL = 0.05  # s between looks for what arming waits for


class Arming:
    """Disarmed at the start; of several who ask at once the newest one is obeyed."""

    def __init__(self) -> None:
        self.armed = False
        self.stopped = False  # by ~/stop, since it was armed
        self.disarmings = 0  # so many times: a run ends with the first, armed again or not
        self._lock = threading.Lock()
        self._newest: object = None  # the newest order to arm or disarm
        self._by = ''  # who gave it

    def arm(self, refused: Callable[[], str], missing: Callable[[], str], timeout: float) -> str:
        """
        Arm; return why not, '' if it is armed now.

        :param refused: returns why it cannot be armed, which no waiting helps, or ''.
        :param missing: returns what is missing, which may still come within timeout [s], or ''.
        """
        with self._lock:
            self._newest = order = object()
            self._by = '~/arm was called again'
        until = time.monotonic() + timeout
        while self._newest is order:
            late = time.monotonic() >= until
            if problem := refused():
                return problem
            if not (problem := missing()):
                break
            if late:
                return problem
            time.sleep(POLL)
        with self._lock:
            if self._newest is not order:
                return f'{self._by} while arming waited for its inputs'
            self.armed, self.stopped = True, False
        return ''

    def disarm(self, why: str, stop: bool = False) -> bool:
        """Disarm, also one that waits to be armed; return whether it was armed."""
        with self._lock:
            was_armed, self.armed = self.armed, False
            self.disarmings += 1
            self.stopped = self.stopped or stop
            self._newest, self._by = object(), why
        return was_armed
