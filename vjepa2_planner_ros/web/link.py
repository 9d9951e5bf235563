# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console's node: what it hears is kept under a lock, what it asks is awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
import os
import threading
import time
import traceback
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import GetParameters, SetParameters
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import SetBool, Trigger
from vjepa2_interfaces.msg import Metrics
from vjepa2_interfaces.srv import (
    ComputeEnergy,
    DeletePlan,
    GetPlan,
    ListModels,
    ListPlans,
    UnloadModel,
)

from .limits import KEPT_LINES
from .on_demand import Camera, OnDemand
from ..client import GoalClient

PLANNER, CONTROLLER = 'planner', 'controller'
HEARD_WITHIN = 3.0  # s; the planner tells its figures once a second
CORES = os.cpu_count() or 1
FORGET_AFTER = 60.0  # s that a diagnosis is shown after its node fell silent
SERVICES = {
    'planner/list_models': ListModels,
    'planner/unload_model': UnloadModel,
    'planner/compute_energy': ComputeEnergy,
    'planner/list_plans': ListPlans,
    'planner/get_plan': GetPlan,
    'planner/delete_plan': DeletePlan,
    'planner/get_parameters': GetParameters,
    'planner/set_parameters': SetParameters,
    'controller/get_parameters': GetParameters,
    'controller/arm': SetBool,
    'controller/stop': Trigger,
    'controller/confirm': SetBool,
}


class NoAnswer(RuntimeError):  # noqa: N818
    """A service is not there or does not answer."""


@dataclass(frozen=True)
class Heard:
    """What the nodes have told; times are of time.monotonic()."""

    metrics: Metrics | None = None
    metrics_at: float = 0.0
    diagnostics: dict[str, tuple[float, DiagnosticStatus]] = field(default_factory=dict)

    @property
    def planner(self) -> bool:
        """Return whether the planner was heard in the last seconds."""
        return time.monotonic() - self.metrics_at < HEARD_WITHIN and self.metrics is not None


class Link:
    """The node, its thread, and clients of the planner's and the controller's interfaces."""

    def __init__(self) -> None:
        self.node = Node('web')
        self._lock = threading.Lock()
        self._heard = Heard()
        self._lines: deque[Log] = deque(maxlen=KEPT_LINES)
        self._line_count = 0
        self._load: deque[tuple[float, float, float]] = deque(maxlen=300)
        latched = QoSProfile(depth=200, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, keep, qos in (
            (Metrics, 'planner/metrics', self._on_metrics, 10),
            (DiagnosticArray, '/diagnostics', self._on_diagnostics, 50),
            (Log, '/rosout', self._on_log, latched),
        ):
            self.node.create_subscription(kind, topic, keep, qos)
        # Made now and not when asked for, so that DDS knows both sides by then.
        self._services: dict[str, Any] = {
            name: self.node.create_client(kind, name) for name, kind in SERVICES.items()
        }
        self._goal_clients: dict[str, GoalClient] = {}
        self.camera = Camera(self.node, PLANNER)
        self._on_demand: list[OnDemand | Camera] = [self.camera]
        self.node.create_timer(1.0, self._expire, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._executor = SingleThreadedExecutor(context=self.node.context)
        self._executor.add_node(self.node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Free the node, its thread and the clients; running goals are cancelled."""
        for client in self._goal_clients.values():
            client.close()
        self._ended.set()
        self._executor.wake()
        self._thread.join(2.0)
        self._executor.shutdown(timeout_sec=1.0)
        self.node.destroy_node()

    def heard(self) -> Heard:
        """Return what the nodes have told so far."""
        with self._lock:
            return self._heard

    def lines(self, after: int = 0) -> tuple[int, list[Log]]:
        """Return how many lines were ever logged, and those after a number, as far as kept."""
        with self._lock:
            new = self._line_count - after
            return self._line_count, list(self._lines)[-new:] if new > 0 else []

    def load(self) -> list[tuple[float, float, float]]:
        """Return (age [s], CPU of the machine [%], of the planner [% of it]), oldest first."""
        now = time.monotonic()
        with self._lock:
            return [(now - at, machine, planner) for at, machine, planner in self._load]

    def on_demand(self, kind: Any, topic: str, keep: Callable[[Any], None], qos: Any) -> OnDemand:
        """Return a subscription that exists while its look() is called."""
        added = OnDemand(self.node, kind, topic, qos, keep)
        self._on_demand.append(added)
        return added

    def goals(self, kind: Any, action: str, make: Any = GoalClient) -> Any:
        """Return the client of an action; it is made at the first call."""
        with self._lock:
            if action not in self._goal_clients:
                self._goal_clients[action] = (
                    make(kind, action, self.node) if make is GoalClient else make(self.node)
                )
            return self._goal_clients[action]

    def is_there(self, name: str) -> bool:
        """Return whether a service of SERVICES is there."""
        return bool(self._services[name].service_is_ready())

    async def ask(self, name: str, request: Any, timeout: float = 10.0) -> Any:
        """Return the answer of a service of SERVICES; NoAnswer without one in timeout [s]."""
        client = self._services[name]
        for _ in range(20):
            if client.service_is_ready():
                break
            await asyncio.sleep(0.05)
        else:
            raise NoAnswer(f'no service {client.srv_name}: start the {name.partition("/")[0]}')
        answer: Future[Any] = Future()
        self._executor.create_task(self._send, client, request, answer)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), timeout)
        except asyncio.TimeoutError:
            raise NoAnswer(f'{client.srv_name} did not answer within {timeout:g} s') from None

    def _send(self, client: Any, request: Any, answer: Future[Any]) -> None:
        """Ask, on the thread that takes answers; rclpy loses those that another thread takes."""

        def on_answer(future: Any) -> None:
            if answer.set_running_or_notify_cancel():
                answer.set_result(future.result())

        client.call_async(request).add_done_callback(on_answer)

    def _on_metrics(self, message: Metrics) -> None:
        now = time.monotonic()
        with self._lock:
            self._heard = replace(self._heard, metrics=message, metrics_at=now)
            self._load.append((now, message.system_cpu, message.process_cpu / CORES))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._lock:
            kept = {
                name: row
                for name, row in self._heard.diagnostics.items()
                if now - row[0] < FORGET_AFTER
            }
            kept.update({status.name: (now, status) for status in message.status[:100]})
            self._heard = replace(self._heard, diagnostics=kept)

    def _on_log(self, message: Log) -> None:
        with self._lock:
            self._lines.append(message)
            self._line_count += 1

    def _expire(self) -> None:
        for topic in self._on_demand:
            topic.expire()

    def _spin(self) -> None:
        # Not spin(): shutting an executor down under it leaves callbacks without their handles.
        while not self._ended.is_set() and rclpy.ok(context=self.node.context):
            try:
                self._executor.spin_once(timeout_sec=0.2)
            except Exception:  # an error in one callback must not end the console
                self.node.get_logger().error(traceback.format_exc(), throttle_duration_sec=10.0)
