# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The cross-entropy method.

Source: V-JEPA 2-AC, arXiv 2506.09985, and the released planner: sample action sequences from a
Gaussian, predict where each leads, keep those whose prediction is nearest to the goal, fit
the Gaussian to them, repeat.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import CemConfig, MODEL_BOUND


class CrossEntropy:
    """
    The cross-entropy method, an Optimizer.

    Shapes: S samples, H horizon, A searched axes, K elites.
    """

    needs_misses = False

    def __init__(
        self, config: CemConfig, axes: list[int], bounds: Tensor, generator: torch.Generator
    ):
        self._config, self._bounds, self._generator = config, bounds, generator
        initial_std = torch.tensor(config.initial_std)[axes]
        initial_std = initial_std.where(initial_std != MODEL_BOUND, bounds)
        self._momentum_mean = torch.tensor(config.momenta('momentum_mean'))[axes]
        self._momentum_std = torch.tensor(config.momenta('momentum_std'))[axes]
        self.mean = torch.zeros(config.horizon, len(axes))  # [H, A], of the Gaussian
        self.std = initial_std.expand(config.horizon, -1)
        self._kept = self.mean[None][:0], torch.zeros(0)

    @property
    def answers(self) -> Tensor:
        """Return what may be the plan [1, H, A]: the mean."""
        return self.mean[None].clone()

    def ask(self) -> Tensor:
        """Return the next candidates [S, H, A]: samples of the Gaussian, clipped to the bounds."""
        count = self._config.samples - len(self._kept[0])
        horizon, axes = self.mean.shape
        # Step by step, as Meta's planner draws them: the same seed gives the same candidates.
        noise = torch.stack(
            [torch.randn(count, axes, generator=self._generator) for _ in range(horizon)], dim=1
        )
        actions = (self.mean + self.std * noise).clamp(-self._bounds, self._bounds)
        if self._config.include_mean:
            actions[0] = self.mean
        return actions

    def tell(
        self, actions: Tensor, energies: Tensor, misses: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fit the Gaussian to the elites [K]; elites that are kept are candidates again."""
        actions, energies = (torch.cat(pair) for pair in zip((actions, energies), self._kept))
        elites = lowest(energies, self._config.elites)
        std, mean = torch.std_mean(actions[elites], dim=0, correction=1 if len(elites) > 1 else 0)
        self.mean = (1 - self._momentum_mean) * mean + self._momentum_mean * self.mean
        self.std = (1 - self._momentum_std) * std + self._momentum_std * self.std
        if self._config.keep_elites and len(elites) < self._config.samples:
            self._kept = actions[elites], energies[elites]
        return actions, energies, elites


def lowest(energies: Tensor, count: int) -> Tensor:
    """Return the indices of the lowest energies [S], best first; without those that are inf."""
    return energies.topk(min(count, int(energies.isfinite().sum())), largest=False).indices
