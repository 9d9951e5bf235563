# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a name to a world model in memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import BinaryIO

import torch

from . import checkpoints
from .cache import cached_path, find_weights, verify
from .catalogue import model_spec, ModelSpec
from .devices import free_memory, pick_device, pick_dtype
from .download import CheckStop, Progress
from .errors import ModelLoadError, ModelMemoryError
from .model import VJepa2WorldModel
from .networks import ActionConditionedPredictor, VisionTransformer


def load_world_model(
    name: str,
    *,
    device: str = 'auto',
    dtype: str = 'auto',
    checkpoint: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    check_stop: CheckStop = lambda: None,
) -> VJepa2WorldModel:
    """
    Load a model of the catalogue; its weights must be on this machine (see cache.find_weights).

    :param name: for example 'sim-panda-ac' or 'vit-giant-ac'.
    :param device: 'auto' (CUDA, then MPS, then CPU) or a torch device.
    :param dtype: 'auto' (by device), 'float32', 'bfloat16' or 'float16'.
    :param checkpoint: weights to load instead (.pt of Meta, .safetensors).
    :param cache: folder of downloaded weights; None is torch.hub's.
    :param progress: called with the phase ('verify' at the first sight of a cached file, 'load'),
        the bytes of the file that are done and those in all.
    :param check_stop: called often; what it raises ends it.
    :raise ModelNotFoundError: no such model.
    :raise ModelLoadError: there are no weights for it (WeightsNotFoundError), or they are damaged,
        have changed or are of another model.
    :raise ModelMemoryError: the device has no room for it.
    :raise ValueError: no such device here, or it cannot compute in that dtype.
    """
    spec = model_spec(name)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    path = find_weights(spec, checkpoint, cache)
    try:
        file = open(path, 'rb')
    except OSError as error:
        raise ModelLoadError(f'{path} cannot be read: {error}') from error
    with file:
        return _load(spec, path, file, torch_device, torch_dtype, cache, progress, check_stop)


def _load(
    spec: ModelSpec,
    path: Path,
    file: BinaryIO,
    torch_device: torch.device,
    torch_dtype: torch.dtype,
    cache: str | Path | None,
    progress: Progress | None,
    check_stop: CheckStop,
) -> VJepa2WorldModel:
    """Load a model from an open file and its path; see load_world_model."""
    version = checkpoints.version(file)
    parts = checkpoints.read_checkpoint(path, spec.checkpoint_entries)
    networks = build_networks(spec, device='meta')
    modules = {part: net for part, net in zip(checkpoints.PARTS, networks) if net is not None}
    for part, state_dict in parts.items():
        checkpoints.check_fits(modules[part], state_dict, part, path)
    if path == cached_path(spec, cache):
        verify(path, progress=progress, check_stop=check_stop)
    needed, free = weights_bytes(spec, torch_dtype), free_memory(torch_device)
    if needed > free:
        raise ModelMemoryError(
            f"model '{spec.name}' takes {needed / 1e9:.2f} GB in {torch_dtype}; "
            f'{torch_device} has {free / 1e9:.2f} GB free'
        )
    done = 0
    total = sum(tensor.nbytes for part in parts.values() for tensor in part.values())

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress('load', done, total)
        check_stop()

    for part, state_dict in parts.items():
        checkpoints.load_into(modules[part], state_dict, torch_device, torch_dtype, on_bytes, file)
    if checkpoints.version(file) != version:
        raise checkpoints.changed(file)
    model = VJepa2WorldModel(spec, *networks)
    if torch_device.type == 'cuda':
        from .acceleration import accelerate  # not needed elsewhere

        return accelerate(model)
    return model


def build_networks(
    spec: ModelSpec, device: str | torch.device | None = None
) -> tuple[VisionTransformer, ActionConditionedPredictor | None]:
    """Return the encoder and predictor (or None) of a model, initialised as torch does."""
    with torch.device(device or 'cpu'):
        encoder = VisionTransformer(spec.encoder)
        if spec.predictor is None:
            return encoder, None
        return encoder, ActionConditionedPredictor(spec.encoder.dim, spec.predictor, spec.grid)


@cache
def parameter_count(spec: ModelSpec) -> int:
    """Return the number of parameters of a model."""
    return sum(
        parameter.numel()
        for module in build_networks(spec, device='meta')
        if module is not None
        for parameter in module.parameters()
    )


def weights_bytes(spec: ModelSpec, dtype: torch.dtype) -> int:
    """Return the bytes that a model's weights take in memory."""
    return parameter_count(spec) * dtype.itemsize
