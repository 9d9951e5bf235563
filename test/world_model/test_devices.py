# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Devices and dtypes that cannot be used are refused with the reason."""

import psutil
import pytest
import torch
from vjepa2_planner_ros.world_model import load_world_model
from vjepa2_planner_ros.world_model.devices import (
    check_computes,
    DTYPES,
    free_memory,
    is_out_of_memory,
    peak_host_memory,
    pick_device,
    pick_dtype,
)

CPU = torch.device('cpu')


@pytest.mark.parametrize('name', ['warp', 'meta', 'cuda:99', 'cpu:x'])
def test_devices_that_cannot_be_used_are_named(name):
    with pytest.raises(ValueError, match=f"device is '{name}', which cannot be used here: "):
        pick_device(name)


def test_auto_is_the_best_device_there_is():
    best = (
        'cuda'
        if torch.cuda.is_available()
        else 'mps'
        if torch.backends.mps.is_available()
        else 'cpu'
    )
    assert pick_device('auto').type == best


def test_auto_is_a_dtype_that_the_device_computes_in():
    dtype = pick_dtype('auto', CPU)
    assert dtype in (torch.float32, torch.bfloat16)  # float16 is slow on nearly every CPU
    check_computes(dtype, CPU)


def test_impossible_dtypes_are_named():
    with pytest.raises(ValueError, match="dtype is 'int8'; allowed: auto, float32"):
        pick_dtype('int8', CPU)
    with pytest.raises(ValueError, match="dtype is 'int8'; allowed"):
        load_world_model('sim-panda-ac', dtype='int8')
    with pytest.raises(ValueError, match="device is 'warp'"):
        load_world_model('sim-panda-ac', device='warp')


@pytest.mark.skipif(
    any(
        torch.cpu.get_capabilities().get(name)
        for name in ('avx512_fp16', 'amx_fp16', 'fp16_arith')
    ),
    reason='this CPU has float16 instructions',
)
def test_float16_is_refused_on_a_cpu_without_instructions_for_it():
    with pytest.raises(ValueError, match="'float16', for which this CPU has no instructions"):
        pick_dtype('float16', CPU)


def test_an_explicit_dtype_is_tried(monkeypatch):
    assert pick_dtype('bfloat16', CPU) == torch.bfloat16
    monkeypatch.setitem(DTYPES, 'int8', torch.int8)  # torch itself has no such networks
    with pytest.raises(ValueError, match="dtype is 'int8', in which cpu cannot compute: "):
        pick_dtype('int8', CPU)


def test_errors_that_mean_no_memory():
    with pytest.raises(RuntimeError) as real:
        torch.empty(1 << 60)
    for error in (
        real.value,
        MemoryError(),
        torch.OutOfMemoryError('CUDA out of memory.'),
        RuntimeError('MPS backend out of memory (MPS allocated: 1 GB)'),
    ):
        assert is_out_of_memory(error)
    for error in (RuntimeError('shapes differ'), ValueError('out of memory')):
        assert not is_out_of_memory(error)


def test_memory_of_the_host():
    assert psutil.Process().memory_info().rss <= peak_host_memory() < psutil.virtual_memory().total
    assert 0 < free_memory(CPU) < psutil.virtual_memory().total
