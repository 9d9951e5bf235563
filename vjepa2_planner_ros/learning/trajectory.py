# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every recording is read into: frames and the states that belong to them."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Frames(Sized, Protocol):
    """Pictures that may be decoded only when they are asked for, so that memory stays small."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return a picture [H, W, 3] RGB; ValueError that names the file if it is damaged."""


@dataclass(frozen=True)
class PinholeCamera:
    """
    Where a camera looks from, to draw motions into its pictures.

    :param intrinsics: fx, fy, cx, cy in pixels.
    :param pose: of its optical frame (x right, y down, z ahead) in the robot base frame: x y z
        [m], roll pitch yaw [rad, fixed axes].
    """

    intrinsics: tuple[float, float, float, float]
    pose: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Trajectory:
    """T frames without a gap, a model's frame period apart, and the states at them."""

    frames: Frames  # T of them
    states: NDArray[np.float64]  # [T, 7], see world_model.poses
    stamps: NDArray[np.float64]  # [T] s, rising
    source: str  # file, and topic or episode, for people
    camera: PinholeCamera | None = None  # None = not known
    first: int = 0  # number of the first frame in the source

    def __len__(self) -> int:
        return len(self.states)
