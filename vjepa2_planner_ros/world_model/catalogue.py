# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The models this package knows: a model is data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from pathlib import Path

from .errors import ModelNotFoundError
from .networks import EncoderSize, PredictorSize

PACKAGED_WEIGHTS = Path(__file__).resolve().parent.parent / 'weights'
META_URL = 'https://dl.fbaipublicfiles.com/vjepa2/'
JEPA_WMS_URL = 'https://dl.fbaipublicfiles.com/jepa-wms/'

ALL_AXES = ('x', 'y', 'z', 'roll', 'pitch', 'yaw', 'gripper')


@dataclass(frozen=True)
class WeightsFile:
    """
    A file of weights that can be downloaded.

    encoder, predictor: entries of the file that hold that part, the best first; empty where the
    model takes it from another file.
    hub: 'ORG/NAME' of a repository on the Hugging Face Hub with the same weights in the layout of
    transformers, or 'ORG/NAME/FILE' of the same file; '' if there is none.
    layout: meta, or jepa-wms.
    licence: where it is another than that of the model.
    """

    url: str
    encoder: tuple[str, ...] = ()
    predictor: tuple[str, ...] = ()
    hub: str = ''
    layout: str = 'meta'
    licence: str = ''

    @property
    def name(self) -> str:
        """Return the name that the file has in the cache."""
        return self.url.rpartition('/')[2]


@dataclass(frozen=True)
class ModelSpec:
    """
    A V-JEPA 2 encoder, and the action-conditioned predictor that makes it a world model.

    predictor: None in the encoders that Meta released alone.
    action_bounds: largest change per axis and step that training saw [m, rad, closedness].
    search_axes: axes that plans search by default, of ALL_AXES.
    cost: what plans minimise by default, of planning.config.COSTS.
    reference_rotation: tool rotation (fixed-axis angles, rad) relative to which the predictor's
    state input is expressed; None is the robot base frame itself, as in Meta's models.
    frame_period: time between frames in training [s], thus of one action.
    base_frame: of the one robot it was trained on, '' if it was trained on several.
    weights: file shipped with this package, None where there is none.
    files: what has to be downloaded, empty where the weights are shipped.
    decoder: draws pictures from its latents, for people; shipped, or to be downloaded.
    licence: of the weights, as an SPDX identifier; of several, that which allows least.
    """

    name: str
    encoder: EncoderSize
    predictor: PredictorSize | None
    image_size: int
    crop: str
    action_bounds: tuple[float, ...]
    search_axes: tuple[str, ...] = ALL_AXES
    cost: str = 'l1'
    frame_period: float = 0.25
    reference_rotation: tuple[float, float, float] | None = None
    base_frame: str = ''
    weights: Path | None = None
    files: tuple[WeightsFile, ...] = ()
    decoder: Path | WeightsFile | None = None
    licence: str = 'Apache-2.0'

    @property
    def action_dim(self) -> int:
        """Return the degrees of freedom it plans: 7, or 3 (translation) without a predictor."""
        return 3 if self.predictor is None else 7

    @property
    def entries(self) -> dict[str, tuple[str, ...]]:
        """Return, for each part, the entries of a .pt that may hold it, the best first."""
        entries: dict[str, tuple[str, ...]] = {part: (part,) for part in self.parts}
        for file in self.files:
            entries |= {part: names for part in self.parts if (names := getattr(file, part))}
        return entries

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of its networks."""
        return ('encoder',) if self.predictor is None else ('encoder', 'predictor')

    @property
    def grid(self) -> tuple[int, int]:
        """Return the rows and columns of patches in an image."""
        side = self.image_size // self.encoder.patch_size
        return side, side


VIT_LARGE = EncoderSize(dim=1024, depth=24, heads=16, mlp_hidden=4096)
VIT_GIANT = EncoderSize(dim=1408, depth=40, heads=22, mlp_hidden=6144)
# Of the authors of JEPA-WM (arXiv 2512.24497), for the layer-normed latents of Meta's ViT-g.
VIT_GIANT_DECODER = WeightsFile(
    JEPA_WMS_URL + 'vm2m_lpips_vj2vitgnorm_vitldec_dup_256_INet.pth.tar',
    hub='facebook/jepa-wms/vjepa2_vitg_256_INet.pth.tar',
    licence='CC-BY-NC-4.0',
)


def _encoder_only(
    name: str,
    file: str,
    encoder: EncoderSize,
    image_size: int = 256,
    *,
    entries: tuple[str, ...] = ('target_encoder', 'encoder'),
    hub: str = '',
) -> ModelSpec:
    """Return an encoder that Meta released alone; its training saw no actions."""
    return ModelSpec(
        name=name,
        encoder=encoder,
        predictor=None,
        image_size=image_size,
        crop='center_square',
        action_bounds=(0.0,) * 7,
        files=(WeightsFile(META_URL + file, encoder=entries, hub=hub),),
        licence='MIT',
    )


def _encoder_2_1(name: str, file: str, encoder: EncoderSize, entry: str) -> ModelSpec:
    """Return an encoder of V-JEPA 2.1."""
    return _encoder_only(name, file, replace(encoder, release='2.1'), 384, entries=(entry,))


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
            decoder=PACKAGED_WEIGHTS / 'sim-panda-ac.decoder.safetensors',
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
            files=(
                WeightsFile(
                    META_URL + 'vjepa2-ac-vitg.pt', encoder=('encoder',), predictor=('predictor',)
                ),
            ),
            decoder=VIT_GIANT_DECODER,
            licence='MIT',
        ),
        # V-JEPA 2-AC trained anew by the authors of JEPA-WM (arXiv 2512.24497, appendix B), who
        # found a mistake in the loss of vit-giant-ac; bounds and cost are those of their planner.
        ModelSpec(
            name='vit-giant-ac-droid',
            encoder=VIT_GIANT,
            predictor=PredictorSize(1024, 24, 16, 4096, state_token=False),
            image_size=256,
            crop='center_square',
            action_bounds=(0.1,) * 6 + (0.75,),
            files=(
                WeightsFile(META_URL + 'vitg.pt', encoder=('encoder',)),
                WeightsFile(
                    JEPA_WMS_URL + 'droid_vj2ac_noprop.pth.tar',
                    predictor=('predictor',),
                    hub='facebook/jepa-wms/vjepa2_ac_droid.pth.tar',
                    layout='jepa-wms',
                ),
            ),
            decoder=VIT_GIANT_DECODER,
            licence='CC-BY-NC-4.0',
            cost='l2',
        ),
        _encoder_only('vit-large', 'vitl.pt', VIT_LARGE, hub='facebook/vjepa2-vitl-fpc64-256'),
        _encoder_only(
            'vit-huge',
            'vith.pt',
            EncoderSize(1280, 32, 16, 5120),
            hub='facebook/vjepa2-vith-fpc64-256',
        ),
        _encoder_only('vit-giant', 'vitg.pt', VIT_GIANT, hub='facebook/vjepa2-vitg-fpc64-256'),
        _encoder_only(
            'vit-giant-384', 'vitg-384.pt', VIT_GIANT, 384, hub='facebook/vjepa2-vitg-fpc64-384'
        ),
        _encoder_2_1(
            'vit-base-2.1',
            'vjepa2_1_vitb_dist_vitG_384.pt',
            EncoderSize(768, 12, 12, 3072),
            'ema_encoder',
        ),
        _encoder_2_1('vit-large-2.1', 'vjepa2_1_vitl_dist_vitG_384.pt', VIT_LARGE, 'ema_encoder'),
        _encoder_2_1('vit-giant-2.1', 'vjepa2_1_vitg_384.pt', VIT_GIANT, 'target_encoder'),
        _encoder_2_1(
            'vit-gigantic-2.1',
            'vjepa2_1_vitG_384.pt',
            EncoderSize(1664, 48, 26, 8192),
            'target_encoder',
        ),
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
