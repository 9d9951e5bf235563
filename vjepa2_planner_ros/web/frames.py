# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's newest frame as an array."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .limits import PREVIEW
from .link import Link
from ..messages.images import picture

WAIT = 3.0  # s for the first frame


async def frame_rgb(link: Link, topic: str = '') -> NDArray[np.uint8]:
    """
    Return the newest frame, uint8 RGB [H, W, 3].

    :raise ValueError: no such camera, or a frame that cannot be read. OSError: none comes.
    """
    for _ in range(round(WAIT / 0.05)):
        newest = link.camera.look(topic)
        if newest is not None:
            return await asyncio.to_thread(picture, newest[1])
        await asyncio.sleep(0.05)
    raise OSError(f'camera: no frame within {WAIT:g} s: is it running?')


class Preview:
    """The camera's newest frame as a small jpeg, made once for all who look."""

    def __init__(self, link: Link):
        self._link = link
        self._made: tuple[float, bytes] = (0.0, b'')
        self._making = asyncio.Lock()

    async def jpeg(self) -> bytes | None:
        """Return it, None before the first frame; ValueError as of frame_rgb."""
        newest = self._link.camera.look()
        if newest is None:
            return None
        arrived, message = newest
        async with self._making:
            if self._made[0] < arrived:
                self._made = arrived, await asyncio.to_thread(_jpeg, message)
            return self._made[1]


def _jpeg(message: Any) -> bytes:
    small, file = Image.fromarray(picture(message)), io.BytesIO()
    small.thumbnail((PREVIEW, PREVIEW))
    small.save(file, 'JPEG', quality=80)
    return file.getvalue()
