# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kernels for CPUs do what a Block does in float64, as nearly as PyTorch in bfloat16."""

from copy import deepcopy

import pytest
import torch
from vjepa2_planner_ros.world_model import fused
from vjepa2_planner_ros.world_model.lanes import alone
from vjepa2_planner_ros.world_model.rotary import FrameTables
from vjepa2_planner_ros.world_model.transformer import Block

pytestmark = pytest.mark.skipif(
    fused.cpu_kernels is None or fused.AMX, reason='the kernels are for AVX-512 BF16 without AMX'
)
SIZES = [(4, 32, 512), (2, 64, 192), (1, 192, 64)]  # heads, head_dim, hidden


def make(heads, head_dim, hidden, seed=0):
    """Return a block in bfloat16, the same in float64, and a function that makes tensors."""
    torch.manual_seed(seed)
    block = Block(heads * head_dim, heads, hidden).eval().requires_grad_(False)
    for parameter in block.parameters():
        parameter.normal_(std=0.15).add_(1.0 if parameter is block.norm1.weight else 0.0)
    block.bfloat16()
    return block, deepcopy(block).double(), lambda *shape: torch.randn(*shape).bfloat16()


def table_of(tokens, heads, head_dim, dtype):
    return tuple(
        half[:tokens].contiguous()
        for half in FrameTables(head_dim, heads)(
            max(tokens - 2, 1), 1, 1, dtype, torch.device('cpu')
        )
    )


def run(block, *args, **options):
    with torch.inference_mode(), alone():
        return block(*args, **options)


def both(block, exact, x, past=None, **options):
    """Return what kernels, PyTorch in bfloat16 and PyTorch in float64 make of the same."""
    heads = block.attn.heads
    table = table_of(x.shape[1], heads, x.shape[-1] // heads, torch.bfloat16)
    plain = run(block, x, table, past=past, **options)
    exactly = run(
        exact,
        x.double(),
        tuple(half.double() for half in table),
        past=past and tuple(some.double() for some in past),
        **options,
    )
    fused.pack(block)
    with torch.inference_mode(), alone():
        assert fused.packed_block(block, x, table) is not None
    return run(block, x, table, past=past, **options), plain, exactly


def error(found, exactly):
    return float((found.double() - exactly).abs().mean()), float(
        (found.double() - exactly).abs().max()
    )


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('batch, tokens', [(1, 1), (3, 5), (2, 64), (3, 66)])
@pytest.mark.parametrize('past', [None, (1, 7), ('own', 33)], ids=['first', 'shared', 'own'])
def test_a_block_equals_its_definition(size, batch, tokens, past):
    heads, head_dim, _ = size
    block, exact, draw = make(*size)
    if past is not None:
        of, length = past
        past = tuple(draw(batch if of == 'own' else 1, heads, length, head_dim) for _ in range(2))
    (found, cache), (plain, _), (exactly, cached) = both(
        block, exact, draw(batch, tokens, heads * head_dim), past
    )
    assert found.dtype == torch.bfloat16 and found.shape == exactly.shape
    for mine, torchs, limit in zip(error(found, exactly), error(plain, exactly), (1.1, 2.0)):
        assert mine < limit * torchs + 1e-3
    for some, expected in zip(cache, cached):
        torch.testing.assert_close(some.double(), expected, rtol=2e-2, atol=2e-2)


def test_the_cache_is_left_out_and_nothing_else_changes():
    block, exact, draw = make(*SIZES[0])
    x, past = draw(2, 66, 128), tuple(draw(2, 4, 66, 32) for _ in range(2))
    kept, _, _ = both(block, exact, x, past)
    left_out = run(block, x, table_of(66, 4, 32, torch.bfloat16), past=past, keep_cache=False)
    assert left_out[1] is None and kept[1][0].shape == (2, 4, 132, 32)
    assert torch.equal(left_out[0], kept[0])


def test_a_sequence_does_not_depend_on_the_others():
    block, exact, draw = make(*SIZES[0])
    x, past = draw(5, 66, 128), tuple(draw(5, 4, 9, 32) for _ in range(2))
    together, _, _ = both(block, exact, x, past)
    table = table_of(66, 4, 32, torch.bfloat16)
    for i in range(5):
        alone_ = run(block, x[i : i + 1], table, past=tuple(some[i : i + 1] for some in past))
        assert torch.equal(alone_[0][0], together[0][i])


@pytest.mark.parametrize('largest', [30.0, 1000.0, 3e4])
def test_scores_of_any_size_are_weighed(largest):
    block, exact, draw = make(*SIZES[0])
    for some in (block, exact):
        some.attn.qkv.weight[:256] *= largest**0.5
    (found, _), (plain, _), (exactly, _) = both(block, exact, draw(2, 66, 128))
    assert found.isfinite().all()
    # Rounded scores decide which of two near keys wins: PyTorch's are as far off.
    assert error(found, exactly)[0] < 1.5 * error(plain, exactly)[0]


def test_what_is_not_a_number_stays_with_its_sequence():
    block, exact, draw = make(*SIZES[0])
    x = draw(4, 66, 128)
    x[1, 40, 7], x[2, 0, 0] = torch.nan, torch.inf
    (found, _), _, _ = both(block, exact, x)
    assert [bool(some.isfinite().all()) for some in found] == [True, False, False, True]
    assert found[1].isnan().all() and found[2].isnan().all()


def test_gelu_reaches_from_tail_to_tail():
    # An MLP that hands its hidden numbers through shows them; 64 inputs come through the norm.
    block, _, _ = make(2, 32, 64)
    for layer in (block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        layer.weight.zero_()
        layer.bias.zero_()
    block.mlp.fc2.weight += torch.eye(64).bfloat16()
    given = torch.linspace(-10.0, 10.0, 64).bfloat16()
    block.mlp.fc1.bias += given
    fused.pack(block)
    x = torch.zeros(1, 3, 64).bfloat16()
    found, _ = run(block, x, table_of(3, 2, 32, torch.bfloat16))
    expected = torch.nn.functional.gelu(given.double())
    torch.testing.assert_close(found[0, 1].double(), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize('why', ['threads', 'training', 'mask', 'dtype', 'copy'])
def test_pytorch_does_the_rest(why, monkeypatch):
    block, _, draw = make(*SIZES[0])
    fused.pack(block)
    called = []
    monkeypatch.setattr(fused.cpu_kernels, 'attend', lambda *_: called.append(why))
    x, table = draw(1, 3, 128), table_of(3, 4, 32, torch.bfloat16)
    if why == 'dtype':
        x, table, block = x.float(), tuple(half.float() for half in table), block.float()
    if why == 'copy':
        block = deepcopy(block)
    mask = torch.ones(3, 3, dtype=torch.bool) if why == 'mask' else None
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if why == 'threads' else 1)
    try:
        with torch.inference_mode(why != 'training'):
            out, _ = block(x, table, mask=mask)
    finally:
        torch.set_num_threads(threads)
    assert out.isfinite().all() and not called


@pytest.mark.parametrize('heads, head_dim, hidden', [(4, 16, 64), (3, 32, 64), (2, 32, 96)])
def test_sizes_that_do_not_fit_are_left_to_pytorch(heads, head_dim, hidden):
    block, _, _ = make(heads, head_dim, hidden)
    assert not fused.cpu_kernels.PackedBlock.fits(block)


def test_packed_weights_are_counted():
    block, _, _ = make(*SIZES[0])
    parameters = sum(parameter.nbytes for parameter in block.parameters())
    assert fused.pack(block) == parameters
    assert fused.pack(make(4, 16, 64)[0]) > 0  # its linear layers alone


@pytest.mark.parametrize('batch', [3, 40], ids=['plain', 'sharing'])
def test_sequences_that_share_all_but_their_first_token(batch):
    block, exact, draw = make(*SIZES[0])
    own, shared = draw(batch, 1, 128), draw(1, 65, 128)
    past, table = tuple(draw(1, 4, 9, 32) for _ in range(2)), table_of(66, 4, 32, torch.bfloat16)
    x = torch.cat([own, shared.expand(batch, -1, -1)], dim=1)
    _, (plain, _), (exactly, cached) = both(block, exact, x, past)
    with torch.inference_mode(), alone():
        found, cache = block.forward_shared(own, shared, table, past=past)
    assert error(found, exactly)[0] < 1.1 * error(plain, exactly)[0]
    order = [9, *range(9), *range(10, 75)] if batch == 40 else range(75)  # sharing: own ones first
    for some, expected in zip(cache, cached):
        torch.testing.assert_close(some.double(), expected[:, :, order], rtol=2e-2, atol=2e-2)
