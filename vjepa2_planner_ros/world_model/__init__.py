# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""World models: networks, preprocessing, checkpoints and the catalogue, in plain torch."""

from .catalogue import model_spec, MODELS, ModelSpec
from .errors import ModelLoadError, ModelNotFoundError, WorldModelError
from .model import build_networks, load_world_model, VJepa2WorldModel, WorldModel

__all__ = [
    'build_networks', 'load_world_model', 'model_spec', 'ModelLoadError', 'ModelNotFoundError',
    'MODELS', 'ModelSpec', 'VJepa2WorldModel', 'WorldModel', 'WorldModelError',
]
