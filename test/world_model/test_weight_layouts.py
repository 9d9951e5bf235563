# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Files in the layouts of others load strictly and give the outputs of their own code.

The golden arrays were computed by the publishers' code from the weights of oracles.fill: V-JEPA
2.1 by Meta's vision transformer, jepa_wms_predictor by the predictor of jepa-wms.
"""

from dataclasses import replace
import os
from pathlib import Path

from meta_checkpoints import meta_content
import numpy as np
from oracles import fill, numbers, randomise, reference_encoder
import pytest
from safetensors.torch import save_file
import torch
from vjepa2_planner_ros.world_model import (
    build_networks,
    find_weights,
    layout_of,
    load_world_model,
    missing_files,
    model_spec,
    ModelLoadError,
    MODELS,
    ModelSpec,
    parameter_count,
    WeightsFile,
    WeightsNotFoundError,
)
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize

GOLDEN = Path(__file__).with_name('golden')
SIZE = EncoderSize(48, 2, 2, 96)
TINY = ModelSpec(
    name='tiny',
    encoder=SIZE,
    predictor=None,
    image_size=64,
    crop='center_square',
    action_bounds=(0.0,) * 7,
    files=(
        WeightsFile(
            'http://host.invalid/tiny.pt',
            encoder=('target_encoder', 'encoder'),
            hub='lab/tiny-vjepa2',
        ),
    ),
)
NEWER = replace(
    TINY,
    name='tiny-2.1',
    encoder=EncoderSize(48, 12, 2, 192, release='2.1'),
    files=(WeightsFile('http://host.invalid/tiny-2.1.pt', encoder=('ema_encoder',)),),
)
DROID = replace(
    TINY,
    name='tiny-droid',
    predictor=PredictorSize(64, 2, 2, 256, state_token=False),
    files=(
        WeightsFile('http://host.invalid/tiny.pt', encoder=('encoder',)),
        WeightsFile(
            'http://host.invalid/droid.pth.tar',
            predictor=('predictor',),
            hub='lab/wms/vjepa2_ac_droid.pth.tar',
            layout='jepa-wms',
        ),
    ),
)
PICTURE = torch.arange(3 * 64 * 64, dtype=torch.int32).remainder(251).byte().view(1, 64, 64, 3)


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """Put the models into the catalogue, and home and every cache into tmp_path."""
    for spec in (TINY, NEWER, DROID):
        monkeypatch.setitem(MODELS, spec.name, spec)
    for name, folder in (('HOME', 'home'), ('TORCH_HOME', 'torch'), ('HF_HOME', 'huggingface')):
        monkeypatch.setenv(name, str(tmp_path / folder))
    for name in ('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE'):
        monkeypatch.delenv(name, raising=False)


def load(name, checkpoint=None, **options):
    """Return a model in float32 on the CPU."""
    options = {'device': 'cpu', 'dtype': 'float32', 'checkpoint': checkpoint, **options}
    return load_world_model(name, **options)


def hub_snapshot(files, repository='lab/tiny-vjepa2'):
    """Put files into the Hub's cache as huggingface_hub does, as links; return the folder."""
    root = Path(os.environ['HF_HOME'], 'hub', f'models--{repository.replace("/", "--")}')
    snapshot = root / 'snapshots' / '0123abcd'
    for folder in (root / 'blobs', root / 'refs', snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    (root / 'refs' / 'main').write_text('0123abcd')
    for i, file in enumerate(sorted(files)):
        blob = root / 'blobs' / f'{i:064x}'
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path('../../blobs') / blob.name)
    return snapshot


# --- Hugging Face ------------------------------------------------------------------------------


def transformers_model(kind='VJEPA2Model'):
    """Return a model of transformers of the size of tiny, with random weights."""
    import transformers

    config = transformers.VJEPA2Config(
        patch_size=16,
        crop_size=64,
        frames_per_clip=2,
        tubelet_size=2,
        hidden_size=SIZE.dim,
        num_hidden_layers=SIZE.depth,
        num_attention_heads=SIZE.heads,
        mlp_ratio=SIZE.mlp_hidden / SIZE.dim,
        pred_hidden_size=48,
        pred_num_hidden_layers=1,
        pred_num_attention_heads=2,
        num_pooler_layers=1,
    )
    return randomise(getattr(transformers, kind)(config))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['VJEPA2Model', 'VJEPA2ForVideoClassification'])
@pytest.mark.parametrize('shard_size', ['1GB', '100kB'])
def test_hugging_face_files_give_the_latents_of_transformers(tmp_path, kind, shard_size):
    oracle = transformers_model(kind)
    oracle.save_pretrained(tmp_path / 'saved', max_shard_size=shard_size)
    files = list((tmp_path / 'saved').iterdir())
    assert (len(list((tmp_path / 'saved').glob('*.safetensors'))) > 1) == (shard_size == '100kB')
    images = torch.randn(2, 3, 64, 64)
    clips = images[:, None].expand(-1, 2, -1, -1, -1)
    with torch.inference_mode():
        base = getattr(oracle, 'vjepa2', oracle)
        expected = base(clips, skip_predictor=True).last_hidden_state
    snapshot = hub_snapshot(files)
    named = snapshot / ('model.safetensors' + '.index.json' * (shard_size == '100kB'))
    for checkpoint in (named, snapshot, 'hf:lab/tiny-vjepa2', None):
        model = load('tiny', checkpoint)
        with torch.inference_mode():
            torch.testing.assert_close(model.encoder(images), expected, rtol=0, atol=1e-5)
    assert layout_of(find_weights(TINY), TINY) == 'huggingface'
    assert missing_files(TINY) == []


def hugging_face_names(state):
    """Return a state dict of ours under the names of transformers."""
    renamed = {}
    for key, tensor in state.items():
        name = 'encoder.' + key.replace('blocks.', 'layer.').replace('.attn.', '.attention.')
        name = name.replace('encoder.norm.', 'encoder.layernorm.')
        name = name.replace('.patch_embed.', '.embeddings.patch_embeddings.')
        if '.qkv.' in name:
            for part, rows in zip(('query', 'key', 'value'), tensor.chunk(3)):
                renamed[name.replace('qkv', part)] = rows.clone()
        else:
            renamed[name] = tensor
    return renamed


@pytest.fixture
def encoder():
    """Return the state dict of an encoder as Meta's module has it."""
    return reference_encoder(SIZE).state_dict()


def loads(state, checkpoint, name='tiny'):
    """Return whether a file gives a model with exactly the tensors of a state dict."""
    loaded = load(name, checkpoint).encoder.state_dict()
    return loaded.keys() == state.keys() and all(
        torch.equal(loaded[key], state[key]) for key in state
    )


def test_hugging_face_names_are_found_in_the_hubs_cache(tmp_path, encoder):
    file = tmp_path / 'model.safetensors'
    save_file(hugging_face_names(encoder), file)
    with pytest.raises(WeightsNotFoundError, match="'models download hf:lab/tiny-vjepa2'"):
        load('tiny', 'hf:lab/tiny-vjepa2')
    snapshot = hub_snapshot([file])
    for checkpoint in (None, 'hf:lab/tiny-vjepa2', 'hf:lab/tiny-vjepa2/model.safetensors'):
        assert loads(encoder, checkpoint)
    with pytest.raises(WeightsNotFoundError, match="not in the Hub's cache"):
        load('tiny', 'hf:lab/tiny-vjepa2/other.safetensors')
    for name in ('hf:tiny', 'hf:../../etc/passwd', 'hf:lab/../x'):
        with pytest.raises(ModelLoadError, match='allowed: hf:ORG/NAME'):
            load('tiny', name)
    (snapshot / 'model.safetensors').unlink()
    with pytest.raises(WeightsNotFoundError, match="'models download tiny'"):
        load('tiny')


def test_the_names_of_a_file_are_those_in_its_errors(tmp_path, encoder):
    file = tmp_path / 'model.safetensors'
    names = hugging_face_names(encoder)
    lost = names.pop('encoder.layer.1.attention.key.bias')
    save_file(names, file)
    with pytest.raises(ModelLoadError, match="lacks 'encoder.layer.1.attention.key.bias'"):
        load('tiny', file)
    save_file({**names, 'encoder.layer.1.attention.key.bias': lost[:5]}, file)
    with pytest.raises(ModelLoadError, match=r"key.bias' is \[5\]; this model needs \[48\]"):
        load('tiny', file)


def test_an_index_whose_shards_are_missing_names_them(tmp_path):
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text('{"weight_map": {"a": "model-1.safetensors", "b": "../b.safetensors"}}')
    with pytest.raises(ModelLoadError, match='no index of shards'):
        load('tiny', index)
    index.write_text('{"weight_map": {}}')
    with pytest.raises(ModelLoadError, match='no index of shards'):
        load('tiny', index)
    index.write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    for checkpoint in (index, tmp_path):
        with pytest.raises(WeightsNotFoundError, match='lacks model-1.safetensors'):
            load('tiny', checkpoint)


# --- V-JEPA 2.1 --------------------------------------------------------------------------------


def newer_names(state):
    """Return the names and shapes of Meta's V-JEPA 2.1 encoder, from a state dict of ours."""
    dim = SIZE.dim
    shapes = {
        key.replace('patch_embed.', 'patch_embed_img.'): tensor.shape
        for key, tensor in state.items()
        if not key.startswith('norm.')
    }
    for i in range(4):
        shapes |= {f'norms_block.{i}.{name}': (dim,) for name in ('weight', 'bias')}
    shapes |= {'video_mod_embed': (1, 1, dim), 'patch_embed.proj.bias': (dim,)}
    return {**shapes, 'patch_embed.proj.weight': (dim, 3, 2, 16, 16)}


@pytest.fixture
def newer():
    """Return the state dict of which the golden latents are."""
    return fill(newer_names(build_networks(NEWER, 'meta')[0].state_dict()))


@pytest.mark.parametrize('entry', ['ema_encoder', 'target_encoder'])
def test_v_jepa_2_1_gives_the_latents_of_its_own_code(tmp_path, monkeypatch, newer, entry):
    file = replace(NEWER.files[0], encoder=(entry,))
    monkeypatch.setitem(MODELS, 'tiny-2.1', replace(NEWER, files=(file,)))
    content = meta_content(newer, {'backbone.mask_tokens.0': torch.zeros(1, 1, 24)})
    online = {key: tensor + 1.0 for key, tensor in content['encoder'].items()}
    torch.save({**content, entry: content['encoder'], 'encoder': online}, tmp_path / 'v.pt')
    model = load('tiny-2.1', tmp_path / 'v.pt')
    images = 4.0 * numbers('images', (1, 3, 96, 64))
    with torch.inference_mode():
        latents = model.encoder(images)[0]
    expected = torch.from_numpy(np.load(GOLDEN / 'v_jepa_2_1.npy'))
    torch.testing.assert_close(latents, expected, rtol=0, atol=1e-5)
    assert model.action_dim == 3 and model.encode(PICTURE).shape == (1, 16, 48)


def test_v_jepa_2_1_can_be_written_and_read_again(tmp_path, newer):
    from vjepa2_planner_ros.world_model.checkpoints import write_safetensors

    torch.save({'ema_encoder': newer}, tmp_path / 'v.pt')
    model = load('tiny-2.1', tmp_path / 'v.pt')
    write_safetensors(tmp_path / 'v.safetensors', model.encoder, None, torch.float32, {})
    again = load('tiny-2.1', tmp_path / 'v.safetensors')
    assert torch.equal(again.encode(PICTURE), model.encode(PICTURE))


def test_v_jepa_2_1_is_told_from_v_jepa_2(tmp_path, newer, encoder):
    torch.save({'target_encoder': newer}, tmp_path / 'newer.pt')
    torch.save({'ema_encoder': encoder}, tmp_path / 'older.pt')
    with pytest.raises(ModelLoadError, match='it is of V-JEPA 2.1: load it as vit-base-2.1'):
        load('tiny', tmp_path / 'newer.pt')
    with pytest.raises(ModelLoadError, match="encoder lacks 'img_mod_embed'"):
        load('tiny-2.1', tmp_path / 'older.pt')


@pytest.mark.parametrize(
    'name, file, parameters, entry',
    [
        ('vit-base-2.1', 'vjepa2_1_vitb_dist_vitG_384.pt', 86e6, 'ema_encoder'),
        ('vit-large-2.1', 'vjepa2_1_vitl_dist_vitG_384.pt', 303e6, 'ema_encoder'),
        ('vit-giant-2.1', 'vjepa2_1_vitg_384.pt', 1011e6, 'target_encoder'),
        ('vit-gigantic-2.1', 'vjepa2_1_vitG_384.pt', 1843e6, 'target_encoder'),
    ],
)
def test_v_jepa_2_1_of_the_catalogue(name, file, parameters, entry):
    spec = model_spec(name)
    (weights,) = spec.files
    assert weights.url == f'https://dl.fbaipublicfiles.com/vjepa2/{file}'
    assert weights.encoder == (entry,) and spec.grid == (24, 24) and spec.action_dim == 3
    assert abs(parameter_count(spec) - parameters) < 0.01 * parameters


# --- jepa-wms ----------------------------------------------------------------------------------


@pytest.fixture
def droid_files(tmp_path, encoder):
    """Write the two files of tiny-droid; return the folder and the predictor's state dict."""
    folder = tmp_path / 'droid'
    folder.mkdir()
    shapes = {key: x.shape for key, x in build_networks(DROID, 'meta')[1].state_dict().items()}
    predictor = fill(shapes)
    wrong = {key: tensor + 1.0 for key, tensor in encoder.items()}
    masked = {'backbone.predictor_embed.weight': torch.zeros(24, 48)}
    torch.save(meta_content(encoder, masked, target_encoder=wrong), folder / 'tiny.pt')
    content = {
        'predictor': {f'module.{key}': tensor for key, tensor in predictor.items()},
        'opt': {'state': {}, 'param_groups': [{'lr': 1e-4, 'params': [0]}]},
        'scaler': {},
        'epoch': 315,
    }
    torch.save(content, folder / 'droid.pth.tar')
    return folder, predictor


def test_the_predictor_of_jepa_wms_predicts_what_its_own_code_does(droid_files):
    folder, _ = droid_files
    predictor = load('tiny-droid', folder).predictor
    latents = 3.0 * numbers('latents', (1, 2, 16, 48))
    actions, states = numbers('actions', (1, 2, 7)), torch.zeros(1, 2, 7)
    expected = torch.from_numpy(np.load(GOLDEN / 'jepa_wms_predictor.npy'))
    with torch.inference_mode():
        predicted = predictor(latents, actions, states)[0]
        torch.testing.assert_close(predicted, expected, rtol=0, atol=1e-5)
        cache = None
        for t in range(2):
            step, cache = predictor.step(latents[:, t], actions[:, t], states[:, t], t, cache)
            torch.testing.assert_close(step[0], expected[t], rtol=0, atol=1e-5)


def test_a_model_of_two_files_is_put_together(tmp_path, encoder, droid_files):
    folder, predictor = droid_files
    hub_file = folder / 'vjepa2_ac_droid.pth.tar'

    def check(checkpoint, **options):
        model = load('tiny-droid', checkpoint, **options)
        for module, state in ((model.encoder, encoder), (model.predictor, predictor)):
            for key, value in module.state_dict().items():
                assert torch.equal(value, state[key])
        states, actions = torch.zeros(1, 7), torch.full((3, 2, 7), 0.05)
        assert model.rollout(model.encode(PICTURE), states, actions).isfinite().all()

    for checkpoint in (folder, folder / 'droid.pth.tar', folder / 'tiny.pt'):
        check(checkpoint)
    check(None, cache=folder)
    assert {path.name for path in folder.glob('*.json')} == {'tiny.pt.json', 'droid.pth.tar.json'}
    assert layout_of(find_weights(DROID, cache=folder), DROID) == 'jepa-wms'
    (folder / 'droid.pth.tar').rename(hub_file)
    check(None, cache=folder)  # under the name that it has on the Hub
    snapshot = hub_snapshot([hub_file], 'lab/wms')
    hub_file.unlink()
    check(None, cache=folder)
    check('hf:lab/wms/vjepa2_ac_droid.pth.tar', cache=folder)
    (folder / 'tiny.pt').unlink()
    assert missing_files(DROID, folder) == ['http://host.invalid/tiny.pt']
    for checkpoint in (None, snapshot / 'vjepa2_ac_droid.pth.tar'):
        with pytest.raises(WeightsNotFoundError, match="'models download tiny-droid'") as error:
            load('tiny-droid', checkpoint, cache=folder)
        assert 'tiny.pt' in str(error.value)


def test_the_two_predictors_are_told_apart(tmp_path, droid_files, monkeypatch):
    folder, predictor = droid_files
    spec = replace(DROID, name='tiny-ac', predictor=PredictorSize(64, 2, 2, 256), files=())
    monkeypatch.setitem(MODELS, 'tiny-ac', spec)
    encoder = torch.load(folder / 'tiny.pt')['encoder']
    torch.save({'encoder': encoder, 'predictor': predictor}, tmp_path / 'one.pt')
    with pytest.raises(ModelLoadError, match="lacks 'state_encoder.weight'.*vit-giant-ac-droid"):
        load('tiny-ac', tmp_path / 'one.pt')
    state = {'state_encoder.weight': torch.zeros(64, 7), 'state_encoder.bias': torch.zeros(64)}
    torch.save({'encoder': encoder, 'predictor': {**predictor, **state}}, tmp_path / 'one.pt')
    with pytest.raises(ModelLoadError, match="unknown 'state_encoder.weight'.*vit-giant-ac$"):
        load('tiny-droid', tmp_path / 'one.pt')


def test_the_repaired_model_of_the_catalogue():
    spec = model_spec('vit-giant-ac-droid')
    assert [file.name for file in spec.files] == ['vitg.pt', 'droid_vj2ac_noprop.pth.tar']
    assert spec.action_bounds == (0.1,) * 6 + (0.75,)
    assert (spec.cost, spec.licence) == ('l2', 'CC-BY-NC-4.0')
    assert {item.cost for item in MODELS.values() if item.name.startswith('vit-giant-ac')} == {
        'l1',
        'l2',
    }
    state = 1024 * (7 + 1) + 1024 * (6 + 1)  # state and extrinsics encoder
    assert parameter_count(spec) == parameter_count(model_spec('vit-giant-ac')) - state


# --- what else people have ---------------------------------------------------------------------


def prefixed(state, prefix):
    return {f'{prefix}{key}': tensor for key, tensor in state.items()}


@pytest.mark.parametrize('suffix', ['.pt', '.safetensors'])
@pytest.mark.parametrize(
    'change',
    [
        lambda state: {'encoder.pos_embed': torch.zeros(1, 16, 48), **prefixed(state, 'encoder.')},
        lambda state: {
            'pos_embed': torch.zeros(1, 16, 48),
            'head.weight': torch.zeros(3),
            **state,
        },
        lambda state: prefixed(state, 'module.backbone.'),
        lambda state: prefixed(state, 'model.visual.'),
        lambda state: {
            'classifier.weight': torch.zeros(3, dtype=torch.int64),
            **prefixed(state, 'target_encoder.'),
            **prefixed({key: tensor + 1.0 for key, tensor in state.items()}, 'encoder.'),
        },
    ],
    ids=['position', 'bare', 'wrapped', 'foreign prefix', 'two encoders'],
)
def test_what_is_not_needed_is_not_refused(tmp_path, encoder, change, suffix):
    file = tmp_path / f'file{suffix}'
    (torch.save if suffix == '.pt' else save_file)(change(encoder), file)
    assert loads(encoder, file)


def test_files_are_known_by_their_content(tmp_path, encoder):
    torch.save({'state_dict': prefixed(encoder, 'net.'), 'epoch': 3}, tmp_path / 'file.ckpt')
    save_file(encoder, tmp_path / 'file.bin')
    for name in ('file.ckpt', 'file.bin'):
        assert loads(encoder, tmp_path / name)


def test_a_loss_of_numpy_beside_the_weights_does_no_harm(tmp_path, encoder):
    losses = {'loss': np.float64(0.5), 'best': np.float32(1.0), 'epoch': np.int64(3)}
    torch.save({'encoder': encoder, **losses}, tmp_path / 'file.pt')
    assert loads(encoder, tmp_path / 'file.pt')


@pytest.mark.parametrize(
    'content, what',
    [
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'Git LFS.*git lfs pull'),
        (b'<!doctype html><html>404</html>', 'HTML.*download the file again'),
        (b'', 'it is empty'),
        (b'{"weight_map": {}}', 'JSON'),
        (b'\x80\x02}q\x00.', 'torch.save it again'),
        (b'\x1f\x8b\x08\x00', 'compressed: unpack'),
    ],
)
def test_what_a_foreign_file_probably_is(tmp_path, content, what):
    (tmp_path / 'file.pt').write_bytes(content)
    with pytest.raises(ModelLoadError, match=f'not a whole PyTorch checkpoint: .*{what}'):
        load('tiny', tmp_path / 'file.pt')


def test_what_a_checkpoint_of_others_probably_is(tmp_path, encoder):
    def error(content, name='tiny-droid'):
        torch.save(content, tmp_path / 'file.pt')
        with pytest.raises(ModelLoadError) as caught:
            load(name, tmp_path / 'file.pt')
        return str(caught.value)

    lightning = {'pytorch-lightning_version': '2.0', 'state_dict': {'net.x': torch.zeros(1)}}
    assert 'PyTorch Lightning' in error(lightning)
    assert 'Hugging Face' in error(hugging_face_names(encoder))
    assert 'knows no actions' in error(
        {
            'encoder': encoder,
            'predictor': {
                'predictor_embed.weight': torch.zeros(1),
                'mask_tokens.0': torch.zeros(1),
            },
        }
    )
    ada = {'predictor.blocks.0.adaLN_modulation.1.weight': torch.zeros(1)}
    assert 'AdaLN' in error(ada)
    text = error({'encoder': encoder, 'args': Path('x')}, 'tiny')
    assert "'pathlib" in text and 'state dicts alone' in text and 'weights_only' not in text


def test_a_tilde_is_the_home_of_the_user(tmp_path, encoder):
    (tmp_path / 'home' / 'models').mkdir(parents=True)
    torch.save({'target_encoder': encoder}, tmp_path / 'home' / 'models' / 'tiny.pt')
    assert loads(encoder, '~/models/tiny.pt')
    assert load('tiny', cache='~/models').name == 'tiny'
    with pytest.raises(WeightsNotFoundError):
        load('tiny', '~nobody-of-that-name/tiny.pt')
