# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a camera stood still: how the background of two pictures differs."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH = 320  # pixels to which pictures are reduced
FEATURES = 600  # of a picture, that are looked for in the other
LEAST = 24  # that must agree on one motion
SUPPORT = 0.4  # share of those found in both that must agree
STILL = 1.0  # pixels; features are found no more exactly


def camera_motion(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float | None:
    """
    Return how far the background moved between two pictures, as a share of their width.

    ORB features of one are found in the other; the motion, a shift with a turn and a zoom, on
    which most of them agree is that of the camera: arm and objects are the smaller part of the
    picture. Half of the pixels moved further than what is returned. None = the pictures do not
    tell, because they have too few features or show different scenes.

    Features are matched and not followed by optical flow, which an arm that comes into its wide
    windows sends astray far around it.
    """
    if first.shape != second.shape:
        return None
    pictures = [_small(first), _small(second)]
    orb = cv2.ORB.create(FEATURES, edgeThreshold=15, patchSize=15, fastThreshold=5)
    (points, words), (others, other_words) = [
        orb.detectAndCompute(picture, None) for picture in pictures
    ]
    if min(len(points), len(others)) < LEAST:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words, other_words)
    start = np.array([points[item.queryIdx].pt for item in matches])
    end = np.array([others[item.trainIdx].pt for item in matches])
    if len(matches) < LEAST:
        return None
    motion, agree = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=2.0)
    if motion is None or agree.sum() < max(LEAST, SUPPORT * len(matches)):
        return None
    height, width = pictures[0].shape
    pixels = np.mgrid[0:width:32, 0:height:32].reshape(2, -1).T
    shift = pixels @ motion[:, :2].T + motion[:, 2] - pixels
    moved = float(np.median(np.linalg.norm(shift, axis=1)))
    return 0.0 if moved < STILL else moved / width


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture in grey, WIDTH pixels wide."""
    height, width = picture.shape[:2]
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
