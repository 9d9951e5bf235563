# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a name to a world model in memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeAlias

import torch

from . import checkpoints
from .cache import find_weights, verify
from .catalogue import model_spec, MODELS, ModelSpec
from .checkpoints import Source
from .devices import check_room, pick_device, pick_dtype
from .download import CheckStop, Progress
from .errors import WorldModelError
from .layouts import Part
from .model import VJepa2WorldModel
from .networks import ActionConditionedPredictor, VisionTransformer
from .reading import bytes_needed, load_into, opened, OpenFiles

Networks: TypeAlias = tuple[VisionTransformer, ActionConditionedPredictor | None]


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
    :param checkpoint: weights to load instead (see cache.find_weights).
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
    sources = find_weights(spec, checkpoint, cache)
    with opened(path for source in sources for path in source.paths) as files:
        return _load(spec, sources, files, torch_device, torch_dtype, progress, check_stop)


def _load(
    spec: ModelSpec,
    sources: tuple[Source, ...],
    files: OpenFiles,
    torch_device: torch.device,
    torch_dtype: torch.dtype,
    progress: Progress | None,
    check_stop: CheckStop,
) -> VJepa2WorldModel:
    """Load a model from files that are open; see load_world_model."""
    parts = checkpoints.read_checkpoint(sources, spec)
    networks = build_networks(spec, device='meta')
    modules = _check_fits(sources, parts, networks)
    for source in sources:
        if source.recorded:
            verify(source.paths[0], progress=progress, check_stop=check_stop)
    what = f"model '{spec.name}' in {torch_dtype}"
    check_room(what, weights_bytes(spec, torch_dtype), torch_device)
    done = 0
    total = sum(bytes_needed(modules[name], part) for name, part in parts.items())

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress('load', done, total)
        check_stop()

    for name, part in parts.items():
        load_into(modules[name], part, torch_device, torch_dtype, on_bytes, files)
    files.check()
    model = VJepa2WorldModel(spec, *networks)
    if torch_device.type == 'cuda':
        from .acceleration import accelerate  # not needed elsewhere

        return accelerate(model)
    return model


def _check_fits(
    sources: tuple[Source, ...], parts: dict[str, Part], networks: Networks
) -> dict[str, torch.nn.Module]:
    """Return the networks by the names of their parts; ModelLoadError if a file does not fit."""
    modules: dict[str, torch.nn.Module] = {
        part: net for part, net in zip(checkpoints.PARTS, networks) if net is not None
    }
    for source in sources:
        for name in source.parts:
            checkpoints.check_fits(modules[name], parts[name], name, source)
    return modules


def models_that_fit(checkpoint: str | Path) -> list[str]:
    """Return the models of the catalogue whose tensors a file has, by names and shapes."""
    found = []
    for spec in MODELS.values():
        try:
            sources = find_weights(spec, checkpoint)
            parts = checkpoints.read_checkpoint(sources, spec)
            _check_fits(sources, parts, build_networks(spec, device='meta'))
        except (WorldModelError, OSError):
            continue
        found.append(spec.name)
    return found


def build_networks(spec: ModelSpec, device: str | torch.device | None = None) -> Networks:
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
