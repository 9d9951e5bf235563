# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera's newest frame as an array."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

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
