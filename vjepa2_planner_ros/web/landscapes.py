# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energy landscapes by the planner's action: from the newest plan, or from a recorded one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import isfinite
from typing import Any

from std_msgs.msg import Header
from vjepa2_interfaces.action import ComputeEnergyLandscape

from .link import Link
from ..client import GoalClient
from ..history.recorded import RecordedPlan
from ..history.topics import CURRENT_IMAGE, GOAL_IMAGE
from ..messages.images import to_image
from ..messages.landscapes import to_landscape
from ..planning.actions import AXES
from ..planning.landscape import Landscape


def goal_of(
    axes: Sequence[str], resolution: int, plan: RecordedPlan | None
) -> ComputeEnergyLandscape.Goal:
    """
    Return the Goal of a landscape.

    :param axes: two of AXES.
    :param plan: a recorded plan, None = the newest one.
    :raise ValueError: the recording lacks a picture or the start state.
    """
    goal = ComputeEnergyLandscape.Goal(axes=list(axes), resolution=[resolution] * len(axes))
    if plan is None:
        goal.use_last_plan = True
        return goal
    missing = [role for role in (CURRENT_IMAGE, GOAL_IMAGE) if role not in plan.images]
    if missing or not plan.record.states:
        raise ValueError(f'plan {plan.short_id} has no {", ".join(missing) or "start state"}')
    goal.goal_image = to_image(plan.images[GOAL_IMAGE], Header())
    goal.use_current_image = goal.use_start_state = True
    goal.current_image = to_image(plan.images[CURRENT_IMAGE], Header())
    goal.start_state = plan.record.states[-1]
    goal.model = plan.record.model
    goal.offset = [
        0.0 if axis in axes else float(value) for axis, value in zip(AXES, plan.record.command)
    ]
    return goal


async def landscape(link: Link, goal: ComputeEnergyLandscape.Goal, on_feedback: Any) -> Landscape:
    """Return the Landscape of a Goal; PlanFailed if there is none."""
    client: GoalClient = link.goals(ComputeEnergyLandscape, 'compute_energy_landscape')
    future = await asyncio.to_thread(client.send, goal, on_feedback)
    return to_landscape(await asyncio.wrap_future(future))


def to_grid(found: Landscape) -> tuple[list[float], list[float], list[list[float | None]]]:
    """Return x, y and the energies [y][x] for a plot; None where there is no number."""
    x, y = (values.tolist() for values in found.grid.values)
    rows = found.energies.T.round(6).tolist()
    return x, y, [[value if isfinite(value) else None for value in row] for row in rows]
