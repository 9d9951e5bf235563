# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A trust-region optimizer that learns, from few candidates, how the latents depend on the action.

The energy of a candidate is one number, but the world model answers with N x D: all the latents.
Over a small region they depend almost linearly on the action, while their mean absolute
difference to the goal does not. So every candidate ever evaluated goes into a smooth model of the
latents; the action that the model puts nearest to the goal is the centre of the next candidates.

Shapes: S samples, H horizon, A searched axes, P = H A coordinates of a point, -1..1 at the
bounds, n points, M = N D numbers of the latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .cem import lowest
from .config import TrustRegionConfig
from .cost import miss_energy, steepness

# Variances of the model's constant, linear and quadratic part over the trust region, in units of
# what it cannot explain there.
CONSTANT, LINEAR, QUADRATIC = 1e4, 8.0, 0.7
POINTS = 128  # the nearest ones are fitted: memory and time stay bounded with many samples
NEWTON_STEPS = 10
STEP_LENGTHS = (0.3, 1.0, 2.0, 4.0, 8.0)
SETTLED = 1e-4  # share of the energy that another step must remove
INSIDE = 0.7  # of the radius; a minimum nearer than that shrinks the region
SHRINK = 0.5
SMALLEST_RADIUS = 0.02


class TrustRegion:
    """
    The trust-region method, an Optimizer.

    The region is a cube around the best candidate, at first as large as the bounds. It is halved
    if the model's minimum lies well inside, or if the last minimum was no better than the best
    candidate before it: the model is then too coarse. Otherwise the region moves with its size
    unchanged.
    """

    needs_misses = True

    def __init__(
        self,
        config: TrustRegionConfig,
        axes: list[int],
        bounds: Tensor,
        generator: torch.Generator,
    ):
        self._config = config
        self._shape = config.horizon, len(axes)
        self._scale = bounds.repeat(config.horizon)  # [P]
        self._sobol = torch.quasirandom.SobolEngine(
            len(self._scale),
            scramble=True,
            seed=int(torch.randint(2**31, (), generator=generator)),
        )
        self._center, self._radius = torch.zeros_like(self._scale), 1.0
        self._points, self._energies = self._center[None][:0], torch.zeros(0)
        self._misses: Tensor | None = None  # [n, M]

    @property
    def mean(self) -> Tensor:
        """Return the centre of the next candidates [H, A]."""
        return (self._center * self._scale).view(self._shape)

    @property
    def answers(self) -> Tensor:
        """Return what may be the plan [2, H, A]: the model's minimum, and the best candidate."""
        best = self._points[self._energies.argmin()]
        return (torch.stack([self._center, best]) * self._scale).view(-1, *self._shape)

    @property
    def std(self) -> Tensor:
        """Return the standard deviation of the next candidates [H, A]."""
        return (self._radius * self._scale).view(self._shape) / 3**0.5

    def ask(self) -> Tensor:
        """Return the next candidates [S, H, A]: the centre, and points all around it."""
        around = self._radius * (2.0 * self._sobol.draw(self._config.samples) - 1.0)
        points = (self._center + around).clamp(-1.0, 1.0)
        points[0] = self._center
        return (points * self._scale).view(-1, *self._shape)

    def tell(
        self, actions: Tensor, energies: Tensor, misses: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move to where the latents' model comes nearest to the goal."""
        assert misses is not None
        self._move(actions.flatten(1) / self._scale, energies, misses)
        return actions, energies, lowest(energies, self._config.elites)

    def _move(self, points: Tensor, energies: Tensor, misses: Tensor) -> None:
        refuted = len(self._energies) > 0 and bool(energies[0] >= self._energies.min())
        misses = self._keep(points, energies, misses)
        best = self._points[self._energies.argmin()]
        model = LatentModel((self._points - best) / self._radius, misses, self._config.cost)
        low, high = ((limit - best) / self._radius for limit in (-1.0, 1.0))
        step = model.minimise(low.clamp(min=-1.0), high.clamp(max=1.0))
        self._center = (best + self._radius * step).clamp(-1.0, 1.0)
        if refuted or bool(((step.abs() < INSIDE) | (self._center.abs() > 0.999)).all()):
            self._radius = max(SHRINK * self._radius, SMALLEST_RADIUS)

    def _keep(self, points: Tensor, energies: Tensor, misses: Tensor) -> Tensor:
        """
        Add candidates with a finite energy to the known points; return all their misses [n, M].

        Beyond POINTS those farthest from the best are dropped.
        """
        good = energies.isfinite()
        points = torch.cat([self._points, points[good]])
        energies = torch.cat([self._energies, energies[good]])
        misses = misses[good.to(misses.device)].float()
        if self._misses is not None:
            misses = torch.cat([self._misses, misses])
        if len(points) > POINTS:
            distances = (points - points[energies.argmin()]).square().sum(1)
            near = lowest(distances, POINTS)
            points, energies, misses = points[near], energies[near], misses[near.to(misses.device)]
        self._points, self._energies, self._misses = points, energies, misses
        return misses


class LatentModel:
    """
    A quadratic model of how far the latents miss the goal, around the origin.

    Gaussian process regression, one for all M numbers, with the kernel of a quadratic polynomial:
    the same as weighted least squares with a ridge, but its cost is n^3 whatever P is. The weight
    of a point falls with its distance from the origin.

    :param points: [n, P], within about -1..1 of the trust region.
    :param misses: [n, M] latents minus the goal's, on any device.
    """

    def __init__(self, points: Tensor, misses: Tensor, cost: str):
        self._points, self._misses, self._cost = points.double(), misses, cost
        distrust = (1.5 * self._points.square().mean(1)).clamp(max=12.0).exp()
        self._precision = torch.linalg.inv(self._kernel(self._points) + distrust.diag())

    def _kernel(self, points: Tensor) -> Tensor:
        product = points @ self._points.T
        return CONSTANT + LINEAR * product + QUADRATIC * product.square()

    def predict(self, points: Tensor) -> Tensor:
        """Return the misses [m, M] expected at points [m, P]."""
        return self._mix(self._kernel(points))

    def slopes(self, point: Tensor) -> Tensor:
        """Return the derivatives [P, M] at a point [P]."""
        unit = torch.eye(len(point), dtype=point.dtype)
        # Central differences have no error on a quadratic.
        return self._mix(0.5 * (self._kernel(point + unit) - self._kernel(point - unit)))

    def _mix(self, kernel: Tensor) -> Tensor:
        return (kernel @ self._precision).to(self._misses) @ self._misses

    def minimise(self, low: Tensor, high: Tensor) -> Tensor:
        """
        Return the point [P] between low and high that is expected nearest to the goal.

        Newton's method from the origin; the absolute values in the energy are replaced by the
        parabolas that touch them from above. A full step is therefore mostly too short: longer
        ones are tried too.
        """
        low, high = low.double(), high.double()
        point, miss = torch.zeros_like(low), self.predict(torch.zeros_like(low)[None])[0]
        energy = float(miss_energy(miss[None], self._cost))
        lengths = torch.tensor(STEP_LENGTHS, dtype=low.dtype)[:, None]
        for _ in range(NEWTON_STEPS):
            tries = (point + lengths * self._newton_step(point, miss, low, high)).clamp(low, high)
            misses = self.predict(tries)
            energies = miss_energy(misses, self._cost)
            chosen = int(energies.argmin())
            if not float(energies[chosen]) < (1.0 - SETTLED) * energy:
                break
            point, miss, energy = tries[chosen], misses[chosen], float(energies[chosen])
        return point.float()

    def _newton_step(self, point: Tensor, miss: Tensor, low: Tensor, high: Tensor) -> Tensor:
        slopes = self.slopes(point)
        weighted = slopes * steepness(miss, self._cost)
        gradient = (weighted @ miss).cpu().double()
        curvature = (weighted @ slopes.T).cpu().double()
        curvature += (1e-6 * curvature.diagonal().mean() + 1e-12) * torch.eye(len(point))
        free = ~(((point <= low) & (gradient > 0)) | ((point >= high) & (gradient < 0)))
        step = torch.zeros_like(point)
        step[free] = -torch.linalg.solve(curvature[free][:, free], gradient[free])
        return step
