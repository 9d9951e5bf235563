# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is swapped in for CUDA leaves the results as they are; on a CPU its parts fall back."""

from copy import deepcopy
import pickle

import pytest
import torch
from vjepa2_planner_ros.world_model import load_world_model
from vjepa2_planner_ros.world_model.acceleration import accelerate, blocks, graphs

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='test_gpu.py tests it where there is CUDA'
)
PICTURES = torch.arange(2 * 128 * 128 * 3).remainder(251).byte().view(2, 128, 128, 3)
STATES = torch.tensor([[0.4, 0.0, 0.3, 3.1, 0.0, 0.0, 0.5], [0.4, 0.1, 0.3, 3.1, 0.0, 0.0, 0.5]])
ACTIONS = 0.05 * torch.rand(5, 2, 7, generator=torch.Generator().manual_seed(0))


def layers(model):
    return {type(module) for part in (model.encoder, model.predictor) for module in part.modules()}


@pytest.fixture
def with_kernels(monkeypatch):
    """Swap in what uses the kernels too, which cannot be compiled without CUDA."""
    monkeypatch.setattr(blocks, 'kernels', lambda: None)
    monkeypatch.setattr(blocks, 'faster_layers', lambda: blocks.FASTER)


@pytest.mark.parametrize('dtype, error', [('float32', 0.0), ('bfloat16', 2e-2)])
def test_latents_stay_the_same(dtype, error, with_kernels):
    plain = load_world_model('sim-panda-ac', device='cpu', dtype=dtype)
    faster = accelerate(deepcopy(plain))
    expected, found = plain.encode(PICTURES), faster.encode(PICTURES)
    assert (found - expected).norm() <= error * expected.norm()
    expected, found = (m.rollout(expected, STATES, ACTIONS) for m in (plain, faster))
    assert (found - expected).norm() <= error * expected.norm()


def test_only_the_given_model_is_touched(with_kernels):
    given, other = (load_world_model('sim-panda-ac', device='cpu') for _ in range(2))
    names = {part: part.state_dict().keys() for part in (given.encoder, given.predictor)}
    faster = accelerate(given)
    assert layers(faster) >= set(blocks.FASTER.values())
    assert not layers(faster) & blocks.FASTER.keys()
    assert layers(other) >= blocks.FASTER.keys()
    assert not layers(other) & set(blocks.FASTER.values())
    assert all(part.state_dict().keys() == keys for part, keys in names.items())
    assert type(pickle.loads(pickle.dumps(faster))) is graphs.GraphedWorldModel


def test_with_gradients_the_layers_are_the_plain_ones(with_kernels):
    model = accelerate(load_world_model('sim-panda-ac', device='cpu', dtype='bfloat16'))
    model.encoder.requires_grad_(True)
    model.encoder(torch.zeros(1, 3, 128, 128)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


def test_without_kernels_the_log_says_so_once(caplog):
    blocks.kernels.cache_clear()
    model = accelerate(load_world_model('sim-panda-ac', device='cpu'))
    assert layers(model) & set(blocks.FASTER.values()) == {blocks.TanhMlp}
    accelerate(load_world_model('sim-panda-ac', device='cpu'))
    assert caplog.text.count("PyTorch's operations are used") == 1


def test_graphs_that_fail_are_dropped_with_a_warning(caplog):
    model = accelerate(load_world_model('sim-panda-ac', device='cpu'))
    model.encode(PICTURES)  # a graph cannot be recorded without CUDA
    assert model.graphs is None
    model.encode(PICTURES)
    assert caplog.text.count('CUDA graphs are not used any more') == 1
