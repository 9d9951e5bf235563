# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Plan in the latent space of a world model.

An optimizer proposes candidates, the world model predicts where each leads, and how far that is
from the goal tells the optimizer where to look next.

Shapes: S samples, H horizon, A searched axes, K elites, T frames, N patches, D channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from .actions import AXES, to_action
from .cem import CrossEntropy, lowest
from .confidence import Fit
from .config import CemConfig, TrustRegionConfig
from .cost import goal_energy, miss_energy
from .errors import NonFiniteEnergyError, PlanTimeout
from .optimizer import Optimizer
from .trust_region import TrustRegion
from ..world_model import WorldModel

OptimizerConfig: TypeAlias = CemConfig | TrustRegionConfig
# Steps predicted between two checks whether to stop, and the fewest candidates they are of: enough
# to keep a GPU busy, and the latents of all the others need no memory.
BATCH = 256
FEWEST = 16
GRIPPER = AXES.index('gripper')


@dataclass(frozen=True)
class SearchIteration:
    """What one iteration found; axes that are not searched are zero."""

    iteration: int  # 1-based
    iterations: int
    actions: NDArray[np.float32]  # [S, H, 7]
    energies: NDArray[np.float32]  # [S]; inf where the model gave no finite number
    elites: NDArray[np.int64]  # [K], indices into the samples, best first
    mean: NDArray[np.float64]  # [H, 7] of the next candidates
    std: NDArray[np.float64]  # [H, 7]
    energy_best: float  # lowest so far
    elapsed: float  # s since the plan began


@dataclass(frozen=True)
class Plan:
    """The plan found, evaluated once more."""

    actions: NDArray[np.float64]  # [H, 7]
    energy: float  # difference of the latents after the plan to the goal's, see cost
    start_energy: float  # the same after doing nothing
    confidence: float  # 0..1, see plan
    iteration_energies: tuple[float, ...]  # lowest so far, after each iteration
    planning_time: float  # s
    agreement: float  # 0..1, of the best candidates, see plan
    confidence_calibrated: bool = False  # it is a probability
    near_energy: float = 0.0  # of the Fit that makes it one; 0 = not known

    @property
    def progress(self) -> float:
        """Return the share of the start energy that the plan is predicted to remove, 0..1."""
        if self.start_energy <= 0.0:
            return 0.0
        return min(max(1.0 - self.energy / self.start_energy, 0.0), 1.0)


def plan(
    world_model: WorldModel,
    context: Tensor,
    states: NDArray[np.float64],
    goal: Tensor,
    config: OptimizerConfig,
    *,
    fit: Fit | None = None,
    surprises: Sequence[float] = (),
    on_iteration: Callable[[SearchIteration], None] | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Plan:
    """
    Search the actions whose predicted latents come nearest to the goal's.

    An axis that the prediction hardly depends on stays still: where leaving it at 0 costs at most
    config.min_axis_gain of the energy that the plan removes, it is 0.

    With a fit of the same cost the confidence of a plan of one action is the probability that it
    leads nearer to the goal (confidence.pose_distance), else progress x agreement, each of 0..1.
    Progress is the share of the start energy that the plan is predicted to remove. Agreement is
    1 - the deviation of the best of all candidates / that of all candidates, averaged over the
    searched axes and the horizon: near 0 where the good ones lie anywhere.

    :param context: [T, ...] what the world model observed of the frames, the current one last.
    :param states: [T, 7] end-effector states at these frames.
    :param goal: [N, D] latents of the goal picture.
    :param config: its type chooses the optimizer.
    :param fit: what is usual for this model, see confidence.
    :param surprises: at what the steps of the run so far led to, see Fit.
    :param on_iteration: called with a SearchIteration after each iteration.
    :param check_stop: called before each batch of candidates; what it raises ends the plan.
    :raise PlanTimeout: config.time_limit has passed before the plan was ready; with
        config.best_effort only if the first iteration was not done then.
    :raise NonFiniteEnergyError: no candidate, or not the plan itself, has a finite energy.
    :raise ValueError: the bounds are wider than the model's, or 0 for every searched axis, or
        only the gripper is searched and it is fixed.
    """
    began = perf_counter()
    config = replace(config, cost=config.cost_for(world_model))
    axes = config.axes_for(world_model)
    bounds = torch.tensor(config.bounds_for(world_model.action_bounds))[axes]  # [A]
    optimizer = _make_optimizer(config, axes, bounds)
    clock = _Clock(config, check_stop)
    evaluate = _Evaluator(world_model, context, states, goal, axes, config, clock.check)
    evaluated: list[tuple[Tensor, Tensor]] = []  # actions and energies of each iteration
    best_so_far: list[float] = []  # energies, after each iteration

    while clock.goes_on():
        actions = optimizer.ask()  # [S, H, A]
        try:
            energies, misses = evaluate(
                evaluate.all_axes(actions), keep_misses=optimizer.needs_misses
            )
        except PlanTimeout:
            if not clock.has_a_plan:
                raise
            break
        if not energies.isfinite().any():
            raise NonFiniteEnergyError(
                f'none of {len(energies)} energies is finite in iteration {clock.done + 1}'
            )
        evaluated.append((actions[:, evaluate.searched], energies))
        actions, energies, elites = optimizer.tell(actions, energies, misses)
        clock.done += 1
        best_so_far.append(min([float(energies[elites[0]]), *best_so_far[-1:]]))
        if on_iteration is not None:
            on_iteration(
                SearchIteration(
                    iteration=clock.done,
                    iterations=config.iterations,
                    actions=evaluate.all_axes(actions).numpy(),
                    energies=energies.numpy(),
                    elites=elites.numpy(),
                    mean=evaluate.all_axes(optimizer.mean).double().numpy(),
                    std=evaluate.all_axes(optimizer.std, fixed=0.0).double().numpy(),
                    energy_best=best_so_far[-1],
                    elapsed=perf_counter() - began,
                )
            )

    clock.answering = True
    found, energy, start_energy = _answer(optimizer.answers, evaluate, config)
    agreement = _agreement(evaluated, config.elites / config.samples)
    clock.check()  # the final evaluation takes time too
    # Exactly inside the bounds, which float32 rounds; adding 0 makes -0.0 a 0.
    limits = np.array(config.limits_for(world_model.action_bounds))
    found_plan = Plan(
        actions=evaluate.all_axes(found).double().numpy().clip(-limits, limits) + 0.0,
        energy=energy,
        start_energy=start_energy,
        confidence=0.0,
        iteration_energies=tuple(best_so_far),
        planning_time=perf_counter() - began,
        agreement=agreement,
    )
    if fit is None or fit.cost != config.cost or config.horizon > 1:  # fits are of one action
        return replace(found_plan, confidence=found_plan.progress * agreement)
    probability = fit.probability(found_plan, np.array(world_model.action_bounds), surprises)
    return replace(
        found_plan, confidence=probability, confidence_calibrated=True, near_energy=fit.near_energy
    )


def energies_in_batches(
    world_model: WorldModel,
    context: Tensor,
    states: NDArray[np.float64],
    goal: Tensor,
    commands: NDArray[np.float64],
    batch: int,
    cost: str,
) -> Iterator[NDArray[np.float32]]:
    """
    Yield the energies [batch or fewer] of single steps in their order.

    :param context, states, goal: as in plan.
    :param commands: [P, 7] steps in the convention of commands.

    An energy is NaN where the model gives no finite number.
    """
    actions = torch.as_tensor(to_action(commands), dtype=torch.float32)
    for candidates in actions[:, None].split(batch):
        energies = goal_energy(world_model.rollout(context, states, candidates), goal, cost).cpu()
        yield energies.where(energies.isfinite(), torch.nan).numpy()


def _make_optimizer(config: OptimizerConfig, axes: list[int], bounds: Tensor) -> Optimizer:
    generator = torch.Generator()  # on the CPU: one seed gives one command on every device
    if config.seed < 0:
        generator.seed()
    else:
        generator.manual_seed(config.seed)
    if isinstance(config, TrustRegionConfig):
        return TrustRegion(config, axes, bounds, generator)
    return CrossEntropy(config, axes, bounds, generator)


class _Evaluator:
    """
    Evaluates candidates in batches of BATCH steps; check() may end it before each.

    It also knows what a candidate is on the axes that are not searched.
    """

    def __init__(
        self,
        world_model: WorldModel,
        context: Tensor,
        states: NDArray[np.float64],
        goal: Tensor,
        axes: list[int],
        config: OptimizerConfig,
        check: Callable[[], None],
    ):
        self._world_model, self.axes, self._config = world_model, axes, config
        self._context, self._states, self._goal = context, states, goal
        self._check = check
        gripper = torch.tensor(axes) == GRIPPER
        fixed = torch.tensor([config.is_gripper_fixed(h) for h in range(config.horizon)])
        self.searched = ~(fixed[:, None] & gripper)  # [H, A]

    def all_axes(self, actions: Tensor, fixed: float | None = None) -> Tensor:
        """
        Return actions [..., H, 7] of actions [..., H, A]: the other axes are 0.

        :param fixed: the gripper's where it is fixed; None = as settings say.
        """
        complete = actions.new_zeros(*actions.shape[:-1], len(AXES))
        complete[..., self.axes] = actions
        for h in range(self._config.horizon):
            if self._config.is_gripper_fixed(h):
                complete[..., h, GRIPPER] = self._config.fixed_gripper if fixed is None else fixed
        return complete

    def energies(self, actions: Tensor) -> Tensor:
        """Return the energies [S] of actions [S, H, A]; inf where they are not finite."""
        return self(self.all_axes(actions))[0]

    def __call__(
        self, actions: Tensor, *, keep_misses: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the energies [S] of actions [S, H, 7] and their misses of the goal [S, N * D]."""
        energies, kept, cost = [], [], self._config.cost
        for batch in actions.split(max(FEWEST, BATCH // actions.shape[1])):
            self._check()
            latents = self._world_model.rollout(self._context, self._states, batch)
            misses = (latents - self._goal).flatten(1)
            energies.append(miss_energy(misses, cost).cpu())
            if keep_misses:
                kept.append(misses)
        found = torch.cat(energies)
        return found.where(found.isfinite(), torch.inf), torch.cat(kept) if kept else None


class _Clock:
    """Counts iterations against config.iterations and config.time_limit."""

    def __init__(self, config: OptimizerConfig, check_stop: Callable[[], None]):
        self._config, self._check_stop = config, check_stop
        self._began = perf_counter()
        self.done = 0  # iterations
        self.answering = False  # the search is over: a few candidates more make it a plan

    @property
    def has_a_plan(self) -> bool:
        """Return whether what was found so far is an answer when the time is over."""
        return self._config.best_effort and self.done > 0

    def check(self) -> None:
        """Raise what check_stop raises, or PlanTimeout after the time limit."""
        self._check_stop()
        limit = self._config.time_limit
        if limit is None or (self.answering and self.has_a_plan):
            return
        if perf_counter() - self._began > limit:
            raise PlanTimeout(limit, self.done, self._config.iterations)

    def goes_on(self) -> bool:
        """Return whether another iteration is to begin; raise as check does."""
        if self.done == self._config.iterations:
            return False
        if not self.has_a_plan:
            self.check()
            return True
        self._check_stop()
        limit = self._config.time_limit
        expected = (perf_counter() - self._began) * (self.done + 1) / self.done
        return limit is None or expected <= limit


def _answer(
    answers: Tensor, evaluate: _Evaluator, config: OptimizerConfig
) -> tuple[Tensor, float, float]:
    """
    Return the best of answers [K, H, A], its energy and that of doing nothing.

    Axes that hardly matter are set to 0.
    """
    if GRIPPER in evaluate.axes:
        gripper = answers[..., evaluate.axes.index(GRIPPER)]
        gripper *= gripper.abs() >= config.gripper_deadband
    commands = evaluate.all_axes(answers)
    nothing = torch.zeros_like(commands[:1])
    *energies, start_energy = evaluate(torch.cat([commands, nothing]))[0].tolist()
    energy = min(energies)
    for name, value in (('the plan', energy), ('doing nothing', start_energy)):
        if not isfinite(value):
            raise NonFiniteEnergyError(f'the energy of {name} is {value}')
    best = answers[energies.index(energy)]
    if config.min_axis_gain > 0.0:
        allowed = energy + config.min_axis_gain * max(start_energy - energy, 0.0)
        best, energy = _without_idle_axes(best, energy, allowed, evaluate)
    return best, energy, start_energy


def _without_idle_axes(
    best: Tensor, energy: float, allowed: float, evaluate: _Evaluator
) -> tuple[Tensor, float]:
    """Return actions [H, A] with the idle axes at 0, and their energy, at most allowed."""
    moving = [i for i in range(best.shape[1]) if best[:, i].any()]
    if not moving:
        return best, energy
    costs = evaluate.energies(torch.stack([_with_still(best, [i]) for i in moving])).tolist()
    idle = [i for i, cost in zip(moving, costs) if cost <= allowed]
    if len(idle) > 1:
        together = float(evaluate.energies(_with_still(best, idle)[None]))
        if together <= allowed:
            return _with_still(best, idle), together
    if idle:
        return _with_still(best, [moving[costs.index(min(costs))]]), min(costs)
    return best, energy


def _with_still(actions: Tensor, still: list[int]) -> Tensor:
    """Return a copy of actions [H, A] with the axes in still at 0."""
    actions = actions.clone()
    actions[:, still] = 0.0
    return actions


def _agreement(evaluated: list[tuple[Tensor, Tensor]], share: float) -> float:
    """Return 1 - std of the best share of all candidates / std of all, 0..1; see plan()."""
    actions, energies = (torch.cat(parts) for parts in zip(*evaluated))
    actions = actions[energies.isfinite()]
    best = actions[lowest(energies[energies.isfinite()], max(2, round(share * len(actions))))]
    spread = actions.std(dim=0, correction=0)
    ratio = torch.where(spread > 0.0, best.std(dim=0, correction=0) / spread, 1.0)
    return min(max(1.0 - float(ratio.mean()), 0.0), 1.0)
