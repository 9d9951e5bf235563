# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From camera images to the encoder's input, as Meta's planner and training code do it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CROPS = ('center_square', 'droid')
# One of CROPS, or left, top, width and height as shares of the picture's.
Crop: TypeAlias = str | tuple[float, float, float, float]
DROID_ASPECT = (0.75, 1.35)  # width / height that Meta's training transform squashes whole


def crop_box(height: int, width: int, crop: Crop) -> tuple[int, int, int, int]:
    """
    Return (top, left, height, width) of the part of a picture that the model looks at.

    ``center_square`` is the largest centred square (Meta's planner). ``droid`` is the largest
    centred crop whose aspect lies within 0.75..1.35, squashed to a square later (Meta's training).
    A rectangle is rounded to whole pixels, at least one, and squashed too. ValueError: there is no
    such crop.
    """
    if not isinstance(crop, str):
        return _rectangle(height, width, crop)
    if crop == 'center_square':
        rows = columns = min(height, width)
    elif crop == 'droid':
        narrow, wide = DROID_ASPECT
        rows = round(width / narrow) if width / height < narrow else height
        columns = round(height * wide) if width / height > wide else width
    else:
        raise ValueError(f"crop is '{crop}'; allowed: {', '.join(CROPS)}")
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _rectangle(
    height: int, width: int, crop: tuple[float, float, float, float]
) -> tuple[int, int, int, int]:
    left, right = _span(width, crop[0], crop[2])
    top, bottom = _span(height, crop[1], crop[3])
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(
            f'crop is {list(crop)} of {width} x {height} pixels; allowed: left, top, width and '
            'height of a part of them, as shares'
        )
    return top, left, bottom - top, right - left


def _span(size: int, start: float, share: float) -> tuple[int, int]:
    """Return the first pixel of a share of size, and the one behind its last."""
    first, end = round(size * start), round(size * (start + share))
    if share > 0.0 and end == first:  # of a tiny picture
        first = min(first, size - 1)
        end = first + 1
    return first, end


def crop_and_resize(
    frames: ArrayLike | Tensor, size: int, crop: Crop, device: torch.device | None = None
) -> Tensor:
    """
    Crop and resize pictures bilinearly (no antialias, as Meta's planner).

    :param frames: uint8 [T, H, W, 3] RGB, array or tensor.
    :return: float32 [T, 3, size, size], 0..255.
    """
    frames = torch.as_tensor(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(
            f'frames are {frames.dtype} {list(frames.shape)}; allowed: uint8 [T, H, W, 3] RGB'
        )
    top, left, rows, columns = crop_box(frames.shape[1], frames.shape[2], crop)
    frames = frames[:, top : top + rows, left : left + columns].to(device)
    pixels = frames.permute(0, 3, 1, 2).float()
    return F.interpolate(pixels, size=(size, size), mode='bilinear', align_corners=False)


def normalise(pixels: Tensor) -> Tensor:
    """Return pixels [..., 3, H, W] of 0..255 with ImageNet's mean and deviation removed."""
    mean, std = _statistics(pixels.device)
    return (pixels - mean) / std


def denormalise(pixels: Tensor) -> Tensor:
    """Return pixels [..., 3, H, W], about 0..255, of normalised ones."""
    mean, std = _statistics(pixels.device)
    return pixels * std + mean


def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ImageNet's mean and deviation of pixels of 0..255, each [3, 1, 1]."""
    mean, std = (torch.tensor(row, device=device) for row in (IMAGENET_MEAN, IMAGENET_STD))
    return 255.0 * mean[:, None, None], 255.0 * std[:, None, None]


def preprocess(
    frames: ArrayLike | Tensor, size: int, crop: Crop, device: torch.device | None = None
) -> Tensor:
    """Return the encoder's input, float32 [T, 3, size, size], of uint8 [T, H, W, 3] RGB."""
    return normalise(crop_and_resize(frames, size, crop, device))


def model_input(frame: ArrayLike | Tensor, size: int, crop: Crop) -> NDArray[np.uint8]:
    """Return what the encoder sees of one frame, as a uint8 [size, size, 3] RGB picture."""
    pixels = crop_and_resize(torch.as_tensor(frame)[None], size, crop)[0]
    return pixels.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
