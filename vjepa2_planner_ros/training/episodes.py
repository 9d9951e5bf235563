# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of the simulated arm on disk: one ``.npz`` each, written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Episodes:
    """E episodes of T frames: pictures as the encoder sees them and the states beside them."""

    frames: np.ndarray  # uint8 [E, T, size, size, 3] RGB
    states: np.ndarray  # float32 [E, T, 7]


def episode_path(folder: Path, seed: int) -> Path:
    """Return where the episode of a seed lies."""
    return folder / f'episode_{seed:07d}.npz'


def write_episode(path: Path, frames: np.ndarray, states: np.ndarray) -> None:
    """Write one episode, frames uint8 [T, size, size, 3] and states float32 [T, 7]."""
    partial = path.with_suffix('.partial')
    with open(partial, 'wb') as file:
        np.savez(file, frames=frames, states=states.astype(np.float32))
    partial.replace(path)


def read_episodes(folder: Path) -> Episodes:
    """Read every episode of a folder into memory, ordered by seed."""
    paths = sorted(folder.glob('episode_*.npz'))
    if not paths:
        raise FileNotFoundError(f'no episodes in {folder}; run training.collect first')
    frames = states = None
    for i, path in enumerate(paths):
        with np.load(path) as episode:
            if frames is None:
                frames = np.empty((len(paths), *episode['frames'].shape), np.uint8)
                states = np.empty((len(paths), *episode['states'].shape), np.float32)
            frames[i], states[i] = episode['frames'], episode['states']
    return Episodes(frames, states)
