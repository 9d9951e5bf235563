# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model works on recorded data, beside what needs no model at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from .confidence import FEWEST_NEAR, fit_confidence
from .measures import Estimate, estimate
from .study import Advance, Inferred, Study, study, work
from .trajectory import Trajectory
from .verdicts import figures, inferred_figures, Verdict, verdicts
from ..messages.input_settings import Crop
from ..planning.confidence import Fit
from ..planning.search import OptimizerConfig
from ..world_model import build_networks, VJepa2WorldModel
from ..world_model.devices import free_memory
from ..world_model.loading import weights_bytes

UNTRAINED, NOTHING, RANDOM = 'untrained network', 'doing nothing', 'random actions'
SHARE = 4  # of the windows, one in so many is shown to the untrained network too
LISTED = 5  # damaged frames that are named


@dataclass
class Validation:
    """What was found about one model."""

    study: Study
    figures: dict[str, Any]
    verdicts: list[Verdict]
    baselines: dict[str, dict[str, Any]] = field(default_factory=dict)  # figures by method
    fit: Fit | None = None
    notes: list[str] = field(default_factory=list)  # what could not be done, and why


def total_work(trajectories: Sequence[Trajectory], count: int) -> int:
    """Return how many windows validate() will go through."""
    return work(trajectories, count) + work(trajectories, _few(count))


def _few(count: int) -> int:
    return max(count // SHARE, 1)


def validate(
    model: Any,
    trajectories: Sequence[Trajectory],
    count: int,
    *,
    crop: Crop = '',
    config: OptimizerConfig | None = None,
    seed: int = 0,
    advance: Advance = lambda done: None,
) -> Validation:
    """
    Return what a model with a predictor does on windows of trajectories; see study.study.

    Windows with damaged frames are left out, and noted.

    :raise ValueError: there is no window of one step, or not one without a damaged frame.
    """
    if not any(len(trajectory) > 1 for trajectory in trajectories):
        raise ValueError(
            'no trajectory has two frames a step apart: look at what --check-only says'
        )
    shared: dict[str, Any] = {'crop': crop, 'config': config, 'seed': seed, 'advance': advance}
    found = study(model, trajectories, count, **shared)
    values = figures(found)
    result = Validation(found, values, verdicts(found, values), notes=found.damaged[:LISTED])
    if len(found.damaged) > LISTED:
        result.notes.append(f'{len(found.damaged) - LISTED} frames more that are damaged')
    for name, inferred in _without_a_model(found, seed).items():
        result.baselines[name] = inferred
    try:
        untrained = _untrained(model)
    except MemoryError as error:
        result.notes.append(f'{UNTRAINED}: {error}')
        advance(work(trajectories, _few(count)))
    else:
        other = study(untrained, trajectories, _few(count), **shared)
        result.baselines[UNTRAINED] = figures(other)
        untrained.drop_weights()
    try:
        assert found.predicted is not None and found.reached is not None
        result.fit = fit_confidence(
            found.model,
            model.cost,
            found.bounds,
            found.predicted.error,
            found.predicted.change,
            found.reached,
        )
    except ValueError as error:
        result.notes.append(f'no fit of the confidence: {error}')
    else:
        if not result.fit.near_energy:
            result.notes.append(
                f'near_energy of the fit: fewer than {FEWEST_NEAR} windows begin 1 to 3 cm from '
                'their goal; the controller goes by ending.min_drop'
            )
    return result


def _without_a_model(found: Study, seed: int) -> dict[str, dict[str, Any]]:
    """Return the figures of doing nothing and of random actions within the bounds."""
    rng = np.random.default_rng(seed)
    bounds = np.array(found.bounds)
    table: dict[str, dict[str, Any]] = {NOTHING: {}, RANDOM: {}}
    for steps, inferred in found.inferred.items():
        shape = (len(inferred.windows), steps, 7)
        random = rng.uniform(-bounds, bounds, shape).sum(1)
        for name, planned in ((NOTHING, np.zeros_like(random)), (RANDOM, random)):
            same = replace(inferred, planned=planned, seconds=np.zeros(len(random)))
            table[name][f'steps_{steps}'] = inferred_figures(same)
    return table


def _untrained(model: Any) -> VJepa2WorldModel:
    """Return a network like the model's with random weights; MemoryError without room for it."""
    spec, dtype, device = model.spec, model.dtype, model.device
    needed, free = weights_bytes(spec, torch.float32), free_memory(device)
    if needed > free:
        raise MemoryError(f'{needed / 1e9:.1f} GB are needed, {device} has {free / 1e9:.1f} GB')
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder, predictor = build_networks(spec, device=device)
    assert predictor is not None  # whose model it is compared with
    return VJepa2WorldModel(spec, encoder.to(dtype), predictor.to(dtype))


def compare(first: Study, second: Study) -> dict[str, Estimate]:
    """
    Return how much less the second model errs on the windows of the first, with intervals.

    Differences are paired: both saw the same windows. Positive = the second is better.
    """
    table = {}
    for steps, inferred in first.inferred.items():
        other = second.inferred[steps]
        _require_same(inferred, other)
        errors = [
            100.0 * np.linalg.norm((row.planned - row.true)[:, :3], axis=1)
            for row in (inferred, other)
        ]
        table[f'error_cm, {steps} steps'] = estimate(errors[0] - errors[1], inferred.groups)
    assert first.reached is not None and second.reached is not None
    gained = second.reached.nearer - first.reached.nearer
    table['share that leads nearer'] = estimate(gained, first.reached.groups)
    return table


def _require_same(first: Inferred, second: Inferred) -> None:
    same = [(w.number, w.start, w.goal) for w in first.windows] == [
        (w.number, w.start, w.goal) for w in second.windows
    ]
    if not same:
        raise ValueError('the models have other frame periods: they cannot see the same windows')


def to_json(value: Any) -> Any:
    """Return dataclasses, arrays and numbers as what json.dump writes; NaN as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(asdict(value))
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [to_json(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
