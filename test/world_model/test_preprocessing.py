# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Preprocessing agrees with a NumPy transcription of Meta's formulas."""

import numpy as np
import pytest
from vjepa2_planner_ros.world_model import preprocessing


def crop(picture, kind):
    """Transcribe the two crops: largest centred square; centred, aspect within 0.75..1.35."""
    height, width = picture.shape[:2]
    if kind == 'center_square':
        rows = columns = min(height, width)
    else:
        rows, columns = height, width
        if width / height > 1.35:
            columns = round(height * 1.35)
        if width / height < 0.75:
            rows = round(width / 0.75)
    top, left = (height - rows) // 2, (width - columns) // 2
    return picture[top : top + rows, left : left + columns]


def bilinear(picture, size):
    """Resize with half-pixel centres and clamped borders, in float64."""
    picture = picture.astype(np.float64)
    for axis in (0, 1):
        length = picture.shape[axis]
        at = np.maximum((np.arange(size) + 0.5) * length / size - 0.5, 0.0)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        picture = picture.take(low, axis) * (1 - share) + picture.take(high, axis) * share
    return picture


def random_picture(height, width):
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.case(5)
@pytest.mark.parametrize('kind', preprocessing.CROPS)
@pytest.mark.parametrize(
    'height, width',
    [(480, 640), (481, 642), (256, 256), (720, 1280), (640, 480), (400, 200), (97, 131)],
)
def test_equals_formulas(kind, height, width):
    picture = random_picture(height, width)
    expected = bilinear(crop(picture, kind), 256)
    found = preprocessing.preprocess(picture[None], 256, kind)[0].permute(1, 2, 0)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(found, (expected / 255.0 - mean) / std, atol=1e-4)
    seen = preprocessing.model_input(picture, 256, kind)
    assert seen.dtype == np.uint8
    assert np.abs(seen - expected).max() < 0.51


@pytest.mark.case(5)
@pytest.mark.parametrize(
    'height, width, box',
    [(480, 640, (0, 80, 480, 480)), (640, 480, (80, 0, 480, 480)), (5, 8, (0, 1, 5, 5))],
)
def test_center_square_golden(height, width, box):
    assert preprocessing.crop_box(height, width, 'center_square') == box


@pytest.mark.case(5)
@pytest.mark.parametrize(
    'height, width, box',
    [
        (720, 1280, (0, 154, 720, 972)),
        (480, 640, (0, 0, 480, 640)),
        (400, 200, (66, 0, 267, 200)),
        (256, 256, (0, 0, 256, 256)),
    ],
)
def test_droid_golden(height, width, box):
    assert preprocessing.crop_box(height, width, 'droid') == box


@pytest.mark.parametrize(
    'height, width, crop, box',
    [
        (480, 640, (0.25, 0.5, 0.5, 0.25), (240, 160, 120, 320)),
        (480, 640, (0.0, 0.0, 1.0, 1.0), (0, 0, 480, 640)),
        (97, 131, (0.7, 0.3, 0.3, 0.7), (29, 92, 68, 39)),  # to the corner, not beyond
        (1000, 2, (0.95, 0.25, 0.05, 0.5), (250, 1, 500, 1)),  # a pixel at least
    ],
)
def test_a_rectangle_is_that_share_of_the_picture(height, width, crop, box):
    assert preprocessing.crop_box(height, width, crop) == box
    picture = random_picture(height, width)
    top, left, rows, columns = box
    part = picture[top : top + rows, left : left + columns]
    seen = preprocessing.model_input(picture, 64, crop)
    assert np.abs(seen - bilinear(part, 64)).max() < 0.51


@pytest.mark.parametrize('crop', [(0.5, 0.0, 0.6, 1.0), (0.0, 0.0, 0.0, 1.0), (-0.1, 0, 1, 1)])
def test_a_rectangle_outside_the_picture_is_refused(crop):
    with pytest.raises(ValueError, match='of 32 x 24 pixels; allowed: left, top'):
        preprocessing.crop_box(24, 32, crop)


def test_input_is_left_alone():
    picture = random_picture(64, 64)
    before = picture.copy()
    preprocessing.preprocess(picture[None], 32, 'center_square')
    assert (picture == before).all()


@pytest.mark.parametrize(
    'frames',
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
    ],
)
def test_wrong_frames_are_named(frames):
    with pytest.raises(ValueError, match=r'allowed: uint8 \[T, H, W, 3\]'):
        preprocessing.preprocess(frames, 32, 'center_square')


def test_wrong_crop_is_named():
    with pytest.raises(ValueError, match="crop is 'middle'; allowed: center_square, droid"):
        preprocessing.crop_box(8, 8, 'middle')
