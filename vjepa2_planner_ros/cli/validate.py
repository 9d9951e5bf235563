# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Tell from a recording whether the planner can work with this camera and arm; no robot is needed.

With --check-only the recording itself is looked at: units, rates, gaps, clocks, gripper, camera,
and how much of what the model can do it shows. Without, a model infers the actions between its
frames, and what that tells is answered in words: does the model see the arm, does it use the
actions, is the camera's angle good, which axes can be trusted, how far away may a goal be.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
import json
from pathlib import Path
import sys
from typing import Any

from tqdm import tqdm

from . import common as commands
from .recordings import add_recording_options, open_for, open_recording
from ..learning.datasets.check import check, ERROR, lines
from ..learning.trajectory import Trajectory
from ..messages.input_settings import read_crop
from ..messages.texts import one_line

WINDOWS = 200


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if the recording can be used."""
    parser = _parser()
    options = parser.parse_args(args)
    several = bool(options.compare) or len(options.crop) > 1
    if options.compare and len(options.crop) > 1:
        parser.error('compare models or crops, not both at once')
    if several and (options.output or options.fit):
        parser.error('-o and --fit are of one model and one crop: run it for that one alone')
    if options.compare and options.checkpoint:
        parser.error('with --compare name weights as MODEL=FILE')
    chosen = check_only if options.check_only else compare if several else judge
    from ..world_model import WorldModelError  # torch takes seconds

    return commands.run(chosen, options, (LookupError, WorldModelError))


def check_only(options: argparse.Namespace) -> int:
    """Print what is wrong with a recording; return 1 if it cannot be used as it is."""
    from ..world_model.catalogue import model_spec

    model = model_spec(options.model)
    findings = check(open_recording(options, model.frame_period), model.action_bounds)
    print(*map(one_line, lines(findings)), sep='\n')
    _write_json(options, findings=[asdict(item) for item in findings])
    return int(any(item.severity == ERROR for item in findings))


def judge(options: argparse.Namespace) -> None:
    """Print the answers about one model; write report, figures and fit where they are asked."""
    from ..history.validation_report import page
    from ..learning.validate import to_json, total_work, validate
    from ..planning.confidence import write_fit
    from ..world_model.catalogue import model_spec

    (crop,) = options.crop or ['']
    trajectories = open_for(options, model_spec(options.model)).trajectories
    model = commands.load(options.model, options)
    total = total_work(trajectories, options.windows)
    found = _with_bar(validate, model, trajectories, crop, options, total)
    print(*found.verdicts, *(one_line(f'left out: {note}') for note in found.notes), sep='\n')
    facts = [
        ('data', str(options.data)),
        ('recorded', f'{len(trajectories)} trajectories, {sum(map(len, trajectories))} frames'),
        ('model', f'{model.name}, {options.checkpoint or "its own weights"}'),
        ('crop', crop or "the model's own"),
        ('precision', f'{found.study.dtype} on {model.device}'),
        ('windows', f'{options.windows} of each kind, seed {options.seed}'),
    ]
    if options.output:
        name = options.data.resolve().name
        options.output.write_text(page(f'{model.name} on {name}', facts, found), 'utf-8')
    _write_json(
        options,
        facts=dict(facts),
        verdicts=to_json(found.verdicts),
        figures=to_json(found.figures),
        baselines=to_json(found.baselines),
        notes=found.notes,
    )
    if options.fit:
        if found.fit is None:
            raise ValueError(f'--fit {options.fit}: nothing is written: {found.notes[-1]}')
        write_fit(options.fit, found.fit)
        error = found.fit.figures['calibration_error']
        print(f'{options.fit}: expected calibration error {error:.3f} on stretches left out')


def compare(options: argparse.Namespace) -> None:
    """Print how models, or crops of one, differ on the same windows."""
    from ..learning.study import study, work
    from ..learning.validate import compare as differences, to_json
    from ..learning.verdicts import figures
    from ..world_model.catalogue import model_spec

    first, period, model, loaded, rows = None, None, None, None, {}
    for name, model_name, checkpoint, crop in _variants(options):
        spec = model_spec(model_name)
        if spec.frame_period != period:
            period, trajectories = spec.frame_period, open_for(options, spec).trajectories
        if (model_name, checkpoint) != loaded:
            if model is not None:
                model.drop_weights()  # there may be no room for two
            chosen = argparse.Namespace(**{**vars(options), 'checkpoint': checkpoint})
            model, loaded = commands.load(model_name, chosen), (model_name, checkpoint)
        total = work(trajectories, options.windows)
        found = _with_bar(study, model, trajectories, crop, options, total)
        first = first or (name, found)
        rows[name] = {'figures': to_json(figures(found))}
        if found is first[1]:
            continue
        better = differences(first[1], found)
        rows[name]['better'] = to_json(better)
        print(f'{name} instead of {first[0]}, better where above 0:')
        print(*(f'  {text}: {value}' for text, value in better.items()), sep='\n')
    _write_json(options, compared=rows)


def _variants(options: argparse.Namespace) -> Iterator[tuple[str, str, Any, str]]:
    """Yield name, model, checkpoint or None, and crop of all that are compared."""
    if not options.compare:
        for crop in options.crop:
            yield f"crop '{crop}'", options.model, options.checkpoint, crop
        return
    (crop,) = options.crop or ['']
    for text in options.compare:
        model, _, checkpoint = text.partition('=')
        yield text, model, checkpoint or None, crop


def _with_bar(
    judge: Callable[..., Any],
    model: Any,
    trajectories: list[Trajectory],
    crop: str,
    options: argparse.Namespace,
    total: int,
) -> Any:
    """Return what study or validate finds, with a progress bar of total windows."""
    with tqdm(total=total, desc='windows', unit='', disable=None) as bar:
        return judge(
            model,
            trajectories,
            options.windows,
            crop=read_crop(crop),
            seed=options.seed,
            advance=bar.update,
        )


def _write_json(options: argparse.Namespace, **content: Any) -> None:
    if options.json:
        content = {'data': str(options.data), 'model': options.model, **content}
        options.json.write_text(json.dumps(content, indent=2) + '\n', 'utf-8')


def _parser() -> argparse.ArgumentParser:
    summary, _, more = (__doc__ or '').strip().partition('\n\n')
    parser = argparse.ArgumentParser(prog='validate', description=summary, epilog=more)
    add_recording_options(parser)
    commands.add_model_options(parser)
    parser.add_argument(
        '--crop',
        action='append',
        default=[],
        metavar='CROP',
        help='what the model sees of a picture, as parameter camera.NAME.crop (default: the '
        "model's own); several are compared",
    )
    parser.add_argument(
        '--compare',
        nargs='+',
        metavar='MODEL[=FILE]',
        help='models, or weights of them, to compare on the same windows',
    )
    parser.add_argument(
        '--windows',
        type=_count,
        default=WINDOWS,
        metavar='N',
        help='pairs of frames for each kind of figure (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of windows and candidates (default: %(default)s)'
    )
    parser.add_argument('-o', '--output', type=Path, metavar='HTML', help='write a report there')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there')
    parser.add_argument(
        '--fit',
        type=Path,
        metavar='FILE',
        help='write what makes the confidence a probability: parameter confidence_fit',
    )
    parser.add_argument(
        '--check-only', action='store_true', help='look at the recording itself, with no model'
    )
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{text}: allowed: 1 or more')
    return number


if __name__ == '__main__':
    sys.exit(main())
