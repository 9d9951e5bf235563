# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What plan() needs of an optimizer: the contract of CrossEntropy and TrustRegion.

Shapes: S samples, H horizon, A searched axes, K elites, N patches, D channels.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Optimizer(Protocol):
    """
    What proposes candidates, on the CPU: plan() calls ask(), then tell(), in each iteration.

    It works on the searched axes only, in the units of actions.
    """

    needs_misses: bool  # whether tell() looks at them; else their memory is not needed

    @property
    def mean(self) -> Tensor:
        """Return the mean of the next candidates [H, A]."""

    @property
    def std(self) -> Tensor:
        """Return the standard deviation of the next candidates [H, A]."""

    @property
    def answers(self) -> Tensor:
        """Return one or more plans [:, H, A]; plan() evaluates them and takes the best."""

    def ask(self) -> Tensor:
        """Return the next candidates [S, H, A]."""

    def tell(
        self, actions: Tensor, energies: Tensor, misses: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Learn from the candidates; return those of this iteration, their energies and the elites.

        :param actions: [S, H, A] that ask() returned.
        :param energies: [S]; inf where the model gave no finite number, but not everywhere.
        :param misses: [S, N * D] latents minus the goal's, on the device of the world model; None
            unless needs_misses.
        :return: actions and energies, with those kept of earlier iterations, and the indices [K]
            of the elites among them, best first, one at least.
        """
