# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Picture files from and to uint8 RGB arrays [H, W, 3]; no ROS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """
    Return a picture file, anything that Pillow opens; OSError or ValueError naming it if not.

    Turned as its EXIF data says; of 16 bits a channel the upper eight.
    """
    try:
        with Image.open(Path(path)) as picture:
            return _to_rgb(ImageOps.exif_transpose(picture))
    except OSError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error
    except Exception as error:  # a damaged file makes Pillow raise anything
        raise ValueError(f'{path}: {type(error).__name__}: {error}') from error


def write_picture(path: str | Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture to a file of any format that Pillow writes, by its suffix."""
    Image.fromarray(picture).save(Path(path))


def _to_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith('I;16'):  # convert() would clip
        picture = Image.fromarray((np.array(picture) >> 8).astype(np.uint8))
    if picture.mode in ('I', 'F'):
        raise ValueError(
            f'mode = {picture.mode!r}, numbers without a range: allowed: 8 or 16 bits a channel'
        )
    return np.array(picture.convert('RGB'))
