# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect episodes of random persistent motion of the simulated arm.

Each episode has its own scene (objects, colours, light), all from its seed. Seeds from 0 on are
for training; those of the evaluation start at 1,000,000. Episodes that exist are kept, so an
interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .episodes import episode_path, write_episode
from ...simulation import ACTION_BOUNDS, PandaSim, WORKSPACE
from ...world_model import model_spec
from ...world_model.preprocessing import model_input

# Shares of the episodes. Fingers are a few pixels wide: alone they are learned sooner. Rotation
# stays in many, as planning leaves it alone more often than not.
FINGERS_ONLY = 0.25
NO_ROTATION = 0.4

_sim: PandaSim | None = None  # one a process; making one compiles the scene


def random_state(rng: np.random.Generator) -> np.ndarray:
    """Return a start state [7] anywhere in the workspace, tool near straight down."""
    low, high = np.transpose(WORKSPACE)
    angles = rng.normal(0.0, (0.06, 0.06, 0.3)).clip((-0.12, -0.12, -0.7), (0.12, 0.12, 0.7))
    return np.concatenate(
        [rng.uniform(low, high), angles + (np.pi, 0.0, 0.0), [rng.uniform(0.0, 1.0)]]
    )


def random_actions(rng: np.random.Generator, steps: int) -> np.ndarray:
    """
    Return actions [steps, 7] that keep a direction for a while, of all sizes up to the bounds.

    Two in five steps are drawn anew over the whole box, so that every corner is seen.
    """
    bounds = np.asarray(ACTION_BOUNDS)
    actions = np.zeros((steps, 7))
    velocity = rng.uniform(-1.0, 1.0, 7)
    for t in range(steps):
        if rng.random() < 0.4:
            velocity = rng.uniform(-1.0, 1.0, 7)
        jitter = rng.normal(0.0, 0.3, 7)
        scale = 1.0 if rng.random() < 0.7 else rng.uniform(0.0, 0.4)
        actions[t] = bounds * np.clip(scale * (velocity + jitter), -1.0, 1.0)
    kind = rng.random()
    if kind < FINGERS_ONLY:
        actions[:, :6] = 0.0
    elif kind < FINGERS_ONLY + NO_ROTATION:
        actions[:, 3:6] = 0.0
    return actions


def collect_episode(sim: PandaSim, seed: int, steps: int, size: int, crop: str):
    """Return frames, states and tips of one episode of steps + 1 frames; see Episodes."""
    rng = np.random.default_rng(seed)
    sim.reset(seed)
    sim.set_state(random_state(rng))
    frames, states, tips = [], [], []

    def observe():
        frames.append(model_input(sim.render(), size, crop))
        states.append(sim.state())
        tips.append(sim.finger_tips())  # the square picture is not cropped

    observe()
    centre, reach = np.mean(WORKSPACE, axis=1), np.ptp(WORKSPACE, axis=1) / 2
    for action in random_actions(rng, steps):
        # Turn back at the walls of the workspace instead of sliding along them.
        outward = np.abs(states[-1][:3] + action[:3] - centre) > reach
        action[:3][outward] *= -1.0
        # Send the fingers anywhere, or keep them: a random walk would stick at the ends.
        action[6] = rng.uniform() - states[-1][6] if rng.random() < 0.5 else rng.normal(0.0, 0.05)
        sim.step(action)
        observe()
    return np.stack(frames), np.stack(states), np.stack(tips)


def place_camera(sim: PandaSim, seed: int, turn: float, rise: float) -> None:
    """Put the fixed camera where a seed says, up to turn [degrees] round and rise [m] up."""
    shares = np.random.default_rng([seed, 2]).uniform(-1.0, 1.0, 2)
    sim.place_camera(np.deg2rad(turn) * shares[0], rise * shares[1])


def _collect_to_file(job) -> None:
    global _sim
    folder, seed, steps, size, crop, turn, rise = job
    if _sim is None:
        import torch

        torch.set_num_threads(1)
        _sim = PandaSim()
    place_camera(_sim, seed, turn, rise)
    write_episode(episode_path(folder, seed), *collect_episode(_sim, seed, steps, size, crop))


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--out', type=Path, required=True, help='folder of the episodes')
    parser.add_argument('--episodes', type=int, default=2500)
    parser.add_argument('--steps', type=int, default=15, help='actions an episode')
    parser.add_argument('--first-seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument('--model', default='sim-panda-ac', help='whose image size and crop')
    parser.add_argument(
        '--camera-turn',
        type=float,
        default=0.0,
        metavar='DEGREES',
        help='put the camera anew in every episode, up to so far round the workspace',
    )
    parser.add_argument(
        '--camera-rise', type=float, default=0.0, metavar='M', help='and up to so much up or down'
    )
    options = parser.parse_args(args)
    spec = model_spec(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    jobs = [
        (
            options.out,
            seed,
            options.steps,
            spec.image_size,
            spec.crop,
            options.camera_turn,
            options.camera_rise,
        )
        for seed in seeds
        if not episode_path(options.out, seed).exists()
    ]
    # Not forked: the threads of a torch that has run would leave their locks held in a copy.
    with ProcessPoolExecutor(options.workers, get_context('spawn')) as pool:
        for _ in tqdm(
            pool.map(_collect_to_file, jobs),
            total=options.episodes,
            initial=options.episodes - len(jobs),
            unit='episode',
        ):
            pass


if __name__ == '__main__':
    main()
