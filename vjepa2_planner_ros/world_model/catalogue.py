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
META_URL = 'https://dl.fbaipublicfiles.com/vjepa2/'


ALL_AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')


@dataclass(frozen=True)
class ModelSpec:
    """
    A V-JEPA 2 encoder, and the action-conditioned predictor that makes it a world model.

    predictor: None in the encoders that Meta released alone.
    action_bounds: largest change per axis and step that training saw [m, rad, closedness].
    search_axes: axes that plans search by default, of ALL_AXES.
    reference_rotation: tool rotation (fixed-axis angles, rad) relative to which the predictor's
    state input is expressed; None is the robot base frame itself, as in Meta's models.
    frame_period: time between frames in training [s], thus of one action.
    base_frame: of the one robot it was trained on, '' if it was trained on several.
    weights: file shipped with this package, None where there is none.
    url: where its weights can be downloaded, None where they are shipped.
    licence: of the weights, as an SPDX identifier.
    """

    name: str
    encoder: EncoderSize
    predictor: PredictorSize | None
    image_size: int
    crop: str
    action_bounds: tuple[float, ...]
    search_axes: tuple[str, ...] = ALL_AXES
    frame_period: float = 0.25
    reference_rotation: tuple[float, float, float] | None = None
    base_frame: str = ''
    weights: Path | None = None
    url: str | None = None
    licence: str = 'Apache-2.0'

    @property
    def action_dim(self) -> int:
        """Return the degrees of freedom it plans: 7, or 3 (translation) without a predictor."""
        return 3 if self.predictor is None else 7

    @property
    def checkpoint_entries(self) -> dict[str, tuple[str, ...]]:
        """Return, for each part, the entries of Meta's files that hold it, the best first."""
        if self.predictor is None:
            return {'encoder': ('target_encoder', 'encoder')}
        return {'encoder': ('encoder',), 'predictor': ('predictor',)}

    @property
    def grid(self) -> tuple[int, int]:
        """Return the rows and columns of patches in an image."""
        side = self.image_size // self.encoder.patch_size
        return side, side


VIT_GIANT = EncoderSize(dim=1408, depth=40, heads=22, mlp_hidden=6144)


def _encoder_only(name: str, file: str, encoder: EncoderSize, image_size: int = 256) -> ModelSpec:
    """Return an encoder that Meta released alone; its training saw no actions."""
    return ModelSpec(
        name=name,
        encoder=encoder,
        predictor=None,
        image_size=image_size,
        crop='center_square',
        action_bounds=(0.0,) * 7,
        url=META_URL + file,
        licence='MIT',
    )


MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name='sim-panda-ac',
            encoder=EncoderSize(dim=128, depth=6, heads=4, mlp_hidden=512),
            predictor=PredictorSize(dim=128, depth=4, heads=4, mlp_hidden=512),
            image_size=128,
            crop='center_square',
            action_bounds=(0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75),
            reference_rotation=(pi, 0.0, 0.0),
            base_frame='panda_link0',
            weights=PACKAGED_WEIGHTS / 'sim-panda-ac.safetensors',
        ),
        # An encoder alone, for the simulator's wrist camera; the planner bounds its translations.
        ModelSpec(
            name='sim-panda',
            encoder=EncoderSize(dim=128, depth=4, heads=4, mlp_hidden=512),
            predictor=None,
            image_size=128,
            crop='center_square',
            action_bounds=(0.10,) * 3 + (0.0,) * 4,
            base_frame='panda_link0',
            weights=PACKAGED_WEIGHTS / 'sim-panda.safetensors',
        ),
        # The paper (arXiv 2506.09985) bounds translation to 0.075 m per axis on the robot.
        # The rotation bound is a guess at what DROID shows in one step; Meta's planner
        # leaves rotation at zero.
        ModelSpec(
            name='vit-giant-ac',
            encoder=VIT_GIANT,
            predictor=PredictorSize(dim=1024, depth=24, heads=16, mlp_hidden=4096),
            image_size=256,
            crop='center_square',
            action_bounds=(0.075, 0.075, 0.075, 0.15, 0.15, 0.15, 0.75),
            search_axes=('x', 'y', 'z', 'gripper'),
            url=META_URL + 'vjepa2-ac-vitg.pt',
            licence='MIT',
        ),
        _encoder_only('vit-large', 'vitl.pt', EncoderSize(1024, 24, 16, 4096)),
        _encoder_only('vit-huge', 'vith.pt', EncoderSize(1280, 32, 16, 5120)),
        _encoder_only('vit-giant', 'vitg.pt', VIT_GIANT),
        _encoder_only('vit-giant-384', 'vitg-384.pt', VIT_GIANT, image_size=384),
    )
}


def model_spec(name: str) -> ModelSpec:
    """Return the model of that name, or raise ModelNotFoundError."""
    try:
        return MODELS[name]
    except KeyError:
        raise ModelNotFoundError(
            f"model is '{name}'; allowed: {', '.join(sorted(MODELS))}"
        ) from None
