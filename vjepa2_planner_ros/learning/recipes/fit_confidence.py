# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Fit the confidence of a model to closed loops in the simulator, and tell how true it is there.

In a closed loop most plans begin where another one has led: the energy is low, whatever is still
wrong. Windows of a recording hold few such starts, so `validate --fit` is for real arms, where no
run knows how far it was from its goal, and this for the simulator, which knows it. The camera
stands where it was in training in every other run, and up to --camera-turn degrees beside it in
the others. With --fit FILE nothing is fitted: the file is judged, by mode and camera.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .evaluate_3dof import hand_camera, translation_episode
from ..confidence import fit_confidence, probabilities
from ..measures import calibration_error, reliability
from ..study import Reached, usual_error
from ...planning.confidence import (
    FEATURES,
    Fit,
    pose_distance,
    read_fit,
    step_error,
    StepError,
    write_fit,
)
from ...planning.config import TrustRegionConfig
from ...planning.search import plan
from ...simulation import PandaSim, sample_episode
from ...world_model import load_world_model
from ...world_model.geometric import GeometricWorldModel

STEPS = 8
FIRST_SEED = 5_100_000  # of the fit; those of the evaluation are below 5,000,000


class Runs:
    """Plans of closed loops, what they led to, and how far each step was from the predicted."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.plans: list = []
        self.errors: list[list[StepError]] = []  # of the steps before in the same run
        self.before: list[float] = []
        self.after: list[float] = []

    def reached(self, fit: Fit) -> Reached:
        """Return the plans with surprises in units of a fit."""
        surprises = [[fit.surprise(error) for error in errors] for errors in self.errors]
        return Reached(
            self.seeds, self.plans, surprises, np.array(self.before), np.array(self.after)
        )

    def step_errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return error and change [n] of every step."""
        last = [errors[-1] for errors in self.errors if errors]
        return np.array([step.error for step in last]), np.array([step.change for step in last])


@contextmanager
def scene(model, mode: str):
    """Yield the simulator and the WorldModel, which looks from the hand if it is an encoder."""
    alone = model.spec.predictor is None
    with PandaSim(mode=mode, camera='wrist' if alone else 'fixed') as sim:
        yield sim, GeometricWorldModel(model, hand_camera(sim)) if alone else model


def run(sim: PandaSim, model, seed: int, runs: Runs) -> None:
    """Run the loop of an episode for STEPS steps, whatever the stop rule would say."""
    episode = (translation_episode if model.action_dim == 3 else sample_episode)(seed)
    sim.reset(seed)
    sim.set_state(episode.goal)
    goal, goal_state = model.encode(sim.render()[None])[0], sim.state()
    sim.set_state(episode.start)
    errors: list[StepError] = []
    before = None
    for number in range(STEPS):
        state, picture = sim.state(), sim.render()[None]
        context = model.observe(picture)
        latents = model.encode(picture)[0] if model.action_dim == 3 else context[-1]
        if before is not None:
            *start, latents_before = before
            errors.append(step_error(model, *start, latents, state, latents_before))
        config = TrustRegionConfig(seed=number)
        found = plan(model, context, state[None], goal, config)
        sim.step(found.actions[0])
        runs.seeds.append(seed)
        runs.plans.append(found)
        runs.errors.append(list(errors))
        runs.before.append(float(pose_distance(state, goal_state)))
        runs.after.append(float(pose_distance(sim.state(), goal_state)))
        before = context, state[None], latents


def fit(model, options) -> Fit:
    """Return the Fit of a model to runs in both modes."""
    runs = Runs()
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    for mode in options.modes:
        with scene(model, mode) as (sim, world):
            for seed in tqdm(seeds, desc=mode, disable=None):
                turn = np.random.default_rng([seed, 4]).uniform(-1.0, 1.0) * options.camera_turn
                sim.place_camera(np.deg2rad(turn) * (seed % 2))
                run(sim, world, seed, runs)
    error, change = runs.step_errors()
    bounds, cost = world.action_bounds, model.cost
    usual = Fit(model.name, cost, usual_error(error, change), 1.0, (0.0,) * len(FEATURES))
    return fit_confidence(model.name, cost, bounds, error, change, runs.reached(usual))


def judge(model, made: Fit, options) -> None:
    """Print the calibration error of a fit, and its reliability, by mode and camera."""
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    for mode, turn in product(options.modes, options.turns):
        runs = Runs()
        with scene(model, mode) as (sim, world):
            for seed in tqdm(seeds, desc=f'{mode} {turn:g}', disable=None, leave=False):
                sim.place_camera(np.deg2rad(turn) * (-1.0) ** seed)
                run(sim, world, seed, runs)
        reached = runs.reached(made)
        said = probabilities(made, reached, world.action_bounds)
        error = calibration_error(said, reached.nearer)
        rows = ' '.join(
            f'{p:.2f}:{share:.2f}' for p, share, _ in reliability(said, reached.nearer)
        )
        print(
            f'{mode} camera {turn:g} degrees: {len(said)} plans, {reached.nearer.mean():.0%} led '
            f'nearer, calibration error {error:.3f}, said:happened {rows}',
            flush=True,
        )


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--checkpoint', type=Path, help='weights instead of the packaged ones')
    parser.add_argument('--episodes', type=int, default=150, help='for each mode (and camera)')
    parser.add_argument('--first-seed', type=int, default=FIRST_SEED)
    parser.add_argument('--modes', nargs='+', default=['kinematic', 'physics'])
    parser.add_argument('--camera-turn', type=float, default=10.0, help='degrees, at most')
    parser.add_argument('--fit', type=Path, help='judge this file instead')
    parser.add_argument('--turns', nargs='+', type=float, default=[0.0, 3.0, 8.0], help='degrees')
    parser.add_argument('--out', type=Path, help='where to write the fit')
    options = parser.parse_args(args)
    model = load_world_model(options.model, checkpoint=options.checkpoint)
    if options.fit:
        judge(model, read_fit(options.fit), options)
        return
    made = fit(model, options)
    print(f'calibration error {made.figures["calibration_error"]} on runs left out')
    if options.out:
        write_fit(options.out, made)


if __name__ == '__main__':
    main()
