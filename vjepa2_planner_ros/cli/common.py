# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the console commands share: start and exit codes, options that choose a model, progress."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import re
import sys
import time
from typing import Any

from tqdm import tqdm

from ..messages.texts import one_line

NEGATIVE = re.compile(r'-\.?\d')  # number
QUIET = 3.0  # s that a wait for a node says nothing


def run(
    command: Callable[[Namespace], int | None],
    options: Namespace,
    errors: tuple[type[Exception], ...] = (),
) -> int:
    """
    Call command(options); return the exit code, with what went wrong on stderr.

    :param command: returns an exit code, None = 0.
    :param errors: exceptions that are reported by their text alone, beside OSError and ValueError.
    """
    caught: tuple[type[Exception], ...] = (OSError, ValueError, *errors)
    try:
        code = command(options) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except caught as error:
        print(*map(one_line, str(error).splitlines()), sep='\n', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130


def parse(parser: ArgumentParser, args: Sequence[str] | None) -> tuple[Namespace, list[str]]:
    """
    Return the options of a command that takes --ros-args too, and the arguments for ros().

    :param args: without the command's name; None = those of the process.
    """
    from rclpy.utilities import remove_ros_args

    arguments = sys.argv if args is None else [parser.prog, *args]
    words = remove_ros_args(arguments)[1:]
    # A blank in front tells argparse that -1e-05, as poses are often printed, is no option.
    words = [f' {word}' if NEGATIVE.match(word) else word for word in words]
    return parser.parse_args(words), arguments


@contextmanager
def ros(arguments: Sequence[str] = ()) -> Iterator[None]:
    """Initialise ROS, and shut it down at the end; arguments are those of a command line."""
    import rclpy  # not for commands that need no ROS
    from rclpy.signals import SignalHandlerOptions

    # Ctrl-C has to leave ROS up for as long as a cancel takes.
    rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()


def run_with_ros(
    command: Callable[[Namespace], int | None],
    parser: ArgumentParser,
    args: Sequence[str] | None,
    errors: tuple[type[Exception], ...] = (),
) -> int:
    """Parse the command line and call command(options) with ROS initialised; see run."""
    options, arguments = parse(parser, args)
    with ros(arguments):
        return run(command, options, errors)


def wait_for(kind: str, client, options: Namespace) -> None:
    """
    Wait until the action of the options answers; OSError if it does not within --wait.

    :param kind: of its node, 'planner' or 'controller'; what it does meanwhile is said.
    """
    if client.wait_until_ready(min(options.wait, QUIET)):
        return
    from .node_watch import NodeWatch  # only where it is needed

    until, said = time.monotonic() + options.wait - QUIET, ''
    with NodeWatch(client.namespace, kind) as watch:
        while time.monotonic() < until:
            if (state := watch.state()) not in ('', said):
                said = state
                text = f'waiting for the {kind}: {said}'
                print(one_line(text), file=sys.stderr, flush=True)
            if client.wait_until_ready(0.5):
                return
    raise OSError(
        f'SEND_GOAL_FAILURE: no {kind} on action {options.action!r} within {options.wait:g} s'
        + (f': {said}' if said else '')
    )


@contextmanager
def printed(client, show: Callable[[Any], None]) -> Iterator[Callable[[Any], None]]:
    """
    Yield a callback for feedback that prints it by show().

    Where nobody reads on, the goals of the client are cancelled and BrokenPipeError ends this:
    that of show() would be raised in a thread of the client, once for each feedback.
    """
    gone = False

    def on_feedback(feedback: Any) -> None:
        nonlocal gone
        try:
            show(feedback)
        except BrokenPipeError:
            gone = True
            client.cancel()

    try:
        yield on_feedback
    except Exception:
        if gone:  # it is that the goal was cancelled
            raise BrokenPipeError from None
        raise


def size(number: float) -> str:
    """Return a number of bytes as text in MB or GB."""
    return f'{number / 1e9:.2f} GB' if number >= 1e9 else f'{number / 1e6:.1f} MB'


def add_cache_option(parser: ArgumentParser) -> None:
    """Add --cache, the folder of downloaded weights."""
    parser.add_argument(
        '--cache',
        type=Path,
        metavar='DIR',
        help="folder of downloaded weights (default: torch.hub's)",
    )


def add_weights_options(parser: ArgumentParser) -> None:
    """Add --checkpoint, --device and --dtype, as load() takes them."""
    parser.add_argument(
        '--checkpoint',
        type=Path,
        metavar='FILE',
        help='weights to load instead: a .pt, a .safetensors, a folder of them, or hf:ORG/NAME',
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, mps, cuda or cuda:N')
    parser.add_argument('--dtype', default='auto', help='auto, float32, bfloat16 or float16')


def add_model_options(parser: ArgumentParser) -> None:
    """Add --model and everything else that load() takes."""
    parser.add_argument(
        '--model',
        default='sim-panda-ac',
        metavar='NAME',
        help='a name of `models list` (default: %(default)s)',
    )
    add_weights_options(parser)
    add_cache_option(parser)


def load(name: str, options: Namespace, progress: Callable[[str, int, int], None] | None = None):
    """Return the WorldModel of that name, loaded as the options say."""
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

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._phase = ''

    def __enter__(self) -> ByteBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Show that done of total bytes of a phase are done."""
        if self._bar is None or phase != self._phase:
            self.__exit__()
            self._bar, self._phase = tqdm(desc=phase, unit='B', unit_scale=True), phase
        self._bar.total = total
        self._bar.update(done - self._bar.n)
