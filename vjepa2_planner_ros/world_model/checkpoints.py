# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write the weights of a world model.

Two formats: Meta's training checkpoints (``.pt``: a dict with ``encoder`` and ``predictor`` among
other entries, keys with ``module.`` and ``backbone.`` in them) and ``.safetensors`` (the same
tensors, keys prefixed ``encoder.`` and ``predictor.``). Nothing in a file is ever executed, and
only the tensors of the model are ever read.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
import mmap
from pathlib import Path
import sys

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor

from .errors import ModelLoadError, WeightsNotFoundError

PARTS = ('encoder', 'predictor')

Entries = dict[str, tuple[str, ...]]  # names of each part in Meta's files
StateDict = dict[str, Tensor]


def read_checkpoint(path: str | Path, entries: Entries) -> dict[str, StateDict]:
    """
    Return the state dict of each part of a model in a file, memory-mapped on the CPU.

    :param entries: for each part, the entries of Meta's files that may hold it, the best first
        (see ModelSpec.checkpoint_entries).
    :raise WeightsNotFoundError: there is no such file.
    :raise ModelLoadError: the file is not a whole checkpoint of either format.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFoundError(f'no weights at {path}')
    if path.suffix == '.safetensors':
        return _read_safetensors(path, entries)
    return _read_meta(path, entries)


def _read_safetensors(path: Path, entries: Entries) -> dict[str, StateDict]:
    parts: dict[str, StateDict] = {part: {} for part in entries}
    try:
        with safe_open(path, framework='pt') as file:
            for key in file.keys():
                part, _, name = key.partition('.')
                if part not in PARTS:
                    raise ModelLoadError(
                        f"{path}: key '{key}' starts with neither 'encoder.' nor 'predictor.'"
                    )
                if part in parts:  # an encoder of a whole world model is an encoder
                    parts[part][name] = file.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f'{path} is not a whole safetensors file: {error}') from error
    return parts


def _read_meta(path: Path, entries: Entries) -> dict[str, StateDict]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types for foreign and truncated files
        raise ModelLoadError(
            f'{path} is not a whole PyTorch checkpoint of tensors: {type(error).__name__}: {error}'
        ) from error
    content = content if isinstance(content, dict) else {}
    parts = {}
    for part, names in entries.items():
        found = next(
            (content[name] for name in names if isinstance(content.get(name), dict)), None
        )
        if found is None:
            raise ModelLoadError(f"{path} has no state dict '{names[-1]}'")
        parts[part] = {
            str(key).replace('module.', '').replace('backbone.', ''): tensor
            for key, tensor in found.items()
        }
    parts['encoder'].pop('pos_embed', None)  # RoPE models carry one but do not use it
    return parts


def check_fits(module: nn.Module, state_dict: StateDict, part: str, path: Path) -> None:
    """Raise ModelLoadError that names the first key of a state dict that misfits a module."""
    expected = module.state_dict()
    for key in [*expected, *state_dict]:
        if key not in state_dict:
            raise ModelLoadError(f"{path}: {part} lacks '{key}'")
        if key not in expected:
            raise ModelLoadError(f"{path}: {part} has an unknown '{key}'")
        tensor = state_dict[key]
        if not (
            isinstance(tensor, Tensor)
            and tensor.layout == torch.strided
            and tensor.is_floating_point()
        ):
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ModelLoadError(f"{path}: {part} '{key}' is {kind}, not a tensor of floats")
        if tensor.shape != expected[key].shape:
            raise ModelLoadError(
                f"{path}: {part} '{key}' is {list(tensor.shape)}; "
                f'this model needs {list(expected[key].shape)}'
            )


@torch.no_grad()
def load_into(
    module: nn.Module,
    state_dict: StateDict,
    device: torch.device,
    dtype: torch.dtype,
    on_bytes: Callable[[int], None],
) -> None:
    """
    Give a module on the meta device the tensors of a memory-mapped state dict that fits it.

    Tensors are copied and cast one by one, and the pages of the file behind each are released: the
    host holds little more than the module itself, and nothing of it for a module on a GPU.

    :param on_bytes: called with the bytes of the file that each tensor took.
    """
    loaded = {}
    for key in module.state_dict():
        source = state_dict[key]
        loaded[key] = torch.empty(source.shape, dtype=dtype, device=device)
        loaded[key].copy_(source)
        _release_pages(source)
        on_bytes(source.nbytes)
    module.load_state_dict(loaded, assign=True)


def _release_pages(tensor: Tensor) -> None:
    """
    Tell the kernel that the pages of a memory-mapped tensor are not needed any more.

    They would count as memory of this process until the whole file is unmapped. Only whole pages
    inside the tensor are named; should one be needed again it comes from the file.
    """
    if sys.platform == 'linux' and tensor.is_contiguous():
        page = mmap.PAGESIZE
        begin = -(-tensor.data_ptr() // page) * page
        size = (tensor.data_ptr() + tensor.nbytes - begin) // page * page
        if size > 0:
            ctypes.CDLL(None).madvise(
                ctypes.c_void_p(begin), ctypes.c_size_t(size), mmap.MADV_DONTNEED
            )


def write_safetensors(
    path: str | Path,
    encoder: nn.Module,
    predictor: nn.Module | None,
    dtype: torch.dtype,
    metadata: dict[str, str],
) -> None:
    """Write the networks there are in one dtype; the file appears whole or not at all."""
    tensors = {
        f'{part}.{key}': tensor.detach().to('cpu', dtype).contiguous()
        for part, module in zip(PARTS, (encoder, predictor))
        if module is not None
        for key, tensor in module.state_dict().items()
    }
    path = Path(path)
    partial = path.with_suffix('.partial')
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)
