# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A model whose camera stands elsewhere than in its training.

A picture does not tell where the robot's base is: what the model takes for a motion along x may be
one along y to the robot. A rotation between both, found by the command calibrate from recorded
motions (V-JEPA 2 paper, arXiv 2506.09985, appendix B.4, proposes it), turns states and actions
before the model sees them; everything outside stays in the robot base frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
import torch
from torch import Tensor
import yaml

from .model import WorldModel
from .poses import euler_to_matrix, matrix_to_euler

Matrix = tuple[tuple[float, float, float], ...]
TOLERANCE = 1e-3  # of a rotation that was written with few digits


@dataclass(frozen=True)
class Calibration:
    """
    How far the robot base frame is turned against the frame that a model believes in.

    :param rotation: [3, 3], from vectors in the robot base frame to those in the model's.
    :param pivot: x, y, z [m] in the robot base frame, which both frames share: the middle of the
        recorded positions, so that turned ones stay where the model knows them.
    :param model: name of the model it was made with; it is of no use to another.
    :param camera: name of the camera, '' = any.
    :param source: of what data it was made, or its file.
    """

    rotation: Matrix
    pivot: tuple[float, float, float]
    model: str
    camera: str = ''
    source: str = ''

    def __post_init__(self) -> None:
        matrix = np.asarray(self.rotation, dtype=np.float64)
        finite = matrix.shape == (3, 3) and bool(np.isfinite(matrix).all())
        turn = finite and np.allclose(matrix @ matrix.T, np.eye(3), atol=TOLERANCE)
        if not turn or np.linalg.det(matrix) < 0.0:
            raise ValueError(f'rotation = {matrix.tolist()}: allowed: a rotation matrix [3, 3]')
        if len(self.pivot) != 3 or not np.isfinite(self.pivot).all():
            raise ValueError(f'pivot = {list(self.pivot)}: allowed: x y z [m]')

    @property
    def angles(self) -> tuple[float, float, float]:
        """Return the fixed-axis angles [rad] of the rotation."""
        roll, pitch, yaw = matrix_to_euler(torch.tensor(self.rotation, dtype=torch.float64))
        return float(roll), float(pitch), float(yaw)

    def __str__(self) -> str:
        roll, pitch, yaw = np.rad2deg(self.angles)
        turn = f'yaw {yaw:+.1f}'
        if max(abs(roll), abs(pitch)) > 0.05:
            turn = f'roll {roll:+.1f}, pitch {pitch:+.1f}, {turn}'
        return f'{turn} degrees'

    def states(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return states [..., 7] in the model's frame; the closedness stays."""
        given = torch.as_tensor(np.asarray(states), dtype=torch.float64)
        turn, pivot = torch.tensor(self.rotation).double(), torch.tensor(self.pivot).double()
        turned = given.clone()
        turned[..., :3] = (given[..., :3] - pivot) @ turn.T + pivot
        turned[..., 3:6] = matrix_to_euler(turn @ euler_to_matrix(given[..., 3:6]))
        return turned.numpy()

    def actions(self, actions: Tensor) -> Tensor:
        """Return actions [..., 7] in the model's frame; the gripper's change stays."""
        turn = torch.tensor(self.rotation, dtype=actions.dtype, device=actions.device)
        turned = actions.clone()
        turned[..., :3] = actions[..., :3] @ turn.T
        if actions[..., 3:6].any():
            rotation = turn @ euler_to_matrix(actions[..., 3:6]) @ turn.T
            turned[..., 3:6] = matrix_to_euler(rotation)
        return turned


class CalibratedWorldModel:
    """A WorldModel that is asked in the robot base frame; see Calibration."""

    def __init__(self, model: Any, calibration: Calibration):
        self._model, self._calibration = model, calibration

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def rollout(self, context: Tensor, states: ArrayLike, actions: Tensor) -> Tensor:
        """Return the predicted latents [S, N, D]; see WorldModel."""
        turn = self._calibration
        actions = torch.as_tensor(actions, dtype=torch.float32)
        predicted: Tensor = self._model.rollout(
            context, turn.states(states), turn.actions(actions)
        )
        return predicted


def calibrated(model: Any, calibration: Calibration | None) -> WorldModel:
    """Return a model that is asked in the robot base frame."""
    found: WorldModel = model if calibration is None else CalibratedWorldModel(model, calibration)
    return found


def read_calibration(path: str | Path) -> Calibration:
    """Return the Calibration of a file; OSError, or ValueError that names file and field."""
    try:
        values = yaml.safe_load(Path(path).expanduser().read_text())
        known = Calibration.__dataclass_fields__
        if not isinstance(values, dict) or not {'rotation', 'pivot', 'model'} <= set(values):
            raise ValueError('it lacks rotation, pivot or model')
        chosen = {name: value for name, value in values.items() if name in known}
        return Calibration(
            **{
                **chosen,
                'rotation': tuple(map(tuple, chosen['rotation'])),
                'pivot': tuple(chosen['pivot']),
                'source': str(path),
            }
        )
    except (yaml.YAMLError, ValueError, TypeError, UnicodeDecodeError) as error:
        allowed = f'a file that `calibrate` wrote: {" ".join(str(error).split())}'
        raise ValueError(f'calibration = {str(path)!r}: allowed: {allowed}') from error


def write_calibration(path: str | Path, calibration: Calibration, **figures: Any) -> None:
    """Write a Calibration, and figures for people beside it, as YAML."""
    values = {
        'model': calibration.model,
        'camera': calibration.camera,
        'rotation': [[float(number) for number in row] for row in calibration.rotation],
        'pivot': [float(number) for number in calibration.pivot],
        'source': calibration.source,
        'figures': figures,
    }
    with open(path, 'w', encoding='utf-8') as file:
        file.write('# Written by calibrate; the planner reads it: parameter calibration.\n')
        yaml.safe_dump(values, file, sort_keys=False)
