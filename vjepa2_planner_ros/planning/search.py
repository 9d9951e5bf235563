# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Plan in the latent space of a world model.

An optimizer proposes candidates, the world model predicts where each leads, and how far that is
from the goal tells the optimizer where to look next.

Shapes: S samples, H horizon, A searched axes, K elites, N patches, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from .actions import AXES, to_action
from .cem import CrossEntropy
from .config import CemConfig, TrustRegionConfig
from .errors import NonFiniteEnergyError, PlanCancelled, PlanTimeout
from .trust_region import TrustRegion
from ..world_model import WorldModel

OPTIMIZERS = {CemConfig: CrossEntropy, TrustRegionConfig: TrustRegion}


@dataclass(frozen=True)
class SearchIteration:
    """What one iteration found; axes that are not searched are zero."""

    iteration: int  # 1-based
    iterations: int
    actions: np.ndarray  # float32 [S, H, 7]
    energies: np.ndarray  # float32 [S]; inf where the model gave no finite number
    elites: np.ndarray  # int64 [K], indices into the samples, best first
    mean: np.ndarray  # float64 [H, 7] of the next candidates
    std: np.ndarray  # float64 [H, 7]
    energy_best: float  # lowest so far
    elapsed: float  # s since the plan began


@dataclass(frozen=True)
class Plan:
    """The plan found, evaluated once more."""

    actions: np.ndarray  # float64 [H, 7]
    energy: float  # mean absolute latent difference to the goal after the plan
    start_energy: float  # the same after doing nothing
    confidence: float  # 0..1, progress x agreement, see _confidence
    iteration_energies: tuple[float, ...]  # lowest so far, after each iteration
    planning_time: float  # s


def goal_energy(latents: Tensor, goal: Tensor) -> Tensor:
    """Return the mean absolute difference [S] of latents [S, N, D] to a goal [N, D]."""
    return _energy(latents - goal)


def plan(
    world_model: WorldModel,
    context: Tensor,
    states,
    goal: Tensor,
    config: CemConfig | TrustRegionConfig,
    *,
    on_iteration: Callable[[SearchIteration], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Plan:
    """
    Search the actions whose predicted latents come nearest to the goal's.

    :param context: [T, ...] what the world model observed of the frames, the current one last.
    :param states: [T, 7] end-effector states at these frames.
    :param goal: [N, D] latents of the goal picture.
    :param config: its type chooses the optimizer.
    :param on_iteration: called with a SearchIteration after each iteration.
    :param should_stop: polled before each iteration; true ends the plan.
    :raise PlanCancelled: should_stop() was true.
    :raise PlanTimeout: config.time_limit has passed; with config.best_effort only if that was
        before the first iteration.
    :raise NonFiniteEnergyError: no candidate, or not the plan itself, has a finite energy.
    :raise ValueError: the bounds are wider than the model's, or 0 for every searched axis.
    """
    began = perf_counter()
    axes = config.axes_for(world_model.action_bounds)
    bounds = torch.tensor(config.bounds_for(world_model.action_bounds))[axes]  # [A]
    generator = torch.Generator()  # on the CPU: one seed gives one command on every device
    generator.seed() if config.seed is None else generator.manual_seed(config.seed)
    optimizer = OPTIMIZERS[type(config)](config, axes, bounds, generator)

    def evaluate(searched: Tensor) -> tuple[Tensor, Tensor]:
        """Return the energies [S] of actions [S, H, A] and their misses of the goal [S, N, D]."""
        latents = world_model.rollout(context, states, _all_axes(searched, axes))
        misses = latents - goal
        energies = _energy(misses).cpu()
        return energies.where(energies.isfinite(), torch.inf), misses

    lowest_so_far: list[float] = []
    for iteration in range(1, config.iterations + 1):
        if not _goes_on(perf_counter() - began, config, iteration, should_stop):
            break
        actions = optimizer.ask()
        energies, misses = evaluate(actions)
        if not energies.isfinite().any():
            raise NonFiniteEnergyError(
                f'none of {len(energies)} energies is finite in iteration {iteration}'
            )
        actions, energies, elites = optimizer.tell(actions, energies, misses)
        lowest_so_far.append(min([float(energies[elites[0]]), *lowest_so_far[-1:]]))
        if on_iteration is not None:
            on_iteration(
                SearchIteration(
                    iteration,
                    config.iterations,
                    _all_axes(actions, axes).numpy(),
                    energies.numpy(),
                    elites.numpy(),
                    _all_axes(optimizer.mean, axes).double().numpy(),
                    _all_axes(optimizer.std, axes).double().numpy(),
                    lowest_so_far[-1],
                    perf_counter() - began,
                )
            )

    found, energy, start_energy = _answer(optimizer.answers, evaluate, axes, config)
    return Plan(
        _all_axes(found, axes).double().numpy(),
        energy,
        start_energy,
        _confidence(energy, start_energy, actions[elites], optimizer.initial_std),
        tuple(lowest_so_far),
        perf_counter() - began,
    )


def energies_in_batches(
    world_model: WorldModel,
    context: Tensor,
    states,
    goal: Tensor,
    commands: np.ndarray,
    batch: int,
) -> Iterator[np.ndarray]:
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


def _answer(answers: Tensor, evaluate, axes: list[int], config) -> tuple[Tensor, float, float]:
    """Return the best of answers [K, H, A], its energy and that of doing nothing."""
    if 6 in axes:
        gripper = answers[..., axes.index(6)]
        gripper *= gripper.abs() >= config.gripper_deadband
    *energies, start_energy = evaluate(torch.cat([answers, torch.zeros_like(answers[:1])]))[
        0
    ].tolist()
    energy = min(energies)
    if not np.isfinite([energy, start_energy]).all():
        raise NonFiniteEnergyError(
            f'the energy of the plan is {energy}, of doing nothing {start_energy}'
        )
    return answers[energies.index(energy)], energy, start_energy


def _energy(misses: Tensor) -> Tensor:
    return misses.abs().mean(dim=(1, 2), dtype=torch.float32)


def _all_axes(searched: Tensor, axes: list[int]) -> Tensor:
    """Return actions [..., 7] with the searched axes [..., A] filled in."""
    actions = searched.new_zeros(*searched.shape[:-1], len(AXES))
    actions[..., axes] = searched
    return actions


def _goes_on(elapsed, config, iteration, should_stop) -> bool:
    """Return whether another iteration is to begin; raise if the plan ends without a result."""
    done = f'after {iteration - 1} of {config.iterations} iterations'
    if should_stop is not None and should_stop():
        raise PlanCancelled(f'stopped {done}')
    if config.time_limit is None:
        return True
    if config.best_effort and iteration > 1:
        expected = elapsed * iteration / (iteration - 1)  # when it would end
        return expected <= config.time_limit
    if elapsed > config.time_limit:
        raise PlanTimeout(f'time limit of {config.time_limit} s passed {done}')
    return True


def _confidence(energy, start_energy, elites: Tensor, initial_std: Tensor) -> float:
    """
    Return progress x agreement, both 0..1.

    Progress is the share of the start energy that the plan is predicted to remove; agreement is
    how far the last elites [K, H, A] have contracted, 1 - (their deviation / the initial one)
    averaged over the searched axes and the horizon.
    """
    progress = (start_energy - energy) / start_energy if start_energy > 0.0 else 0.0
    elite_std = elites.std(dim=0, correction=1 if len(elites) > 1 else 0)
    spread = (elite_std / initial_std.clamp(min=1e-12)).mean()
    return float(np.clip(progress, 0.0, 1.0) * np.clip(1.0 - float(spread), 0.0, 1.0))
