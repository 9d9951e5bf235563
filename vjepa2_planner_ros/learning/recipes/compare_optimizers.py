# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Print how much energy each optimizer leaves beside a plan of the cross-entropy method's 8,000.

The problems are pictures of the simulator that no training saw, one to five steps from the goal.
The excess of a plan is (E - E_ref) / (E_null - E_ref): 0 is as good as the reference, CEM with 800
samples x 10 iterations, 100 % as bad as doing nothing, below 0 better than the reference. All
energies are measured in float32, whatever the plan was made in.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
import json
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .episodes import write_whole
from ...planning.actions import AXES
from ...planning.config import CemConfig, TrustRegionConfig
from ...planning.cost import goal_energy
from ...planning.search import plan
from ...simulation import PandaSim, sample_episode
from ...world_model import load_world_model

FIRST_SEED = 2_000_000
STEP = 0.05  # m
REFERENCE = CemConfig(samples=800, iterations=10, seed=0)
FOUR = ('x', 'y', 'z', 'gripper')
NARROW = (0.015, 0.015, 0.015, 0.05, 0.05, 0.05, 0.2)
# Name: settings beside four axes, dtype to plan in, distances (m); None = one to five steps.
CASES = {
    'near': ({}, 'float32', None),
    'bfloat16': ({}, 'bfloat16', None),
    'far': ({}, 'float32', (0.30, 0.45)),
    'bounds': ({'bounds': NARROW}, 'float32', None),
    'seven axes': ({'axes': AXES}, 'float32', None),
    'horizon 2': ({'horizon': 2}, 'float32', None),
}
METHODS = {
    'cem 500 x 5': CemConfig(),
    'cem 100 x 5': CemConfig(samples=100),
    'cem 32 x 4': CemConfig(samples=32, iterations=4),
    'cem 16 x 5': CemConfig(samples=16),
    'trust_region 16 x 4': TrustRegionConfig(),
    'trust_region 16 x 3': TrustRegionConfig(iterations=3),
}


@dataclass(frozen=True)
class Problem:
    """What a plan begins from and is to reach."""

    seed: int
    context: Tensor  # [1, N, D]
    states: np.ndarray  # [1, 7]
    goal: Tensor  # [N, D]


class Counted:
    """A world model that counts the candidates it is asked about."""

    def __init__(self, model):
        self._model = model
        self.candidates = 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def rollout(self, context, states, actions):
        """Do as the model does."""
        self.candidates += len(actions)
        return self._model.rollout(context, states, actions)


def make_problems(sim: PandaSim, world_model, count: int, distances) -> list[Problem]:
    """Return problems at distances (m); with None one step from the goal to five, in turn."""
    problems = []
    for i in tqdm(range(count), desc='pictures', leave=False):
        steps = 1 + i % 5
        seed = FIRST_SEED + i + (0 if distances is None else 1000)
        episode = sample_episode(seed, distances or (STEP * (steps - 1) + 0.01, STEP * steps))
        sim.reset(seed)
        sim.set_state(episode.goal)
        goal = world_model.encode(sim.render()[None])[0]
        sim.set_state(episode.start)
        problems.append(
            Problem(seed, world_model.observe(sim.render()[None]), sim.state()[None], goal)
        )
    return problems


def references(world_model, problems, case: str, settings, path: Path) -> list[list[float]]:
    """Return [E_ref, E_null] of every problem, from a file where it has them."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    for problem in tqdm(problems, desc=f'{case}, reference', leave=False):
        key = f'{case} {problem.seed}'
        if key not in known:
            found = plan(
                world_model,
                problem.context,
                problem.states,
                problem.goal,
                replace(REFERENCE, **settings),
            )
            known[key] = [found.energy, found.start_energy]
            write_whole(path, json.dumps(known, indent=0))
    return [known[f'{case} {problem.seed}'] for problem in problems]


def run(judge, model, problems, pairs, config) -> dict[str, float]:
    """
    Return the figures of a table row.

    :param judge: the world model in float32, which measures the plans of model.
    :param pairs: [E_ref, E_null] of every problem.
    """
    excesses, seconds, counted = [], [], Counted(model)
    for problem, (reference, nothing) in zip(problems, pairs):
        began = perf_counter()
        found = plan(
            counted,
            problem.context,
            problem.states,
            problem.goal,
            replace(config, seed=problem.seed),
        )
        seconds.append(perf_counter() - began)
        actions = torch.as_tensor(found.actions, dtype=torch.float32)[None]
        latents = judge.rollout(problem.context, problem.states, actions)
        energy = float(goal_energy(latents, problem.goal, judge.cost)[0])
        excesses.append((energy - reference) / (nothing - reference))
    return {
        'candidates': counted.candidates / len(problems),
        'median': np.median(excesses),
        'p90': np.percentile(excesses, 90),
        'worst': max(excesses),
        'ms': 1e3 * np.median(seconds),
        'excesses': excesses,
    }


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n\n')[0])
    parser.add_argument('--problems', type=int, default=100)
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    parser.add_argument(
        '--references',
        type=Path,
        default=Path('references.json'),
        help='where reference energies are kept: each takes about 15 s',
    )
    parser.add_argument('--json', type=Path, help='write every figure there')
    options = parser.parse_args(args)
    models = {
        name: load_world_model('sim-panda-ac', dtype=name, device='cpu')
        for name in {'float32', *(CASES[case][1] for case in options.cases)}
    }
    judge, report = models['float32'], []
    for case in options.cases:
        changes, dtype, distances = CASES[case]
        settings = {'axes': FOUR, **changes}
        with PandaSim() as sim:
            problems = make_problems(sim, judge, options.problems, distances)
        reference_case = 'near' if case == 'bfloat16' else case
        pairs = references(judge, problems, reference_case, settings, options.references)
        for name in options.methods:
            row = run(judge, models[dtype], problems, pairs, replace(METHODS[name], **settings))
            report.append({'case': case, 'method': name, 'problems': len(problems), **row})
            print(
                f'{case:10s}  {name:20s} {row["candidates"]:6.0f} candidates  excess median '
                f'{row["median"]:7.2%}  p90 {row["p90"]:7.2%}  worst {row["worst"]:7.2%}  '
                f'{row["ms"]:6.0f} ms',
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
