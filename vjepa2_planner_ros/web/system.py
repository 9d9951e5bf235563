# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load and health of the planner and its machine, as the nodes tell them."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticStatus

from .link import Heard, Link
from .schemas import Diagnosis, Level, System

LEVELS: dict[bytes, Level] = {
    DiagnosticStatus.OK: 'ok',
    DiagnosticStatus.WARN: 'warn',
    DiagnosticStatus.ERROR: 'error',
    DiagnosticStatus.STALE: 'stale',
}
SILENT = 5.0  # s after which a diagnosis is stale


def system(heard: Heard) -> System:
    """Return what REST and the page show; figures of a planner that fell silent are left out."""
    metrics = {}
    if heard.planner and heard.metrics is not None:
        names = heard.metrics.get_fields_and_field_types()
        metrics = {
            name: float(getattr(heard.metrics, name))
            for name in names
            if name != 'header' and getattr(heard.metrics, name) >= 0.0
        }
    now = time.monotonic()
    return System(
        planner=heard.planner,
        metrics=metrics,
        diagnostics=[
            Diagnosis(
                name=status.name,
                level='stale' if now - at > SILENT else LEVELS.get(status.level, 'stale'),
                message=status.message,
                values={item.key: item.value for item in status.values},
            )
            for at, status in heard.diagnostics.values()
        ],
    )


def told_by(link: Link, node: str) -> Diagnosis | None:
    """Return what a node of the console's own namespace tells of itself, None if it is silent."""
    name = f'{link.node.get_namespace().rstrip("/")}/{node}: {node}'
    told = (each for each in system(link.heard()).diagnostics if each.name == name)
    return next((each for each in told if each.level != 'stale'), None)
