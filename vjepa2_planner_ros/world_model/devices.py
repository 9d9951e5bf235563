# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a model runs, in which dtype, and how much memory there is."""

from __future__ import annotations

import torch

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}


def pick_device(device: str) -> torch.device:
    """Return the torch device of that name; 'auto' is CUDA, then MPS, then the CPU."""
    if device == 'auto':
        if torch.cuda.is_available():
            return torch.device('cuda')
        return torch.device('mps' if torch.backends.mps.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device is '{device}', which cannot be used here: {error}") from error
    return chosen


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """
    Return the torch dtype of that name.

    'auto' is bfloat16 on GPUs that compute in it, float16 on MPS and older GPUs and float32 on
    CPUs without bfloat16 instructions (bfloat16 on those that have them).
    """
    if dtype != 'auto':
        if dtype not in DTYPES:
            raise ValueError(f"dtype is '{dtype}'; allowed: auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    if device.type == 'cuda':
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == 'mps':
        return torch.float16
    return torch.bfloat16 if _cpu_computes_bfloat16() else torch.float32


def _cpu_computes_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported()


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a GPU."""
    if device.type == 'mps':
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def used_memory(device: torch.device) -> int | None:
    """Return the bytes that tensors hold on a GPU, None for a CPU."""
    if device.type == 'cpu':
        return None
    if device.type == 'mps':
        return torch.mps.current_allocated_memory()
    return torch.cuda.memory_allocated(device)
