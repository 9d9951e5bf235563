# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands about recordings share: their options, and how a recording is opened."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
import sys
from typing import Any

from ..learning.datasets import Dataset, open_dataset
from ..learning.datasets.check import check, ERROR, Finding, WARNING
from ..messages.params_yaml import sections
from ..messages.texts import one_line
from ..nodes.params_file import check_params_file, NODES


def add_recording_options(parser: ArgumentParser) -> None:
    """Add DATA, --params, --camera and --mapping."""
    parser.add_argument(
        'data',
        metavar='DATA',
        type=Path,
        help='a bag, a LeRobotDataset, an HDF5 file, recorded plans, episodes',
    )
    parser.add_argument(
        '--params',
        type=Path,
        metavar='FILE',
        help="the planner's parameter file: topics, frames and gripper of a bag",
    )
    parser.add_argument(
        '--camera',
        default='',
        help='a camera of that file, a topic or a column (default: the first)',
    )
    parser.add_argument(
        '--mapping',
        type=Path,
        metavar='FILE',
        help='YAML file: which columns of a LeRobotDataset or HDF5 file are pose and gripper',
    )


def open_recording(options: Namespace, period: float) -> Dataset:
    """Return the Dataset that the options name, at a model's frame period [s]."""
    if options.params:
        _check_params(str(options.params))
    return open_dataset(
        options.data,
        period=period,
        params=options.params,
        camera=options.camera,
        mapping=options.mapping,
    )


def _check_params(path: str) -> None:
    """Refuse a parameter file that no planner, in whatever namespace, would start with."""
    names = [name for name, _ in sections(path) if name.rpartition('/')[2] in NODES]
    check_params_file(path, *(names or [f'/{name}' for name in NODES]))


def open_for(options: Namespace, model: Any) -> Dataset:
    """
    Return the Dataset that the options name, for a ModelSpec; what is wrong with it is said.

    ValueError: a model without a predictor cannot be judged on it.
    """
    if model.predictor is None:
        raise ValueError(
            f"model = '{model.name}': allowed: one with a predictor, such as vit-giant-ac; an "
            'encoder alone has learned nothing about actions'
        )
    dataset = open_recording(options, model.frame_period)
    for item in check(dataset, model.action_bounds):
        if item.severity in (WARNING, ERROR):
            print(one_line(_line(item)), file=sys.stderr)
    return dataset


def _line(item: Finding) -> str:
    advice = f' -> {item.advice}' if item.advice else ''
    return f'{item.severity} {item.subject}: {item.text}{advice}'
