# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The operations of a block equal their definitions, whichever form of them is chosen."""

import pytest
import torch
from vjepa2_planner_ros.world_model import fused


@pytest.mark.parametrize('dtype, error', [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize('largest', [1.0, 30.0, 100.0, 1000.0])
@pytest.mark.parametrize('sign', [1.0, -1.0], ids=['above', 'below'])
def test_attention_equals_softmax_in_float64(dtype, error, largest, sign):
    # The scores of one row are about +- largest; e^89 leaves the range of bfloat16.
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, 3, tokens, 16, generator=generator).to(dtype) for tokens in (5, 7, 7)
    )
    k[..., 0] = 1.0 + 0.1 * k[..., 0].tanh()
    q[1, 2, 3] = 0.0
    q[1, 2, 3, 0] = sign * largest * 4.0
    scores = q.double() @ k.double().mT / 4.0
    expected = (scores.softmax(-1) @ v.double()).transpose(1, 2).flatten(2)
    with torch.inference_mode():
        found = fused.attention(q, k, v)
    assert found.dtype == dtype and found.shape == (2, 5, 48)
    assert float((found.double() - expected).abs().max()) < error * float(v.abs().max())


@pytest.mark.parametrize('dtype, error', [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize('rows', [1, 65, 528, 2112])
def test_packed_layers_equal_what_they_were(dtype, error, rows):
    torch.manual_seed(0)
    layer = torch.nn.Linear(48, 192).to(dtype)
    x, residual = torch.randn(rows, 48).to(dtype), torch.randn(rows, 192).to(dtype)
    product = x.double() @ layer.weight.double().T + layer.bias.double()
    fused.pack(layer)
    with torch.inference_mode():
        found = [
            fused.linear(x, layer),
            fused.linear(x, layer, gelu=True),
            fused.linear(x, layer, residual=residual),
        ]
    expected = [product, torch.nn.functional.gelu(product), product + residual.double()]
    for some, others in zip(found, expected):
        torch.testing.assert_close(some.double(), others, rtol=error, atol=error)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there the kernels can be compiled')
def test_without_kernels_it_says_so(caplog):
    assert fused._kernels.__wrapped__() is None
    assert "PyTorch's operations are used" in caplog.text
