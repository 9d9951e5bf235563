# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print what the benchmark found."""

from __future__ import annotations

import math


def print_machine(found: dict) -> None:
    """Print the model and the machine."""
    for key, value in {'model': found['size'], **found['machine']}.items():
        print(f'{key:<12}{value}')


def print_rows(title: str, rows: list[dict]) -> None:
    """Print times, each with the ratio to the peer."""
    shape = [key for key in ('samples', 'iterations', 'horizon', 'context') if key in rows[0]]
    print(
        f'\n{title}\n'
        + ''.join(f'{key:>11}' for key in shape)
        + f'{"":12}{"median":>10}{"lowest":>10}{"highest":>10}'
        f'{"peer / it":>11}'
    )
    for row in rows:
        elites = f'  same elites in {row["same_elites"]}' if 'same_elites' in row else ''
        print(
            ''.join(f'{row[key]:>11}' for key in shape)
            + f'  {row["who"]:<10}'
            + ''.join(f'{row[key] * 1e3:>7.1f} ms' for key in ('median', 'lowest', 'highest'))
            + f'{row["peer_ratio"] or math.nan:>11.2f}{elites}'
        )


def print_times(title: str, times: dict[str, float]) -> None:
    """Print times by name."""
    print(f'\n{title}')
    for what, seconds in times.items():
        print(f'{what:<40}{seconds * 1e3:>9.1f} ms')
