# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record what a node does as bags, on a separate thread that plan and motion never wait for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
import queue
import threading
from time import monotonic, sleep
from typing import Any

from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node
from rclpy.serialization import serialize_message

from ..history.bag import BagWriter, Item, Topic
from ..history.schemas import definition
from ..history.store import PlanStore, size_of
from ..history.topics import LATCHED, type_name
from ..messages.input_settings import HistorySettings, rows, value_of

# Most that may wait for the disk [bytes]; beyond it messages are left out of the recording.
BACKLOG = 128 * 10**6
# Longest delay of a message while the node is busy [s]: most plans and motions end before that,
# and so do not share the processor with their recording.
LATENESS = 1.0
SIZE = 5 * 10**6  # bytes, before anything was recorded
ANSWERING = 0.05  # s in which a result is sent, and often the next goal arrives


class Recorder:
    """
    Writes recordings into the folder of a node's parameter history.folder.

    A full or slow disk can cost recordings, never a plan or a motion: errors are logged.

    :param what: a plan or a run, for the log.
    :param kind: of the store that finds and bounds them.
    :param roles: of the messages in them.
    """

    def __init__(
        self,
        node: Node,
        what: str,
        kind: Callable[[str], PlanStore],
        roles: Collection[str],
        folder: str,
    ):
        self._clock, self._logger = node.get_clock(), node.get_logger()
        self._what, self._kind = what, kind
        self._topics = {role: _topic(node, role) for role in roles}
        self._store = lru_cache(1)(self._open_store)  # it remembers sizes
        # (function, bytes, latest time) for the writer's thread
        self._work: queue.SimpleQueue[tuple[Any, int, float]] = queue.SimpleQueue()
        self._waiting = 0  # bytes
        self.last_size = SIZE  # bytes that the last recording took
        self._lock = threading.Lock()
        self._idle = threading.Event()  # nothing goes on that writing could slow down
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name='recorder', daemon=True)
        self._thread.start()
        if folder:
            self._store(folder)

    def open(self, limits: HistorySettings, identity: bytes, record: Any, role: str) -> Recording:
        """
        Return a new Recording that begins with a record.

        :param limits: with a folder.
        :param identity: of the plan or run.
        :param record: its message; its folder is filled in.
        """
        store = self._store(limits.folder)
        path = store.new(identity)
        record.folder = path.name
        recording = Recording(
            self, path, lambda: self._prune(store, limits.max_plans, limits.max_size * 10**6)
        )
        recording.put({role: lambda: record})
        return recording

    def pause(self) -> None:
        """Write nothing until resume(), or until it is late."""
        self._idle.clear()

    def resume(self) -> None:
        """Write what waits."""
        self._idle.set()

    def close(self, timeout: float) -> None:
        """Write what is waiting; leave the rest after timeout [s]."""
        self._idle.set()
        self._work.put((None, 0, 0.0))
        self._thread.join(timeout)

    def submit(self, function: Callable[[], object], size: int = 0) -> bool:
        """
        Run a function on the writer's thread once the node is idle, at the latest after LATENESS.

        Return False, and do not run it, if more is waiting than BACKLOG.
        """
        with self._lock:
            if size and self._waiting + size > BACKLOG:
                return False
            self._waiting += size
        self._work.put((function, size, monotonic() + LATENESS))
        return True

    def now(self) -> int:
        """Return the time [ns] with which a message is recorded."""
        return self._clock.now().nanoseconds

    def item(self, role: str, time: int, message: Any) -> Item:
        """Return the bag Item of a message."""
        return Item(self._topics[role], time, serialize_message(message))

    def _run(self) -> None:
        while True:
            function, size, latest = self._work.get()
            if function is None:
                return
            self._wait_until_idle(latest)
            try:
                function()
            except Exception as error:
                self._logger.error(
                    f'{self._what} is not recorded: {type(error).__name__}: {error}',
                    throttle_duration_sec=10.0,
                )
            with self._lock:
                self._waiting -= size

    def _wait_until_idle(self, latest: float) -> None:
        """Wait until the node is idle and the last result is sent, or until the time latest."""
        while not self._idle.is_set() and monotonic() < latest:
            if self._idle.wait(latest - monotonic()):
                sleep(ANSWERING)

    def _open_store(self, folder: str) -> PlanStore:
        """Return the store; recordings that were left open in its folder are closed soon."""
        store = self._kind(folder)
        self.submit(lambda: self._recover(store))
        return store

    def _recover(self, store: PlanStore) -> None:
        for path in store.recover():
            self._logger.info(f"Recording '{path.name}' was left open and is closed now")
        self._tell_of_stuck(store, set())

    def _prune(self, store: PlanStore, max_plans: int, max_bytes: int) -> None:
        known = set(store.stuck)
        store.prune(max_plans, max_bytes)
        self._tell_of_stuck(store, known)

    def _tell_of_stuck(self, store: PlanStore, known: set[Path]) -> None:
        for path in store.stuck.keys() - known:
            self._logger.warning(
                f"Recording '{path.name}' cannot be closed or deleted, and is left as it is: "
                f'{store.stuck[path]}'
            )


class Recording:
    """
    A plan or a run on its way into a bag.

    The public methods return at once; those with an underscore run on the writer's thread.
    """

    def __init__(self, recorder: Recorder, path: Path, prune: Callable[[], object]):
        self._recorder, self._path, self._prune = recorder, path, prune
        self._bag: BagWriter | None = None
        self.dropped = 0  # messages
        recorder.submit(self._open)

    def end(self, role: str, record: Any) -> None:
        """Record the complete record, and close the bag."""
        self.put({role: lambda: record})
        self._recorder.submit(self._close)

    def put(self, makes: dict[str, Callable[[], Any]], size: int = 0) -> None:
        """Record the message of each role that makes[role]() returns; they keep size [bytes]."""
        time = self._recorder.now()
        if not self._recorder.submit(lambda: self._write(makes, time), size):
            self.dropped += len(makes)

    def _open(self) -> None:
        self._bag = BagWriter(self._path)

    def _write(self, makes: dict[str, Callable[[], Any]], time: int) -> None:
        if self._bag is None:
            return  # an earlier write failed, and was logged
        items = [self._recorder.item(role, time, make()) for role, make in makes.items()]
        try:
            self._bag.write(*items)
        except OSError:
            self._discard()
            raise

    def _close(self) -> None:
        try:
            if self._bag is not None:
                self._bag.close()
                self._recorder.last_size = size_of(self._path)
        except OSError:
            self._discard()
            raise
        finally:
            self._prune()

    def _discard(self) -> None:
        """Leave no folder of what cannot be recorded: a full disk would collect them."""
        if self._bag is not None:
            self._bag.discard()
            self._bag = None


def _topic(node: Node, role: str) -> Topic:
    name = type_name(role)
    return Topic(
        node.resolve_topic_name(f'~/{role}'), name, role, role in LATCHED, definition(name)
    )


def key_values(settings: Any) -> list[KeyValue]:
    """Return settings as {parameter: text}."""
    values = []
    for name, _ in rows(type(settings)):
        value = value_of(settings, name)
        text = str(list(value)) if isinstance(value, tuple) else str(value)
        values.append(KeyValue(key=name, value=text))
    return values
