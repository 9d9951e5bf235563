# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a camera stood still: how the background of two pictures differs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 320  # pixels to which pictures are reduced
CORNERS = 400  # of the picture, that are followed
LEAST = 24  # corners that must be found again
BACK = 0.5  # pixels; a corner that is not found back where it was is left out
SUPPORT = 0.5  # share of the corners that must agree on one motion
STILL = 0.5  # pixels


def camera_motion(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float | None:
    """
    Return how far the background moved between two pictures, as a share of their width.

    Corners are followed from one to the other; the motion, a shift with a turn and a zoom, on
    which most of them agree is that of the camera: arm and objects are the smaller part of the
    picture. Half of the pixels moved further than what is returned. None = the pictures do not
    tell, because they have too few corners or show different scenes.
    """
    if first.shape != second.shape:
        return None
    before, after = _small(first), _small(second)
    corners = cv2.goodFeaturesToTrack(before, CORNERS, 0.01, 5)
    if corners is None or len(corners) < LEAST:
        return None
    flow: Any = cv2.calcOpticalFlowPyrLK  # its stubs want the points that it is to find
    moved, found, _ = flow(before, after, corners, None)
    again, found_again, _ = flow(after, before, moved, None)
    good = (found & found_again).ravel() == 1
    good &= np.linalg.norm(again - corners, axis=2).ravel() < BACK
    if good.sum() < max(LEAST, 0.2 * len(corners)):
        return None
    start, end = corners[good][:, 0], moved[good][:, 0]
    still = np.linalg.norm(end - start, axis=1) < STILL
    if still.mean() >= SUPPORT:
        return 0.0
    motion, agree = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=1.0)
    if motion is None or agree.mean() < SUPPORT:
        return None
    height, width = before.shape
    points = np.mgrid[0:width:32, 0:height:32].reshape(2, -1).T
    shift = points @ motion[:, :2].T + motion[:, 2] - points
    return float(np.median(np.linalg.norm(shift, axis=1))) / width


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture in grey, WIDTH pixels wide."""
    height, width = picture.shape[:2]
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
