# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Record every plan as a bag, on a separate thread that planning never waits for."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache
from pathlib import Path
import queue
import threading
from time import monotonic, sleep
from typing import Any, TYPE_CHECKING

from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, PlanRecord, SearchIteration

from .goal import Goal
from .goal_reader import PlanRequest
from .input_settings import rows, value_of
from .settings import Settings
from ..history.bag import BagWriter, Item, Topic
from ..history.schemas import definition
from ..history.store import PlanStore, size_of
from ..history.topics import (
    CANDIDATES,
    CURRENT_IMAGE,
    LATCHED,
    MARKERS,
    RECORD,
    SEARCH,
    type_name,
    TYPES,
)
from ..messages.images import to_image
from ..messages.searches import to_candidates_message, to_pose_message
from ..messages.times import to_duration

if TYPE_CHECKING:  # it needs torch
    from ..planning.search import SearchIteration as Iteration

# Most that may wait for the disk [bytes]; beyond it messages are left out of the recording.
BACKLOG = 128 * 10**6
# Longest delay of a message while a plan goes on [s]: most plans end before that, and so do not
# share the processor with their recording.
LATENESS = 1.0
PLAN_SIZE = 5 * 10**6  # bytes, before any was recorded
ANSWERING = 0.05  # s in which a result is sent, and often the next goal arrives
MakeMarkers = Callable[[], MarkerArray]
RESULT_FIELDS = (
    'error_code',
    'error_msg',
    'command',
    'plan',
    'target_pose',
    'energy',
    'start_energy',
    'confidence',
    'iterations',
    'planning_time',
    'encoding_time',
    'optimization_time',
)


class PlanRecorder:
    """
    Records the plans of a node into the folder of its parameter history.folder.

    A full or slow disk can cost recordings, never a plan: errors are logged.
    """

    def __init__(self, node: Node, settings: Settings):
        self._clock, self._logger = node.get_clock(), node.get_logger()
        self._topics = {role: _topic(node, role) for role in TYPES}
        self._store = lru_cache(1)(self._open_store)  # it remembers sizes
        self._recordings: dict[Goal, Recording] = {}
        # (function, bytes, latest time) for the writer's thread
        self._work: queue.SimpleQueue[tuple[Any, int, float]] = queue.SimpleQueue()
        self._waiting = 0  # bytes
        self.plan_size = PLAN_SIZE  # bytes that the last recording took
        self._lock = threading.Lock()
        self._idle = threading.Event()  # no plan goes on
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name='recorder', daemon=True)
        self._thread.start()
        if settings.history.folder:
            self._store(settings.history.folder)

    def begin(self, goal: Goal, request: PlanRequest, model: Any) -> Recording | NoRecording:
        """
        Return the Recording of a plan that begins; one that does nothing if recording is off.

        :param request: the goal's, complete.
        :param model: the loaded world model.
        """
        limits = request.settings.history
        if not limits.folder:
            return NoRecording()
        store = self._store(limits.folder)
        path = store.new(bytes(goal.handle.goal_id.uuid))
        header = request.header
        record = PlanRecord(
            header=header,
            plan_id=goal.handle.goal_id,
            run_id=goal.request.run_id,
            folder=path.name,
            model=model.name,
            device=str(model.device),
            dtype=str(model.dtype),
            camera=request.camera,
            settings=_key_values(request.settings),
            time_allowance=to_duration(request.allowance),
            states=[
                EndEffectorState(
                    header=header,
                    pose=to_pose_message(state, header).pose,
                    gripper=float(state[6]),
                )
                for state in request.states
            ],
        )
        self._idle.clear()
        recording = Recording(
            self,
            record,
            path,
            lambda: self._prune(store, limits.max_plans, limits.max_size * 10**6),
        )
        frame, frame_header = request.frames[-1], request.image_header
        recording.put({CURRENT_IMAGE: lambda: to_image(frame, frame_header)}, frame.nbytes)
        self._recordings[goal] = recording
        return recording

    def end(self, goal: Goal, result: PlanAction.Result, outcome: str) -> None:
        """Close the recording of a goal, if there is one, with its Result and outcome."""
        recording = self._recordings.pop(goal, None)
        if recording is not None:
            recording.end(result, outcome)
        if not self._recordings:
            self._idle.set()

    def close(self, timeout: float) -> None:
        """Write what is waiting; leave the rest after timeout [s]."""
        self._idle.set()
        self._work.put((None, 0, 0.0))
        self._thread.join(timeout)

    def submit(self, function: Callable[[], object], size: int = 0) -> bool:
        """
        Run a function on the writer's thread once no plan goes on, at the latest after LATENESS.

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
            self._wait_for_plans(latest)
            try:
                function()
            except Exception as error:
                self._logger.error(
                    f'A plan is not recorded: {type(error).__name__}: {error}',
                    throttle_duration_sec=10.0,
                )
            with self._lock:
                self._waiting -= size

    def _wait_for_plans(self, latest: float) -> None:
        """Wait until no plan goes on and the last result is sent, or until the time latest."""
        while not self._idle.is_set() and monotonic() < latest:
            if self._idle.wait(latest - monotonic()):
                sleep(ANSWERING)

    def _open_store(self, folder: str) -> PlanStore:
        """Return a PlanStore; recordings that were left open in its folder are closed soon."""
        store = PlanStore(folder)
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


class NoRecording:
    """Stands for a Recording where none is made."""

    def image(self, role: str, message: Image) -> None:
        """Do nothing."""

    def iteration(
        self, message: SearchIteration, iteration: Iteration, make_markers: MakeMarkers
    ) -> None:
        """Do nothing."""

    def markers(self, make: MakeMarkers) -> None:
        """Do nothing."""


class Recording:
    """
    One plan on its way into a bag.

    The public methods return at once; those with an underscore run on the writer's thread.
    """

    def __init__(
        self, recorder: PlanRecorder, record: PlanRecord, path: Path, prune: Callable[[], object]
    ):
        self._recorder, self._record, self._path, self._prune = recorder, record, path, prune
        self._bag: BagWriter | None = None
        self._dropped = 0
        recorder.submit(self._open)
        self.put({RECORD: lambda: record})

    def image(self, role: str, message: Image) -> None:
        """Record an Image."""
        self.put({role: lambda: message}, len(message.data))

    def iteration(
        self, message: SearchIteration, iteration: Iteration, make_markers: MakeMarkers
    ) -> None:
        """Record a SearchIteration message, its candidates and markers."""
        plan_id = self._record.plan_id
        self.put(
            {
                SEARCH: lambda: message,
                CANDIDATES: lambda: to_candidates_message(iteration, plan_id),
                MARKERS: make_markers,
            },
            iteration.actions.nbytes + 2 * iteration.energies.nbytes,
        )

    def markers(self, make: MakeMarkers) -> None:
        """Record the MarkerArray that make() returns."""
        self.put({MARKERS: make})

    def end(self, result: PlanAction.Result, outcome: str) -> None:
        """Record how the plan ended, and close the bag."""
        record = copy(self._record)
        record.outcome, record.dropped = outcome, self._dropped
        for name in RESULT_FIELDS:
            setattr(record, name, getattr(result, name))
        self.put({RECORD: lambda: record})
        self._recorder.submit(self._close)

    def put(self, makes: dict[str, Callable[[], Any]], size: int = 0) -> None:
        """Record the message of each role that makes[role]() returns; they keep size [bytes]."""
        time = self._recorder.now()
        if not self._recorder.submit(lambda: self._write(makes, time), size):
            self._dropped += len(makes)

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
                self._recorder.plan_size = size_of(self._path)
        except OSError:
            self._discard()
            raise
        finally:
            self._prune()

    def _discard(self) -> None:
        """Leave no folder of a plan that cannot be recorded: a full disk would collect them."""
        if self._bag is not None:
            self._bag.discard()
            self._bag = None


def _topic(node: Node, role: str) -> Topic:
    name = type_name(role)
    return Topic(
        node.resolve_topic_name(f'~/{role}'), name, role, role in LATCHED, definition(name)
    )


def _key_values(settings: Settings) -> list[KeyValue]:
    values = []
    for name, _ in rows(Settings):
        value = value_of(settings, name)
        text = str(list(value)) if isinstance(value, tuple) else str(value)
        values.append(KeyValue(key=name, value=text))
    return values
