# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a model runs, in which dtype, and how much memory there is."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
import re
import resource

import psutil
import torch
from torch.nn import functional as F  # noqa: N812

from .errors import ModelMemoryError

DEVICES = ('cpu', 'cuda', 'mps')
DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
# CPUs without any of these compute so slowly in float16 that a plan would take hours: 50 to 1000
# times as long as in float32.
FLOAT16_INSTRUCTIONS = ('avx512_fp16', 'amx_fp16', 'fp16_arith')
BFLOAT16_INSTRUCTIONS = ('avx512_bf16', 'amx_bf16', 'bf16')


def pick_device(device: str) -> torch.device:
    """Return the torch device of that name; 'auto' is CUDA, then MPS, then the CPU."""
    if device == 'auto':
        if torch.cuda.is_available():
            return torch.device('cuda')
        return torch.device('mps' if torch.backends.mps.is_available() else 'cpu')
    try:
        chosen = torch.device(device)
        if chosen.type not in DEVICES:
            raise ValueError(f'allowed: auto, {", ".join(DEVICES)}, cuda:N')
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"device is '{device}', which cannot be used here: {error}") from error
    return chosen


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """
    Return the torch dtype of that name, or raise ValueError if the device cannot compute in it.

    'auto' is bfloat16 on GPUs and CPUs with instructions for it, float16 on MPS and older GPUs
    and float32 on other CPUs.
    """
    if dtype == 'auto':
        return _fastest_dtype(device)
    if dtype not in DTYPES:
        raise ValueError(f"dtype is '{dtype}'; allowed: auto, {', '.join(DTYPES)}")
    chosen = DTYPES[dtype]
    if device.type == 'cpu' and chosen == torch.float16 and not _cpu_has(FLOAT16_INSTRUCTIONS):
        raise ValueError(
            f"dtype is '{dtype}', for which this CPU has no instructions; "
            'allowed: auto, float32, bfloat16'
        )
    try:
        check_computes(chosen, device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"dtype is '{dtype}', in which {device} cannot compute: {error}"
        ) from error
    return chosen


def _fastest_dtype(device: torch.device) -> torch.dtype:
    if device.type == 'cuda':
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device.type == 'mps':
        return torch.float16
    return torch.bfloat16 if _cpu_has(BFLOAT16_INSTRUCTIONS) else torch.float32


def _cpu_has(instructions: tuple[str, ...]) -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in instructions)


def check_computes(dtype: torch.dtype, device: torch.device) -> None:
    """Run each kind of operation that the networks use once; raise what torch raises."""
    x = torch.zeros(1, 2, 16, 16, dtype=dtype, device=device)
    x = F.conv2d(x, x, stride=16) + F.linear(x, x[0, 0])
    x = F.layer_norm(F.gelu(x), x.shape[-1:])
    F.scaled_dot_product_attention(x, x, x).sum().item()


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a device."""
    if device.type == 'cpu':
        return int(psutil.virtual_memory().available)
    if device.type == 'mps':
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def check_room(what: str, needed: int, device: torch.device) -> None:
    """Raise ModelMemoryError, which names what it is, if a device lacks the needed bytes."""
    free = free_memory(device)
    if needed > free:
        raise ModelMemoryError(
            f'{what} takes {needed / 1e9:.2f} GB; {device} has {free / 1e9:.2f} GB free'
        )


def used_memory(device: torch.device) -> int | None:
    """Return the bytes that tensors hold on a GPU, None for a CPU."""
    if device.type == 'cpu':
        return None
    if device.type == 'mps':
        return torch.mps.current_allocated_memory()
    return torch.cuda.memory_allocated(device)


def memory_in_use(device: torch.device) -> int | None:
    """Return the bytes of a CUDA device that anybody uses, None for other devices."""
    if device.type != 'cuda':
        return None
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def gpu_utilization(device: torch.device) -> int | None:
    """Return how busy a CUDA device is [%]; None where that is unknown (nvidia-ml-py tells)."""
    if device.type != 'cuda':
        return None
    try:
        return torch.cuda.utilization(device)
    except Exception:  # the package is missing, or the driver refuses, as for a part of a GPU
        return None


def peak_host_memory() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    status = Path('/proc/self/status')
    # Unlike getrusage it is without what the parent held before it became this process.
    peak = re.search(r'VmHWM:\s+(\d+) kB', status.read_text()) if status.exists() else None
    if peak is not None:
        return int(peak[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that a device or the host had no memory left."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and re.search("out of memory|not enough memory|can't allocate memory", str(error))
        is not None
    )


def release_memory() -> None:
    """Give the memory of freed tensors back to devices and system."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'malloc_trim'):  # glibc keeps what a second model of a process gave back
        libc.malloc_trim(0)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
