# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""List the models that can plan, download their weights, and try whether one loads here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys
from time import perf_counter

import numpy as np
import torch

from . import common as commands
from ..messages.texts import dtype_name
from ..world_model import (
    download_decoder,
    download_weights,
    find_weights,
    layout_of,
    missing_files,
    model_spec,
    ModelLoadError,
    MODELS,
    weights_bytes,
    WorldModelError,
)
from ..world_model.cache import verify
from ..world_model.checkpoints import read_checkpoint
from ..world_model.devices import DTYPES, peak_host_memory, used_memory
from ..world_model.hub import download_from_hub, SCHEME
from ..world_model.loading import models_that_fit

GB = 1e9
LICENCES = {'CC-BY-NC-4.0': 'CC-BY-NC-4.0, which does not allow commercial use'}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if what it was asked for was possible."""
    options = _parser().parse_args(args)
    return commands.run(options.run, options, (WorldModelError,))


def list_models(options: argparse.Namespace) -> None:
    """Print the catalogue, what is on this machine and what is missing."""
    sizes = ''.join(f'{name:>10}' for name in DTYPES)
    print(f'{"model":19}{"plans":>6}{"image":>7}{sizes}  {"licence":13}{"layout":12} weights')
    for spec in MODELS.values():
        memory = ''.join(f'{weights_bytes(spec, dtype) / GB:7.3f} GB' for dtype in DTYPES.values())
        missing = missing_files(spec, options.cache)
        if missing:
            layout, weights = '-', f'not here; {" and ".join(missing)}'
        else:
            sources = find_weights(spec, cache=options.cache)
            layout, weights = layout_of(sources, spec), ' and '.join(map(str, sources))
        print(
            f'{spec.name:19}{spec.action_dim:2} DOF{spec.image_size:4} px{memory}  '
            f'{spec.licence:13}{layout:12} {weights}'
        )


def download(options: argparse.Namespace) -> None:
    """Download the weights of a model, or its decoder, unless they are on this machine."""
    if options.name.startswith(SCHEME):
        print(f'licence: see the model card of {options.name}', file=sys.stderr)
        with commands.ByteBar() as bar:
            paths = download_from_hub(options.name, progress=bar)
        print(*paths, sep='\n')
        return
    spec = model_spec(options.name)
    what, licence = spec.name, spec.licence
    if options.decoder:
        what, licence = f'the decoder of {what}', getattr(spec.decoder, 'licence', licence)
    print(f'licence of {what}: {LICENCES.get(licence, licence)}', file=sys.stderr)
    found: Sequence[object]
    with commands.ByteBar() as bar:
        if options.decoder:
            found = [download_decoder(spec, options.cache, progress=bar)]
        else:
            found = download_weights(spec, options.cache, progress=bar)
    print(*found, sep='\n')


def load_check(options: argparse.Namespace) -> None:
    """Load a model, use it once, and print what that took."""
    try:
        _load_check(options)
    except ModelLoadError as error:
        fitting = models_that_fit(options.checkpoint) if options.checkpoint else []
        if not fitting or options.name in fitting:
            raise
        raise ModelLoadError(f'{error}; it has the tensors of {", ".join(fitting)}') from error


def _load_check(options: argparse.Namespace) -> None:
    spec = model_spec(options.name)
    sources = find_weights(spec, options.checkpoint, options.cache)
    with commands.ByteBar() as bar:
        read_checkpoint(sources, spec)  # only a whole file is worth recording
        for source in sources:
            if source.recorded:
                verify(source.paths[0], thorough=True, progress=bar)
        before, began = peak_host_memory(), perf_counter()
        model = commands.load(spec.name, options, progress=bar)
        seconds, peak = perf_counter() - began, peak_host_memory()
    size = weights_bytes(spec, model.dtype)
    for source in sources:
        print(f'{" and ".join(source.parts)} from {source} ({commands.size(source.size)})')
    print(f'layout {layout_of(sources, spec)}, licence {spec.licence}')
    print(f'loaded on {model.device} in {dtype_name(model.dtype)} in {seconds:.1f} s')
    print(
        f'weights {commands.size(size)}; host memory peaked at {commands.size(peak)} '
        f'({peak / size:.2f} x), {commands.size(peak - before)} ({(peak - before) / size:.2f} x) '
        'above the peak before'
    )
    if (used := used_memory(model.device)) is not None:
        print(f'{model.device} holds {commands.size(used)}')
    _use(model)


def _use(model) -> None:
    """Encode a picture, and predict where an action leads if the model can."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    began = perf_counter()
    latents = model.encode(picture)
    finite = bool(latents.isfinite().all())
    print(f'encoded a picture to {list(latents.shape)} in {perf_counter() - began:.2f} s')
    if model.predictor is not None:
        began = perf_counter()
        predicted = model.rollout(latents, np.zeros((1, 7)), torch.zeros(1, 1, 7))
        finite = finite and bool(predicted.isfinite().all())
        print(f'predicted the effect of an action in {perf_counter() - began:.2f} s')
    if not finite:
        raise WorldModelError(
            f'latents are not finite in {dtype_name(model.dtype)}: the weights are damaged '
            'or need another dtype'
        )


def _parser():
    parser = argparse.ArgumentParser(prog='models', description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar='COMMAND')

    def command(name, run):
        added = subparsers.add_parser(name, help=run.__doc__, description=run.__doc__)
        added.set_defaults(run=run)
        commands.add_cache_option(added)
        return added

    command('list', list_models)
    fetch = command('download', download)
    fetch.add_argument(
        'name', metavar='NAME', help='a name of `models list`, or hf:ORG/NAME[/FILE]'
    )
    fetch.add_argument(
        '--decoder',
        action='store_true',
        help='not the model, but what draws the pictures that it expects to see',
    )
    check = command('load-check', load_check)
    check.add_argument('name', metavar='NAME')
    commands.add_weights_options(check)
    return parser


if __name__ == '__main__':
    sys.exit(main())
