# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print what the benchmark found."""

from __future__ import annotations

import math


def print_machine(found: dict) -> None:
    """Print the machine and its ceiling."""
    for key, value in {'model': found['size'], **found['machine']}.items():
        print(f'{key:<12}{value}')
    matmul = ', '.join(
        f'{dtype} {value / 1e9:,.0f}' for dtype, value in found['ceiling']['matmul'].items()
    )
    copy = found['ceiling']['copy']
    print(f'ceiling     matmul [Gop/s] {matmul}; copy {copy / 1e9:,.1f} GB/s')


def print_rows(title: str, rows: list[dict]) -> None:
    """Print times, each with the fraction of the ceiling and the ratio to the peer."""
    shape = [key for key in ('samples', 'iterations', 'horizon', 'context') if key in rows[0]]
    print(
        f'\n{title}\n'
        + ''.join(f'{key:>11}' for key in shape)
        + f'{"":12}{"median":>10}{"lowest":>10}{"highest":>10}'
        f'{"of ceiling":>12}{"peer / it":>11}'
    )
    for row in rows:
        elites = f'  same elites in {row["same_elites"]}' if 'same_elites' in row else ''
        print(
            ''.join(f'{row[key]:>11}' for key in shape)
            + f'  {row["who"]:<10}'
            + ''.join(f'{row[key] * 1e3:>7.1f} ms' for key in ('median', 'lowest', 'highest'))
            + f'{row["of_ceiling"]:>12.0%}{row["peer_ratio"] or math.nan:>11.2f}{elites}'
        )


def print_lines(lines: list[dict]) -> None:
    """Print the fitted lines of the rollouts' times."""
    print('\nLines through the medians of rollouts')
    for fitted in lines:
        fixed = ', '.join(
            f'{key} {fitted[key]}' for key in ('samples', 'horizon', 'context') if key in fitted
        )
        print(
            f'{fitted["who"]:<10}{fitted["offset"] * 1e3:>10.2f} ms + '
            f'{fitted["slope"] * 1e3:.3f} ms x {fitted["axis"]:<9}({fixed})'
        )


def print_times(title: str, times: dict[str, float]) -> None:
    """Print times by name."""
    print(f'\n{title}')
    for what, seconds in times.items():
        print(f'{what:<40}{seconds * 1e3:>9.1f} ms')
