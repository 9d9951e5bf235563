# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What is usual for a model, and so how far a plan of it can be trusted.

A Fit is made by the command validate from recorded data that the model was not trained on (those
of the simulator's models by the recipe fit_confidence from closed loops), and kept beside its
weights. With it the confidence of a plan is a probability, and what the camera sees after a step
can be called surprising or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
import json
from math import exp, isfinite, log
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from .cost import goal_energy
from ..world_model import poses, WorldModel

if TYPE_CHECKING:
    from .search import Plan

SUFFIX = '.fit.json'
ENDINGS = ('.safetensors', '.pth.tar', '.pth', '.pt', '.bin')  # of files of weights
# One radian of turn counts as 10 cm, the length of a finger; a gripper's whole travel as 4 cm.
METRES = (1.0, 0.1, 0.04)  # of position [m], turn [rad], closedness
FEATURES = ('constant', 'start', 'end', 'progress', 'agreement', 'step', 'seen', 'surprise')
RECENT = 6  # steps whose surprise counts
DOUBT = 2.0  # steps without any surprise that are taken to have gone before
SMALLEST = 1e-6  # of what a logarithm is taken


def pose_distance(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far states [..., 7] are apart [m]: |xyz| + 0.1 |turn| + 0.04 |closedness|."""
    step = poses.difference(torch.as_tensor(start).double(), torch.as_tensor(end).double())
    parts = (step[..., :3].norm(dim=-1), step[..., 3:6].norm(dim=-1), step[..., 6].abs())
    return (torch.stack(parts, -1) @ torch.tensor(METRES, dtype=torch.float64)).numpy()


@dataclass(frozen=True)
class StepError:
    """How far the latents seen after a step are from the predicted ones, in the model's cost."""

    error: float  # of the prediction
    change: float  # that was predicted


def step_error(
    model: WorldModel,
    context: Tensor,
    states: NDArray[np.float64],
    seen: Tensor,
    state: NDArray[np.float64],
    before: Tensor | None = None,
) -> StepError:
    """
    Return the StepError of the motion that was really made.

    :param context, states: what was planned from, see planning.search.plan.
    :param seen: latents [N, D] of the frame after the step; state [7] at it.
    :param before: latents [N, D] of the frame before, where the context holds something else.
    """
    made = poses.difference(torch.as_tensor(states[-1]).double(), torch.as_tensor(state).double())
    predicted = model.rollout(context, states, made[None, None].float())
    before = (context[-1] if before is None else before).to(predicted)
    return StepError(
        float(goal_energy(predicted, seen.to(predicted), model.cost)[0]),
        float(goal_energy(predicted, before, model.cost)[0]),
    )


@dataclass(frozen=True)
class Fit:
    """
    What is usual for a model.

    :param model: its name.
    :param cost: what its plans minimised, see planning.cost.
    :param usual_error: a, b of the error that is usual after a step for which a change c of the
        latents was predicted: a + b c.
    :param unit: the median error of one step, in which energies are measured.
    :param near_energy: the median energy of pictures taken 1 to 3 cm from that of the goal, see
        pose_distance; 0 = not known.
    :param weights: of FEATURES, in the logarithm of the odds that a plan leads nearer.
    :param figures: for people: data, number of windows, calibration error.
    """

    model: str
    cost: str
    usual_error: tuple[float, float]
    unit: float
    weights: tuple[float, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    near_energy: float = 0.0

    def __post_init__(self) -> None:
        for name, count in (('usual_error', 2), ('weights', len(FEATURES))):
            numbers = getattr(self, name)
            if len(numbers) != count or not all(map(isfinite, numbers)):
                raise ValueError(f'{name} = {list(numbers)}: allowed: {count} finite numbers')
        if not (isfinite(self.unit) and self.unit > 0.0):
            raise ValueError(f'unit = {self.unit}: allowed: above 0')
        if not (isfinite(self.near_energy) and self.near_energy >= 0.0):
            raise ValueError(f'near_energy = {self.near_energy}: allowed: 0 or above')

    def surprise(self, found: StepError) -> float:
        """Return the error of a step in units of the usual one."""
        constant, slope = self.usual_error
        return found.error / max(constant + slope * found.change, SMALLEST)

    def probability(
        self, plan: Plan, bounds: NDArray[np.float64], surprises: Sequence[float] = ()
    ) -> float:
        """
        Return the probability that a plan's first action leads nearer to the goal.

        :param bounds: [7] of the model's actions, whatever settings allow.
        :param surprises: at the steps of the run so far, the newest last.
        """
        score = float(np.dot(self.weights, features(plan, self.unit, bounds, surprises)))
        return 1.0 / (1.0 + exp(-min(max(score, -50.0), 50.0)))


def features(
    plan: Plan, unit: float, bounds: NDArray[np.float64], surprises: Sequence[float]
) -> tuple[float, ...]:
    """
    Return the FEATURES of a plan; parameters as in Fit.

    The last two tell of a camera that is not where it was in training: there every step is a bit
    more surprising. One step says little, so the mean of their logarithms begins at 0 (DOUBT).
    """
    start, end = (max(value / unit, SMALLEST) for value in (plan.start_energy, plan.energy))
    longest = max(float(np.linalg.norm(bounds[:3])), SMALLEST)
    step = float(np.linalg.norm(plan.actions[0, :3])) / longest
    recent = [log(min(max(surprise, 0.1), 10.0)) for surprise in surprises[-RECENT:]]
    seen = (len(recent) / (DOUBT + len(recent)), sum(recent) / (DOUBT + len(recent)))
    return (1.0, log(start), log(end), plan.progress, plan.agreement, step, *seen)


def write_fit(path: Path, fit: Fit) -> None:
    """Write a Fit as JSON, whole or not at all."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(json.dumps(asdict(fit), indent=1) + '\n', encoding='utf-8')
    partial.replace(path)


def read_fit(path: str | Path) -> Fit:
    """Return the Fit of a file; OSError, or ValueError that names the file."""
    try:
        values = json.loads(Path(path).expanduser().read_text(encoding='utf-8'))
        return Fit(
            str(values['model']),
            str(values['cost']),
            tuple(values['usual_error']),
            float(values['unit']),
            tuple(values['weights']),
            values.get('figures', {}),
            float(values.get('near_energy', 0.0)),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f'{path}: allowed: a file that `validate --fit` wrote: {error}'
        ) from error


def find_fit(weights: Path, model: str) -> Fit | None:
    """
    Return the Fit beside a file of weights; None if there is none of a model.

    Its name is that of the weights with SUFFIX in the place of one of ENDINGS.
    """
    suffix = next((end for end in ENDINGS if weights.name.endswith(end)), '')
    path = weights.with_name(weights.name.removesuffix(suffix) + SUFFIX)
    if not path.is_file():
        return None
    fit = read_fit(path)
    return fit if fit.model == model else None
