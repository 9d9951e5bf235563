# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's settings, see messages.input_settings; no ROS."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..messages.input_settings import InputSettings, make, value_of
from ..planning.actions import AXES
from ..planning.config import (
    CemConfig,
    MODEL_AXES,
    MODEL_BOUND,
    MODEL_COST,
    OPTIMIZERS,
    PRESETS,
    require,
    SearchConfig,
    setting,
    TrustRegionConfig,
)

# Names of world_model.catalogue, which needs torch.
MODELS = (
    *('sim-panda-ac', 'sim-panda', 'vit-large', 'vit-huge', 'vit-giant', 'vit-giant-384'),
    *('vit-giant-ac', 'vit-giant-ac-droid'),
    *('vit-base-2.1', 'vit-large-2.1', 'vit-giant-2.1', 'vit-gigantic-2.1'),
)


@dataclass(frozen=True)
class LandscapeSettings:
    """How energy landscapes are computed."""

    batch: int = setting(
        128,
        'Points of an energy landscape evaluated at once; a plan may have to wait for them.',
        low=1,
        high=1024,
    )


@dataclass(frozen=True)
class Settings(InputSettings):
    """Every parameter of the planner and its value; a goal is planned with one such set."""

    model: str = setting(
        'sim-panda-ac',
        'World model to plan with, unless ~/load_model or a goal asks for another; loaded at the '
        'next configure.',
    )
    checkpoint: str = setting(
        '',
        "File with the model's weights, '' = those of the catalogue; read at the next configure.",
    )
    confidence_fit: str = setting(
        '',
        "File that `validate --fit` wrote, by which confidence and surprise are measured; '' = "
        "the one beside the model's weights, if there is one; read at the next configure.",
    )
    decoder: str = setting(
        '',
        "File with a decoder of the model's latents, which draws for ~/imagined what the model "
        "expects to see; '' = that of the catalogue's weights, where it is on this machine; read "
        'at the next configure.',
    )
    calibration: str = setting(
        '', "File that `calibrate` wrote: how the camera is turned against the model's; '' = none."
    )
    model_cache: str = setting('', "Folder of downloaded weights; '' = torch.hub's.")
    device: str = setting(
        'auto', 'Torch device: auto, cpu, cuda or cuda:N; used from the next configure.'
    )
    dtype: str = setting(
        'auto',
        'Precision of the model; used from the next configure.',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
    )
    optimizer: str = setting(
        'trust_region',
        'How plans are searched: trust_region needs about 70 candidates where cem, the '
        'cross-entropy method, takes 2500. Both read the parameters under search.',
        choices=tuple(OPTIMIZERS),
    )
    search: SearchConfig = field(default_factory=SearchConfig)
    cem: CemConfig = field(default_factory=CemConfig)
    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)
    landscape: LandscapeSettings = field(default_factory=LandscapeSettings)
    context_frames: int = setting(
        1,
        "Frames the model sees: the newest and those before it, the model's period apart; fewer "
        'just after the start.',
        low=1,
        high=16,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ('model', 'device'):
            require(value_of(self, name), name, "''", 'a name')

    def plan_config(self, **changes: Any) -> CemConfig | TrustRegionConfig:
        """Return the chosen optimizer's settings with what both share, and changes over them."""
        shared = {row.name: getattr(self.search, row.name) for row in fields(SearchConfig)}
        return replace(getattr(self, self.optimizer), **{**shared, **changes})


def with_goal(settings: Settings, search: Any, seed: int | None) -> Settings:
    """
    Return settings with a goal's SearchSettings message over them (0 or '' = keep).

    A preset comes between the two. ValueError naming the setting, its value and what is allowed.
    """
    settings = with_preset(settings, search.preset, search.cost)
    optimizer = search.optimizer or settings.optimizer
    require(optimizer in OPTIMIZERS, 'optimizer', repr(optimizer), ', '.join(OPTIMIZERS))
    names = ['samples', 'iterations', *(['elite_fraction'] if optimizer == 'cem' else [])]
    changed = {name: getattr(search, name) for name in names if getattr(search, name)}
    shared = {name: getattr(search, name) for name in ('horizon', 'cost') if getattr(search, name)}
    if seed is not None:
        shared['seed'] = seed
    groups = {}
    for group, changes in ((optimizer, changed), ('search', shared)):
        before = getattr(settings, group)
        values = {**{row.name: getattr(before, row.name) for row in fields(before)}, **changes}
        groups[group] = make(type(before), f'{group}.', values)
    return replace(settings, optimizer=optimizer, **groups)


def with_preset(settings: Settings, name: str = '', cost: str = '') -> Settings:
    """
    Return settings with a preset over them ('' = that of search.preset, or none).

    Seed, a fixed gripper, narrower bounds and axes that stay still do so. ValueError if there is
    no such preset, if search.cost is another one than the preset's, or if no axis is left.

    :param cost: that will be put over the preset's; '' = none, so that search.cost would be lost.
    """
    name = name or settings.search.preset
    if not name:
        return settings
    require(name in PRESETS, 'search.preset', repr(name), f"{', '.join(PRESETS)} or ''")
    preset, before = PRESETS[name], settings.search
    lost = not cost and before.cost not in (MODEL_COST, preset.cost)
    allowed = f"{preset.cost} or '' with preset {name!r}"
    require(not lost, 'search.cost', repr(before.cost), allowed)
    bounds = [
        max(pair) if MODEL_BOUND in pair else min(pair)
        for pair in zip(preset.bounds, before.bounds)
    ]
    if MODEL_AXES not in before.axes:
        allowed = f'one of {", ".join(preset.axes)} with preset {name!r}'
        searched = set(before.axes) & set(preset.axes)
        require(searched, 'search.axes', ', '.join(before.axes), allowed)
        bounds = [bound if axis in before.axes else 0.0 for axis, bound in zip(AXES, bounds)]
    kept = ('seed', 'fixed_gripper', 'fixed_gripper_from')
    shared = {row.name: getattr(preset, row.name) for row in fields(SearchConfig)}
    shared.update({name: getattr(before, name) for name in kept}, bounds=tuple(bounds))
    return replace(settings, optimizer='cem', cem=preset, search=SearchConfig(**shared))


def with_model(
    settings: Settings, name: str = '', checkpoint: str = '', device: str = '', dtype: str = ''
) -> Settings:
    """
    Return settings with a model asked for over them ('' = keep); ValueError if wrong.

    Another model does not get the files of the one that the settings name.
    """
    if name not in ('', settings.model):
        settings = replace(settings, model=name, checkpoint='', confidence_fit='', decoder='')
    return replace(
        settings,
        device=device or settings.device,
        dtype=dtype or settings.dtype,
        checkpoint=checkpoint or settings.checkpoint,
    )
