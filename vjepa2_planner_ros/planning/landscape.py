# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energies of given steps, by the same path as the search's candidates."""

from __future__ import annotations

from typing import Iterator

import numpy as np
import torch
from torch import Tensor

from .actions import to_action
from .search import goal_energy
from ..world_model import WorldModel


def energies_in_batches(world_model: WorldModel, context: Tensor, states, goal: Tensor,
                        commands: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """
    Yield the energies, float32 [batch or fewer], of single steps in their order.

    :param context: [T, ...] what the world model observed of the frames, the current one last.
    :param states: [T, 7] end-effector states at these frames.
    :param goal: [N, D] latents of the goal picture.
    :param commands: [P, 7] steps in the convention of commands.
    :param batch: how many are evaluated before the caller has its say again.

    An energy is NaN where the model gives no finite number.
    """
    actions = torch.as_tensor(to_action(commands), dtype=torch.float32)
    for some in actions[:, None].split(batch):
        energies = goal_energy(world_model.rollout(context, states, some), goal).cpu()
        yield energies.where(energies.isfinite(), torch.nan).numpy()
