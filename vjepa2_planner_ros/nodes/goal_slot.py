# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One goal at a time, the newest wins, and the first reason to stop wins."""

from enum import Enum
import threading

from rclpy.action.server import RCLError

from .errors import GoalStopped


class StopReason(Enum):
    """Why a goal was stopped from outside."""

    CANCELLED = 'cancelled by a client'
    PREEMPTED = 'a newer goal took over'
    DEACTIVATED = 'the node was deactivated'


class Job:
    """A goal from acceptance to its end; thread-safe."""

    def __init__(self, handle):
        self.handle = handle
        self._lock = threading.Lock()
        self._reason = None
        self._closed = False

    @property
    def name(self):
        """Return the first bytes of the goal's id, as in the log."""
        return bytes(self.handle.goal_id.uuid[:4]).hex()

    def stop(self, reason: StopReason) -> bool:
        """Ask the goal to stop; False if it has ended or somebody else asked before."""
        with self._lock:
            if self._closed or self._reason is not None:
                return False
            self._reason = reason
            return True

    def stopped(self) -> bool:
        """Return whether somebody asked the goal to stop."""
        return self._reason is not None

    def raise_if_stopped(self):
        """Raise GoalStopped if somebody asked the goal to stop."""
        if self.stopped():
            raise GoalStopped

    def close(self):
        """End the goal: nobody can stop it any more. Return the StopReason or None."""
        with self._lock:
            self._closed = True
            return self._reason


class GoalSlot:
    """
    The place where the running goal is, and one waiting place behind it.

    A new goal asks the running one to stop and takes the waiting place; it starts when the
    running one has ended, at most one iteration later. No thread waits for that.
    """

    def __init__(self, execute, logger):
        self._execute = execute  # called with a Job on an executor thread; never raises
        self._logger = logger
        self._changed = threading.Condition()
        self._running = None
        self._waiting = None

    def submit(self, job: Job):
        """Run the goal now, or as soon as the running one has stopped for it."""
        with self._changed:
            free, dropped = self._running is None, None
            if free:
                self._running = job
            else:
                self._running.stop(StopReason.PREEMPTED)
                dropped, self._waiting = self._waiting, job
        if dropped is not None:
            dropped.stop(StopReason.PREEMPTED)
            self._start(dropped)  # it was never in the slot: it only reports why it ended
        if free:
            self._start(job)

    def stop_all(self, reason: StopReason):
        """Ask every goal in the slot to stop."""
        with self._changed:
            for job in (self._running, self._waiting):
                if job is not None:
                    job.stop(reason)

    def wait_until_idle(self, timeout=None) -> bool:
        """Wait until no goal is left; False if that takes longer than timeout [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running is None, timeout)

    def _start(self, job):
        for attempt in (1, 2):
            try:
                return job.handle.execute(lambda handle: self._run(job))
            except RCLError as error:
                # A cancel request that came in between makes the first attempt an illegal
                # transition; the second one sees the request.
                if attempt == 2:
                    self._logger.error(f'Goal {job.name} could not start: {error}')
                    self._release(job)

    def _run(self, job):
        try:
            return self._execute(job)
        finally:
            self._release(job)

    def _release(self, job):
        with self._changed:
            if self._running is not job:
                return
            self._running, self._waiting = self._waiting, None
            following = self._running
            self._changed.notify_all()
        if following is not None:
            self._start(following)
