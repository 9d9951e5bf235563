# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Plan by the cross-entropy method in the latent space of a world model.

Source: V-JEPA 2-AC, arXiv 2506.09985, and the released planner: sample action sequences from a
Gaussian, predict where each leads, keep those whose prediction is nearest to the goal, fit
the Gaussian to them, repeat.

Shapes: S samples, H horizon, A searched axes, K elites, N patches, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Callable

import numpy as np
import torch
from torch import Tensor

from .actions import AXES
from .config import CemConfig, per_axis
from .errors import NonFiniteEnergyError, PlanCancelled, PlanTimeout
from ..world_model import WorldModel


@dataclass(frozen=True)
class CemIteration:
    """What one iteration found; axes that are not searched are zero."""

    iteration: int  # 1-based
    iterations: int
    actions: np.ndarray  # float32 [S, H, 7]
    energies: np.ndarray  # float32 [S]; inf where the model gave no finite number
    elites: np.ndarray  # int64 [K], indices into the samples, best first
    mean: np.ndarray  # float64 [H, 7] of the Gaussian after the update
    std: np.ndarray  # float64 [H, 7]
    energy_best: float  # lowest so far
    elapsed: float  # s since the plan began


@dataclass(frozen=True)
class Plan:
    """The plan found: the final mean, evaluated once more."""

    actions: np.ndarray  # float64 [H, 7]
    energy: float  # mean absolute latent difference to the goal after the plan
    start_energy: float  # the same after doing nothing
    confidence: float  # 0..1, progress x agreement, see _confidence
    iteration_energies: tuple[float, ...]  # lowest so far, after each iteration
    planning_time: float  # s


def goal_energy(latents: Tensor, goal: Tensor) -> Tensor:
    """Return the mean absolute difference [S] of latents [S, N, D] to a goal [N, D]."""
    return (latents - goal).abs().mean(dim=(1, 2), dtype=torch.float32)


def plan(world_model: WorldModel, context: Tensor, states, goal: Tensor, config: CemConfig, *,
         on_iteration: Callable[[CemIteration], None] | None = None,
         should_stop: Callable[[], bool] | None = None) -> Plan:
    """
    Search the actions whose predicted latents come nearest to the goal's.

    :param context: [T, ...] what the world model observed of the frames, the current one last.
    :param states: [T, 7] end-effector states at these frames.
    :param goal: [N, D] latents of the goal picture.
    :param on_iteration: called with a CemIteration after each iteration.
    :param should_stop: polled before each iteration; true ends the plan.
    :raise PlanCancelled: should_stop() was true.
    :raise PlanTimeout: config.time_limit has passed.
    :raise NonFiniteEnergyError: no candidate, or not the plan itself, has a finite energy.
    :raise ValueError: the bounds are wider than the model's, or 0 for every searched axis.
    """
    began = perf_counter()
    axes = config.axes_for(world_model.action_bounds)
    bounds = torch.tensor(config.bounds_for(world_model.action_bounds))[axes]  # [A]
    initial_std = bounds if config.initial_std is None else torch.tensor(config.initial_std)[axes]
    momentum_mean = torch.tensor(per_axis(config.momentum_mean, 'momentum_mean'))[axes]
    momentum_std = torch.tensor(per_axis(config.momentum_std, 'momentum_std'))[axes]
    generator = torch.Generator()  # on the CPU: one seed gives one command on every device
    generator.seed() if config.seed is None else generator.manual_seed(config.seed)

    def evaluate(searched: Tensor) -> Tensor:
        """Return the energies [S] of actions [S, H, A]."""
        latents = world_model.rollout(context, states, _all_axes(searched, axes))
        return goal_energy(latents, goal).cpu()

    mean = torch.zeros(config.horizon, len(axes))  # [H, A]
    std = initial_std.expand(config.horizon, -1)
    kept, kept_energies = mean[None][:0], torch.zeros(0)
    iteration_energies: list[float] = []
    for iteration in range(1, config.iterations + 1):
        _check_time(began, config.time_limit, iteration, config.iterations, should_stop)
        # 1. Sample from the Gaussian and clip to the bounds.
        fresh = config.samples - len(kept)
        noise = torch.randn(fresh, config.horizon, len(axes), generator=generator)
        actions = (mean + std * noise).clamp(-bounds, bounds)  # [S, H, A]
        if config.include_mean:
            actions[0] = mean
        # 2. Predict where each candidate leads and compare with the goal.
        energies = torch.cat([evaluate(actions), kept_energies])
        energies = energies.where(energies.isfinite(), torch.inf)
        actions = torch.cat([actions, kept])
        # 3. The elites are the candidates that come nearest.
        elites = _elites(energies, config.elites, iteration)
        # 4. Fit the Gaussian to them.
        elite_std, elite_mean = torch.std_mean(
            actions[elites], dim=0, correction=1 if len(elites) > 1 else 0)
        mean = (1 - momentum_mean) * elite_mean + momentum_mean * mean
        std = (1 - momentum_std) * elite_std + momentum_std * std
        if config.keep_elites and len(elites) < config.samples:
            kept, kept_energies = actions[elites], energies[elites]
        iteration_energies.append(min([float(energies[elites[0]]), *iteration_energies[-1:]]))
        if on_iteration is not None:
            on_iteration(CemIteration(
                iteration, config.iterations, _all_axes(actions, axes).numpy(), energies.numpy(),
                elites.numpy(), _all_axes(mean, axes).double().numpy(),
                _all_axes(std, axes).double().numpy(), iteration_energies[-1],
                perf_counter() - began))

    if 6 in axes:
        gripper = axes.index(6)
        mean[:, gripper] *= mean[:, gripper].abs() >= config.gripper_deadband
    energy, start_energy = evaluate(torch.stack([mean, torch.zeros_like(mean)])).tolist()
    if not np.isfinite([energy, start_energy]).all():
        raise NonFiniteEnergyError(f'the energy of the plan is {energy}, of doing nothing '
                                   f'{start_energy}')
    return Plan(
        _all_axes(mean, axes).double().numpy(), energy, start_energy,
        _confidence(energy, start_energy, elite_std, initial_std), tuple(iteration_energies),
        perf_counter() - began)


def _all_axes(searched: Tensor, axes: list[int]) -> Tensor:
    """Return actions [..., 7] with the searched axes [..., A] filled in."""
    actions = searched.new_zeros(*searched.shape[:-1], len(AXES))
    actions[..., axes] = searched
    return actions


def _elites(energies: Tensor, count: int, iteration: int) -> Tensor:
    """Return the indices of the lowest energies [S], best first; those that are inf never."""
    finite = int(energies.isfinite().sum())
    if not finite:
        raise NonFiniteEnergyError(
            f'none of {len(energies)} energies is finite in iteration {iteration}')
    return energies.topk(min(count, finite), largest=False).indices


def _check_time(began, time_limit, iteration, iterations, should_stop) -> None:
    done = f'after {iteration - 1} of {iterations} iterations'
    if should_stop is not None and should_stop():
        raise PlanCancelled(f'stopped {done}')
    if time_limit is not None and perf_counter() - began > time_limit:
        raise PlanTimeout(f'time limit of {time_limit} s passed {done}')


def _confidence(energy, start_energy, elite_std: Tensor, initial_std: Tensor) -> float:
    """
    Return progress x agreement, both 0..1.

    Progress is the share of the start energy that the plan is predicted to remove; agreement is
    how far the elites have contracted, 1 - (their deviation / the initial one) averaged over the
    searched axes and the horizon.
    """
    progress = (start_energy - energy) / start_energy if start_energy > 0.0 else 0.0
    spread = (elite_std / initial_std.clamp(min=1e-12)).mean()
    return float(np.clip(progress, 0.0, 1.0) * np.clip(1.0 - float(spread), 0.0, 1.0))
