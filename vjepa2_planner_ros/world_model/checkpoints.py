# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write the weights of a world model.

Two formats: Meta's training checkpoints (``.pt``: a dict with ``encoder`` and ``predictor`` among
other entries, keys with ``module.`` and ``backbone.`` in them) and ``.safetensors`` (the same
tensors, keys prefixed ``encoder.`` and ``predictor.``). Nothing in a file is ever executed.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
import torch
from torch import nn, Tensor

from .errors import ModelLoadError, ModelNotFoundError

PARTS = ('encoder', 'predictor')


def read_checkpoint(path: str | Path) -> dict[str, dict[str, Tensor]]:
    """
    Return the state dicts of the encoder and the predictor in a file, on the CPU.

    :raise ModelNotFoundError: there is no such file.
    :raise ModelLoadError: the file is not a whole checkpoint of either format.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f'no weights at {path}')
    if path.suffix == '.safetensors':
        return _read_safetensors(path)
    return _read_meta(path)


def _read_safetensors(path: Path) -> dict[str, dict[str, Tensor]]:
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f'{path} is not a whole safetensors file: {error}') from error
    parts = {part: {} for part in PARTS}
    for key, tensor in tensors.items():
        part, _, name = key.partition('.')
        if part not in parts:
            raise ModelLoadError(f"{path}: key '{key}' starts with neither 'encoder.' nor "
                                 "'predictor.'")
        parts[part][name] = tensor
    return parts


def _read_meta(path: Path) -> dict[str, dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types for foreign and truncated files
        raise ModelLoadError(f'{path} is not a whole PyTorch checkpoint of tensors: '
                             f'{type(error).__name__}: {error}') from error
    parts = {}
    for part in PARTS:
        if not isinstance(content, dict) or not isinstance(content.get(part), dict):
            raise ModelLoadError(f"{path} has no state dict '{part}'")
        parts[part] = {key.replace('module.', '').replace('backbone.', ''): tensor
                       for key, tensor in content[part].items()}
    parts['encoder'].pop('pos_embed', None)  # RoPE models carry one but do not use it
    return parts


def load_into(module: nn.Module, state_dict: dict[str, Tensor], part: str, path) -> None:
    """Put a state dict into a module on the meta device; raise ModelLoadError if it misfits."""
    expected = module.state_dict()
    for key in [*expected, *state_dict]:
        if key not in state_dict:
            raise ModelLoadError(f"{path}: {part} lacks '{key}'")
        if key not in expected:
            raise ModelLoadError(f"{path}: {part} has an unknown '{key}'")
        if state_dict[key].shape != expected[key].shape:
            raise ModelLoadError(f"{path}: {part} '{key}' is {list(state_dict[key].shape)}; "
                                 f'this model needs {list(expected[key].shape)}')
    module.load_state_dict(state_dict, assign=True)


def write_safetensors(path: str | Path, encoder: nn.Module, predictor: nn.Module,
                      dtype: torch.dtype, metadata: dict[str, str]) -> None:
    """Write both networks in one dtype; the file appears whole or not at all."""
    tensors = {
        f'{part}.{key}': tensor.detach().to('cpu', dtype).contiguous()
        for part, module in zip(PARTS, (encoder, predictor))
        for key, tensor in module.state_dict().items()}
    path = Path(path)
    partial = path.with_suffix('.partial')
    save_file(tensors, partial, metadata=metadata)
    partial.replace(path)
