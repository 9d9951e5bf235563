# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn and raise the simulated camera, calibrate each view, and tell whether that helps the loop.

A row a view: the angle that was found beside the true one, how much motion stays unexplained,
whether `calibrate` would have refused it, and how near closed loops end with and without the
calibration. It is applied here whether or not it was refused, so that refusals can be judged.
"""

from __future__ import annotations

import argparse

import numpy as np
from tqdm import tqdm

from .cases import CASES
from .collect import collect_episode
from .evaluate import planned, run_episode
from ..calibrate import (
    align,
    check_motion,
    check_view,
    infer_motions,
    NotCalibrated,
    to_calibration,
)
from ..trajectory import Trajectory
from ...control.stop_rule import StopRule
from ...planning.config import TrustRegionConfig
from ...simulation import PandaSim
from ...world_model import load_world_model
from ...world_model.calibration import calibrated

TURNS = (-40, -30, -20, -10, -5, -3, 0, 3, 5, 10, 20, 30, 40)  # degrees
RISES = (-0.1, 0.1)  # m
FIRST_SEED = 5_200_000


def trajectories(sim: PandaSim, model, count: int) -> list[Trajectory]:
    """Return what the camera sees of random motion, as a lab would record it."""
    spec = model.spec
    found = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        frames, states, _ = collect_episode(sim, seed, 15, spec.image_size, spec.crop)
        stamps = spec.frame_period * np.arange(len(states))
        found.append(Trajectory(frames, states.astype(np.float64), stamps, f'episode {seed}'))
    return found


def view(model, turn: float, rise: float, options) -> dict[str, str]:
    """Return the row of a camera turned by turn [degrees] and raised by rise [m]."""
    with PandaSim() as sim:
        sim.place_camera(np.deg2rad(turn), rise)
        data = trajectories(sim, model, options.recorded)
        inferred, true, groups = infer_motions(
            model, data, options.steps, advance=lambda done: None
        )
        check_motion(true, 2)
        found = align(inferred, true, groups)
        try:
            check_view(found)
            refused = ''
        except NotCalibrated as error:
            refused = 'condition' if 'condition number' in str(error) else 'residual'
        turned = calibrated(model, to_calibration(found, data, model.name, '', ''))
        before, after = (ends(sim, each, options.episodes) for each in (model, turned))
    low, high = found.interval
    return {
        'camera': f'{turn:+d} degrees' if not rise else f'{100 * rise:+.0f} cm',
        'found': f'{found.angles[2]:+.1f} ({low:+.1f} to {high:+.1f})',
        'unexplained': f'{found.before:.0%} -> {found.residual:.0%}',
        'condition': f'{found.condition:.1f}',
        'step error [cm]': f'{100 * found.error_before:.2f} -> {100 * found.error_after:.2f}',
        'below 4 cm': f'{(before < 0.04).mean():.0%} -> {(after < 0.04).mean():.0%}',
        'median end [cm]': f'{100 * np.median(before):.1f} -> {100 * np.median(after):.1f}',
        'refused': refused,
    }


def ends(sim: PandaSim, model, episodes: int) -> np.ndarray:
    """Return how far [m] closed loops end from their goals."""
    config = TrustRegionConfig(seed=0)
    outcomes = [
        run_episode(
            sim,
            seed,
            lambda goal, episode: planned(model, goal, config),
            StopRule(),
            CASES['plain'],
        )
        for seed in range(FIRST_SEED + 1000, FIRST_SEED + 1000 + episodes)
    ]
    return np.array([outcome.distances[-1] for outcome in outcomes])


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--model', default='sim-panda-ac')
    parser.add_argument('--checkpoint', help='weights instead of the packaged ones')
    parser.add_argument('--recorded', type=int, default=40, help='episodes for each view')
    parser.add_argument('--steps', type=int, default=150, help='steps used of them')
    parser.add_argument('--episodes', type=int, default=20, help='closed loops for each view')
    options = parser.parse_args(args)
    model = load_world_model(options.model, checkpoint=options.checkpoint)
    views = [*((turn, 0.0) for turn in TURNS), *((0, rise) for rise in RISES)]
    for number, (turn, rise) in enumerate(tqdm(views, disable=None)):
        row = view(model, turn, rise, options)
        if number == 0:
            print('| ' + ' | '.join(row) + ' |\n' + '|---' * len(row) + '|')
        print('| ' + ' | '.join(row.values()) + ' |', flush=True)


if __name__ == '__main__':
    main()
