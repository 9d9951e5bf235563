# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The decoder draws what JEPA-WM's own code draws, and takes no other files.

The golden picture was computed by facebookresearch/jepa-wms from the weights of oracles.fill.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from oracles import fill, numbers
import pytest
from safetensors.torch import save_file
import torch
from vjepa2_planner_ros.simulation import PandaSim
from vjepa2_planner_ros.world_model import (
    load_world_model,
    model_spec,
    ModelLoadError,
    ModelMemoryError,
    poses,
)
from vjepa2_planner_ros.world_model.cache import find_decoder
from vjepa2_planner_ros.world_model.decoder import DecoderSize, load_decoder, PictureDecoder

GOLDEN = Path(__file__).with_name('golden') / 'jepa_wms_decoder.npy'
SIZE = DecoderSize(latent_dim=48, dim=128, depth=2, mlp_hidden=512, side=8, patch_size=4)
SIM = model_spec('sim-panda-ac')
TINY = replace(SIM, name='tiny', encoder=replace(SIM.encoder, dim=48), image_size=32)
LATENTS = 2.0 * numbers('latents', (2, 16, 48))[:1]


@pytest.fixture
def state():
    """Return the state dict of which the golden picture is."""
    return fill({name: x.shape for name, x in PictureDecoder(SIZE).state_dict().items()})


def load(path, spec=TINY):
    """Return a decoder in float32 on the CPU."""
    return load_decoder(path, spec, torch.device('cpu'), torch.float32)


def test_a_checkpoint_of_jepa_wms_draws_what_its_own_code_does(tmp_path, state):
    wrapped = {f'module.{name}': tensor for name, tensor in state.items()}
    content = {'model': wrapped, 'opt': {'state': {}}, 'scaler': None, 'epoch': 79}
    torch.save(content, tmp_path / 'd.pth.tar')
    decoder = load(tmp_path / 'd.pth.tar')
    with torch.inference_mode():
        drawn = decoder(LATENTS)
    expected = np.load(GOLDEN)
    torch.testing.assert_close(drawn, torch.from_numpy(expected), rtol=0, atol=1e-5)
    mean, deviation = ([[[x]] for x in y] for y in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = (255.0 * (expected[0] * deviation + mean)).clip(0, 255).transpose(1, 2, 0)
    assert abs(decoder.pictures(LATENTS)[0].astype(float) - seen).max() < 0.51


def test_no_room_is_named_before_anything_is_loaded(tmp_path, state, monkeypatch):
    save_file(state, tmp_path / 'd.safetensors')
    needed = sum(4 * tensor.numel() for tensor in state.values())
    free = 'vjepa2_planner_ros.world_model.devices.free_memory'
    monkeypatch.setattr(free, lambda device: needed)
    load(tmp_path / 'd.safetensors')
    monkeypatch.setattr(free, lambda device: needed - 1)
    text = "the decoder of 'tiny' in torch.float32 takes 0.00 GB; cpu has 0.00 GB free"
    with pytest.raises(ModelMemoryError, match=text):
        load(tmp_path / 'd.safetensors')


def test_safetensors_in_another_precision(tmp_path, state):
    save_file(state, tmp_path / 'd.safetensors')
    fine = load(tmp_path / 'd.safetensors').pictures(LATENTS)[0]
    coarse = load_decoder(tmp_path / 'd.safetensors', TINY, torch.device('cpu'), torch.bfloat16)
    off = abs(coarse.pictures(LATENTS)[0].astype(float) - fine)
    assert 0.0 < off.mean() < 3.0


@pytest.mark.parametrize(
    'change, text',
    [
        ({'decoder_blocks.1.mlp.fc2.bias': None}, "lacks 'decoder_blocks.1.mlp.fc2.bias'"),
        ({'decoder_blocks.0.norm3.bias': torch.zeros(3)}, "unknown 'decoder_blocks.0.norm3.bias'"),
        ({'decoder_embed.weight': torch.zeros(128, 64)}, "from 64 channels; model 'tiny' has 32"),
        ({'decoder_embed.weight': torch.zeros(130, 48)}, 'no decoder of latents'),
        ({'decoder_pos_embed': torch.zeros(1, 256, 128)}, 'draws 64 pixels'),
        ({'decoder_pos_embed': torch.zeros(3)}, 'no decoder of latents'),
        ({'decoder_embed.weight': None}, "no state dict 'model' with 'decoder_embed.weight'"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, state, change, text):
    content = {name: x for name, x in {**state, **change}.items() if x is not None}
    save_file(content, tmp_path / 'd.safetensors')
    with pytest.raises(ModelLoadError) as failure:
        load(tmp_path / 'd.safetensors')
    assert str(tmp_path / 'd.safetensors') in str(failure.value) and text in str(failure.value)


def test_files_that_are_missing_or_damaged(tmp_path, state):
    with pytest.raises(ModelLoadError, match='cannot be read'):
        load(tmp_path / 'none.safetensors')
    save_file(state, tmp_path / 'd.safetensors')
    whole = (tmp_path / 'd.safetensors').read_bytes()
    (tmp_path / 'd.safetensors').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelLoadError, match='not a whole safetensors file'):
        load(tmp_path / 'd.safetensors')


def test_where_decoders_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hub'))
    assert find_decoder(SIM) == SIM.decoder and SIM.decoder.is_file()
    assert find_decoder(model_spec('vit-large'), tmp_path) is None
    for name in ('vit-giant-ac', 'vit-giant-ac-droid'):
        spec = model_spec(name)
        assert find_decoder(spec, tmp_path) is None
        (tmp_path / spec.decoder.name).touch()
        assert find_decoder(spec, tmp_path) == tmp_path / spec.decoder.name
        (tmp_path / spec.decoder.name).unlink()


@pytest.mark.slow
def test_the_shipped_decoder_shows_where_the_arm_will_be():
    model = load_world_model('sim-panda-ac', device='cpu', dtype='float32')
    decoder = load_decoder(find_decoder(SIM), SIM, model.device, model.dtype)
    left, wrong, own = [], [], []
    with PandaSim(3_100_000) as sim:
        for seed, step in enumerate(([0.05, 0, 0], [0, 0.05, 0], [0, 0, 0.05], [0, -0.05, 0])):
            sim.reset(3_100_000 + seed)
            before, start = model.model_input(sim.render()), sim.state()
            sim.step([*step, 0.0, 0.0, 0.0, 0.0])
            after, end = model.model_input(sim.render()), sim.state()
            made = poses.difference(*(torch.as_tensor(x).double() for x in (start, end))).float()
            latents = model.encode(before[None])
            changed = abs(after.astype(float) - before).mean(axis=2) > 40.0

            def error(latents, seen, where=np.s_[:]):
                return abs(decoder.pictures(latents[None])[0].astype(float) - seen)[where].mean()

            there, back = model.rollout(latents, start[None], torch.stack([made, -made])[:, None])
            still = abs(before.astype(float) - after)[changed].mean()
            left.append(error(there, after, changed) / still)
            wrong.append(error(back, after, changed) / still)
            own.append(error(latents[0], before))
    # Of the change of the pixels that change, what is left: 1 would be the frame before.
    assert np.median(left) < 0.75, left
    assert (np.array(left) < 0.9 * np.array(wrong)).all(), wrong  # as if it went the other way
    assert np.mean(own) < 10.0, own
