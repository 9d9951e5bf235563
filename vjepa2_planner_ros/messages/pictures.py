# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Picture files from and to uint8 RGB arrays [H, W, 3]; no ROS."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ASPECT_TOLERANCE = 1.05  # ratio of the aspects; cameras round their sizes
LARGEST_GREY_PART = 0.1  # of the rows
DARK = 0.4  # of the frame's mean brightness


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


def picture_of_bytes(data: bytes) -> NDArray[np.uint8]:
    """Return the picture of a file's bytes, as read_picture; what Pillow raises if it is none."""
    with Image.open(io.BytesIO(data)) as picture:
        return _to_rgb(ImageOps.exif_transpose(picture))


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


def oddities(goal: NDArray[np.uint8], frame: NDArray[np.uint8]) -> list[str]:
    """Return what makes a goal picture look unlike the frames of its camera, in words."""
    found = []
    (height, width), (rows, columns) = goal.shape[:2], frame.shape[:2]
    ratio = (width / height) / (columns / rows)
    if max(ratio, 1.0 / ratio) > ASPECT_TOLERANCE:
        found.append(
            f'the goal picture has {width} x {height} pixels, the frame {columns} x {rows}: '
            'another aspect, so that the model sees another part or a distorted picture'
        )
    grey = _grey_rows(goal)
    if grey > LARGEST_GREY_PART * height:
        found.append(
            f'the lowest {grey} of {height} rows of the goal picture are plain grey, as in a '
            'damaged JPEG'
        )
    of_goal, of_frame = (float(picture[::4, ::4].mean()) for picture in (goal, frame))
    if of_goal < DARK * of_frame:
        found.append(
            f'the goal picture is far darker than the frame: mean brightness {of_goal:.0f}, '
            f'not {of_frame:.0f} of 255'
        )
    return found


def _grey_rows(picture: NDArray[np.uint8]) -> int:
    """Return how many of the lowest rows have nothing but the grey of a JPEG without data."""
    rows = picture[::-1]
    # Of most pictures a pixel of each row tells; all of a large one would take half a second.
    rows = rows[: _first(~_plain(rows[:, :1]))]
    return _first(~_plain(rows))


def _plain(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which rows [N, W, 3] are all of that grey, [N]."""
    return np.asarray(((rows >= 127) & (rows <= 129)).all(axis=(1, 2)))


def _first(marks: NDArray[np.bool_]) -> int:
    """Return the index of the first True, or how many there are if there is none."""
    return int(marks.argmax()) if marks.any() else len(marks)
