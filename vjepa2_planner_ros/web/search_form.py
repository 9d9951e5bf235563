# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of a search, with ranges from the parameters' own description."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters

from .layout import div, View
from .link import NoAnswer
from .schemas import PlanSettings
from ..planning.config import CemConfig, COSTS, described, META, OPTIMIZERS, PRESETS

OWN = "the planner's"
CHOICES: dict[str, dict[str, Any]] = {
    OWN: {},
    'quick': {'optimizer': 'trust_region', 'samples': 16, 'iterations': 4},
    'standard': {'optimizer': 'cem', 'samples': 500, 'iterations': 5, 'elite_fraction': 0.2},
    'thorough': {'optimizer': 'cem', 'samples': 800, 'iterations': 10, 'elite_fraction': 0.1},
    "Meta's planner": {'preset': META.preset},
}
NUMBERS = ('samples', 'iterations', 'elite_fraction', 'horizon')
SEARCH = ('optimizer', 'cost', 'preset', *NUMBERS)


class SearchForm:
    """Model, optimizer, cost and numbers of a search; empty = the planner's own parameter."""

    def __init__(self, view: View):
        self._link, self._models = view.console.link, view.console.models
        self._defaults: dict[str, Any] = {}
        with div('fields'):
            self._model = ui.select({'': 'the loaded one'}, value='', label='Model')
            self._preset = ui.select(list(CHOICES), value=next(iter(CHOICES)), label='Preset')
            self._optimizer = ui.select(
                {'': OWN, **{name: name for name in OPTIMIZERS}}, value='', label='Optimizer'
            )
            self._cost = ui.select(
                {'': OWN, **{name: name for name in COSTS}}, value='', label='Cost'
            )
            self._numbers = {
                name: ui.number(name.replace('_', ' ').capitalize()) for name in NUMBERS
            }
        choices = (self._model, self._preset, self._optimizer, self._cost)
        for field in (*choices, *self._numbers.values()):
            field.props('outlined dense stack-label options-dense')
        self._preset.on_value_change(self._apply_preset)
        self._optimizer.on_value_change(self._describe)
        self._describe()

    @property
    def optimizer(self) -> str:
        """Return the optimizer that is meant, as far as known."""
        own = 'cem' if self._planner_preset else self._defaults.get('optimizer', 'cem')
        return self._optimizer.value or own

    @property
    def _planner_preset(self) -> CemConfig | None:
        """Return the planner's preset that comes before its parameters, or None."""
        chosen = CHOICES[self._preset.value].get('preset')
        return PRESETS.get(chosen or self._defaults.get('search.preset', ''))

    def settings(self, **more: Any) -> PlanSettings:
        """Return what is entered, with further fields."""
        numbers: dict[str, Any] = {name: field.value or 0 for name, field in self._numbers.items()}
        if self.optimizer != 'cem':
            numbers['elite_fraction'] = 0.0
        for name in ('samples', 'iterations', 'horizon'):
            numbers[name] = int(numbers[name])
        fields = {**numbers, **more, 'optimizer': self._optimizer.value, 'cost': self._cost.value}
        fields['preset'] = CHOICES[self._preset.value].get('preset', '')
        return PlanSettings(model=self._model.value or '', **fields)

    async def refresh(self) -> None:
        """Ask the planner for its models and parameters."""
        try:
            models = await self._models.list()
            names = ['optimizer', 'search.horizon', 'search.preset']
            names += [f'{name}.{key}' for name in OPTIMIZERS for key in ('samples', 'iterations')]
            names += ['cem.elite_fraction']
            request = GetParameters.Request(names=names)
            answer = await self._link.ask('planner/get_parameters', request)
        except NoAnswer:
            return
        self._defaults = {
            name: _value(value) for name, value in zip(names, answer.values) if value.type
        }
        here = {model.name: _described(model) for model in models if model.on_disk}
        self._model.set_options({'': 'the loaded one', **here}, value=self._model.value)
        self._describe()

    def _apply_preset(self) -> None:
        preset = CHOICES[self._preset.value]
        self._optimizer.set_value(preset.get('optimizer', ''))
        for name, field in self._numbers.items():
            field.set_value(preset.get(name))
        self._describe()

    def _describe(self) -> None:
        """Show ranges, and the planner's own values where nothing is entered."""
        optimizer, preset = self.optimizer, self._planner_preset
        rows = {row.name: row for row in described(OPTIMIZERS[optimizer])}
        for name, field in self._numbers.items():
            row = rows.get(name)
            field.set_enabled(row is not None)
            if row is None:
                continue
            low, high = row.metadata['low'], row.metadata['high']
            group = 'search' if name == 'horizon' else optimizer
            own = self._defaults.get(f'{group}.{name}', row.default)
            if preset is not None and group in ('search', 'cem'):
                own = getattr(preset, name)
            step = 1 if isinstance(row.default, int) else 0.05
            field.min, field.max = low, high
            field.props(f'step={step} placeholder="{own:g}" hint="{low:g} to {high:g}"')


def _value(value: Any) -> Any:
    return {
        ParameterType.PARAMETER_INTEGER: value.integer_value,
        ParameterType.PARAMETER_DOUBLE: value.double_value,
        ParameterType.PARAMETER_STRING: value.string_value,
    }.get(value.type)


def _described(model: Any) -> str:
    what = f'{model.name}, {model.action_dim} DOF'
    return f'{what}, loaded' if model.state == 'loaded' else what
