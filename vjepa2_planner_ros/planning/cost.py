# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The energy: how far latents are from a goal's, by one of config.COSTS.

``l1`` is the mean absolute difference, as in Meta's planner. ``l2`` is the root of the mean
square, which ranks as the mean square of the JEPA-WM paper (arXiv 2512.24497) does but has the
scale of l1, so that shares of it mean the same.

Shapes: S candidates, N patches, D channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_MISS = 1e-3  # latents are layer-normed, about 1


def goal_energy(latents: Tensor, goal: Tensor, cost: str) -> Tensor:
    """Return the energies [S], float32, of latents [S, N, D] with a goal [N, D]."""
    return miss_energy((latents - goal).flatten(1), cost)


def miss_energy(misses: Tensor, cost: str) -> Tensor:
    """Return the energies [S], float32, of differences to the goal [S, N * D]."""
    if cost == 'l2':
        norm = torch.linalg.vector_norm(misses, dim=1, dtype=torch.float32)
        return norm / misses.shape[1] ** 0.5
    return misses.abs().mean(dim=1, dtype=torch.float32)


def steepness(misses: Tensor, cost: str) -> Tensor:
    """
    Return, up to a factor, the weights of the parabolas that touch the energy from above.

    Where the weighted sum of squared misses is smaller than here, the energy is smaller too.
    """
    if cost == 'l2':
        return torch.ones_like(misses)
    return 1.0 / misses.abs().clamp(min=SMALLEST_MISS)
