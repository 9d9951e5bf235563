# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Settings of the search for a plan.

A setting is described once, on its dataclass field: ROS parameters, their YAML file and docs, and
the checks of values are made from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, Field, field, fields
from math import pi
from typing import Any, Protocol

from .actions import AXES, LARGEST_BOUNDS, MAX_TRANSLATION

MODEL_BOUND = -1.0  # in bounds: the model's own
MODEL_AXES = ''  # in axes: the model's own
MODEL_COST = ''  # in cost: the model's own
COSTS = ('l1', 'l2')  # of cost.py
SAME = -1.0  # in momentum_*_gripper: as on the other axes


class Model(Protocol):
    """What settings depend on of a world model."""

    @property
    def action_bounds(self) -> tuple[float, ...]:
        """Return the largest change per axis and step [7] in m, rad and closedness."""

    @property
    def search_axes(self) -> tuple[str, ...]:
        """Return the names of the axes that are searched unless settings say otherwise."""

    @property
    def cost(self) -> str:
        """Return which of COSTS it is planned with unless settings say otherwise."""


def require(condition: object, name: str, value: object, allowed: str) -> None:
    """Raise ValueError naming a setting, its value and what is allowed, unless condition holds."""
    if not condition:  # false for NaN too, as every comparison with it is
        raise ValueError(f'{name} = {value}: allowed: {allowed}')


def setting(
    default: Any,
    text: str,
    *,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    read_only: bool = False,
) -> Any:
    """
    Return a dataclass field that describes itself.

    :param text: what it does, in one sentence.
    :param low: least value, also of each entry of a tuple; high: the greatest.
    :param choices: the allowed strings, also as entries of a tuple.
    :param read_only: a ROS parameter of this field can be set at start only.
    """
    metadata = {
        'text': text,
        'unit': unit,
        'low': low,
        'high': high,
        'choices': tuple(choices),
        'read_only': read_only,
    }
    return field(default=default, metadata=metadata)


def described(config: Any) -> Iterator[Field[Any]]:
    """Yield the fields of a dataclass, or of an instance, that were made by setting()."""
    return (row for row in fields(config) if 'text' in row.metadata)


def check_setting(row: Field[Any], value: Any, name: str) -> None:
    """
    Raise ValueError if a field cannot have a value.

    A tuple of numbers has as many as its default; one of strings has one or more, each once.
    """
    low, high, choices = (row.metadata[key] for key in ('low', 'high', 'choices'))
    entries = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) and isinstance(row.default, tuple):
        if isinstance(row.default[0], str):
            good, allowed = entries and len(set(entries)) == len(entries), 'one or more, each once'
        else:
            good, allowed = len(entries) == len(row.default), f'{len(row.default)} numbers'
        require(good, name, list(value), allowed)
    for entry in entries:
        if choices:
            allowed = ', '.join(choice or "''" for choice in choices)
            require(entry in choices, name, repr(entry), allowed)
        if low is not None:
            unit = f' {row.metadata["unit"]}'.rstrip()
            require(low <= entry <= high, name, entry, f'{low:g} to {high:g}{unit}')


@dataclass(frozen=True)
class SearchConfig:
    """
    What every optimizer needs to know; a wrong value raises ValueError that names it.

    Values per axis are in the order of AXES: x y z [m], roll pitch yaw [rad], gripper
    [closedness].
    """

    horizon: int = setting(1, 'Actions in a plan.', low=1, high=16)
    axes: tuple[str, ...] = setting(
        (MODEL_AXES,),
        "Axes that are searched; the others stay as they are. '' alone = the model's own: those "
        'whose motion it was shown to predict well.',
        choices=(MODEL_AXES, *AXES),
    )
    bounds: tuple[float, ...] = setting(
        (MODEL_BOUND,) * 7,
        "Largest motion of a step on x y z, roll pitch yaw, gripper; -1 = the model's own, which "
        'is also the most, 0 = none.',
        unit='m, rad, closedness',
        low=-1.0,
        high=pi,
    )
    cost: str = setting(
        MODEL_COST,
        "How predicted latents are compared with the goal's: l1, the mean absolute difference, or "
        "l2, the root of the mean square; '' = the model's own.",
        choices=(MODEL_COST, *COSTS),
    )
    gripper_deadband: float = setting(
        0.0,
        'Smaller changes of the gripper in a plan become 0.',
        unit='closedness',
        low=0.0,
        high=1.0,
    )
    fixed_gripper: float = setting(
        1.0,
        'Change of the gripper in the steps in which it is fixed, whatever its bound; 1 = it '
        'closes.',
        unit='closedness',
        low=-1.0,
        high=1.0,
    )
    fixed_gripper_from: int = setting(
        -1,
        'First step of a plan, counted from 0, in which the gripper is not searched but moves by '
        'fixed_gripper; -1 = none.',
        low=-1,
        high=15,
    )
    min_axis_gain: float = setting(
        0.005,
        'Share of the energy removed by a plan that moving along an axis must bring, else that '
        'axis stays still; 0 = every axis moves.',
        low=0.0,
        high=1.0,
    )
    seed: int = setting(
        -1, 'Seed of the candidates; -1 = another one for every plan.', low=-1, high=2**64 - 1
    )
    preset: str = setting(
        '',
        'Settings of another planner in place of optimizer, search and cem, but for seed, '
        'fixed_gripper and fixed_gripper_from; of bounds and axes, what allows less motion is '
        "taken, and a cost other than its own is refused: 'meta' = the one that Meta released.",
        choices=('', 'meta'),
    )
    time_limit: float | None = None  # s
    best_effort: bool = False  # at the time limit, the plan so far instead of an error

    def __post_init__(self) -> None:
        for row in described(self):
            check_setting(row, getattr(self, row.name), row.name)
        for axis, bound, largest in zip(AXES, self.bounds, LARGEST_BOUNDS):
            require(
                0.0 <= bound <= largest or bound == MODEL_BOUND,
                f'bounds ({axis})',
                bound,
                f"0 to {largest:.4g}, or -1 for the model's own",
            )
        alone = MODEL_AXES not in self.axes or len(self.axes) == 1
        require(alone, 'axes', list(self.axes), "names of axes, or '' alone")
        limit = self.time_limit
        require(limit is None or limit > 0.0, 'time_limit', limit, 'above 0 s')

    def bounds_for(self, action_bounds: Sequence[float]) -> tuple[float, ...]:
        """
        Return the largest |action| per axis [7] for a model that was trained up to action_bounds.

        Settings can narrow a model's bounds, not widen them: it was not trained beyond them.
        """
        limits = [min(bound, MAX_TRANSLATION) for bound in action_bounds[:3]]
        limits += action_bounds[3:]
        for axis, bound, limit in zip(AXES, self.bounds, limits):
            allowed = f'up to {limit}, the largest step the model was trained for'
            require(bound <= limit, f'bounds ({axis})', bound, allowed)
        return tuple(
            limit if bound == MODEL_BOUND else bound for bound, limit in zip(self.bounds, limits)
        )

    def limits_for(self, action_bounds: Sequence[float]) -> list[tuple[float, ...]]:
        """Return the largest |action| per axis [7] of each step: bounds_for, or what is fixed."""
        bounds = self.bounds_for(action_bounds)
        fixed = (*bounds[:6], abs(self.fixed_gripper))
        return [fixed if self.is_gripper_fixed(step) else bounds for step in range(self.horizon)]

    def is_gripper_fixed(self, step: int) -> bool:
        """Return whether the gripper moves by fixed_gripper in a step of a plan."""
        return 0 <= self.fixed_gripper_from <= step

    def axes_for(self, model: Model) -> list[int]:
        """
        Return the indices of the axes to search for a model.

        An axis that cannot move is left out: it must not count in the agreement of the elites.
        """
        bounds = self.bounds_for(model.action_bounds)
        names = model.search_axes if self.axes == (MODEL_AXES,) else self.axes
        axes = [i for i, name in enumerate(AXES) if name in names and bounds[i] > 0.0]
        allowed = f'an axis whose bound is above 0, the bounds are {list(bounds)}'
        require(axes, 'axes', ', '.join(names), allowed)
        free = axes != [6] or not self.is_gripper_fixed(0)
        require(free, 'axes', 'gripper', 'an axis beside the gripper, which is fixed')
        return axes

    def cost_for(self, model: Model) -> str:
        """Return the cost to plan with a model by."""
        return self.cost or model.cost


@dataclass(frozen=True)
class CemConfig(SearchConfig):
    """Settings of the cross-entropy method."""

    samples: int = setting(500, 'Candidates drawn in each iteration.', low=1, high=16384)
    iterations: int = setting(5, 'Iterations of drawing, ranking and refitting.', low=1, high=100)
    elite_fraction: float = setting(
        0.2, 'Share of the candidates kept as elites.', low=1e-4, high=1.0
    )
    initial_std: tuple[float, ...] = setting(
        (MODEL_BOUND,) * 7,
        'Standard deviation of the first candidates on x y z, roll pitch yaw, gripper; -1 = the '
        'bound of the axis.',
        unit='m, rad, closedness',
        low=-1.0,
        high=pi,
    )
    momentum_mean: float = setting(
        0.0, 'Share of the old mean kept when it is refitted.', low=0.0, high=0.999
    )
    momentum_std: float = setting(
        0.0, 'Share of the old standard deviation kept when it is refitted.', low=0.0, high=0.999
    )
    momentum_mean_gripper: float = setting(
        SAME, 'The same of the gripper; -1 = momentum_mean.', low=-1.0, high=0.999
    )
    momentum_std_gripper: float = setting(
        SAME, 'The same of the gripper; -1 = momentum_std.', low=-1.0, high=0.999
    )
    include_mean: bool = setting(True, 'Make the mean of the distribution one of the candidates.')
    keep_elites: bool = setting(
        False, 'Keep the elites as candidates of the next iteration, not evaluated again.'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = f'at least one elite of {self.samples} samples'
        require(self.elites >= 1, 'elite_fraction', self.elite_fraction, allowed)
        names = ('momentum_mean_gripper', 'momentum_std_gripper')
        own = {name: getattr(self, name) for name in names}
        own |= {f'initial_std ({axis})': std for axis, std in zip(AXES, self.initial_std)}
        for name, value in own.items():
            require(value >= 0.0 or value == -1.0, name, value, '0 or more, or -1')

    @property
    def elites(self) -> int:
        """Return how many candidates are elites."""
        return round(self.elite_fraction * self.samples)

    def momenta(self, name: str) -> tuple[float, ...]:
        """Return momentum_mean or momentum_std per axis [7]."""
        all_axes, gripper = getattr(self, name), getattr(self, f'{name}_gripper')
        return (all_axes,) * 6 + (all_axes if gripper == SAME else gripper,)


@dataclass(frozen=True)
class TrustRegionConfig(SearchConfig):
    """Settings of the trust-region optimizer; the best quarter of the samples are its elites."""

    samples: int = setting(
        16, 'Candidates of each iteration of the trust-region optimizer.', low=1, high=1024
    )
    iterations: int = setting(4, 'Iterations of the trust-region optimizer.', low=1, high=100)

    @property
    def elites(self) -> int:
        """Return how many candidates are elites."""
        return max(1, self.samples // 4)


OPTIMIZERS: dict[str, type[SearchConfig]] = {'cem': CemConfig, 'trust_region': TrustRegionConfig}
# What the WorldModel of facebookresearch/vjepa2 (notebooks/utils) plans with; the gripper's bound,
# there 0.75, is that of its model.
META = CemConfig(
    preset='meta',
    horizon=2,
    axes=('x', 'y', 'z', 'gripper'),
    bounds=(0.05,) * 3 + (MODEL_BOUND,) * 4,
    cost='l1',
    gripper_deadband=0.25,
    min_axis_gain=0.0,
    samples=400,
    iterations=10,
    elite_fraction=10 / 400,
    initial_std=(MODEL_BOUND,) * 6 + (1.0,),
    momentum_mean=0.15,
    momentum_std=0.15,
    include_mean=False,
)
PRESETS = {META.preset: META}
