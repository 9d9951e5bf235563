# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Libraries that only some recordings need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

PACKAGES = {
    'rosbags.rosbag2': ('rosbags', 'bags are read'),
    'pyarrow': ('pyarrow', 'parquet files are read'),
    'pyarrow.parquet': ('pyarrow', 'parquet files are read'),
    'av': ('av', 'videos are decoded'),
    'h5py': ('h5py', 'HDF5 files are read'),
}


def library(module: str) -> Any:
    """Return a module of PACKAGES; ValueError that says what to install, if it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        package, use = PACKAGES[module]
        raise ValueError(f'{error}: {use} by {package}: pip install {package}') from error
