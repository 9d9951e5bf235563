# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Close the loop in the simulator over held-out episodes and print how near each method ends.

Beside the trained model: doing nothing, random actions, an untrained network of the same size,
raw pixels instead of latents (with the simulator itself as a perfect predictor) and an oracle
that knows the goal pose. The true pose is used for the scores and by the oracle alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .cases import Case, CASES
from .episodes import write_whole
from ...control.stop_rule import StopRule
from ...planning.actions import AXES
from ...planning.config import CemConfig, COSTS, TrustRegionConfig
from ...planning.search import Plan, plan
from ...simulation import ACTION_BOUNDS, PandaSim
from ...world_model import build_networks, load_world_model, model_spec, poses, VJepa2WorldModel

FIRST_SEED = 1_000_000
MAX_STEPS = 12
CEM = CemConfig(samples=200, seed=0)


@dataclass(frozen=True)
class Outcome:
    """How one episode went."""

    seed: int
    distances: tuple[float, ...]  # m to the goal, before the first and after every step
    grippers: tuple[float, ...]  # |closedness error|, likewise
    angle: float  # rad, of the rotation error at the end
    gains: tuple[float, ...]  # m nearer, of each executed plan
    energies: tuple[float, ...]  # of the picture each executed plan began from
    confidences: tuple[float, ...]  # of each executed plan


class SimulatorPixels:
    """
    A world model whose latents are the picture itself and whose predictor is the simulator.

    What raw-pixel energy would reach with perfect dynamics.
    """

    name = 'pixels'
    action_dim = 7
    action_bounds = ACTION_BOUNDS
    search_axes = AXES
    cost = 'l1'
    device = torch.device('cpu')
    dtype = torch.float32

    def __init__(self, sim: PandaSim, size: int):
        self.sim, self.size = sim, size

    def model_input(self, frame):
        return frame

    def encode(self, frames):
        """Return the pixels [T, size * size, 3], 0..1."""
        pixels = torch.as_tensor(np.asarray(frames)).permute(0, 3, 1, 2).float() / 255.0
        pixels = torch.nn.functional.interpolate(pixels, (self.size, self.size), mode='area')
        return pixels.flatten(2).mT

    observe = encode

    def rollout(self, context, states, actions):
        """Return the pixels [S, size * size, 3] after actions [S, 1, 7]."""
        state = torch.as_tensor(states[-1:], dtype=torch.float64)
        frames = []
        for target in poses.compose(state, actions[:, 0].double()).numpy():
            try:
                self.sim.set_state(target)
            except ValueError:  # out of reach
                self.sim.set_state(states[-1])
            frames.append(self.sim.render())
        self.sim.set_state(states[-1])
        return self.encode(frames)


Policy = Callable[[np.ndarray, np.ndarray], 'Plan | None']


def planned(world_model, goal_picture, config) -> Policy:
    """Return a policy (picture, state) -> Plan that plans toward a goal picture."""
    goal = world_model.encode(goal_picture[None])[0]

    def policy(picture, state):
        return plan(world_model, world_model.observe(picture[None]), state[None], goal, config)

    return policy


def fixed(action: Callable[[np.ndarray], np.ndarray]) -> Policy:
    """Return a policy that computes its action from the state and is always sure of it."""
    return lambda picture, state: Plan(action(state)[None], 0.0, 1.0, 1.0, (), 0.0, 1.0)


def oracle(goal: np.ndarray) -> Policy:
    """Return the policy that takes the largest allowed step straight to a goal state."""

    def action(state):
        step = poses.difference(torch.tensor(state), torch.tensor(goal)).numpy()
        return np.clip(step, np.negative(ACTION_BOUNDS), ACTION_BOUNDS)

    return fixed(action)


def random_policy(seed: int) -> Policy:
    """Return a policy of uniform actions within the bounds."""
    rng = np.random.default_rng(seed)
    return fixed(lambda state: rng.uniform(-1.0, 1.0, 7) * ACTION_BOUNDS)


def run_episode(
    sim: PandaSim, seed: int, make_policy, stop: StopRule | None, case: Case = CASES['plain']
) -> Outcome:
    """
    Run one episode.

    :param make_policy: called as make_policy(goal_picture, episode) before the first step.
    :param case: gives the episode of the seed.
    """
    episode = case.sample(seed)
    sim.reset(seed)
    case.arrange(sim, seed)
    sim.set_state(episode.goal)
    goal_picture, goal = sim.render().copy(), sim.state()
    sim.set_state(episode.start)
    policy = make_policy(goal_picture, episode)
    states, plans = [sim.state()], []
    for _ in range(MAX_STEPS):
        found = policy(sim.render(), states[-1])
        if stop is not None and stop.update(found.start_energy, found):
            break
        sim.step(found.actions[0])
        states.append(sim.state())
        plans.append(found)
    states = np.stack(states)
    distances = np.linalg.norm(states[:, :3] - goal[:3], axis=1)
    turn = poses.difference(torch.tensor(states[-1]), torch.tensor(goal))[3:6]
    return Outcome(
        seed,
        tuple(distances),
        tuple(np.abs(states[:, 6] - goal[6])),
        float(turn.norm()),
        tuple(-np.diff(distances)),
        tuple(p.start_energy for p in plans),
        tuple(p.confidence for p in plans),
    )


def summarise(outcomes: list[Outcome]) -> dict[str, float]:
    """Return the figures of a table row; distances in cm."""
    final = np.array([o.distances[-1] for o in outcomes])
    gains = np.concatenate([o.gains for o in outcomes])
    confidences = np.concatenate([o.confidences for o in outcomes])
    varied = len(gains) > 1 and np.std(confidences) > 0.0
    return {
        'below_4cm': float((final < 0.04).mean()),
        'below_2cm': float((final < 0.02).mean()),
        'median_cm': float(100 * np.median(final)),
        'mean_cm': float(100 * final.mean()),
        'worst_cm': float(100 * final.max()),
        'gripper_before': float(np.median([o.grippers[0] for o in outcomes])),
        'gripper': float(np.median([o.grippers[-1] for o in outcomes])),
        'rotation_rad': float(np.median([o.angle for o in outcomes])),
        'steps': float(np.mean([len(o.gains) for o in outcomes])),
        'confidence_gain_r': float(np.corrcoef(confidences, gains)[0, 1])
        if varied
        else float('nan'),
    }


def nearer(outcomes: list[Outcome], others: list[Outcome]) -> dict[str, float]:
    """Return how much nearer [cm] outcomes end than others of the same seeds, on average."""
    gains = [100 * (b.distances[-1] - a.distances[-1]) for a, b in zip(outcomes, others)]
    return {'nearer_cm': float(np.mean(gains)), '+-': float(np.std(gains) / len(gains) ** 0.5)}


def methods(sim, world_model, config, pixel_samples: int):
    """Return name -> (make_policy(goal_picture, episode), whether the stop rule applies)."""
    spec = model_spec(world_model.name)
    torch.manual_seed(0)
    untrained = VJepa2WorldModel(spec, *build_networks(spec))
    pixels = SimulatorPixels(sim, 64)
    few = CemConfig(samples=pixel_samples, iterations=3, seed=config.seed)
    return {
        'nothing': (lambda goal, episode: fixed(lambda state: np.zeros(7)), False),
        'random': (lambda goal, episode: random_policy(episode.seed), False),
        'untrained': (lambda goal, episode: planned(untrained, goal, config), True),
        'pixels': (lambda goal, episode: planned(pixels, goal, few), True),
        'oracle': (lambda goal, episode: oracle(episode.goal), False),
        world_model.name: (lambda goal, episode: planned(world_model, goal, config), True),
    }


def add_optimizer(parser, cem: CemConfig) -> None:
    """Let the command line choose how to plan; cem holds the defaults of that optimizer."""
    other = TrustRegionConfig()
    parser.add_argument('--optimizer', choices=('cem', 'trust_region'), default='cem')
    parser.add_argument(
        '--samples',
        type=int,
        help=f'candidates an iteration (default: {cem.samples}, trust_region {other.samples})',
    )
    parser.add_argument(
        '--iterations',
        type=int,
        help=(f'(default: {cem.iterations}, trust_region {other.iterations})'),
    )


def chosen_optimizer(options, cem: CemConfig) -> CemConfig | TrustRegionConfig:
    """Return what the command line has chosen."""
    config = TrustRegionConfig(seed=0) if options.optimizer == 'trust_region' else cem
    return replace(
        config,
        **{
            name: value
            for name, value in (('samples', options.samples), ('iterations', options.iterations))
            if value
        },
    )


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--checkpoint', type=Path, help='weights instead of the packaged ones')
    parser.add_argument('--episodes', type=int, default=50)
    parser.add_argument('--first-seed', type=int, default=FIRST_SEED)
    parser.add_argument('--modes', nargs='+', default=['kinematic', 'physics'])
    parser.add_argument('--cases', nargs='+', choices=CASES, default=['plain'])
    parser.add_argument('--methods', nargs='+', help='rows of the table (default: all)')
    parser.add_argument(
        '--costs',
        nargs='+',
        choices=COSTS,
        default=[''],
        help="what plans minimise, compared on the same episodes (default: the model's own)",
    )
    parser.add_argument('--dtype', default='auto')
    add_optimizer(parser, CEM)
    parser.add_argument(
        '--pixel-samples',
        type=int,
        default=32,
        help='rendered candidates an iteration of the pixel row',
    )
    parser.add_argument(
        '--json', type=Path, help='write every episode there; the same command goes on from it'
    )
    options = parser.parse_args(args)
    world_model = load_world_model(
        options.model, checkpoint=options.checkpoint, dtype=options.dtype
    )
    config = chosen_optimizer(options, CEM)
    known = options.json and options.json.is_file()
    report = json.loads(options.json.read_text()) if known else {}
    for mode, case in product(options.modes, options.cases):
        with PandaSim(mode=mode) as sim:
            first: dict[str, list[Outcome]] = {}  # cost's outcomes by method
            for cost in options.costs:
                table = methods(
                    sim, world_model, replace(config, cost=cost), options.pixel_samples
                )
                for name in options.methods or table:
                    row = ' '.join(filter(None, (mode, case, cost, name)))
                    outcomes = run_row(sim, row, case, *table[name], report, options)
                    others = first.setdefault(name, outcomes)
                    figures = {} if others is outcomes else nearer(outcomes, others)
                    print_row(row, {**summarise(outcomes), **figures})


def run_row(sim, row: str, case: str, make_policy, stops: bool, report, options) -> list[Outcome]:
    """Return the outcomes of a row; episodes that report has are not run again."""
    known = {outcome['seed']: outcome for outcome in report.get(row, ())}
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    for seed in tqdm([seed for seed in seeds if seed not in known], desc=row, leave=False):
        stop = StopRule() if stops else None
        known[seed] = vars(run_episode(sim, seed, make_policy, stop, CASES[case]))
        report[row] = list(known.values())
        if options.json:
            write_whole(options.json, json.dumps(report))
    return [Outcome(**known[seed]) for seed in seeds]


def print_row(name: str, row: dict[str, float]) -> None:
    """Print one row as aligned key=value columns."""
    figures = '  '.join(
        f'{key}={value:6.1%}' if key.startswith('below') else f'{key}={value:6.3f}'
        for key, value in row.items()
    )
    print(f'{name:30s} {figures}', flush=True)


if __name__ == '__main__':
    main()
