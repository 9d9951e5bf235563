# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services and the action on recorded plans: list, get, delete, replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
import threading
import time
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from vjepa2_interfaces.action import ReplayPlan
from vjepa2_interfaces.srv import DeletePlan, GetPlan, ListPlans

from .reporting import Topics
from ..history import bag
from ..history.replay import count_iterations, replay
from ..history.schemas import require_fields
from ..history.store import PlanNotFound, PlanStore
from ..history.topics import CANDIDATES, IMAGES, RECORD, SEARCH, TYPES

POLL = 0.05  # s between looks for a cancel


class HistoryServices:
    """
    Lists, reads, deletes and replays the plans in the folder of parameter history.folder.

    :param topics: on which plans are replayed.
    """

    def __init__(self, node: Node, topics: Topics):
        self._node = node
        self._publishers = topics.by_role
        self._replaying = threading.Lock()
        self._closing = threading.Event()
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, answer in (
            (ListPlans, '~/list_plans', self._list),
            (GetPlan, '~/get_plan', self._get),
            (DeletePlan, '~/delete_plan', self._delete),
        ):
            node.create_service(kind, name, partial(self._answer, answer), callback_group=group)
        self._server = ActionServer(
            node,
            ReplayPlan,
            '~/replay_plan',
            execute_callback=self._replay,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
            result_timeout=node.get_parameter('result_timeout').value,
        )

    def close(self) -> None:
        """End a replay that is under way."""
        self._closing.set()

    def destroy(self) -> None:
        """Destroy the action server."""
        self._server.destroy()

    def _store(self) -> PlanStore:
        folder = self._node.get_parameter('history.folder').value
        if not folder:
            raise PlanNotFound("history.folder = '': allowed: a folder; nothing is recorded")
        return PlanStore(folder)

    def _answer(self, answer: Callable[[Any, Any], None], request: Any, response: Any) -> Any:
        try:
            answer(request, response)
            response.success = True
        except (PlanNotFound, bag.BagInUse, ImportError, OSError, ValueError) as error:
            response.message = str(error)
        return response

    def _list(self, request: ListPlans.Request, response: ListPlans.Response) -> None:
        plans, left_out = self._store().plans()[::-1], []
        for path in plans[: request.limit or len(plans)]:
            try:
                items = list(bag.read(path, (RECORD,)))
                if items:
                    response.plans.append(_message(items[-1]))
            except (OSError, ValueError) as error:  # it may be older, or just deleted
                left_out.append(f"'{path.name}': {error}")
        if left_out:
            self._node.get_logger().warning(
                f'{len(left_out)} recordings are not listed, the first is {left_out[0]}',
                throttle_duration_sec=60.0,
            )

    def _get(self, request: GetPlan.Request, response: GetPlan.Response) -> None:
        for item in bag.read(
            self._store().find(request.plan), (RECORD, SEARCH, CANDIDATES, *IMAGES)
        ):
            role, message = item.topic.role, _message(item)
            if role == RECORD:
                response.record = message
            elif role == SEARCH:
                response.iterations.append(message)
            elif role == CANDIDATES:
                response.candidates.append(message)
            else:
                setattr(response, role, message)

    def _delete(self, request: DeletePlan.Request, response: DeletePlan.Response) -> None:
        response.message = self._store().delete(request.plan).name

    def _replay(self, handle: ServerGoalHandle) -> ReplayPlan.Result:
        result = ReplayPlan.Result()
        try:
            self._publish(handle, result)
        except (PlanNotFound, ImportError, OSError, ValueError) as error:
            result.message = str(error)
        if handle.is_cancel_requested:
            result.message = 'cancelled'
            handle.canceled()
        elif result.message:
            self._node.get_logger().warning(f'Replay: {result.message}')
            handle.abort()
        else:
            result.success = True
            handle.succeed()
        return result

    def _publish(self, handle: ServerGoalHandle, result: ReplayPlan.Result) -> None:
        rate = handle.request.rate
        if not (math.isfinite(rate) and rate >= 0.0):
            raise ValueError(f'rate = {rate}: allowed: a finite number, 0 or more')
        path = self._store().find(handle.request.plan)
        total = count_iterations(path)

        def publish(item: bag.Item) -> None:
            self._publishers[item.topic.role].publish(item.data)
            if item.topic.role == SEARCH:
                result.iterations += 1
                handle.publish_feedback(
                    ReplayPlan.Feedback(iteration=result.iterations, iterations_total=total)
                )

        def wait(delay: float) -> bool:
            until = time.monotonic() + delay
            while not (handle.is_cancel_requested or self._closing.is_set()):
                left = until - time.monotonic()
                if left <= 0.0:
                    return True
                self._closing.wait(min(left, POLL))
            return False

        if not self._replaying.acquire(blocking=False):  # it holds a thread of the executor
            raise ValueError('another plan is being replayed: allowed: one at a time')
        try:
            replay(path, publish, wait, rate or 1.0)
        finally:
            self._replaying.release()
        if self._closing.is_set():
            raise ValueError('the node is shut down')


def _message(item: bag.Item) -> Any:
    """Return the ROS message of an Item; ValueError if its definition has changed."""
    require_fields(item.topic, exact=True)
    return deserialize_message(item.data, TYPES[item.topic.role])
