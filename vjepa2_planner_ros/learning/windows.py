# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows of recorded trajectories: where a plan begins, and the later frame that is its goal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from .trajectory import Trajectory
from ..messages.input_settings import Crop
from ..world_model import poses

GROUP = 40  # frames: longer trajectories count as several where intervals are drawn
KEPT = 32  # latents of frames


@dataclass(frozen=True)
class Window:
    """A start and a goal frame of a trajectory; the goal may lie before the start."""

    trajectory: Trajectory
    number: int  # of the trajectory
    start: int
    goal: int

    @property
    def group(self) -> int:
        """Return the number of the stretch it belongs to, see measures.estimate."""
        return self.number * 1_000_000 + self.start // GROUP

    @property
    def state(self) -> NDArray[np.float64]:
        """Return the state [7] at the start."""
        return self.trajectory.states[self.start]

    @property
    def goal_state(self) -> NDArray[np.float64]:
        """Return the state [7] at the goal."""
        return self.trajectory.states[self.goal]

    @property
    def true_action(self) -> NDArray[np.float64]:
        """Return the action [7] from the start to the goal."""
        found: NDArray[np.float64] = poses.difference(
            torch.as_tensor(self.state).double(), torch.as_tensor(self.goal_state).double()
        ).numpy()
        return found


def draw_windows(
    trajectories: Sequence[Trajectory], offsets: Sequence[int], count: int, seed: int = 0
) -> list[Window]:
    """
    Return up to count windows in the order of the recording, so that videos are read in order.

    :param offsets: goal minus start [frames]; each window has one of them, drawn at random.
    """
    rng = np.random.default_rng(seed)
    starts = [
        (number, start)
        for number, trajectory in enumerate(trajectories)
        for start in range(len(trajectory))
        if any(0 <= start + offset < len(trajectory) for offset in offsets)
    ]
    chosen = rng.permutation(len(starts))[:count]
    found = []
    for index in sorted(chosen):
        number, start = starts[index]
        trajectory = trajectories[number]
        fitting = [offset for offset in offsets if 0 <= start + offset < len(trajectory)]
        goal = start + int(rng.choice(fitting))
        found.append(Window(trajectory, number, start, goal))
    return found


class Latents:
    """What a model makes of frames, cropped as parameter camera.NAME.crop; the last are kept."""

    def __init__(self, model: Any, crop: Crop = ''):
        self.model, self.crop = model, crop
        self.damaged: dict[str, None] = {}  # what is wrong with frames that were left out
        self._kept: OrderedDict[tuple[int, int], Tensor] = OrderedDict()

    def __call__(self, window: Window, frame: int) -> Tensor:
        """Return the latents [N, D] of a frame of a window's trajectory."""
        key = window.number, frame
        if key not in self._kept:
            picture = np.asarray(window.trajectory.frames[frame])
            self._kept[key] = self.model.encode(picture[None], self.crop)[0]
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def find(self, window: Window, frame: int) -> Tensor | None:
        """Return the same; None for a damaged frame, which is noted."""
        try:
            return self(window, frame)
        except ValueError as error:
            self.damaged.setdefault(str(error))
            return None

    def pair(self, window: Window) -> tuple[Tensor, Tensor] | None:
        """Return the latents of a window's start and goal; None if one of them is damaged."""
        start, goal = (self.find(window, frame) for frame in (window.start, window.goal))
        return None if start is None or goal is None else (start, goal)
