# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the search for a plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

from .actions import AXES, MAX_TRANSLATION

PerAxis: TypeAlias = float | tuple[float, ...]


@dataclass(frozen=True)
class SearchConfig:
    """
    What every optimizer needs to know; a wrong value raises ValueError that names it.

    Values per axis are in the order of AXES: x y z [m], roll pitch yaw [rad], gripper
    [closedness].
    """

    samples: int = 1  # candidates an iteration
    iterations: int = 1
    horizon: int = 1
    bounds: tuple[float, ...] | None = None  # largest |action| per axis; None = the model's
    axes: tuple[str, ...] = ('x', 'y', 'z', 'gripper')  # other axes stay 0
    gripper_deadband: float = 0.0  # smaller gripper changes become 0 in the returned plan
    seed: int | None = None  # None = a new one each time
    time_limit: float | None = None  # s
    best_effort: bool = False  # at the time limit, the plan so far instead of an error

    def __post_init__(self):
        for name in ('samples', 'iterations', 'horizon'):
            self._check(name, getattr(self, name) >= 1, '1 or more')
        self._check_per_axis('bounds')
        unknown = set(self.axes) - set(AXES)
        self._check('axes', self.axes and not unknown, f'some of {", ".join(AXES)}')
        self._check('gripper_deadband', 0.0 <= self.gripper_deadband <= 1.0, 'from 0 to 1')
        self._check('time_limit', self.time_limit is None or self.time_limit > 0.0, 'above 0 s')

    def _check(self, name, good, allowed):
        if not good:
            raise ValueError(f'{name} is {getattr(self, name)}; allowed: {allowed}')

    def _check_per_axis(self, name):
        value = getattr(self, name)
        self._check(
            name,
            value is None
            or (len(value) == len(AXES) and all(isfinite(v) and v >= 0.0 for v in value)),
            'seven finite numbers, 0 or more',
        )

    def bounds_for(self, action_bounds: tuple[float, ...]) -> tuple[float, ...]:
        """
        Return the largest |action| per axis [7] for a model that was trained up to action_bounds.

        Settings can narrow a model's bounds, not widen them: beyond them it has seen nothing.
        """
        limits = tuple(
            min(v, MAX_TRANSLATION) if i < 3 else v for i, v in enumerate(action_bounds)
        )
        if self.bounds is None:
            return limits
        for axis, value, limit in zip(AXES, self.bounds, limits):
            if value > limit:
                raise ValueError(
                    f'bounds of {axis} is {value}; allowed: up to {limit}, the '
                    'largest step the model was trained for'
                )
        return self.bounds

    def axes_for(self, action_bounds: tuple[float, ...]) -> list[int]:
        """
        Return the indices of the axes to search for a model that was trained up to action_bounds.

        An axis that cannot move is left out: it has no say in how far the elites agree.
        """
        bounds = self.bounds_for(action_bounds)
        axes = [i for i, name in enumerate(AXES) if name in self.axes and bounds[i] > 0.0]
        if not axes:
            raise ValueError(
                f'axes is {", ".join(self.axes)}; allowed: an axis whose bound '
                f'is above 0, the bounds are {list(bounds)}'
            )
        return axes


@dataclass(frozen=True)
class CemConfig(SearchConfig):
    """
    Settings of the cross-entropy method.

    ``momentum_*`` is the share of the old mean or deviation kept in an update, one number or one
    per axis.
    """

    samples: int = 500
    iterations: int = 5
    elite_fraction: float = 0.2
    momentum_mean: PerAxis = 0.0
    momentum_std: PerAxis = 0.0
    initial_std: tuple[float, ...] | None = None  # None = the bounds
    include_mean: bool = True  # the mean is the first candidate
    keep_elites: bool = False  # elites stay candidates of the next iteration, not evaluated again

    def __post_init__(self):
        super().__post_init__()
        self._check('elite_fraction', 0.0 < self.elite_fraction <= 1.0, 'above 0, up to 1')
        for name in ('momentum_mean', 'momentum_std'):
            self._check(
                name,
                all(0.0 <= v < 1.0 for v in per_axis(getattr(self, name), name)),
                'from 0 to below 1',
            )
        self._check_per_axis('initial_std')

    @property
    def elites(self) -> int:
        """Return how many candidates are elites."""
        return max(1, round(self.elite_fraction * self.samples))


@dataclass(frozen=True)
class TrustRegionConfig(SearchConfig):
    """Settings of the trust-region optimizer; the best quarter of the samples are its elites."""

    samples: int = 16
    iterations: int = 4

    @property
    def elites(self) -> int:
        """Return how many candidates are elites."""
        return max(1, self.samples // 4)


def per_axis(value: PerAxis, name: str) -> tuple[float, ...]:
    """Return a setting of one number or one per axis as seven numbers."""
    values = (value,) * len(AXES) if isinstance(value, (int, float)) else tuple(value)
    if len(values) != len(AXES):
        raise ValueError(f'{name} has {len(values)} values; allowed: 1 or {len(AXES)}')
    return values
