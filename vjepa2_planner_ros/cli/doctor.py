# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tell what this machine and a running planner need: a line for each check, and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from itertools import chain
import os
from pathlib import Path
import platform
import shutil
from typing import NamedTuple

from . import common as commands
from ..messages.texts import dtype_name, one_line

OK, WARN, FAIL = 'OK', 'WARN', 'FAIL'
GB = 1e9
LEAST_SHM = 64e6  # bytes; two segments of config/fastdds.xml
LEAST_RMEM = 2**21  # bytes; a raw picture of 640 x 480 is 0.9 MB
LEAST_DISK = 10e9  # bytes; the largest checkpoint and its partial download
PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


class Line(NamedTuple):
    """The outcome of a check."""

    level: str  # OK, WARN or FAIL
    name: str
    text: str


def main(args: Sequence[str] | None = None) -> int:
    """Run the checks; return 1 if one failed."""
    return commands.run_with_ros(_run, _parser(), args)


def _run(options: argparse.Namespace) -> int:
    failed = False
    for line in chain(machine(options), planners(options.wait)):
        # Names of the domain are in it.
        print(one_line(f'{line.level:5}{line.name:20} {line.text}'), flush=True)
        failed = failed or line.level == FAIL
    return int(failed)


def machine(options: argparse.Namespace) -> Iterator[Line]:
    """Yield the lines about this machine; a check that raises fails."""
    checks: tuple[Callable[[], Iterator[Line]], ...] = (
        _versions,
        _torch,
        _memory,
        lambda: _weights(options.cache),
        _middleware,
        _log_folder,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Line(FAIL, 'check', f'{type(error).__name__}: {error}')


def _versions() -> Iterator[Line]:
    from rclpy.utilities import get_rmw_implementation_identifier

    try:
        version = metadata.version('vjepa2_planner_ros')
    except metadata.PackageNotFoundError:
        version = 'not installed'
    level = WARN if version == 'not installed' else OK
    yield Line(level, 'package', f'vjepa2_planner_ros {version}')
    inside = (3, 10) <= tuple(map(int, platform.python_version_tuple()[:2])) <= (3, 13)
    text = platform.python_version() + ('' if inside else '; use Python 3.10 to 3.13')
    yield Line(OK if inside else WARN, 'Python', text)
    yield Line(OK, 'ROS 2', os.environ.get('ROS_DISTRO') or 'wheels')
    yield Line(OK, 'middleware', get_rmw_implementation_identifier())


def _torch() -> Iterator[Line]:
    try:
        import torch

        from ..world_model.devices import free_memory, pick_device, pick_dtype
    except ImportError as error:
        yield Line(FAIL, 'PyTorch', f'{error}; install it with: pip install torch')
        return
    yield Line(OK, 'PyTorch', torch.__version__)
    device = pick_device('auto')
    dtype = dtype_name(pick_dtype('auto', device))
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else 'no GPU is used'
    free = free_memory(device) / GB
    text = f'{device} ({name}) in {dtype}, {free:.1f} GB free'
    yield Line(OK, 'device and dtype', text)


def _memory() -> Iterator[Line]:
    import psutil

    memory = psutil.virtual_memory()
    text = f'{memory.available / GB:.1f} of {memory.total / GB:.1f} GB free'
    little = memory.available < 2 * GB
    advice = '; end other programs, or use sim-panda-ac' if little else ''
    yield Line(WARN if little else OK, 'memory', text + advice)


def _weights(cache: Path | None) -> Iterator[Line]:
    try:
        from ..world_model import default_cache, find_weights, MODELS, WeightsNotFoundError
    except ImportError:
        yield Line(WARN, 'weights', 'not looked for: PyTorch is missing')
        return
    folder = Path(cache or default_cache()).expanduser()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f'{free / GB:.1f} GB free at {folder}'
    advice = '; large models need 10 GB: name another folder in model_cache'
    little = free < LEAST_DISK
    yield Line(WARN if little else OK, 'model cache', text + (advice if little else ''))
    present = []
    for spec in MODELS.values():
        try:
            find_weights(spec, cache=cache)
            present.append(spec.name)
        except WeightsNotFoundError:
            pass
    text = ', '.join(present) or 'none; get some with: models download NAME'
    yield Line(OK if present else FAIL, 'weights', text)


def _middleware() -> Iterator[Line]:
    profile = next((os.environ[name] for name in PROFILES if os.environ.get(name)), '')
    if not profile:
        text = f'none is set; for raw pictures set {PROFILES[0]} to config/fastdds.xml'
        yield Line(WARN, 'Fast DDS profile', text)
    elif not Path(profile).is_file():
        yield Line(FAIL, 'Fast DDS profile', f'{profile} is not a file: correct the variable')
    else:
        yield Line(OK, 'Fast DDS profile', profile)
    shm = Path('/dev/shm')
    if shm.is_dir():
        size, little = shutil.disk_usage(shm), shutil.disk_usage(shm).free < LEAST_SHM
        text = f'{size.free / 1e6:.0f} of {size.total / 1e6:.0f} MB free in {shm}'
        advice = '; give more, in a container with --shm-size=1g' if little else ''
        yield Line(WARN if little else OK, 'shared memory', text + advice)
    limit = Path('/proc/sys/net/core/rmem_max')
    if limit.is_file():
        size_of_buffer = int(limit.read_text())
        little = size_of_buffer < LEAST_RMEM
        advice = f'; pictures get lost: sysctl -w net.core.rmem_max={LEAST_RMEM}' if little else ''
        yield Line(WARN if little else OK, 'net.core.rmem_max', f'{size_of_buffer}{advice}')
    domain = os.environ.get('ROS_DOMAIN_ID') or '0'
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') or 'SUBNET'
    if os.environ.get('ROS_LOCALHOST_ONLY') == '1':
        reach = 'LOCALHOST'
    shared = domain == '0' and reach == 'SUBNET'
    advice = ': everybody on the network is in it, see docs/security.md' if shared else ''
    yield Line(WARN if shared else OK, 'domain', f'{domain}, discovery range {reach}{advice}')


def _log_folder() -> Iterator[Line]:
    home = os.environ.get('ROS_HOME') or '~/.ros'
    folder = Path(os.environ.get('ROS_LOG_DIR') or f'{home}/log').expanduser()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    good = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    advice = '' if good else f"; '{there}' cannot be written: set ROS_LOG_DIR"
    yield Line(OK if good else FAIL, 'log folder', f'{folder}{advice}')


def planners(wait: float) -> Iterator[Line]:
    """Yield the lines about the planners that are heard within wait [s]."""
    import rclpy

    from .doctor_planner import heard, stream_lines
    from ..nodes.process import spinning

    node = rclpy.create_node('doctor', parameter_overrides=[], cli_args=['--ros-args'])
    try:
        with spinning(node):
            found = heard(node, wait)
            if not found:
                text = f'none is heard on /diagnostics within {wait:g} s; start planner_node'
                yield Line(OK, 'planner', text)
            for name, status in found.items():
                level = (OK, WARN, FAIL, FAIL)[min(ord(status.level), 3)]
                yield Line(level, 'planner', f'{name}: {status.message}')
                for value in status.values:
                    yield Line(OK, f'  {value.key}', value.value)
                for stream in stream_lines(node, name):
                    yield Line(*stream)
    finally:
        node.destroy_node()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='doctor', description=__doc__)
    text = 'how long to listen for a planner [s] (default: %(default)g)'
    parser.add_argument('--wait', type=float, default=3.0, metavar='S', help=text)
    commands.add_cache_option(parser)
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
