# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of the simulated arm on disk: one ``.npz`` each, written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Episodes:
    """E episodes of T frames: pictures as the encoder sees them and the states beside them."""

    frames: np.ndarray  # uint8 [E, T, size, size, 3] RGB
    states: np.ndarray  # float32 [E, T, 7]
    tips: np.ndarray  # float32 [E, T, 2, 2] x, y of both finger tips in shares of the picture


def episode_path(folder: Path, seed: int) -> Path:
    """Return where the episode of a seed lies."""
    return folder / f'episode_{seed:07d}.npz'


def write_episode(path: Path, frames: np.ndarray, states: np.ndarray, tips: np.ndarray) -> None:
    """Write one episode of T frames; see Episodes for the shapes."""
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        np.savez(
            file, frames=frames, states=states.astype(np.float32), tips=tips.astype(np.float32)
        )
    partial.replace(path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all: a run that is killed can go on from it."""
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(text)
    partial.replace(path)


def read_episodes(folder: Path) -> Episodes:
    """Read every episode of a folder into memory, ordered by seed."""
    paths = sorted(folder.glob('episode_*.npz'))
    if not paths:
        raise FileNotFoundError(f'no episodes in {folder}; run learning.recipes.collect first')
    arrays = {}
    for i, path in enumerate(paths):
        with np.load(path) as episode:
            for field in fields(Episodes):
                array = episode[field.name]
                if i == 0:
                    arrays[field.name] = np.empty((len(paths), *array.shape), array.dtype)
                arrays[field.name][i] = array
    return Episodes(**arrays)
