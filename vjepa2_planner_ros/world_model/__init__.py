# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""World models: networks, preprocessing, checkpoints and the catalogue, in plain torch."""

from .cache import (
    default_cache,
    download_decoder,
    download_weights,
    find_decoder,
    find_weights,
    missing_files,
)
from .catalogue import model_spec, MODELS, ModelSpec, WeightsFile
from .checkpoints import layout_of, Source
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
    'default_cache',
    'download_decoder',
    'download_weights',
    'DownloadError',
    'find_decoder',
    'find_weights',
    'layout_of',
    'load_world_model',
    'missing_files',
    'model_spec',
    'ModelLoadError',
    'ModelMemoryError',
    'ModelNotFoundError',
    'MODELS',
    'ModelSpec',
    'parameter_count',
    'Source',
    'VJepa2WorldModel',
    'weights_bytes',
    'WeightsFile',
    'WeightsNotFoundError',
    'WorldModel',
    'WorldModelError',
]
