# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write the weights of a world model.

Two formats: PyTorch's (a dict with ``encoder`` and ``predictor`` among other entries in Meta's
training checkpoints) and safetensors (with us, keys prefixed ``encoder.`` and ``predictor.``). A
file is known by its content, not by its name; `layouts` has what its tensors are called. Nothing
in a file is ever executed, and only the tensors of the model are ever read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
import pickle
import re
from typing import Any
import zipfile

import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import nn, Tensor

from .catalogue import ModelSpec
from .errors import ModelLoadError, WeightsNotFoundError
from .foreign import kind_of_content, kind_of_file
from .layouts import Content, DECODER, ENCODERS, find_part, HUGGING_FACE, Layout, Part, PREDICTOR

PARTS = ('encoder', 'predictor')
CONTAINERS = ('state_dict', 'model')  # entries in which others put everything
MAX_PICKLE = 64 * 10**6  # bytes of a checkpoint without its tensors; Meta's have under 1 MB
MAX_HEADER = 100 * 10**6  # bytes, of safetensors' own limit

# Losses and the like are numbers of NumPy in some checkpoints; they are data, too.
NUMPY_NUMBERS: list[Any] = [
    *(
        (np.float64(0).__reduce__()[0], f'{module}.multiarray.scalar')
        for module in ('numpy.core', 'numpy._core')
    ),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i4', 'i8', 'u8', 'bool')),
]


@dataclass(frozen=True)
class Source:
    """
    A file of weights, or the shards of one, and the networks of a model to be taken from it.

    recorded: it belongs to the cache of this package, which remembers what it was.
    """

    paths: tuple[Path, ...]
    parts: tuple[str, ...]
    recorded: bool = False

    @property
    def size(self) -> int:
        """Return the bytes of its files."""
        return sum(path.stat().st_size for path in self.paths)

    def __str__(self) -> str:
        return str(self.paths[0] if len(self.paths) == 1 else self.paths[0].parent)


def read_checkpoint(sources: Iterable[Source], spec: ModelSpec) -> dict[str, Part]:
    """
    Return each network of a model in its files, memory-mapped on the CPU.

    :raise WeightsNotFoundError: there is no such file.
    :raise ModelLoadError: a file is not a whole one of either format, or has no such network.
    """
    parts = {}
    for source in sources:
        content = _content(source)
        for name in source.parts:
            layouts = ENCODERS[spec.encoder.release] if name == 'encoder' else (PREDICTOR,)
            parts[name] = _find(content, layouts, spec.entries[name], source)
    return parts


def read_decoder(source: Source) -> Part:
    """Return the decoder of a file, which holds nothing else of use. Raises as above."""
    return _find(_content(source), (DECODER,), ('model',), source)


def _content(source: Source) -> dict[str, Any]:
    """Return what the files of a source hold together."""
    content: dict[str, Any] = {}
    for path in source.paths:
        content |= _read(path)
    return content


def _find(
    content: Content, layouts: Sequence[Layout], entries: Sequence[str], source: Source
) -> Part:
    for entry in entries:
        if isinstance(content.get(entry), dict):
            if part := find_part(content[entry], layouts, alone=True):
                return part
    for whole in (content, *(content.get(container) for container in CONTAINERS)):
        if isinstance(whole, dict) and (part := find_part(whole, layouts, entries)):
            return part
    raise ModelLoadError(
        f"{source} has no state dict '{entries[-1]}' with {layouts[0].anchor!r}"
        + kind_of_content(content)
    )


def _read(path: Path) -> dict[str, Any]:
    """Return what a file holds."""
    if not path.is_file():
        raise WeightsNotFoundError(f'no weights at {path}')
    if is_safetensors(path):
        return _read_safetensors(path)
    with open(path, 'rb') as file:
        if file.read(2) == b'PK':
            return _read_torch(path)
    kind = 'safetensors file' if path.suffix == '.safetensors' else 'PyTorch checkpoint'
    raise ModelLoadError(f'{path} is not a whole {kind}: {kind_of_file(path)}')


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like one of safetensors: a length and JSON."""
    with open(path, 'rb') as file:
        head = file.read(9)
    return head[8:] == b'{' and int.from_bytes(head[:8], 'little') <= MAX_HEADER


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework='pt') as file:
            return {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ModelLoadError(f'{path} is not a whole safetensors file: {error}') from error


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        _require_small(path)
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            content = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        # Not torch's text, which advises to execute what is in the file.
        match = re.search(r'GLOBAL ([\w.]+)', str(error))
        what = f"an object of '{match[1]}'" if match else 'something'
        raise ModelLoadError(
            f'{path} holds {what} beside tensors and numbers, which could execute code: save its '
            'state dicts alone, or take the file from its publisher'
        ) from error
    except Exception as error:  # torch raises many types for foreign and truncated files
        raise ModelLoadError(
            f'{path} is not a whole PyTorch checkpoint of tensors: {type(error).__name__}: {error}'
        ) from error
    return content if isinstance(content, dict) else {}


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


def layout_of(sources: Iterable[Source], spec: ModelSpec) -> str:
    """Return the layout of a model's files, meta, huggingface, jepa-wms or safetensors."""
    first = next(iter(sources)).paths[0]
    try:
        if is_safetensors(first):
            with safe_open(first, framework='pt') as file:
                keys = dict.fromkeys(file.keys())
            return HUGGING_FACE.name if find_part(keys, (HUGGING_FACE,)) else 'safetensors'
    except (SafetensorError, OSError):
        return ''
    return 'jepa-wms' if any(file.layout == 'jepa-wms' for file in spec.files) else 'meta'


def check_fits(module: nn.Module, part: Part, name: str, source: Source) -> None:
    """Raise ModelLoadError that names the first tensor of a file that misfits a module."""
    try:
        _check_fits(module, part, name)
    except ModelLoadError as error:
        raise ModelLoadError(f'{source}: {error}{kind_of_content(part.tensors)}') from None


def _check_fits(module: nn.Module, part: Part, name: str) -> None:
    expected = module.state_dict()
    for key, tensor in expected.items():
        names = part.layout.names(key)
        shape = [tensor.shape[0] // len(names), *tensor.shape[1:]]
        for piece in names:
            if piece not in part.tensors:
                raise ModelLoadError(f"{name} lacks '{part.prefix}{piece}'")
            _check_tensor(part.tensors[piece], shape, f"{name} '{part.prefix}{piece}'")
    for unknown in part.unknown(expected):
        raise ModelLoadError(f"{name} has an unknown '{part.prefix}{unknown}'")


def _check_tensor(tensor: Any, shape: list[int], what: str) -> None:
    if not (
        isinstance(tensor, Tensor)
        and tensor.layout == torch.strided
        and tensor.is_floating_point()
    ):
        kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelLoadError(f'{what} is {kind}, not a tensor of floats')
    if list(tensor.shape) != shape:
        raise ModelLoadError(f'{what} is {list(tensor.shape)}; this model needs {shape}')


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
