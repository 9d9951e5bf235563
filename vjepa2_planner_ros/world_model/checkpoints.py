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
import os
from pathlib import Path
from typing import BinaryIO
import zipfile

from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor

from .errors import ModelLoadError, WeightsNotFoundError

PARTS = ('encoder', 'predictor')
MAX_PICKLE = 64 * 10**6  # bytes of a checkpoint without its tensors; Meta's have under 1 MB

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
        _require_small(path)
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


def _require_small(path: Path) -> None:
    """Raise ValueError if a zip file unpacks to more than torch ever writes."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f'{member.filename!a:.100} is compressed: allowed: stored')
            if member.filename.endswith('.pkl') and member.file_size > MAX_PICKLE:
                raise ValueError(
                    f'{member.filename!a:.100} has {member.file_size} bytes: '
                    f'allowed: up to {MAX_PICKLE}'
                )


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
    file: BinaryIO,
) -> None:
    """
    Give a module on the meta device the tensors of a memory-mapped state dict that fits it.

    Tensors are read and cast one by one: the host holds little more than the module itself, and
    nothing of it for a module on a GPU. They are read from the file and not from its mapping, in
    which a file that is cut off meanwhile would end the process.

    :param on_bytes: called with the bytes of the file that each tensor took.
    :param file: the open file of the state dict.
    :raise ModelLoadError: it is another file than the mapped one, or shorter.
    """
    loaded = {}
    # One for all tensors: the host's heap would be left with holes between them.
    buffer = torch.empty(max(map(_bytes_in_file, state_dict.values())), dtype=torch.uint8)
    for key in module.state_dict():
        source = state_dict[key]
        loaded[key] = torch.empty(source.shape, dtype=dtype, device=device)
        loaded[key].copy_(_read_tensor(source, file, buffer))
        on_bytes(source.nbytes)
    module.load_state_dict(loaded, assign=True)


def _bytes_in_file(tensor: Tensor) -> int:
    """Return how much is read of a file for a tensor: all of its storage if it has gaps."""
    return tensor.nbytes if tensor.is_contiguous() else tensor.untyped_storage().nbytes()


def _read_tensor(tensor: Tensor, file: BinaryIO, buffer: Tensor) -> Tensor:
    """Return a memory-mapped tensor as read from its file into a buffer."""
    place = _place_in_file(tensor.untyped_storage().data_ptr())
    if place is None:  # not Linux
        return tensor
    if place[1] != os.fstat(file.fileno()).st_ino:
        raise changed(file)
    size = _bytes_in_file(tensor)
    first = int(tensor.storage_offset()) * tensor.itemsize if tensor.is_contiguous() else 0
    content = buffer[:size]
    file.seek(place[0] + first)
    if file.readinto(content.numpy()) != size:  # type: ignore[attr-defined]
        raise changed(file)
    flat = content.view(tensor.dtype)
    if tensor.is_contiguous():
        return flat.view(tensor.shape)
    return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _place_in_file(address: int) -> tuple[int, int] | None:
    """Return (offset, inode) of the file that is mapped to an address; None if there is none."""
    try:
        with open('/proc/self/maps') as maps:
            for line in maps:
                span, _, offset, _, inode = line.split()[:5]
                begin, end = (int(number, 16) for number in span.split('-'))
                if begin <= address < end and int(inode):
                    return address - begin + int(offset, 16), int(inode)
    except OSError:
        pass
    return None


def changed(file: BinaryIO) -> ModelLoadError:
    """Return the error of a file that is written while it is read."""
    return ModelLoadError(
        f'{file.name} changed while it was being loaded: load it again when it is written whole'
    )


def version(file: BinaryIO) -> tuple[int, int]:
    """Return what is another after an open file was written to."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


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
