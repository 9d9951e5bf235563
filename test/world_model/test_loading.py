# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The catalogue, the cache and the way from a file to a model in memory."""

from dataclasses import replace
import functools
import hashlib
import json
import os
from pathlib import Path
import subprocess
import sys
import zipfile

from file_server import serve
from meta_checkpoints import meta_content
from oracles import reference_encoder, reference_predictor
import pytest
from safetensors.torch import load_file, save_file
import torch
from vjepa2_planner_ros.world_model import (
    default_cache,
    download_weights,
    DownloadError,
    load_world_model,
    model_spec,
    ModelLoadError,
    ModelMemoryError,
    ModelNotFoundError,
    MODELS,
    ModelSpec,
    weights_bytes,
    WeightsFile,
    WeightsNotFoundError,
    WorldModelError,
)
from vjepa2_planner_ros.world_model.cache import verify
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize
from vjepa2_planner_ros.world_model.reading import opened

TINY = ModelSpec(
    name='tiny-ac',
    encoder=EncoderSize(48, 2, 2, 96),
    predictor=PredictorSize(64, 2, 2, 256),
    image_size=64,
    crop='center_square',
    action_bounds=(0.05,) * 3 + (0.15,) * 3 + (0.75,),
)
TINY_FILE = WeightsFile('http://host.invalid/tiny.pt', encoder=('target_encoder', 'encoder'))
TINY_ENCODER = replace(TINY, name='tiny', predictor=None, files=(TINY_FILE,))
PICTURE = torch.arange(3 * 64 * 64, dtype=torch.int32).remainder(251).byte().view(1, 64, 64, 3)


@pytest.fixture(autouse=True)
def catalogue(monkeypatch):
    for spec in (TINY, TINY_ENCODER):
        monkeypatch.setitem(MODELS, spec.name, spec)


def world_model_content():
    """Return a checkpoint of tiny-ac as Meta's training saves it, and the bare state dicts."""
    encoder = reference_encoder(TINY.encoder).state_dict()
    predictor = reference_predictor(48, TINY.predictor).state_dict()
    return meta_content(encoder, predictor, encoder, list(predictor.values())), encoder, predictor


def encoder_content():
    """Return the same of tiny, whose encoder and target encoder differ."""
    online, target = (reference_encoder(TINY.encoder, seed=i).state_dict() for i in range(2))
    masked = {'backbone.mask_tokens.0': torch.zeros(1, 1, 24)}
    return meta_content(online, masked, target), online, target


@pytest.fixture
def ac_file(tmp_path):
    path = tmp_path / 'ac.pt'
    torch.save(world_model_content()[0], path)
    return path


# --- catalogue ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'name, file, parameters',
    [
        ('vit-large', 'vitl.pt', 303_885_312),
        ('vit-huge', 'vith.pt', 631_648_000),
        ('vit-giant', 'vitg.pt', 1_012_173_952),
        ('vit-giant-384', 'vitg-384.pt', 1_012_173_952),
        ('vit-giant-ac', 'vjepa2-ac-vitg.pt', 1_012_173_952 + 305_220_992),
    ],
)
def test_meta_models_have_the_published_sizes_and_files(name, file, parameters):
    spec = model_spec(name)
    assert [item.url for item in spec.files] == [f'https://dl.fbaipublicfiles.com/vjepa2/{file}']
    assert weights_bytes(spec, torch.bfloat16) == 2 * parameters
    assert weights_bytes(spec, torch.float32) == 4 * parameters
    assert spec.action_dim == (7 if name.endswith('ac') else 3)
    assert spec.grid == ((24, 24) if name.endswith('384') else (16, 16))


def test_the_shipped_weights_are_as_big_as_the_model():
    spec = model_spec('sim-panda-ac')
    assert (
        sum(tensor.numel() for tensor in load_file(spec.weights).values())
        == weights_bytes(spec, torch.float16) // 2
    )


def test_unknown_and_missing_models_are_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="'vit-tiny'; allowed: .*sim-panda-ac"):
        model_spec('vit-tiny')
    with pytest.raises(
        WeightsNotFoundError,
        match=(f"'models download vit-giant-ac', put vjepa2-ac-vitg.pt into {tmp_path}"),
    ):
        load_world_model('vit-giant-ac', device='cpu', cache=tmp_path)
    with pytest.raises(WeightsNotFoundError, match='has no weights at nowhere.pt'):
        load_world_model('vit-giant-ac', device='cpu', checkpoint='nowhere.pt')


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_load_world_model_of_meta(tmp_path, dtype):
    content, encoder, predictor = world_model_content()
    torch.save(content, tmp_path / 'ac.pt')
    steps = []
    model = load_world_model(
        'tiny-ac',
        device='cpu',
        dtype=dtype,
        checkpoint=tmp_path / 'ac.pt',
        progress=lambda *step: steps.append(step),
    )
    for module, expected in ((model.encoder, encoder), (model.predictor, predictor)):
        assert module.state_dict().keys() == expected.keys()
        for key, value in module.state_dict().items():
            torch.testing.assert_close(value, expected[key].to(model.dtype), rtol=0, atol=0)
    total = weights_bytes(TINY, torch.float32)
    assert {(phase, of) for phase, _, of in steps} == {('load', total)}
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert steps[-1][1] == total
    assert model.dtype == getattr(torch, dtype)
    assert [file.name for file in tmp_path.iterdir()] == ['ac.pt']  # nothing recorded there


@pytest.mark.parametrize('entry', ['target_encoder', 'encoder'])
def test_load_encoder_of_meta(tmp_path, entry):
    content, online, target = encoder_content()
    if entry == 'encoder':
        content.pop('target_encoder')
    torch.save(content, tmp_path / 'vit.pt')
    model = load_world_model('tiny', device='cpu', dtype='float32', checkpoint=tmp_path / 'vit.pt')
    assert model.action_dim == 3
    reference = reference_encoder(TINY.encoder)
    reference.load_state_dict(target if entry == 'target_encoder' else online)
    from vjepa2_planner_ros.world_model.preprocessing import preprocess

    clip = preprocess(PICTURE, 64, 'center_square')[:, :, None].expand(-1, -1, 2, -1, -1)
    with torch.inference_mode():
        expected = torch.nn.functional.layer_norm(reference(clip), (48,))
    torch.testing.assert_close(model.encode(PICTURE), expected, rtol=0, atol=1e-5)
    assert model.model_input(PICTURE[0]).shape == (64, 64, 3)
    with pytest.raises(WorldModelError, match="'tiny' is an encoder alone"):
        model.rollout(model.encode(PICTURE), torch.zeros(1, 7), torch.zeros(1, 1, 7))


def test_safetensors_give_the_same_model(tmp_path):
    content, encoder, predictor = world_model_content()
    torch.save(content, tmp_path / 'ac.pt')
    save_file(
        {
            **{f'encoder.{k}': v for k, v in encoder.items()},
            **{f'predictor.{k}': v for k, v in predictor.items()},
        },
        tmp_path / 'ac.safetensors',
    )
    first, second = (
        load_world_model('tiny-ac', device='cpu', dtype='float32', checkpoint=tmp_path / name)
        for name in ('ac.pt', 'ac.safetensors')
    )
    latents = first.encode(PICTURE)
    torch.testing.assert_close(latents, second.encode(PICTURE), rtol=0, atol=0)
    actions, states = torch.full((2, 1, 7), 0.1), torch.zeros(1, 7)
    torch.testing.assert_close(
        first.rollout(latents, states, actions),
        second.rollout(latents, states, actions),
        rtol=0,
        atol=0,
    )
    alone = load_world_model(
        'tiny', device='cpu', dtype='float32', checkpoint=tmp_path / 'ac.safetensors'
    )
    torch.testing.assert_close(latents, alone.encode(PICTURE), rtol=0, atol=0)


FIRST = 'module.action_encoder.weight'  # of the predictor


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda c: c.pop('predictor'), "no state dict 'predictor'"),
        (lambda c: c.update(encoder=3), "no state dict 'encoder'"),
        (lambda c: c['predictor'].pop(FIRST), "predictor lacks 'action_encoder.weight'"),
        (lambda c: c['predictor'].update(pos_embed=torch.zeros(1)), "has an unknown 'pos_embed'"),
        (lambda c: c['encoder'].update(extra=torch.zeros(1)), "encoder has an unknown 'extra'"),
        (
            lambda c: c['predictor'].update({FIRST: torch.zeros(3)}),
            r"predictor 'action_encoder.weight' is \[3\]; this model needs \[64, 7\]",
        ),
        (
            lambda c: c['predictor'].update({FIRST: torch.zeros(64, 7, dtype=torch.int8)}),
            "'action_encoder.weight' is torch.int8, not a tensor of floats",
        ),
        (
            lambda c: c['predictor'].update({FIRST: 'text'}),
            "'action_encoder.weight' is str, not a tensor of floats",
        ),
    ],
)
def test_the_first_wrong_key_is_named(tmp_path, change, message):
    content = world_model_content()[0]
    change(content)
    path = tmp_path / 'wrong.pt'
    torch.save(content, path)
    with pytest.raises(ModelLoadError, match=f'{path}.*{message}'):
        load_world_model('tiny-ac', device='cpu', checkpoint=path)


def test_truncated_and_foreign_files_are_named(ac_file, tmp_path):
    whole = ac_file.read_bytes()
    other = tmp_path / 'list.pt'
    torch.save([1, 2, 3], other)
    with pytest.raises(ModelLoadError, match="list.pt has no state dict 'encoder'"):
        load_world_model('tiny-ac', checkpoint=other)
    save_file({'layer.weight': torch.zeros(100)}, tmp_path / 'some.safetensors')
    with pytest.raises(ModelLoadError, match="no state dict 'encoder' with 'patch_embed.proj.wei"):
        load_world_model('tiny-ac', checkpoint=tmp_path / 'some.safetensors')
    half = (tmp_path / 'some.safetensors').read_bytes()[:-100]
    for kind, contents in (
        ('PyTorch checkpoint', (whole[:5000], whole[:-1000], b'', b'<html>not found</html>')),
        ('safetensors file', (half,)),
    ):
        for content in contents:
            (tmp_path / 'some.pt').write_bytes(content)
            with pytest.raises(ModelLoadError, match=f'some.pt is not a whole {kind}'):
                load_world_model('tiny-ac', checkpoint=tmp_path / 'some.pt')


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    class Payload:
        """Opens a file when it is unpickled."""

        def __reduce__(self):
            return (open, (str(tmp_path / 'executed'), 'w'))

    torch.save({'encoder': Payload()}, tmp_path / 'bad.pt')
    with pytest.raises(ModelLoadError):
        load_world_model('tiny-ac', checkpoint=tmp_path / 'bad.pt')
    assert not (tmp_path / 'executed').exists()


# --- memory ------------------------------------------------------------------------------------

MIDDLING = """
import sys
import zipfile
import psutil
from vjepa2_planner_ros.world_model import load_world_model, MODELS, ModelSpec, weights_bytes
from vjepa2_planner_ros.world_model.devices import peak_host_memory, release_memory
from vjepa2_planner_ros.world_model.networks import EncoderSize, PredictorSize
import torch

sys.path.append(sys.argv[1])
from meta_checkpoints import random_content

path, what, dtype = sys.argv[2:]
spec = MODELS['middling'] = ModelSpec(
    name='middling', encoder=EncoderSize(512, 10, 8, 2048),
    predictor=PredictorSize(512, 4, 8, 2048), image_size=64, crop='center_square',
    action_bounds=(0.05,) * 7)
weights = weights_bytes(spec, getattr(torch, dtype))

def load():
    return load_world_model('middling', device='cpu', dtype=dtype, checkpoint=path)

if what == 'write':
    torch.save(random_content(spec), path)
load_world_model('sim-panda-ac', device='cpu', dtype=dtype)  # what is loaded only once
if what == 'peak':
    open('/proc/self/clear_refs', 'w').write('5')  # forget the peak of the imports
    before = peak_host_memory()
    model = load()
    print((peak_host_memory() - before) / weights)
if what == 'release':
    before, outliving = psutil.Process().memory_info().rss, []
    for _ in range(3):
        model = load()
        outliving.append(bytearray(1 << 20))  # above it on the heap
        del model
        release_memory()
        print((psutil.Process().memory_info().rss - before) / weights)
"""


@pytest.fixture(scope='module')
def measure(tmp_path_factory):
    """Measure in a process of its own, in units of the size of a model of 44 M parameters."""
    path = tmp_path_factory.mktemp('middling') / 'middling.pt'

    def run(what, dtype):
        done = subprocess.run(
            [
                sys.executable,
                '-c',
                MIDDLING,
                str(Path(__file__).parents[1]),
                str(path),
                what,
                dtype,
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return [float(line) for line in done.stdout.split()]

    run('write', 'float32')
    yield run
    path.unlink()


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
@pytest.mark.slow
def test_loading_takes_little_more_memory_than_the_model(measure, dtype):
    assert 0.9 < measure('peak', dtype)[0] < 1.2


@pytest.mark.slow
def test_memory_of_an_old_model_goes_back_to_the_system(measure):
    assert max(measure('release', 'bfloat16')) < 0.2


def test_no_room_is_named_before_anything_is_loaded(ac_file, monkeypatch):
    monkeypatch.setattr('vjepa2_planner_ros.world_model.devices.free_memory', lambda device: 1000)
    with pytest.raises(ModelMemoryError, match='in torch.float32 takes .* cpu has 0.00 GB free'):
        load_world_model('tiny-ac', device='cpu', dtype='float32', checkpoint=ac_file)


def test_loading_can_be_stopped(ac_file):
    steps = []

    def check_stop():
        if len(steps) == 3:
            raise KeyError('stopped')

    with pytest.raises(KeyError, match='stopped'):
        load_world_model(
            'tiny-ac',
            device='cpu',
            checkpoint=ac_file,
            progress=lambda *step: steps.append(step),
            check_stop=check_stop,
        )
    assert len(steps) == 3


# --- cache -------------------------------------------------------------------------------------


def test_the_cache_is_that_of_torch_hub(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    torch.save(encoder_content()[0], tmp_path / 'tiny.pt')
    assert default_cache() == tmp_path / 'hub' / 'checkpoints'
    default_cache().mkdir(parents=True)
    (tmp_path / 'tiny.pt').rename(default_cache() / 'tiny.pt')
    assert load_world_model('tiny', device='cpu').name == 'tiny'


def test_a_file_placed_by_hand_is_recorded_and_checked_later(tmp_path):
    path, record = tmp_path / 'tiny.pt', tmp_path / 'tiny.pt.json'
    path.write_bytes(b'half of it, still being copied')
    with pytest.raises(ModelLoadError, match='not a whole'):
        load_world_model('tiny', device='cpu', cache=tmp_path)
    assert not record.exists()
    content = encoder_content()[0]
    torch.save(content, path)
    phases = []
    load_world_model(
        'tiny',
        device='cpu',
        cache=tmp_path,
        progress=lambda phase, done, total: phases.append(phase),
    )
    assert phases[0] == 'verify' and phases[-1] == 'load'
    known = json.loads(record.read_text())
    assert known['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert known['size'] == path.stat().st_size
    phases.clear()
    load_world_model(
        'tiny',
        device='cpu',
        cache=tmp_path,
        progress=lambda phase, done, total: phases.append(phase),
    )
    assert set(phases) == {'load'}  # its time and size are as they were

    whole, times = path.read_bytes(), path.stat()
    next(iter(content['target_encoder'].values())).add_(1.0)
    torch.save(content, path)
    with pytest.raises(ModelLoadError, match=f'{path} is not what it was.*Delete.*{record}'):
        load_world_model('tiny', device='cpu', cache=tmp_path)
    path.write_bytes(whole[:-200] + bytes(200))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModelLoadError, match='is not what it was'):
        verify(path, thorough=True)
    path.write_bytes(whole)
    os.utime(path)
    load_world_model('tiny', device='cpu', cache=tmp_path)
    record.write_text('damaged')
    load_world_model('tiny', device='cpu', cache=tmp_path)
    assert json.loads(record.read_text())['sha256'] == known['sha256']


@pytest.fixture
def served(server, monkeypatch, tmp_path):
    """Return tiny with its weights on the server, which has them from tmp_path / 'origin'."""
    torch.save(encoder_content()[0], tmp_path / 'origin')
    server.content = (tmp_path / 'origin').read_bytes()
    spec = replace(TINY_ENCODER, files=(replace(TINY_FILE, url=server.url),))
    monkeypatch.setitem(MODELS, 'tiny', spec)
    return spec


def test_a_download_is_found_and_known_again(server, served, tmp_path):
    cache = tmp_path / 'new' / 'cache'
    (source,) = download_weights(served, cache)
    (path,) = source.paths
    assert path == cache / 'vitx.pt' and path.read_bytes() == server.content
    assert {file.name for file in cache.iterdir()} == {'vitx.pt', 'vitx.pt.json'}
    phases = []
    load_world_model(
        'tiny', device='cpu', cache=cache, progress=lambda phase, done, total: phases.append(phase)
    )
    assert set(phases) == {'load'}
    assert download_weights(served, cache) == (source,) and len(server.asked) == 1

    path.unlink()
    server.content = server.content[:-1] + b'x'  # a zip may have a comment
    with pytest.raises(ModelLoadError):
        download_weights(served, cache)
    assert not path.exists()


def test_a_server_that_tells_too_small_a_length_is_found_out(server, served, tmp_path):
    server.answers = [functools.partial(serve, claim=len(server.content) - 1000)]
    with pytest.raises(DownloadError, match='sent no whole checkpoint'):
        download_weights(served, tmp_path / 'cache')
    assert not any((tmp_path / 'cache').iterdir())
    download_weights(served, tmp_path / 'cache')


def test_shipped_weights_need_no_download(tmp_path):
    spec = model_spec('sim-panda-ac')
    assert download_weights(spec, tmp_path)[0].paths == (spec.weights,)


def truncate(path):
    """Cut a file off, as a full disk does."""
    os.truncate(path, path.stat().st_size // 8)


def overwrite(path):
    """Write other bytes over a file in place, as cp does."""
    size = path.stat().st_size
    with open(path, 'r+b') as file:
        file.seek(size // 2)
        file.write(bytes(size // 4))


def replace_by_less(path):
    """Empty a file and begin to write another one."""
    path.write_bytes(bytes(1000))


@pytest.mark.parametrize('suffix', ('.pt', '.safetensors'))
@pytest.mark.parametrize('change', (truncate, overwrite, replace_by_less))
def test_weights_that_change_while_they_are_loaded_are_an_error(ac_file, tmp_path, change, suffix):
    path = ac_file
    if suffix == '.safetensors':
        path = tmp_path / 'ac.safetensors'
        _, encoder, predictor = world_model_content()
        save_file(
            {
                **{f'encoder.{key}': value.contiguous() for key, value in encoder.items()},
                **{f'predictor.{key}': value.contiguous() for key, value in predictor.items()},
            },
            path,
        )
    load_world_model('tiny-ac', device='cpu', checkpoint=path)
    steps = []

    def progress(phase, done, total):
        steps.append(phase)
        if len(steps) == 1:
            change(path)

    with pytest.raises(ModelLoadError, match='changed while it was being loaded'):
        load_world_model('tiny-ac', device='cpu', checkpoint=path, progress=progress)


def test_a_checkpoint_that_unpacks_to_more_is_refused(ac_file, tmp_path):
    path = tmp_path / 'bomb.pt'
    with zipfile.ZipFile(ac_file) as whole, zipfile.ZipFile(path, 'w') as bomb:
        for member in whole.infolist():
            deflated = member.filename.endswith('data.pkl')
            bomb.writestr(
                member.filename,
                bytes(10**6) if deflated else whole.read(member),
                zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED,
            )
    with pytest.raises(ModelLoadError, match=r'data.pkl. is compressed: allowed: stored'):
        load_world_model('tiny-ac', device='cpu', checkpoint=path)


@pytest.mark.parametrize('path', ('x' * 100_000, 'nul\0.pt'))
def test_a_path_that_cannot_be_is_answered_shortly(path):
    with pytest.raises(WeightsNotFoundError) as error:
        load_world_model('tiny-ac', device='cpu', checkpoint=path)
    assert len(str(error.value)) < 300


def test_files_that_an_inode_does_not_tell_apart_are_refused(tmp_path, monkeypatch):
    """The first files of two new disks have the same one, by which tensors find their file."""
    paths = [tmp_path / name for name in ('encoder.pt', 'predictor.pt')]
    for path in paths:
        path.write_bytes(b'x')
    stat = os.fstat

    def of_new_disks(number):
        found = stat(number)
        mode, _, _, *rest = found
        return os.stat_result((mode, 12, found.st_ino, *rest))

    with opened(paths) as files:
        assert files[paths[1].stat().st_ino].name == str(paths[1])
    monkeypatch.setattr(os, 'fstat', of_new_disks)
    with opened(paths[:1] * 2):
        pass
    with pytest.raises(ModelLoadError, match='predictor.pt and .*encoder.pt have the same inode'):
        with opened(paths):
            pass
