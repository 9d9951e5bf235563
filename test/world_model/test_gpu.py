# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped model on a GPU, held against the CPU in float32; skipped where there is none."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from vjepa2_planner_ros.planning.config import CemConfig, TrustRegionConfig
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.world_model import load_world_model, VJepa2WorldModel
from vjepa2_planner_ros.world_model.acceleration import blocks
from vjepa2_planner_ros.world_model.acceleration.graphs import GRAPHED, KEPT
from vjepa2_planner_ros.world_model.devices import (
    free_memory,
    gpu_utilization,
    memory_in_use,
    pick_device,
    release_memory,
    used_memory,
)
from vjepa2_planner_ros.world_model.geometric import GeometricWorldModel, HandCamera
from vjepa2_planner_ros.world_model.networks import Mlp
from vjepa2_planner_ros.world_model.rotary import frame_table, rotate

pytestmark = pytest.mark.skipif(pick_device('auto').type == 'cpu', reason='there is no GPU')
DTYPES = pytest.mark.parametrize(
    'dtype, error', [('float32', 2e-3), ('bfloat16', 4e-2), ('float16', 1e-2)]
)


def scene(frames):
    """Return frames [T + 1, 240, 320, 3], the goal last, and states [T, 7]."""
    rng = np.random.default_rng(0)
    states = np.concatenate(
        [
            rng.uniform(0.2, 0.4, (frames, 3)),
            rng.uniform(-0.2, 0.2, (frames, 3)) + [np.pi, 0, 0],
            rng.uniform(0.2, 0.8, (frames, 1)),
        ],
        1,
    )
    return rng.integers(0, 256, (frames + 1, 240, 320, 3), dtype=np.uint8), states


def relative_error(found, expected):
    return ((found.float().cpu() - expected).norm() / expected.norm()).item()


@DTYPES
@pytest.mark.parametrize('context_frames', [1, 2])
@pytest.mark.parametrize('horizon', [1, 2])
@pytest.mark.parametrize('graphed', [GRAPHED, 2 << 20, 0], ids=['graph', 'past', 'no graph'])
def test_latents_equal_those_of_the_cpu(
    dtype, error, context_frames, horizon, graphed, monkeypatch
):
    monkeypatch.setattr('vjepa2_planner_ros.world_model.acceleration.graphs.GRAPHED', graphed)
    reference = load_world_model('sim-panda-ac', device='cpu', dtype='float32')
    model = load_world_model('sim-panda-ac', dtype=dtype)
    assert model.device.type != 'cpu'
    frames, states = scene(context_frames)
    generator = torch.Generator().manual_seed(0)
    actions = (2 * torch.rand(20, horizon, 7, generator=generator) - 1) * torch.tensor(
        model.action_bounds
    )

    expected = reference.encode(frames)
    assert relative_error(model.encode(frames), expected) < error
    expected = reference.rollout(expected[:-1], states, actions)
    found = model.rollout(model.encode(frames[:-1]), states, actions)
    assert relative_error(found, expected) < error


@DTYPES
@pytest.mark.parametrize(
    'config',
    [CemConfig(samples=200, iterations=4, seed=0), TrustRegionConfig(seed=0)],
    ids=['cem', 'trust region'],
)
def test_plans_equal_those_of_the_cpu(dtype, error, config):
    frames, states = scene(1)

    def planned(model):
        return plan(model, model.encode(frames[:1]), states, model.encode(frames[1:])[0], config)

    expected = planned(load_world_model('sim-panda-ac', device='cpu', dtype='float32'))
    found = planned(load_world_model('sim-panda-ac', dtype=dtype))
    assert found.energy == pytest.approx(expected.energy, rel=error)
    assert found.start_energy == pytest.approx(expected.start_energy, rel=error)


@DTYPES
def test_translations_seen_by_a_hand_camera_equal_those_of_the_cpu(dtype, error):
    frames, states = scene(1)
    camera = HandCamera((200.0, 200.0, 160.0, 120.0), (0.05, 0.0, 0.0, 0.0, 0.0, 0.0))
    reference, model = (
        GeometricWorldModel(load_world_model('sim-panda', **options), camera)
        for options in ({'device': 'cpu', 'dtype': 'float32'}, {'dtype': dtype})
    )
    moves = torch.zeros(20, 1, 7)
    moves[..., :3] = 0.05 * torch.rand(20, 1, 3, generator=torch.Generator().manual_seed(0))
    expected = reference.rollout(reference.observe(frames[:1]), states, moves)
    found = model.rollout(model.observe(frames[:1]), states, moves)
    assert relative_error(found, expected) < error


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no CUDA')


@CUDA
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('heads, head_dim', [(3, 24), (2, 64), (16, 64)])
@torch.inference_mode()
def test_kernels_do_what_torch_does(dtype, heads, head_dim):
    kernels = blocks.kernels()
    assert kernels is not None
    dim, generator = heads * head_dim, torch.Generator('cuda').manual_seed(0)

    def some(*shape):
        return torch.randn(shape, generator=generator, device='cuda').to(dtype)

    def close(found, expected):
        assert relative_error(found, expected.cpu()) < max(0.6 * torch.finfo(dtype).eps, 1e-6)

    table = frame_table((4, 5), 1, head_dim, heads, dtype, torch.device('cuda'))
    for x in some(6, 22, 3 * dim), some(1, 22, 3 * dim), some(6, 22, 3 * dim)[:, :22]:
        turned, values = x[..., : 2 * dim], x[..., 2 * dim :].clone()
        expected = rotate(turned.float(), [half.float() for half in table])
        close(kernels.rotate_(turned, table, head_dim), expected)
        assert (x[..., 2 * dim :] == values).all()
    x, last = some(6, 20, 2 * dim), [half[2:] for half in table]
    expected = rotate(x.float(), [half.float() for half in last])
    close(kernels.rotate_(x, last, head_dim), expected)

    layer = torch.nn.LayerNorm(dim, eps=1e-6, device='cuda')
    layer.weight.copy_(some(dim))
    layer.bias.copy_(some(dim))
    layer.to(dtype)
    x = 3.0 * some(6, 22, dim) + 1.0
    close(
        kernels.norm(x, layer),
        F.layer_norm(x.float(), (dim,), layer.weight.float(), layer.bias.float(), layer.eps),
    )


@CUDA
@pytest.mark.parametrize(
    'dtype, error', [(torch.float32, 1e-5), (torch.bfloat16, 4e-3), (torch.float16, 1e-3)]
)
@torch.inference_mode()
def test_gelu_of_cublas_is_within_rounding(dtype, error):
    mlp = Mlp(64, 256).to('cuda', dtype)
    x = 3.0 * torch.randn(5, 7, 64, device='cuda').to(dtype)
    expected = deepcopy(mlp).double()(x.double())
    blocks.accelerate_blocks(mlp)
    assert type(mlp) is blocks.TanhMlp
    assert relative_error(mlp(x), expected.cpu()) < error


@CUDA
def test_recorded_calls_see_what_is_given_them_anew():
    model = load_world_model('sim-panda-ac', dtype='float32')
    plain = VJepa2WorldModel(model.spec, model.encoder, model.predictor)
    frames, states = scene(2)
    for turn in range(2 * KEPT):
        samples = 1 + turn % (KEPT + 2)  # more shapes than are kept
        actions = torch.rand(samples, 1, 7, generator=torch.Generator().manual_seed(turn))
        context = model.encode(frames[turn % 2 :][:1])
        torch.testing.assert_close(context, plain.encode(frames[turn % 2 :][:1]))
        expected = plain.rollout(context, states[turn % 2 :][:1], actions)
        found = model.rollout(context, states[turn % 2 :][:1], actions)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert model.graphs is not None and len(model.graphs) == KEPT
    twin = deepcopy(model)
    torch.testing.assert_close(twin.encode(frames[:1]), plain.encode(frames[:1]))


@CUDA
def test_a_model_that_is_dropped_gives_its_memory_back():
    release_memory()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    model = load_world_model('sim-panda-ac')
    frames, states = scene(1)
    plan(
        model,
        model.encode(frames[:1]),
        states,
        model.encode(frames[1:])[0],
        TrustRegionConfig(seed=0),
    )
    assert torch.cuda.memory_allocated() > before[0] + model.memory
    model.drop_weights()
    release_memory()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == pytest.approx(
        before, abs=16 << 20
    )


@CUDA
def test_memory_that_runs_out_is_survived_with_half_the_batch():
    model, samples = load_world_model('sim-panda-ac'), 4000
    (frames, states), total = scene(1), torch.cuda.mem_get_info()[1]
    context = model.encode(frames[:1])
    actions = torch.rand(samples, 1, 7, generator=torch.Generator().manual_seed(0))
    release_memory()
    held = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    expected = model.rollout(context, states, actions)
    needed = torch.cuda.max_memory_reserved() - held
    result_bytes = expected.nbytes
    expected = expected.cpu()
    release_memory()
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_reserved() + 0.7 * needed + result_bytes) / total
    )
    try:
        found = model.rollout(context, states, actions)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert model.memory_shortages == 1
    assert relative_error(found, expected.float()) < 1e-2


@CUDA
def test_the_gpu_tells_how_it_does():
    device = pick_device('cuda')
    release_memory()
    busy = gpu_utilization(device)
    assert busy is None or 0 <= busy <= 100
    assert 0 < used_memory(device) <= memory_in_use(device)
    assert memory_in_use(device) + free_memory(device) <= torch.cuda.mem_get_info()[1] * 1.01
