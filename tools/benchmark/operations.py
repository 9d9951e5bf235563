# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How many operations encoding and predicting take, as this package does them.

Counted are the products and additions of matrix products and attention, each as one; norms,
rotations and activations come on top in time, but not here.
"""

from __future__ import annotations

from vjepa2_planner_ros.world_model import ModelSpec


def _block(size, tokens: int, keys: int) -> int:
    """Return the operations of a transformer block on tokens that attend to keys."""
    weights = 4 * size.dim**2 + 2 * size.dim * size.mlp_hidden
    return 2 * tokens * weights + 4 * tokens * keys * size.dim


def encode(spec: ModelSpec) -> int:
    """Return the operations of encoding one frame."""
    tokens, size = spec.grid[0] * spec.grid[1], spec.encoder
    embedding = 2 * tokens * size.dim * 3 * size.patch_size**2
    return embedding + size.depth * _block(size, tokens, tokens)


def rollout(spec: ModelSpec, samples: int, horizon: int, context: int) -> int:
    """Return the operations of a rollout, in which every frame is predicted from once."""
    patches, size = spec.grid[0] * spec.grid[1], spec.predictor
    tokens, ends = 2 + patches, 2 * patches * size.dim * spec.encoder.dim

    def step(frames: int) -> int:  # the last of so many frames through all blocks
        return size.depth * _block(size, tokens, frames * tokens)

    past = sum(step(t) + ends for t in range(1, context))
    # The current frame is embedded once for all candidates, later ones each.
    ahead = sum(step(context + h) + ends for h in range(horizon)) + (horizon - 1) * ends
    return past + ends + samples * ahead
