# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console in a browser: plan, look and manage over the nodes of this ROS domain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import ipaddress
import os
from pathlib import Path
import secrets
import socket

from . import common as commands

LEAST_TIMEOUT, MOST_TIMEOUT = 0.5, 30.0  # s
NICENESS = 15  # planning goes first: the console must not slow it down


def main(args: Sequence[str] | None = None) -> int:
    """Serve the console until Ctrl-C."""
    return commands.run_with_ros(_run, _parser(), args, (ImportError,))


def _run(options):
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{error}: install it: pip install -r requirements/web.txt') from error
    from ..web.console import Console
    from ..web.link import Link
    from ..web.server import serve

    if not 1 <= options.port <= 65535:
        raise ValueError(f'port = {options.port}: allowed: 1 to 65535')
    if not LEAST_TIMEOUT <= options.browser_timeout <= MOST_TIMEOUT:
        raise ValueError(
            f'browser-timeout = {options.browser_timeout:g}: allowed: {LEAST_TIMEOUT:g} to '
            f'{MOST_TIMEOUT:g} s'
        )
    os.nice(NICENESS)
    _check_free(options.host, options.port)
    recordings = None if options.recordings is None else options.recordings.expanduser().resolve()
    if recordings is not None and not recordings.is_dir():
        raise OSError(f'recordings = {str(options.recordings)!r}: allowed: a folder that exists')
    token = os.environ.get('VJEPA2_WEB_TOKEN', '')
    if not _is_loopback(options.host) and not token:
        token = secrets.token_urlsafe(24)
        print(f'Token to sign in from another machine: {token}', flush=True)
    link = Link()
    try:
        host = f'[{options.host}]' if ':' in options.host else options.host
        print(f'Web console: http://{host}:{options.port}/', flush=True)
        console = Console(link, recordings, options.browser_timeout)
        serve(console, options.host, options.port, token)
    finally:
        link.close()


def _check_free(host, port):
    """Raise OSError with what to do, unless the address can be had."""
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(
                f'host, port = {host}, {port}: {error.strerror}: allowed: an address of this '
                'machine that no other program uses; choose another --port'
            ) from error


def _is_loopback(host):
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parser():
    parser = argparse.ArgumentParser(prog='web', description=__doc__)
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to serve on; for another than this machine a token is printed, or taken '
        'from VJEPA2_WEB_TOKEN (default: %(default)s)',
    )
    parser.add_argument(
        '--recordings',
        type=Path,
        metavar='DIR',
        help='folder whose recordings the page Recordings may check; results go to its checks/',
    )
    parser.add_argument('--port', type=int, default=8080, help='(default: %(default)s)')
    parser.add_argument(
        '--browser-timeout',
        type=float,
        default=1.0,
        metavar='S',
        help='the arm is stopped when the browser that armed it is silent for so long '
        '(default: %(default)g)',
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
