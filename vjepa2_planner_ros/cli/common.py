# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the console commands share: exit codes, options that choose a model, a progress bar."""

from pathlib import Path
import sys

from tqdm import tqdm


def run(command, options, errors=()) -> int:
    """
    Call command(options); return the exit code, with what went wrong on stderr.

    :param errors: exceptions that mean so, beside OSError and ValueError.
    """
    try:
        command(options)
    except (OSError, ValueError, *errors) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('stopped', file=sys.stderr)
        return 130
    return 0


def add_cache_option(parser):
    """Add --cache, the folder of downloaded weights."""
    parser.add_argument(
        '--cache',
        type=Path,
        metavar='DIR',
        help="folder of downloaded weights (default: torch.hub's)",
    )


def add_weights_options(parser):
    """Add --checkpoint, --device and --dtype, as load() takes them."""
    parser.add_argument(
        '--checkpoint',
        type=Path,
        metavar='FILE',
        help='weights to load instead (.pt of Meta, .safetensors)',
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, mps, cuda or cuda:N')
    parser.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')


def add_model_options(parser):
    """Add --model and everything else that load() takes."""
    parser.add_argument(
        '--model',
        default='sim-panda-ac',
        metavar='NAME',
        help='a name of `models list` (default: %(default)s)',
    )
    add_weights_options(parser)
    add_cache_option(parser)


def load(name, options, progress=None):
    """Return the world model of that name, loaded as the options say."""
    from ..world_model import load_world_model  # not before it is needed: torch takes seconds

    return load_world_model(
        name,
        device=options.device,
        dtype=options.dtype,
        checkpoint=options.checkpoint,
        cache=options.cache,
        progress=progress,
    )


class ByteBar:
    """A progress bar of bytes for each phase, to be called with (phase, done, total)."""

    def __init__(self):
        self._bar, self._phase = None, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, phase, done, total):
        if phase != self._phase:
            self.__exit__()
            self._bar, self._phase = tqdm(desc=phase, unit='B', unit_scale=True), phase
        self._bar.total = total
        self._bar.update(done - self._bar.n)
