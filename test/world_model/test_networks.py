# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks agree with Meta's modules and with transformers, in every dtype and shape."""

from oracles import randomise, reference_encoder, reference_predictor, transformers_encoder
import pytest
import torch
from vjepa2_planner_ros.world_model.networks import (
    ActionConditionedPredictor,
    EncoderSize,
    PredictorSize,
    VisionTransformer,
)

ENCODERS = {
    'four heads of 24': EncoderSize(96, 2, 4, int(96 * 48 / 11)),
    'head of 64, as ViT-L and ViT-g': EncoderSize(128, 3, 2, 512),
    'head of 80, as ViT-H': EncoderSize(160, 2, 2, 640),
}
PREDICTORS = {
    'equal width': (96, PredictorSize(96, 2, 4, 384)),
    'narrower than the latents': (96, PredictorSize(64, 3, 2, 256)),
    'wider than the latents': (48, PredictorSize(128, 2, 2, 512)),
}


@pytest.fixture(autouse=True)
def no_gradients():
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize('size', ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize('height, width', [(64, 64), (32, 96), (80, 48)])
def test_encoder_equals_reference(size, height, width):
    reference = reference_encoder(size)
    ours = VisionTransformer(size).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    images = torch.randn(2, 3, height, width)
    clips = images[:, :, None].expand(-1, -1, 2, -1, -1)  # one repeated frame, as for stills
    torch.testing.assert_close(ours(images), reference(clips), rtol=0, atol=1e-5)


@pytest.mark.parametrize('size', ENCODERS.values(), ids=ENCODERS)
@pytest.mark.slow
def test_encoder_equals_transformers(size):
    ours = randomise(VisionTransformer(size))
    oracle = transformers_encoder(size, ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    expected = oracle(
        images[:, None].expand(-1, 2, -1, -1, -1), skip_predictor=True
    ).last_hidden_state
    torch.testing.assert_close(ours(images), expected, rtol=0, atol=1e-5)


def test_masked_encoder_sees_only_what_is_kept():
    ours = randomise(VisionTransformer(ENCODERS['four heads of 24']))
    images = torch.randn(2, 3, 64, 64)
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(ours(images, keep=everything), ours(images), rtol=0, atol=1e-5)
    keep = torch.tensor([[0, 5, 3], [15, 1, 2]])
    changed = images.clone()
    changed[:, :, 48:, 16:32] += 1.0  # patch 13, which neither keeps
    torch.testing.assert_close(ours(images, keep=keep), ours(changed, keep=keep), rtol=0, atol=0)


@pytest.mark.parametrize('latent_dim, size', PREDICTORS.values(), ids=PREDICTORS)
@pytest.mark.parametrize('frames', [1, 2, 3])
def test_predictor_equals_reference(latent_dim, size, frames):
    reference = reference_predictor(latent_dim, size)
    ours = ActionConditionedPredictor(latent_dim, size, (4, 4)).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    latents = torch.randn(2, frames, 16, latent_dim)
    actions, states = torch.randn(2, frames, 7), torch.randn(2, frames, 7)
    expected = reference(latents.flatten(1, 2), actions, states).unflatten(1, (frames, 16))
    torch.testing.assert_close(ours(latents, actions, states), expected, rtol=0, atol=1e-5)
    cache = None
    for t in range(frames):  # frame by frame through the cache, without a mask
        step, cache = ours.step(latents[:, t], actions[:, t], states[:, t], t, cache)
        torch.testing.assert_close(step, expected[:, t], rtol=0, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('input_dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_half_precision_is_native(dtype, input_dtype):
    encoder = randomise(VisionTransformer(ENCODERS['four heads of 24']))
    latent_dim, size = PREDICTORS['equal width']
    predictor = randomise(ActionConditionedPredictor(latent_dim, size, (4, 4)))
    images = torch.randn(1, 3, 64, 64)
    latents = torch.randn(1, 2, 16, latent_dim)
    actions, states = torch.randn(1, 2, 7), torch.randn(1, 2, 7)
    expected = encoder(images), predictor(latents, actions, states)
    encoder.to(dtype), predictor.to(dtype)
    found = (
        encoder(images.to(input_dtype)),
        predictor(latents.to(input_dtype), actions.to(input_dtype), states.to(input_dtype)),
    )
    step, _ = predictor.step(latents[:, 0].to(input_dtype), actions[:, 0], states[:, 0], 0)
    for ours, full in zip((*found, step), (*expected, expected[1][:, 0])):
        assert ours.dtype == dtype
        error = (ours.float() - full).norm() / full.norm()
        assert error < (0.03 if dtype == torch.bfloat16 else 0.004)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match='72x64.*multiples of 16'):
        VisionTransformer(ENCODERS['four heads of 24'])(torch.zeros(1, 3, 72, 64))
    with pytest.raises(ValueError, match='head_dim is 8'):
        VisionTransformer(EncoderSize(32, 1, 4, 64))(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    'name, parameters, tensors',
    [('vit-giant-ac encoder', 1_012_173_952, 484), ('vit-giant-ac predictor', 305_220_992, 300)],
)
def test_full_size_has_the_published_parameters(name, parameters, tensors):
    from vjepa2_planner_ros.world_model import build_networks, model_spec

    networks = dict(
        zip(('encoder', 'predictor'), build_networks(model_spec('vit-giant-ac'), device='meta'))
    )
    state = networks[name.split()[1]].state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    assert len(state) == tensors
