# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's health on /diagnostics (REP-107), and its figures on ~/metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Header
from vjepa2_interfaces.msg import Metrics

from . import parameters
from .action_server import GoalServer
from .metrics import known, MB, Meter, UNKNOWN
from .observations import Observations
from .plan_recorder import PlanRecorder
from .settings import Settings
from .streams import Streams
from .worker import Worker
from ..history.store import why_not_recorded
from ..messages.texts import dtype_name

# Fields of Metrics as /diagnostics shows them: name, decimals.
SHOWN = {
    'plan_time': ('last plan [s]', 3),
    'iteration_rate': ('iterations a second', 2),
    'plan_rate': ('plans a second', 2),
    'image_age': ('image age [s]', 3),
    'state_age': ('state age [s]', 3),
    'goals_succeeded': ('goals succeeded', 0),
    'goals_aborted': ('goals aborted', 0),
    'goals_cancelled': ('goals cancelled', 0),
    'goals_preempted': ('goals preempted', 0),
    'process_cpu': ('CPU [% of one core]', 0),
    'system_cpu': ('CPU of all processes [%]', 0),
    'process_memory': ('memory [MB]', 0),
    'system_memory': ('memory of all processes [MB]', 0),
    'gpu_utilization': ('GPU [%]', 0),
    'process_gpu_memory': ('GPU memory [MB]', 0),
    'gpu_memory': ('GPU memory of all processes [MB]', 0),
}


class Diagnostics:
    """
    Publishes once a second how the planner is doing.

    :param node: the PlannerNode.
    :param plans: the GoalServer of plans.
    """

    def __init__(
        self,
        node: Any,
        streams: Streams,
        observations: Observations,
        plans: GoalServer,
        worker: Worker,
        recorder: PlanRecorder,
    ):
        self._node, self._streams, self._worker = node, streams, worker
        self._observations, self._recorder = observations, recorder
        self.meter = Meter(node.get_clock(), plans)
        self._health = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._metrics = node.create_publisher(Metrics, '~/metrics', 10)
        # A steady clock: diagnostics go on where simulated time stands still, and show that.
        node.create_timer(
            1.0,
            self._publish,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def _publish(self) -> None:
        settings = parameters.read(self._node, Settings)
        (state, failure), model = self._node.health, self._worker.model
        first, *others = settings.cameras
        ages = {'image': self._streams.age_of_frame(first), 'state': self._streams.age_of_state()}
        of_others = {
            f"image of camera '{name}'": self._streams.age_of_frame(name) for name in others
        }
        metrics = self.meter.measure(ages, model)
        self._metrics.publish(metrics)
        values = {
            'state': state,
            'model': getattr(model, 'name', 'none'),
            'device': getattr(model, 'device', settings.device),
            'dtype': dtype_name(getattr(model, 'dtype', settings.dtype)),
            'confidence': 'calibrated' if self._worker.fitted else 'not calibrated: run validate',
            'calibration of the camera': settings.calibration or 'none',
            'model memory [MB]': f'{getattr(model, "memory", 0) / 1e6:.0f}',
            'memory shortages': getattr(model, 'memory_shortages', 0),
            **{
                name: _shown(getattr(metrics, field), decimals)
                for field, (name, decimals) in SHOWN.items()
            },
            **{f'{name}, age [s]': _shown(known(age), 3) for name, age in of_others.items()},
            'frames dropped': self._streams.dropped.total(),
        }
        self._health.publish(
            to_diagnostics(
                metrics.header.stamp,
                f'{self._node.get_fully_qualified_name()}: planner',
                judge(state, failure, self._problems(settings) if state == 'active' else ()),
                values,
                hardware_id=str(values['device']),
            )
        )

    def _problems(self, settings: Settings) -> list[str]:
        """Return what plans would fail for now, in the words of their errors; each once."""
        clock = self._streams.why_no_clock()
        of_cameras = [self._observations.problem(name, settings) for name in settings.cameras]
        limits = settings.history
        folder = why_not_recorded(limits.folder, limits.max_size * MB, self._recorder.last_size)
        return list(dict.fromkeys(filter(None, (clock, *of_cameras, folder))))


def to_diagnostics(
    stamp: Time, name: str, health: tuple[Any, str], values: dict[str, Any], hardware_id: str = ''
) -> DiagnosticArray:
    """Return a DiagnosticArray; health is (level, message), values are in order of display."""
    level, message = health
    return DiagnosticArray(
        header=Header(stamp=stamp),
        status=[
            DiagnosticStatus(
                level=level,
                name=name,
                message=message,
                hardware_id=hardware_id,
                values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
            )
        ],
    )


def judge(state: str, failure: str, problems: Sequence[str]) -> tuple[Any, str]:
    """
    Return (level, message) of the planner.

    ERROR: configuring failed. WARN: it cannot plan now, not being active or for these problems.
    """
    if failure:
        return DiagnosticStatus.ERROR, failure
    if state != 'active':
        return DiagnosticStatus.WARN, f'{state}: goals are rejected'
    if problems:
        return DiagnosticStatus.WARN, '; '.join(problems)
    return DiagnosticStatus.OK, 'ready'


def _shown(value: float, decimals: int) -> str:
    return 'unknown' if value == UNKNOWN else f'{value:.{decimals}f}'
