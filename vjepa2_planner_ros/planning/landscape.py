# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Energy landscapes as numbers: the energy of single steps over a grid of two or three axes.

Steps are in the convention of commands: x y z [m], roll pitch yaw [rad, fixed axes, robot base
frame], gripper from -1 (close) to +1 (open).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import itertools
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .actions import AXES, UNITS
from .config import require

TRANSLATIONS = AXES[:3]
DEFAULT_AXES = AXES[:2]
MAX_POINTS = 1 << 17
SAME = 1e-6  # rounding of steps that went through float32 [m, rad, gripper]
DEFAULT_RESOLUTION = {2: 21, 3: 11}  # by number of axes


@dataclass(frozen=True)
class Grid:
    """The points of a landscape: every combination of the values on its axes."""

    axes: tuple[str, ...]  # two or three of AXES
    values: tuple[NDArray[np.float64], ...]  # ascending, of each axis
    offset: NDArray[np.float64]  # [7], the step on the other axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of points on each axis."""
        return tuple(len(values) for values in self.values)

    def commands(self) -> NDArray[np.float64]:
        """Return the points [P, 7], the last axis running fastest."""
        points = np.stack(np.meshgrid(*self.values, indexing='ij'), axis=-1)
        commands = np.tile(self.offset, (points[..., 0].size, 1))
        commands[:, [AXES.index(axis) for axis in self.axes]] = points.reshape(-1, len(self.axes))
        return commands


@dataclass(frozen=True)
class Landscape:
    """Energies over a Grid, with what to compare them with."""

    grid: Grid
    energies: NDArray[np.float32]  # of the grid's shape; NaN where the model gave no number
    start_energy: float  # of doing nothing
    command: NDArray[np.float64] | None = None  # [7], the first step of a plan
    command_energy: float = float('nan')  # of it; NaN without one

    @property
    def lowest(self) -> tuple[int, ...]:
        """Return the indices of the minimum."""
        return tuple(map(int, np.unravel_index(np.nanargmin(self.energies), self.energies.shape)))

    @property
    def minimum(self) -> float:
        """Return the lowest energy."""
        return float(self.energies[self.lowest])

    @property
    def minimum_command(self) -> NDArray[np.float64]:
        """Return the step [7] of the lowest energy."""
        return self.grid.commands()[np.ravel_multi_index(self.lowest, self.grid.shape)]

    def translations(self) -> Landscape | None:
        """
        Return the landscape over its translations alone; None if it has none.

        On every other axis it takes the value where the energy is lowest, point by point.
        """
        kept = [i for i, axis in enumerate(self.grid.axes) if axis in TRANSLATIONS]
        if not kept:
            return None
        others = tuple(i for i in range(len(self.grid.axes)) if i not in kept)
        energies = np.where(np.isnan(self.energies), np.inf, self.energies).min(axis=others)
        grid = Grid(
            tuple(self.grid.axes[i] for i in kept),
            tuple(self.grid.values[i] for i in kept),
            self.grid.offset,
        )
        return Landscape(
            grid,
            np.where(np.isinf(energies), np.nan, energies).astype(np.float32),
            self.start_energy,
            self.command,
            self.command_energy,
        )

    def slices(self) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Yield (first axis, second axis, energies) of each pair of axes, through the minimum."""
        for pair in itertools.combinations(range(len(self.grid.axes)), 2):
            index = tuple(slice(None) if i in pair else at for i, at in enumerate(self.lowest))
            yield (*pair, self.energies[index])

    def place(self, step: NDArray[np.float64]) -> str:
        """
        Return where a step [7] is in the slices.

        '' = in all of them; 'projected' = beside one, so its energy is not that of the cell where
        it appears; 'outside' = beyond the ends of an axis.
        """
        drawn = np.isin(AXES, self.grid.axes)
        beside = bool((abs(step - self.grid.offset) > SAME)[~drawn].any())
        for axis, values in zip(self.grid.axes, self.grid.values):
            at, spacing = step[AXES.index(axis)], values[1] - values[0]
            if not values[0] - SAME <= at <= values[-1] + SAME:
                return 'outside'
            lowest = self.minimum_command[AXES.index(axis)]
            if len(self.grid.axes) > 2 and abs(at - lowest) > spacing / 2.0 + SAME:
                beside = True  # some slice shows the other two axes at the minimum
        return 'projected' if beside else ''

    def as_dict(self) -> dict[str, Any]:
        """Return everything as lists and numbers for JSON; None where the energy is no number."""
        energies = self.energies.astype(object)
        energies[np.isnan(self.energies)] = None
        return {
            'axes': [
                {'name': axis, 'unit': UNITS[axis], 'values': values.tolist()}
                for axis, values in zip(self.grid.axes, self.grid.values)
            ],
            'offset': dict(zip(AXES, self.grid.offset.tolist())),
            'energies': energies.tolist(),
            'start_energy': self.start_energy,
            'minimum': self.minimum,
            'minimum_command': self.minimum_command.tolist(),
            'command': None if self.command is None else self.command.tolist(),
            'command_energy': self.command_energy if np.isfinite(self.command_energy) else None,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Write to a .json, or to a .npz with the axes' values by name."""
        if Path(path).suffix == '.json':
            Path(path).write_text(json.dumps(self.as_dict(), indent=1, allow_nan=False) + '\n')
            return
        arrays: dict[str, Any] = {
            'axes': self.grid.axes,
            **dict(zip(self.grid.axes, self.grid.values)),
            'offset': self.grid.offset,
            'energies': self.energies,
            'start_energy': self.start_energy,
            'command': np.full(7, np.nan) if self.command is None else self.command,
            'command_energy': self.command_energy,
        }
        np.savez(path, **arrays)


def make_grid(
    axes: Sequence[str],
    lowest: Sequence[float],
    highest: Sequence[float],
    resolution: Sequence[int],
    offset: ArrayLike,
    bounds: Sequence[float],
) -> Grid:
    """
    Return a Grid; ValueError naming the argument, its value and what is allowed.

    :param axes: two or three of AXES; empty = x and y.
    :param lowest: first value on each axis; empty = -bounds.
    :param highest: last value on each axis; empty = bounds.
    :param resolution: points on each axis; empty = DEFAULT_RESOLUTION.
    :param offset: [7] the step on the other axes.
    :param bounds: [7] the largest step of the model on each of AXES.
    """
    axes = tuple(axes) or DEFAULT_AXES
    _check_axes(axes, bounds)
    limits = np.array([bounds[AXES.index(axis)] for axis in axes])
    starts = _per_axis('lowest', lowest, -limits, axes, limits)
    ends = _per_axis('highest', highest, limits, axes, limits)
    for axis, low, high in zip(axes, starts, ends):
        require(low < high, f'highest of {axis}', high, f'more than lowest = {low:g}')
    counts = [int(number) for number in resolution] or [DEFAULT_RESOLUTION[len(axes)]] * len(axes)
    require(
        len(counts) == len(axes)
        and min(counts) >= 2
        and np.prod(counts, dtype=float) <= MAX_POINTS,
        'resolution',
        counts,
        f'2 or more for each of {len(axes)} axes, {MAX_POINTS} points in all',
    )
    step = np.array(offset, float)
    for axis, value, bound in zip(AXES, step, bounds):
        allowed = 0.0 if axis in axes else bound
        good = abs(value) <= allowed + 1e-9
        require(good, f'offset of {axis}', value, f'{-allowed:g} to {allowed:g}')
    values = tuple(np.linspace(*span) for span in zip(starts, ends, counts))
    return Grid(axes, values, step)


def _check_axes(axes: tuple[str, ...], bounds: Sequence[float]) -> None:
    require(
        len(axes) in DEFAULT_RESOLUTION and len(set(axes)) == len(axes) and set(axes) <= set(AXES),
        'axes',
        list(axes),
        f'two or three of {", ".join(AXES)}, each once',
    )
    movable = [name for name, bound in zip(AXES, bounds) if bound > 0.0]
    for axis in axes:
        require(axis in movable, 'axes', axis, f'what the model moves: {", ".join(movable)}')


def _per_axis(
    name: str,
    given: Sequence[float],
    default: NDArray[np.float64],
    axes: tuple[str, ...],
    limits: NDArray[np.float64],
) -> NDArray[np.float64]:
    if not len(given):
        return default
    require(len(given) == len(axes), name, list(given), f'{len(axes)} numbers, one for each axis')
    for axis, value, limit in zip(axes, given, limits):
        allowed = f"{-limit:g} to {limit:g}, the model's bounds"
        require(abs(value) <= limit + 1e-9, f'{name} of {axis}', value, allowed)
    return np.array(given, float)
