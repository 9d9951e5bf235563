# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a world model."""


class WorldModelError(RuntimeError):
    """A world model cannot be provided."""


class ModelNotFoundError(WorldModelError):
    """No model of that name."""


class ModelLoadError(WorldModelError):
    """The weights are damaged or belong to another model."""


class WeightsNotFoundError(ModelLoadError):
    """There are no weights for the model on this machine."""


class DownloadError(ModelLoadError):
    """The weights cannot be fetched."""


class ModelMemoryError(WorldModelError, MemoryError):
    """The device has no room for the model."""
