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
from ..messages.texts import dtype_name
from ..planning.actions import AXES
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
    axes: tuple[str, ...] = AXES  # that plans searched
    damaged: list[str] = field(default_factory=list)  # frames whose windows were left out


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
    :raise ValueError: not one window has two frames that can be decoded.
    """
    config = replace(config or TrustRegionConfig(), seed=seed)
    axes = tuple(AXES[i] for i in config.axes_for(model))
    found = Study(model.name, dtype_name(model.dtype), tuple(model.action_bounds), axes=axes)
    latents = Latents(model, crop)
    for steps in STEPS:
        windows = draw_windows(trajectories, [steps], count // steps, seed + steps)
        longer = replace(config, horizon=steps, samples=config.samples * steps)
        found.inferred[steps] = infer(latents, windows, steps, longer, advance)
        if latents.damaged and not found.inferred[1].windows:
            raise ValueError(next(iter(latents.damaged)))
    windows = draw_windows(trajectories, [1], count, seed + 1)
    found.predicted = _predict(latents, windows, seed, advance)
    windows = draw_windows(trajectories, REACHES, count, seed)
    found.reached = reach(latents, windows, config, fit or _usual(model, found.predicted), advance)
    found.drives = list(_drives(latents, trajectories, advance))
    found.damaged = list(latents.damaged)
    return found


def infer(
    latents: Latents, windows: list[Window], steps: int, config: OptimizerConfig, advance: Advance
) -> Inferred:
    """Return the actions that plans find from start to goal frames, but those of damaged ones."""
    readable, planned, seconds = [], [], []
    for window in windows:
        advance(1)
        began = perf_counter()
        pair = latents.pair(window)
        if pair is None:
            continue
        start, goal = pair
        found = plan(latents.model, start[None], window.state[None], goal, config)
        seconds.append(perf_counter() - began)
        planned.append(_together(window.state, found.actions))
        readable.append(window)
    return Inferred(readable, steps, np.array(planned).reshape(-1, 7), np.array(seconds))


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
    order = rng.permutation(len(windows))
    others = dict(zip(order, np.roll(order, 1)))  # a round: none is its own
    groups, rows = [], []
    for number, window in enumerate(windows):
        advance(1)
        pair = latents.pair(window)
        if pair is None:
            continue
        start, goal = pair
        true = window.true_action
        candidates = rng.uniform(-bounds, bounds, (CANDIDATES, 7))
        actions = torch.as_tensor(
            np.stack([true, windows[others[number]].true_action, *candidates])
        ).float()
        predicted = model.rollout(start[None], window.state[None], actions[:, None])
        energies = goal_energy(predicted, goal, model.cost).cpu().numpy()
        change = float(goal_energy(predicted[:1], start, model.cost)[0])
        copied = float(goal_energy(start[None], goal, model.cost)[0])
        random = energies[2:]
        rank = float((random < energies[0]).mean())
        rows.append((energies[0], energies[1], copied, change, rank, random.std()))
        groups.append(window.group)
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return Predicted(groups, *columns)


def reach(
    latents: Latents,
    windows: list[Window],
    config: OptimizerConfig,
    fit: Fit,
    advance: Advance = lambda done: None,
) -> Reached:
    """Return plans toward goals near and far, and whether their first actions lead nearer."""
    groups, plans, surprises, before, after = [], [], [], [], []
    rng = np.random.default_rng(config.seed)
    for number, window in enumerate(windows):
        advance(1)
        known = int(rng.integers(min(window.start, RECENT) + 1))  # as in a run, first to last
        pair = latents.pair(window)
        if pair is None:
            continue
        start, goal = pair
        surprise = _surprises(latents, window, known, fit)
        found = plan(
            latents.model,
            start[None],
            window.state[None],
            goal,
            replace(config, seed=number),
            fit=fit,
            surprises=surprise,
        )
        state, action = torch.as_tensor(window.state).double(), torch.tensor(found.actions[0])
        groups.append(window.group)
        plans.append(found)
        surprises.append(surprise)
        before.append(float(pose_distance(window.state, window.goal_state)))
        reached = poses.compose(state, action).numpy()
        after.append(float(pose_distance(reached, window.goal_state)))
    return Reached(groups, plans, surprises, np.array(before), np.array(after))


def _surprises(latents: Latents, window: Window, count: int, fit: Fit) -> list[float]:
    """Return how surprising the last frames up to the start of a window are."""
    states = window.trajectory.states
    found = []
    for frame in range(window.start - count + 1, window.start + 1):
        pair = latents.pair(replace(window, start=frame - 1, goal=frame))
        if pair is not None:
            before, seen = pair
            start = states[frame - 1][None]
            error = step_error(latents.model, before[None], start, seen, states[frame])
            found.append(fit.surprise(error))
    return found


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
        advance(1)
        goal = latents.find(window, last)
        if goal is None:
            continue
        good, energies = [], []
        for t in frames:
            seen = latents.find(window, t)
            if seen is not None:
                good.append(t)
                energies.append(float(goal_energy(seen[None], goal, latents.model.cost)[0]))
        distance = pose_distance(trajectory.states[good], trajectory.states[last])
        yield Drive(number, distance, np.array(energies))
