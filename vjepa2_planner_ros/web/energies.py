# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energies between pictures, by the planner's service."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from vjepa2_interfaces.srv import ComputeEnergy

from .link import Link
from ..client import PlanFailed
from ..messages.images import to_image
from ..messages.results import known_code


async def energy(
    link: Link, goal: NDArray[np.uint8], picture: NDArray[np.uint8] | None
) -> tuple[float, str]:
    """
    Return the energy between two pictures, uint8 RGB [H, W, 3], and the model that told it.

    :param picture: None = the newest frame of the planner's camera.
    :raise PlanFailed: the planner cannot tell. NoAnswer: there is none.
    """
    request = ComputeEnergy.Request(goal_image=to_image(goal, Header()))
    if picture is not None:
        request.use_current_image = True
        request.current_image = to_image(picture, Header())
    answer = await link.ask('planner/compute_energy', request, timeout=60.0)
    if answer.error_code:
        raise PlanFailed(known_code(answer.error_code), answer.error_msg)
    return float(answer.energy), str(answer.model)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which 2.png comes before 10.png."""
    parts = re.findall(r'\d{1,18}|\D+', name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts]
