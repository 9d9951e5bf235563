# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Tensors of memory-mapped files, read one by one into a module.

They are read from the files and not from their mappings, in which a file that is cut off meanwhile
would end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, ExitStack
import os
from pathlib import Path
from typing import BinaryIO

import torch
from torch import nn, Tensor

from .errors import ModelLoadError
from .layouts import Part


class OpenFiles:
    """The open files of a model's weights, known by their inodes."""

    def __init__(self, files: Iterable[BinaryIO]):
        self._files: dict[int, BinaryIO] = {}
        for file in files:
            status = os.fstat(file.fileno())
            other = self._files.setdefault(status.st_ino, file)
            # A mapping tells no device that could be relied on: overlays have one of their own.
            if os.fstat(other.fileno()).st_dev != status.st_dev:
                raise ModelLoadError(
                    f'{file.name} and {other.name} have the same inode on two file systems: put '
                    'them into one folder'
                )
        self._versions = [_version(file) for file in self._files.values()]

    def __getitem__(self, inode: int) -> BinaryIO:
        try:
            return self._files[inode]
        except KeyError:
            raise _changed(next(iter(self._files.values()))) from None

    def check(self) -> None:
        """Raise ModelLoadError if one was written to since they were opened."""
        for file, version in zip(self._files.values(), self._versions):
            if _version(file) != version:
                raise _changed(file)


@contextmanager
def opened(paths: Iterable[Path]) -> Iterator[OpenFiles]:
    """Open files, or raise ModelLoadError."""
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        for path in paths:
            try:
                files.append(stack.enter_context(open(path, 'rb')))
            except OSError as error:
                raise ModelLoadError(f'{path} cannot be read: {error}') from error
        yield OpenFiles(files)


def bytes_needed(module: nn.Module, part: Part) -> int:
    """Return how many bytes of a file a module takes."""
    return sum(piece.nbytes for key in module.state_dict() for piece in part.pieces(key))


@torch.no_grad()
def load_into(
    module: nn.Module,
    part: Part,
    device: torch.device,
    dtype: torch.dtype,
    on_bytes: Callable[[int], None],
    files: OpenFiles,
) -> None:
    """
    Give a module on the meta device the tensors of a part of a file that fits it.

    Tensors are read and cast one by one: the host holds little more than the module itself, and
    nothing of it for a module on a GPU.

    :param on_bytes: called with the bytes of the file that each tensor took.
    :raise ModelLoadError: a file is another than the mapped one, or shorter.
    """
    state = {key: part.pieces(key) for key in module.state_dict()}
    loaded = {}
    # One for all tensors: the host's heap would be left with holes between them.
    largest = max(_bytes_in_file(piece) for pieces in state.values() for piece in pieces)
    buffer = torch.empty(largest, dtype=torch.uint8)
    for key, expected in module.state_dict().items():
        loaded[key] = torch.empty(expected.shape, dtype=dtype, device=device)
        row = 0
        for piece in state[key]:
            rows = piece.shape[0]
            loaded[key][row : row + rows].copy_(_read_tensor(piece, files, buffer))
            row += rows
            on_bytes(piece.nbytes)
    module.load_state_dict(loaded, assign=True)


def _bytes_in_file(tensor: Tensor) -> int:
    """Return how much is read of a file for a tensor: all of its storage if it has gaps."""
    return tensor.nbytes if tensor.is_contiguous() else tensor.untyped_storage().nbytes()


def _read_tensor(tensor: Tensor, files: OpenFiles, buffer: Tensor) -> Tensor:
    """Return a memory-mapped tensor as read from its file into a buffer."""
    place = _place_in_file(tensor.untyped_storage().data_ptr())
    if place is None:  # not Linux
        return tensor
    file = files[place[1]]
    size = _bytes_in_file(tensor)
    first = int(tensor.storage_offset()) * tensor.itemsize if tensor.is_contiguous() else 0
    content = buffer[:size]
    file.seek(place[0] + first)
    if file.readinto(content.numpy()) != size:  # type: ignore[attr-defined]
        raise _changed(file)
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


def _changed(file: BinaryIO) -> ModelLoadError:
    """Return the error of a file that is written while it is read."""
    return ModelLoadError(
        f'{file.name} changed while it was being loaded: load it again when it is written whole'
    )


def _version(file: BinaryIO) -> tuple[int, int]:
    """Return what is another after an open file was written to."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
