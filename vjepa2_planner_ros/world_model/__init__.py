# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""World models: networks, preprocessing, checkpoints and the catalogue, in plain torch."""

from .cache import cached_path, default_cache, download_weights, find_weights
from .catalogue import model_spec, MODELS, ModelSpec
from .errors import (
    DownloadError,
    ModelLoadError,
    ModelMemoryError,
    ModelNotFoundError,
    WeightsNotFoundError,
    WorldModelError,
)
from .loading import build_networks, load_world_model, parameter_count, weights_bytes
from .model import VJepa2WorldModel, WorldModel

__all__ = [
    'build_networks',
    'cached_path',
    'default_cache',
    'download_weights',
    'DownloadError',
    'find_weights',
    'load_world_model',
    'model_spec',
    'ModelLoadError',
    'ModelMemoryError',
    'ModelNotFoundError',
    'MODELS',
    'ModelSpec',
    'parameter_count',
    'VJepa2WorldModel',
    'weights_bytes',
    'WeightsNotFoundError',
    'WorldModel',
    'WorldModelError',
]
