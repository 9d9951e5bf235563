# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a world model does on recorded data: the raw rows from which figures and fits are made.

W windows, each a row. Nothing here decides whether a number is good; see verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch

from .trajectory import Trajectory
from .windows import draw_windows, Latents, Window
from ..messages.input_settings import Crop
from ..planning.confidence import FEATURES, Fit, pose_distance, RECENT, SMALLEST, step_error
from ..planning.config import TrustRegionConfig
from ..planning.cost import goal_energy
from ..planning.search import OptimizerConfig, Plan, plan
from ..world_model import poses

Numbers = NDArray[np.float64]
STEPS = (1, 2, 4)  # frames from start to goal where actions are inferred
CANDIDATES = 64  # random actions beside the true one
# Frames from start to goal where it is asked whether the first action leads nearer.
REACHES = (-12, -8, -5, -3, -2, -1, 1, 2, 3, 5, 8, 12)
DRIVES = 60  # trajectories along which energies are compared with distances


@dataclass(frozen=True)
class Inferred:
    """Actions inferred from a start and a goal frame beside those that were made."""

    windows: list[Window]
    steps: int
    planned: Numbers  # [W, 7], all steps together
    seconds: Numbers  # [W]

    @property
    def true(self) -> Numbers:
        """Return the actions [W, 7] that were made."""
        return np.array([window.true_action for window in self.windows]).reshape(-1, 7)

    @property
    def groups(self) -> list[int]:
        """Return the group of each window."""
        return [window.group for window in self.windows]


@dataclass(frozen=True)
class Predicted:
    """One step ahead: errors of the latents, and how the true action ranks by energy."""

    groups: list[int]
    error: Numbers  # [W] with the action that was made
    shuffled: Numbers  # [W] with that of another window
    copied: Numbers  # [W] of the frame before
    change: Numbers  # [W] predicted
    rank: (
        Numbers  # [W] 0 = the true action has the lowest energy of all candidates, 1 = the highest
    )
    spread: Numbers  # [W] deviation of the candidates' energies


@dataclass(frozen=True)
class Reached:
    """First actions of plans toward goals near and far."""

    groups: list[int]  # of each plan, see measures.estimate
    plans: list[Plan]
    surprises: list[list[float]]  # at steps before, the newest last
    before: Numbers  # [W] m to the goal, see pose_distance
    after: Numbers  # [W] the same once the first action is done

    @property
    def nearer(self) -> Numbers:
        """Return 1.0 where the action leads nearer, else 0.0."""
        return (self.after < self.before).astype(np.float64)


@dataclass(frozen=True)
class Drive:
    """Energies of the frames of a trajectory to its last one, beside the distances."""

    number: int
    distance: Numbers  # [T] m
    energy: Numbers  # [T]


@dataclass
class Study:
    """All that one model did."""

    model: str
    dtype: str
    bounds: tuple[float, ...]
    inferred: dict[int, Inferred] = field(default_factory=dict)  # by steps
    predicted: Predicted | None = None
    reached: Reached | None = None
    drives: list[Drive] = field(default_factory=list)


Advance = Callable[[int], object]  # called with the number of windows that are done


def work(trajectories: Sequence[Trajectory], count: int) -> int:
    """Return how many windows study() will go through."""
    inferred = sum(count // steps for steps in STEPS)
    return inferred + 2 * count + min(len(trajectories), DRIVES)


def study(
    model: Any,
    trajectories: Sequence[Trajectory],
    count: int,
    *,
    crop: Crop = '',
    config: OptimizerConfig | None = None,
    fit: Fit | None = None,
    seed: int = 0,
    advance: Advance = lambda done: None,
) -> Study:
    """
    Return what a model with a predictor does on windows of trajectories.

    :param count: windows for each kind of figure; of k steps, which take longer, a k-th of them.
    :param crop: what the model sees of a frame, see CameraSettings.crop; '' = the model's own.
    :param config: of the search; None = the planner's default. Longer plans get more candidates.
    :param seed: of windows and candidates: the same for models that are compared.
    """
    config = replace(config or TrustRegionConfig(), seed=seed)
    found = Study(model.name, str(model.dtype).removeprefix('torch.'), tuple(model.action_bounds))
    latents = Latents(model, crop)
    for steps in STEPS:
        windows = draw_windows(trajectories, [steps], count // steps, seed + steps)
        longer = replace(config, horizon=steps, samples=config.samples * steps)
        found.inferred[steps] = infer(latents, windows, steps, longer, advance)
    windows = draw_windows(trajectories, [1], count, seed + 1)
    found.predicted = _predict(latents, windows, seed, advance)
    windows = draw_windows(trajectories, REACHES, count, seed)
    found.reached = reach(latents, windows, config, fit or _usual(model, found.predicted), advance)
    found.drives = list(_drives(latents, trajectories, advance))
    return found


def infer(
    latents: Latents, windows: list[Window], steps: int, config: OptimizerConfig, advance: Advance
) -> Inferred:
    """Return the actions that plans find from start to goal frames."""
    planned, seconds = [], []
    for window in windows:
        began = perf_counter()
        found = plan(
            latents.model,
            latents(window, window.start)[None],
            window.state[None],
            latents(window, window.goal),
            config,
        )
        seconds.append(perf_counter() - began)
        planned.append(_together(window.state, found.actions))
        advance(1)
    return Inferred(windows, steps, np.array(planned).reshape(-1, 7), np.array(seconds))


def _together(state: Numbers, actions: Numbers) -> Numbers:
    """Return the action [7] that actions [H, 7] amount to."""
    start = torch.as_tensor(state).double()
    end = start
    for action in torch.as_tensor(actions).double():
        end = poses.compose(end, action)
    total: Numbers = poses.difference(start, end).numpy()
    return total


def _predict(latents: Latents, windows: list[Window], seed: int, advance: Advance) -> Predicted:
    rng = np.random.default_rng(seed)
    model = latents.model
    bounds = np.array(model.action_bounds)
    others = rng.permutation(len(windows))
    rows = []
    for window, other in zip(windows, others):
        start, goal = latents(window, window.start), latents(window, window.goal)
        true = window.true_action
        candidates = rng.uniform(-bounds, bounds, (CANDIDATES, 7))
        actions = torch.as_tensor(
            np.stack([true, windows[other].true_action, *candidates])
        ).float()
        predicted = model.rollout(start[None], window.state[None], actions[:, None])
        energies = goal_energy(predicted, goal, model.cost).cpu().numpy()
        change = float(goal_energy(predicted[:1], start, model.cost)[0])
        copied = float(goal_energy(start[None], goal, model.cost)[0])
        random = energies[2:]
        rank = float((random < energies[0]).mean())
        rows.append((energies[0], energies[1], copied, change, rank, random.std()))
        advance(1)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return Predicted([window.group for window in windows], *columns)


def reach(
    latents: Latents,
    windows: list[Window],
    config: OptimizerConfig,
    fit: Fit,
    advance: Advance = lambda done: None,
) -> Reached:
    """Return plans toward goals near and far, and whether their first actions lead nearer."""
    plans, surprises, before, after = [], [], [], []
    rng = np.random.default_rng(config.seed)
    for number, window in enumerate(windows):
        known = int(rng.integers(min(window.start, RECENT) + 1))  # as in a run, first to last
        surprise = _surprises(latents, window, known, fit)
        found = plan(
            latents.model,
            latents(window, window.start)[None],
            window.state[None],
            latents(window, window.goal),
            replace(config, seed=number),
            fit=fit,
            surprises=surprise,
        )
        state, action = torch.as_tensor(window.state).double(), torch.tensor(found.actions[0])
        plans.append(found)
        surprises.append(surprise)
        before.append(float(pose_distance(window.state, window.goal_state)))
        reached = poses.compose(state, action).numpy()
        after.append(float(pose_distance(reached, window.goal_state)))
        advance(1)
    groups = [window.group for window in windows]
    return Reached(groups, plans, surprises, np.array(before), np.array(after))


def _surprises(latents: Latents, window: Window, count: int, fit: Fit) -> list[float]:
    """Return how surprising the last frames up to the start of a window are."""
    states = window.trajectory.states
    errors = [
        step_error(
            latents.model,
            latents(window, frame - 1)[None],
            states[frame - 1][None],
            latents(window, frame),
            states[frame],
        )
        for frame in range(window.start - count + 1, window.start + 1)
    ]
    return [fit.surprise(error) for error in errors]


def _usual(model: Any, predicted: Predicted) -> Fit:
    """Return a Fit that knows the usual errors alone: its probabilities mean nothing."""
    unit = float(np.median(predicted.error))
    usual = usual_error(predicted.error, predicted.change)
    return Fit(model.name, model.cost, usual, unit, (0.0,) * len(FEATURES))


def usual_error(error: Numbers, change: Numbers) -> tuple[float, float]:
    """Return a, b such that a + b change is the median error; see planning.confidence.Fit."""
    error = np.maximum(error, SMALLEST)
    design = np.stack([np.ones_like(change), change], 1)
    # Least squares of relative errors: small motions count as much as large ones.
    found = np.linalg.lstsq(design / error[:, None], np.ones_like(error), rcond=None)[0]
    constant, slope = np.maximum(found, (SMALLEST, 0.0))
    ratio = np.median(error / (constant + slope * change))
    return float(ratio * constant), float(ratio * slope)


def _drives(
    latents: Latents, trajectories: Sequence[Trajectory], advance: Advance
) -> Iterator[Drive]:
    for number, trajectory in enumerate(trajectories[:DRIVES]):
        last = len(trajectory) - 1
        frames = np.unique(np.linspace(0, last, min(last + 1, 24)).astype(int))
        window = Window(trajectory, number, 0, last)
        goal = latents(window, last)
        energies = [
            float(goal_energy(latents(window, t)[None], goal, latents.model.cost)[0])
            for t in frames
        ]
        states = trajectory.states[frames]
        yield Drive(number, pose_distance(states, trajectory.states[last]), np.array(energies))
        advance(1)
