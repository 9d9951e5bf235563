# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What makes a loaded model faster on CUDA; the networks and the model do not know of it."""

from .blocks import accelerate_blocks
from .graphs import GraphedWorldModel
from ..model import VJepa2WorldModel


def accelerate(model: VJepa2WorldModel) -> VJepa2WorldModel:
    """
    Return a world model of the same networks that is faster on CUDA.

    Layers of these networks are exchanged for faster ones in place, so model itself shares them.
    The latents are the same within the rounding of the dtype.
    """
    for network in (model.encoder, model.predictor):
        if network is not None:
            accelerate_blocks(network)
    return GraphedWorldModel(model)
