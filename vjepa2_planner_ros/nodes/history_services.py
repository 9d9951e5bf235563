# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Services and the action on recorded plans: list, get, delete, replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
import threading
import time
import traceback
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import ReplayPlan
from vjepa2_interfaces.msg import PlanRecord
from vjepa2_interfaces.srv import DeletePlan, GetPlan, ListPlans

from .reporting import Topics
from .services import DEEP, serve
from ..history import bag
from ..history.replay import count_iterations, replay
from ..history.schemas import ADDED, definition, require_fields
from ..history.store import id_of, PlanNotFound, PlanStore
from ..history.topics import CANDIDATES, IMAGES, RECORD, SEARCH, type_name, TYPES
from ..messages.texts import one_line

SLOWEST = 0.01  # times the original speed
POLL = 0.05  # s between looks for a cancel


class Damaged(ValueError):  # noqa: N818
    """A recording, or a message in it, cannot be read."""


class HistoryServices:
    """
    Lists, reads, deletes and replays the plans in the folder of parameter history.folder.

    :param topics: on which plans are replayed.
    """

    def __init__(self, node: Node, topics: Topics):
        self._node = node
        self._publishers = topics.by_role
        self._replaying = threading.Lock()  # a replay holds a thread of the executor
        self._newest: ServerGoalHandle | None = None  # of the replays
        self._closing = threading.Event()
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, answer in (
            (ListPlans, '~/list_plans', self._list),
            (GetPlan, '~/get_plan', self._get),
            (DeletePlan, '~/delete_plan', self._delete),
        ):
            serve(node, kind, name, partial(self._answer, answer), group)
        self._server = ActionServer(
            node,
            ReplayPlan,
            '~/replay_plan',
            execute_callback=self._replay,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
            feedback_pub_qos_profile=DEEP,
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
            response.message = one_line(str(error))
        return response

    def _list(self, request: ListPlans.Request, response: ListPlans.Response) -> None:
        plans, left_out = self._store().recordings()[::-1], []
        for path in plans[: request.limit or len(plans)]:
            try:
                items = list(bag.read(path, (RECORD,)))
                if items:
                    response.plans.append(_message(items[-1]))
                elif bag.is_complete(path):
                    raise Damaged(f"'{path.name}' has nothing readable")
            except Damaged as error:
                response.plans.append(
                    PlanRecord(
                        folder=path.name,
                        plan_id=UUID(uuid=list(bytes.fromhex(id_of(path)))),
                        outcome='damaged',
                        error_msg=one_line(str(error)),
                    )
                )
            except (OSError, ValueError) as error:  # it may be older, or just deleted
                left_out.append(one_line(f"'{path.name}': {error}"))
        if left_out:
            self._node.get_logger().warning(
                f'{len(left_out)} recordings are not listed, the first is {left_out[0]}',
                throttle_duration_sec=60.0,
            )

    def _get(self, request: GetPlan.Request, response: GetPlan.Response) -> None:
        path = self._store().find(request.plan)
        found = False
        for item in bag.read(path, (RECORD, SEARCH, CANDIDATES, *IMAGES)):
            found = True
            role, message = item.topic.role, _message(item)
            if role == RECORD:
                response.record = message
            elif role == SEARCH:
                response.iterations.append(message)
            elif role == CANDIDATES:
                response.candidates.append(message)
            else:
                setattr(response, role, message)
        if not found:
            raise Damaged(f"'{path.name}' has nothing readable")

    def _delete(self, request: DeletePlan.Request, response: DeletePlan.Response) -> None:
        response.message = self._store().delete(request.plan).name

    def _replay(self, handle: ServerGoalHandle) -> ReplayPlan.Result:
        result = ReplayPlan.Result()
        try:
            self._publish(handle, result)
        except (PlanNotFound, ImportError, OSError, ValueError) as error:
            result.message = one_line(str(error))
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            result.message = f'{type(error).__name__}: {error}'
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
        if rate and not SLOWEST <= rate < math.inf:
            raise ValueError(f'rate = {rate}: allowed: {SLOWEST:g} or more, or 0 for 1')
        path = self._store().find(handle.request.plan)
        clients = self._node.resolve_service_name('~/replay_plan') + '/_action/get_result'
        total = count_iterations(path)

        def publish(item: bag.Item) -> None:
            _require_sound(item)  # subscribers would have to read it
            self._publishers[item.topic.role].publish(item.data)
            if item.topic.role == SEARCH:
                result.iterations += 1
                handle.publish_feedback(
                    ReplayPlan.Feedback(iteration=result.iterations, iterations_total=total)
                )

        def wait(delay: float) -> bool:
            until = time.monotonic() + delay
            while not (handle.is_cancel_requested or self._closing.is_set()):
                if self._newest is not handle:
                    raise ValueError('a newer replay took over')
                left = until - time.monotonic()
                if left <= 0.0:
                    return True
                if self._node.count_clients(clients) == 0:  # nobody waits for it any more
                    raise ValueError('the client of the replay is gone')
                self._closing.wait(min(left, POLL))
            return False

        self._newest = handle
        with self._replaying:
            replay(path, publish, wait, rate or 1.0)
        if self._closing.is_set():
            raise ValueError('the node is shut down')


def _message(item: bag.Item) -> Any:
    """
    Return the ROS message of an Item; fields that were added since have their defaults.

    :raise ValueError: its definition has changed otherwise.
    :raise Damaged: its bytes are no such message.
    """
    _require_sound(item, exact=False)
    kind, data = TYPES[item.topic.role], item.data
    try:
        require_fields(item.topic, exact=True)
    except ValueError:
        defaults = {name: getattr(kind(), name) for name in ADDED.get(item.topic.kind, {})}
        data = item.encode(definition(item.topic.kind), defaults)
    return deserialize_message(data, kind)


def _require_sound(item: bag.Item, exact: bool = True) -> None:
    """Raise as _message does: what the middleware reads without a look may end the process."""
    if item.topic.role not in TYPES:
        raise Damaged(f"topic '{item.topic.name}' has role '{item.topic.role}'")
    require_fields(item.topic, exact=exact)
    if item.topic.kind != type_name(item.topic.role):
        raise Damaged(f"topic '{item.topic.name}' holds {item.topic.kind}")
    try:
        item.decode()
    except Exception as error:  # rosbags raises what numpy and struct do
        raise Damaged(
            f"a message on '{item.topic.name}' is damaged: {type(error).__name__}: {error}"
        ) from error
