# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Tell from a recording whether the planner can work with this camera and arm; no robot is needed.

With --check-only the recording itself is looked at: units, rates, gaps, clocks, gripper, camera,
and how much of what the model can do it shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
import json
from pathlib import Path
import sys

from . import common as commands
from ..learning.datasets import open_dataset
from ..learning.datasets.check import check, ERROR, Finding, lines


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if the recording can be used."""
    parser = _parser()
    options = parser.parse_args(args)
    if not options.check_only:
        parser.error('only --check-only is there yet')
    return commands.run(check_only, options, (LookupError,))


def check_only(options: argparse.Namespace) -> int:
    """Print the findings; return 1 if one of them is an error."""
    from ..world_model.catalogue import model_spec  # torch takes seconds

    model = model_spec(options.model)
    dataset = open_dataset(
        options.data,
        period=model.frame_period,
        params=options.params,
        camera=options.camera,
        mapping=options.mapping,
    )
    findings = check(dataset, model.action_bounds)
    print(*lines(findings), sep='\n')
    if options.json:
        options.json.write_text(_json(options, findings))
    return int(any(item.severity == ERROR for item in findings))


def _json(options: argparse.Namespace, findings: Sequence[Finding]) -> str:
    content = {
        'data': str(options.data),
        'model': options.model,
        'findings': [asdict(item) for item in findings],
    }
    return json.dumps(content, indent=2) + '\n'


def _parser() -> argparse.ArgumentParser:
    summary, _, more = (__doc__ or '').strip().partition('\n\n')
    parser = argparse.ArgumentParser(prog='validate', description=summary, epilog=more)
    parser.add_argument(
        'data',
        metavar='DATA',
        type=Path,
        help='a bag, a LeRobotDataset, an HDF5 file, recorded plans, episodes',
    )
    parser.add_argument(
        '--model',
        default='vit-giant-ac',
        metavar='NAME',
        help='a name of `models list` (default: %(default)s)',
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
    parser.add_argument(
        '--check-only', action='store_true', help='look at the recording itself, with no model'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the findings there')
    return parser


if __name__ == '__main__':
    sys.exit(main())
