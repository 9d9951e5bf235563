# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Procedural grey textures of table and wall; the colour of the material tints them."""

import numpy as np

SIZE = 256


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> np.ndarray:
    """Return smooth periodic noise [SIZE, SIZE] in 0..1; cells (rows, columns) set its grain."""
    rows, columns = cells
    grid = rng.random((rows, columns))
    for axis, count in ((0, rows), (1, columns)):
        position = np.arange(SIZE) * count / SIZE
        low = position.astype(int)
        t = position - low
        t = t * t * (3 - 2 * t)
        shape = (-1, 1) if axis == 0 else (1, -1)
        a, b = (np.take(grid, (low + k) % count, axis=axis) for k in (0, 1))
        grid = a + (b - a) * t.reshape(shape)
    return grid


def _make() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:SIZE, :SIZE]
    grain = 0.5 * _noise(rng, (64, 2)) + 0.3 * _noise(rng, (128, 4)) + 0.2 * _noise(rng, (16, 2))
    planks = 0.08 * rng.random(4)[row * 4 // SIZE] - 0.25 * (row % (SIZE // 4) < 2)
    speckle = 0.4 * _noise(rng, (128, 128)) + 0.6 * _noise(rng, (16, 16))
    checks = 0.5 * ((row // 32 + column // 32) % 2) + 0.2 * _noise(rng, (64, 64))
    brick_column = (column + SIZE // 8 * (row // 32 % 2)) % (SIZE // 4)
    bricks = 0.3 * _noise(rng, (8, 8)) + 0.7 * ((row % 32 > 2) & (brick_column > 2))
    levels = {
        'plain': 0.97 + 0.03 * _noise(rng, (4, 4)),
        'wood': 0.72 + 0.28 * grain + planks,
        'speckle': 0.75 + 0.25 * speckle,
        'checks': 0.75 + 0.25 * checks,
        'bricks': 0.75 + 0.25 * bricks,
    }
    return {
        name: np.repeat((255 * np.clip(level, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)
        for name, level in levels.items()
    }


TEXTURES = _make()
