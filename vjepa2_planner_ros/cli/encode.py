# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Turn pictures into a model's latents and write them to a NumPy file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

import numpy as np
from tqdm import tqdm

from . import common as commands
from ..messages.pictures import read_picture
from ..messages.texts import dtype_name
from ..world_model import WorldModelError


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if the latents were written."""
    return commands.run(encode, _parser().parse_args(args), (WorldModelError,))


def encode(options: argparse.Namespace) -> None:
    """
    Write latents [T, N, D], float32, with the files' names and what encoded them.

    The latents are layer-normed: the energy of two pictures is the mean of abs(a - b).
    """
    model = commands.load(options.model, options)
    pictures = map(read_picture, tqdm(options.pictures, unit='picture', disable=None))
    latents = np.stack([one.float().cpu().numpy() for one in model.encode_each(pictures)])
    with open(options.output, 'wb') as file:  # np.savez would add a suffix to a name
        np.savez(
            file,
            latents=latents,
            files=[str(file) for file in options.pictures],
            model=model.name,
            dtype=dtype_name(model.dtype),
        )
    print(
        f'{options.output}: latents {list(latents.shape)} of {model.name} '
        f'in {dtype_name(model.dtype)}'
    )


def _parser():
    parser = argparse.ArgumentParser(prog='encode', description=__doc__)
    parser.add_argument(
        'pictures',
        nargs='+',
        type=Path,
        metavar='PICTURE',
        help='picture file of any usual format',
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        required=True,
        metavar='FILE.npz',
        help='write there, in the format of numpy.load',
    )
    commands.add_model_options(parser)
    return parser


if __name__ == '__main__':
    sys.exit(main())
