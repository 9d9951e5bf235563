# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The models this package knows: a model is data."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from pathlib import Path

from .errors import ModelNotFoundError
from .networks import EncoderSize, PredictorSize

PACKAGED_WEIGHTS = Path(__file__).resolve().parent.parent / 'weights'


@dataclass(frozen=True)
class ModelSpec:
    """
    An action-conditioned world model.

    action_bounds: largest change per axis and step that training saw [m, rad, closedness].
    reference_rotation: tool rotation (fixed-axis angles, rad) relative to which the predictor's
    state input is expressed; None is the robot base frame itself, as in Meta's models.
    frame_period: time between frames in training [s], thus of one action.
    weights: file shipped with this package; None where the user brings a checkpoint.
    """

    name: str
    encoder: EncoderSize
    predictor: PredictorSize
    image_size: int
    crop: str
    action_bounds: tuple[float, ...]
    frame_period: float = 0.25
    reference_rotation: tuple[float, float, float] | None = None
    weights: Path | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Return the rows and columns of patches in an image."""
        side = self.image_size // self.encoder.patch_size
        return side, side


MODELS = {spec.name: spec for spec in (
    ModelSpec(
        name='sim-panda-ac',
        encoder=EncoderSize(dim=128, depth=6, heads=4, mlp_hidden=512),
        predictor=PredictorSize(dim=128, depth=4, heads=4, mlp_hidden=512),
        image_size=128,
        crop='center_square',
        action_bounds=(0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75),
        reference_rotation=(pi, 0.0, 0.0),
        weights=PACKAGED_WEIGHTS / 'sim-panda-ac.safetensors',
    ),
    # The paper (arXiv 2506.09985) bounds translation to 0.075 m per axis on the robot. The
    # rotation bound is a guess at what DROID shows in one step; planning leaves rotation at zero.
    ModelSpec(
        name='vit-giant-ac',
        encoder=EncoderSize(dim=1408, depth=40, heads=22, mlp_hidden=6144),
        predictor=PredictorSize(dim=1024, depth=24, heads=16, mlp_hidden=4096),
        image_size=256,
        crop='center_square',
        action_bounds=(0.075, 0.075, 0.075, 0.15, 0.15, 0.15, 0.75),
    ),
)}


def model_spec(name: str) -> ModelSpec:
    """Return the model of that name, or raise ModelNotFoundError."""
    try:
        return MODELS[name]
    except KeyError:
        raise ModelNotFoundError(
            f"model is '{name}'; allowed: {', '.join(sorted(MODELS))}") from None
