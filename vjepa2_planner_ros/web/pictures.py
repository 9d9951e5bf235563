# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from browsers and cameras: checked before they are decoded, kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
import io
import secrets

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .limits import KEPT_PICTURES, MAX_PICTURE_BYTES, MAX_PIXELS, PREVIEW
from ..messages.pictures import picture_of_bytes

FORMATS = ('JPEG', 'PNG', 'WEBP')


@dataclass(frozen=True)
class Picture:
    """A picture as it came, and a smaller one for the pages."""

    id: str
    data: bytes  # of the file
    width: int  # pixels, turned as EXIF says
    height: int
    preview: bytes  # jpeg


class Pictures:
    """The pictures that pages and plans refer to by a random id."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._decoding = asyncio.Semaphore(2)

    async def add(self, data: bytes, field: str = 'picture') -> Picture:
        """Check, decode and keep a file; ValueError if it is not a picture that can be used."""
        check(data, field)
        async with self._decoding:
            picture = await asyncio.to_thread(_picture, data, field)
        self._keep(picture)
        return picture

    async def add_frame(self, rgb: NDArray[np.uint8]) -> Picture:
        """Keep a frame of a camera, uint8 [H, W, 3] RGB, without loss."""
        async with self._decoding:
            data = await asyncio.to_thread(_png, rgb)
        return await self.add(data, 'frame')

    def get(self, name: str) -> Picture | None:
        """Return a picture by its id, None if it was never there or is gone."""
        return self._kept.get(name)

    async def rgb(self, data: bytes, field: str) -> NDArray[np.uint8]:
        """Return the uint8 RGB [H, W, 3] of a file; ValueError as add."""
        check(data, field)
        async with self._decoding:
            return await asyncio.to_thread(_decoded, data, field)

    def _keep(self, picture: Picture) -> None:
        self._kept[picture.id] = picture
        size = sum(len(kept.data) + len(kept.preview) for kept in self._kept.values())
        while size > KEPT_PICTURES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            size -= len(oldest.data) + len(oldest.preview)


def check(data: bytes, field: str) -> None:
    """Raise ValueError unless a file is a picture of a size that is allowed; decodes nothing."""
    if len(data) > MAX_PICTURE_BYTES:
        raise ValueError(
            f'{field} = {len(data)} bytes: allowed: up to {MAX_PICTURE_BYTES}; make it smaller'
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
    except Exception as error:  # a damaged file makes Pillow raise anything
        raise ValueError(
            f'{field} = {len(data)} bytes that are no picture: allowed: jpeg, png or webp'
        ) from error
    if width * height > MAX_PIXELS:
        raise ValueError(
            f'{field} = {width} x {height} pixels: allowed: up to {MAX_PIXELS}; make it smaller'
        )


def _decoded(data: bytes, field: str) -> NDArray[np.uint8]:
    try:
        return picture_of_bytes(data)
    except Exception as error:
        raise ValueError(f'{field}: {error}: allowed: a whole jpeg, png or webp') from error


def _picture(data: bytes, field: str) -> Picture:
    rgb = _decoded(data, field)
    small, jpeg = Image.fromarray(rgb), io.BytesIO()
    small.thumbnail((PREVIEW, PREVIEW))
    small.save(jpeg, 'JPEG', quality=88)
    return Picture(secrets.token_urlsafe(12), data, rgb.shape[1], rgb.shape[0], jpeg.getvalue())


def _png(rgb: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, 'PNG', compress_level=1)
    return file.getvalue()
