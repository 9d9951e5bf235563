# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Tell how far pictures are from a goal picture in a model's eyes; no robot is needed.

The energy is what the planner minimises: the difference of latents by the model's cost, 0 for the
same picture. Over a folder of pictures or a bag it should fall while the scene comes nearer to the
goal; where it does not, planning with this camera and goal has little to go by.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import csv
from itertools import tee
from pathlib import Path
import sys
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from . import common as commands
from ..learning.datasets.pictures import BagFrames, FolderFrames, open_frames
from ..messages.input_settings import Crop, read_crop
from ..messages.pictures import read_picture
from ..planning.config import COSTS
from ..planning.cost import goal_energy
from ..world_model import WorldModelError


class Moment(NamedTuple):
    """A picture of a sequence."""

    position: float  # its number, or its time [s]
    energy: float
    picture: np.ndarray  # uint8 [H, W, 3] RGB


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if the energy could be told."""
    parser = _parser()
    options = parser.parse_args(args)
    if len(options.pictures) != (1 if options.over else 2):
        parser.error('name a picture and the goal, or --over FOLDER|BAG and the goal')
    if (options.save or options.csv) and not options.over:
        parser.error('--save and --csv go with --over')
    measured = energy_over if options.over else energy_of_pair
    return commands.run(measured, options, (WorldModelError,))


def energy_of_pair(options: argparse.Namespace) -> None:
    """Print the energy between two pictures."""
    pictures, crop = [read_picture(file) for file in options.pictures], read_crop(options.crop)
    model = commands.load(options.model, options)
    latents, goal = (model.encode(picture[None], crop) for picture in pictures)
    print(f'{goal_energy(latents, goal[0], options.cost or model.cost).item():.6f}')


def energy_over(options: argparse.Namespace) -> None:
    """Print where the energy of a sequence begins, is lowest and ends; write all of it."""
    goal, frames = read_picture(options.pictures[0]), open_frames(options.over, options.every)
    crop = read_crop(options.crop)
    model = commands.load(options.model, options)
    points, moments = measure(model, frames, goal, crop, options.cost)
    for name, moment in moments.items():
        print(f'{name:7} {moment.energy:.6f}  {frames.axis} {moment.position:.4g}')
    if options.csv:
        with open(options.csv, 'w', newline='') as file:
            csv.writer(file).writerows([(frames.axis, 'energy'), *points])
    if options.save:
        shown = {'goal': goal, **{name: moment.picture for name, moment in moments.items()}}
        plot = draw(
            frames.axis,
            points,
            moments,
            {name: model.model_input(picture, crop) for name, picture in shown.items()},
        )
        plot.savefig(options.save, dpi=120)


def measure(
    model, frames: FolderFrames | BagFrames, goal: np.ndarray, crop: Crop = '', cost: str = ''
) -> tuple[list[tuple[float, float]], dict[str, Moment]]:
    """
    Return [(position, energy)] of frames, and the first, lowest and last as {name: Moment}.

    :param frames: iterable with a length of (position, uint8 picture [H, W, 3] RGB).
    :param goal: uint8 [H, W, 3] RGB.
    :param crop, cost: '' = the model's own.
    """
    target, cost = model.encode(goal[None], crop)[0], cost or model.cost
    frames_of_latents, ahead = tee(tqdm(frames, unit='picture', disable=None))
    latents = model.encode_each((picture for _, picture in ahead), crop)
    points: list[tuple[float, float]] = []
    moments: dict[str, Moment] = {}
    for (position, picture), latent in zip(frames_of_latents, latents):
        now = Moment(position, goal_energy(latent[None], target, cost).item(), picture)
        points.append((position, now.energy))
        lowest = min(moments.get('lowest', now), now, key=lambda moment: moment.energy)
        moments = {'first': moments.get('first', now), 'lowest': lowest, 'last': now}
    return points, moments


def draw(
    axis: str,
    points: Sequence[tuple[float, float]],
    moments: Mapping[str, Moment],
    pictures: Mapping[str, np.ndarray],
):
    """
    Return a Figure: pictures {name: uint8 [H, W, 3] RGB} above the energies.

    points and moments are as measure returns them, axis says what their positions are.
    """
    from matplotlib.figure import Figure  # by itself it needs no screen

    figure = Figure(figsize=(9, 6), layout='constrained')
    above, below = figure.subfigures(2, 1, height_ratios=(2, 3))
    for cell, (name, picture) in zip(above.subplots(1, len(pictures)), pictures.items()):
        cell.imshow(picture)
        cell.set_title(name)
        cell.axis('off')
    plot = below.subplots()
    plot.plot(*zip(*points), '.-', markersize=4)
    plot.plot(moments['lowest'].position, moments['lowest'].energy, 'o', label='lowest')
    plot.set(xlabel=axis, ylabel='energy (latent difference)')
    plot.set_ylim(bottom=0.0)
    plot.grid(alpha=0.3)
    plot.legend()
    return figure


def _parser():
    summary, _, more = __doc__.strip().partition('\n\n')
    parser = argparse.ArgumentParser(prog='energy', description=summary, epilog=more)
    parser.add_argument(
        'pictures',
        nargs='+',
        type=Path,
        metavar='PICTURE',
        help='a picture and the goal; with --over the goal alone',
    )
    parser.add_argument(
        '--over',
        metavar='FOLDER|BAG',
        help=(
            'measure all pictures of a folder, or of a bag (folder, .mcap or .db3; BAG:TOPIC '
            'where it has several topics with pictures)'
        ),
    )
    parser.add_argument(
        '--every',
        type=int,
        default=1,
        metavar='N',
        help='of a folder or bag take every Nth picture (default: %(default)s)',
    )
    parser.add_argument(
        '--save',
        type=Path,
        metavar='FILE',
        help='draw the energies there, for example into energy.png',
    )
    parser.add_argument('--csv', type=Path, metavar='FILE', help='write the energies there')
    parser.add_argument(
        '--crop',
        default='',
        metavar='CROP',
        help='what the model sees of a picture, as parameter camera.NAME.crop (default: the '
        "model's own)",
    )
    text = "as parameter search.cost (default: the model's own)"
    parser.add_argument('--cost', choices=COSTS, default='', help=text)
    commands.add_model_options(parser)
    return parser


if __name__ == '__main__':
    sys.exit(main())
