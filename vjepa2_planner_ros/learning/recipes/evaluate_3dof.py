# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Close the loop with the wrist camera and an encoder alone, and print how near each method ends.

Goal pictures are taken 3 to 10 cm away with the hand turned and opened as at the start. Beside the
encoder: doing nothing, the same geometry with raw pixels instead of latents, and an oracle
that knows the goal pose. The true pose is used for the scores and by the oracle alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .cases import Case
from .evaluate import add_optimizer, chosen_optimizer, fixed, oracle, Outcome, planned, run_episode
from ...control.stop_rule import StopRule
from ...planning.config import CemConfig, TrustRegionConfig
from ...simulation import Episode, PandaSim, sample_episode
from ...simulation.scene import WRIST_MOUNT
from ...world_model import load_world_model, preprocessing
from ...world_model.geometric import GeometricWorldModel, HandCamera

FIRST_SEED = 1_000_000
DISTANCE = (0.03, 0.10)  # m
CEM = CemConfig(samples=60, iterations=4, seed=0)  # three axes need fewer than four


class Pixels:
    """An encoder whose latents are the picture itself: what geometry reaches without one."""

    name = 'pixels'
    frame_period = 0.25
    device = torch.device('cpu')
    dtype = torch.float32
    cost = 'l1'

    def __init__(self, spec):
        self.spec = spec

    def model_input(self, frame):
        """Return the frame as an encoder would see it."""
        return preprocessing.model_input(frame, self.spec.image_size, self.spec.crop)

    def encode(self, frames):
        """Return the pixels [T, size * size, 3], 0..1."""
        return self.encode_pixels(
            preprocessing.crop_and_resize(frames, self.spec.image_size, self.spec.crop)
        )

    def encode_pixels(self, pixels):
        """Return the same of pixels [T, 3, size, size], 0..255."""
        return (pixels / 255.0).flatten(2).mT


def translation_episode(seed: int) -> Episode:
    """Return the episode of a seed whose goal is 3 to 10 cm away by translation alone."""
    episode = sample_episode(seed, DISTANCE)
    goal = episode.goal.copy()
    goal[6] = episode.start[6]
    return replace(episode, goal=goal)


def hand_camera(sim: PandaSim, plane_height: float = 0.0) -> HandCamera:
    """Return the simulator's wrist camera above a plane, the table top by default."""
    matrix = sim.camera_matrix()
    return HandCamera(
        (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]), WRIST_MOUNT, plane_height
    )


def methods(world_model, camera: HandCamera, config: CemConfig | TrustRegionConfig):
    """Return name -> (make_policy(goal_picture, episode), whether the stop rule applies)."""
    pixels = GeometricWorldModel(Pixels(world_model.spec), camera)
    encoder = GeometricWorldModel(world_model, camera)
    return {
        'nothing': (lambda goal, episode: fixed(lambda state: np.zeros(7)), False),
        'oracle': (lambda goal, episode: oracle(episode.goal), False),
        'pixels': (lambda goal, episode: planned(pixels, goal, config), True),
        world_model.name: (lambda goal, episode: planned(encoder, goal, config), True),
    }


def summarise(outcomes: list[Outcome]) -> dict[str, float]:
    """Return the figures of a table row; distances in cm."""
    final = 100.0 * np.array([o.distances[-1] for o in outcomes])
    return {
        'below_1cm': float((final < 1.0).mean()),
        'median_cm': float(np.median(final)),
        'mean_cm': float(final.mean()),
        'worst_cm': float(final.max()),
        'steps': float(np.mean([len(o.gains) for o in outcomes])),
    }


def main(args=None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--model', default='sim-panda', help='whose encoder (and no more)')
    parser.add_argument('--checkpoint', type=Path, help='weights instead of the packaged ones')
    parser.add_argument('--dtype', default='auto')
    parser.add_argument('--episodes', type=int, default=30)
    parser.add_argument('--first-seed', type=int, default=FIRST_SEED)
    parser.add_argument('--modes', nargs='+', default=['kinematic', 'physics'])
    parser.add_argument('--methods', nargs='+', help='rows of the table (default: all)')
    add_optimizer(parser, CEM)
    parser.add_argument(
        '--plane-height',
        type=float,
        default=0.0,
        help='height of the plane that is assumed [m] (default: the table, 0)',
    )
    parser.add_argument(
        '--shadow',
        action='store_true',
        help="show the hand's painted shadow, a hard disc that moves along",
    )
    parser.add_argument('--json', type=Path, help='write every episode there')
    options = parser.parse_args(args)
    world_model = load_world_model(
        options.model, checkpoint=options.checkpoint, dtype=options.dtype
    )
    config, case = chosen_optimizer(options, CEM), Case(translation_episode)
    seeds = range(options.first_seed, options.first_seed + options.episodes)
    report = {}
    for mode in options.modes:
        with PandaSim(mode=mode, camera='wrist') as sim:
            sim.casts_shadow = options.shadow
            table = methods(world_model, hand_camera(sim, options.plane_height), config)
            for name in options.methods or table:
                make_policy, stops = table[name]
                outcomes = [
                    run_episode(sim, seed, make_policy, StopRule() if stops else None, case)
                    for seed in tqdm(seeds, desc=f'{mode} {name}', leave=False)
                ]
                row = summarise(outcomes)
                report[f'{mode} {name}'] = {
                    'summary': row,
                    'episodes': [vars(o) for o in outcomes],
                }
                figures = '  '.join(f'{key}={value:6.3f}' for key, value in row.items())
                print(f'{mode:9s} {name:12s} {figures}', flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
