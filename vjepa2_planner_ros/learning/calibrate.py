# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
How far a camera is turned against the one that a model believes in, from recorded motions.

Source: V-JEPA 2 paper, arXiv 2506.09985, appendix B.4. A holds the inferred displacements, B the
true ones, one a row; W* = argmin |A W - B|, and its rotation is U V^T of its singular value
decomposition. The paper proposes to turn actions by it and leaves that untried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .study import Advance, infer
from .trajectory import Trajectory
from .windows import draw_windows, Latents
from ..planning.config import TrustRegionConfig
from ..world_model.calibration import Calibration

log = logging.getLogger(__name__)

Numbers = NDArray[np.float64]
FEWEST = 40  # windows with motion
LEAST_MOTION = 0.005  # m of a window that counts
LEAST_SPREAD = (
    0.3  # of motion along the axis that moved least, in units of the one that moved most
)
# Above these no rotation makes the view a good one: share of the motion that the turned actions
# leave unexplained, and condition number of W*.
LARGEST_RESIDUAL = 0.7
LARGEST_CONDITION = 3.0
SMALL_ANGLE = 5.0  # degrees; less is within what recordings tell
RESAMPLES = 500


class NotCalibrated(Exception):
    """The recording, or the view, does not allow a calibration; the text says why."""


@dataclass(frozen=True)
class Alignment:
    """What inferred displacements [n, 3] say beside the true ones."""

    axes: int  # 2: x and y; 3: z too
    rotation: Numbers  # [3, 3], inferred = rotation true
    angles: Numbers  # [3] degrees, fixed axes; with 2 axes yaw alone
    interval: tuple[float, float]  # degrees, 95 % of the yaw
    residual: float  # rms of what is left of the true motion once it is turned, as a share of it
    before: float  # the same without turning
    condition: float  # of W*
    error_before: float  # m, median length of inferred minus true
    error_after: float  # m, once turned
    count: int


def align(inferred: Numbers, true: Numbers, groups: Sequence[int], axes: int = 2) -> Alignment:
    """
    Return how inferred displacements [n, 3] m are turned against true ones.

    :param groups: [n] of each row; whole ones are drawn for the interval.
    :param axes: 2 = about the vertical alone, 3 = any rotation.
    """
    a, b = inferred[:, :axes], true[:, :axes]
    solution, turn = _turn(a, b)
    rotation = np.eye(3)
    rotation[:axes, :axes] = turn
    turned = inferred @ rotation  # rows: true = inferred R, so inferred = R true
    singular = np.linalg.svd(solution, compute_uv=False)
    return Alignment(
        axes=axes,
        rotation=rotation,
        angles=_angles(rotation),
        interval=_interval(a, b, np.asarray(groups)),
        residual=_rms(turned[:, :axes] - b) / _rms(b),
        before=_rms(a - b) / _rms(b),
        condition=float(singular[0] / max(singular[-1], 1e-12)),
        error_before=float(np.median(np.linalg.norm(inferred - true, axis=1))),
        error_after=float(np.median(np.linalg.norm(turned - true, axis=1))),
        count=len(a),
    )


def _turn(a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """Return W* and the rotation nearest to it, both for rows: b = a W."""
    solution = np.linalg.lstsq(a, b, rcond=None)[0]
    left, _, right = np.linalg.svd(solution)
    flip = np.ones(len(left))
    flip[-1] = np.sign(np.linalg.det(left @ right))
    turn: Numbers = (left * flip) @ right
    return np.asarray(solution, dtype=np.float64), turn


def _angles(rotation: Numbers) -> Numbers:
    from scipy.spatial.transform import Rotation

    found: Numbers = Rotation.from_matrix(rotation).as_euler('xyz', degrees=True)
    return found


def _interval(a: Numbers, b: Numbers, groups: NDArray[Any]) -> tuple[float, float]:
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    if len(members) < 2:  # it would be drawn always: its steps tell at least how they differ
        members = list(members[0][:, None])
    rng = np.random.default_rng(0)
    yaws = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        _, turn = _turn(a[rows], b[rows])
        yaws.append(np.arctan2(turn[1, 0], turn[0, 0]))
    middle = np.angle(np.mean(np.exp(1j * np.array(yaws))))
    around = np.rad2deg(np.angle(np.exp(1j * (np.array(yaws) - middle))))
    low, high = np.percentile(around, (2.5, 97.5)) + np.rad2deg(middle)
    return float(low), float(high)


def _rms(values: Numbers) -> float:
    return float(np.sqrt(np.mean(np.sum(np.square(values), axis=1))))


def infer_motions(
    model: Any, trajectories: Sequence[Trajectory], count: int, *, seed: int = 0, advance: Advance
) -> tuple[Numbers, Numbers, list[int]]:
    """
    Return inferred and true displacements [n, 3] m of single steps, and their groups.

    The inferred one is where the energy of one step is lowest within the model's bounds. Steps
    longer than these, or too short to have a direction, are left out; so are those with a damaged
    frame, which the log names.
    """
    bounds = np.array(model.action_bounds)
    windows = [
        window
        for window in draw_windows(trajectories, [1], 10 * count, seed)
        if np.linalg.norm(window.true_action[:3]) >= LEAST_MOTION
        and (np.abs(window.true_action[:3]) <= bounds[:3]).all()
    ]
    chosen = sorted(np.random.default_rng(seed).permutation(len(windows))[:count])
    config = TrustRegionConfig(seed=seed, min_axis_gain=0.0)
    latents = Latents(model)
    found = infer(latents, [windows[i] for i in chosen], 1, config, advance)
    for damage in latents.damaged:
        log.warning('left out: %s', damage)
    return found.planned[:, :3], found.true[:, :3], found.groups


def check_motion(true: Numbers, axes: int) -> None:
    """Raise NotCalibrated if a recording's displacements [n, 3] m cannot tell an angle."""
    if len(true) < FEWEST:
        raise NotCalibrated(
            f'{len(true)} steps with motion: allowed: {FEWEST} or more of {100 * LEAST_MOTION:g} '
            "cm up to the model's bounds; record a few minutes of slow, random motion"
        )
    spread = np.sqrt(np.mean(np.square(true[:, :axes]), axis=0))
    least = int(np.argmin(spread))
    if spread[least] < LEAST_SPREAD * spread.max():
        raise NotCalibrated(
            f'motion along {"xyz"[least]} is {100 * spread[least]:.2g} cm a step, along '
            f'{"xyz"[int(np.argmax(spread))]} {100 * spread.max():.2g} cm: allowed: '
            f'{LEAST_SPREAD:g} times as much or more; record motion along {"xyz"[least]} too'
        )


def check_view(found: Alignment) -> None:
    """Raise NotCalibrated if no rotation makes what the model sees a good view."""
    advice = _where_to(found.angles[2])
    if found.residual > LARGEST_RESIDUAL:
        raise NotCalibrated(
            f'turned by {found.angles[2]:+.0f} degrees, {found.residual:.0%} of the motion stays '
            f'unexplained: allowed: {LARGEST_RESIDUAL:.0%}; this view cannot be rescued: {advice}'
        )
    if found.condition > LARGEST_CONDITION:
        raise NotCalibrated(
            f'the condition number of W* is {found.condition:.1f}: allowed: '
            f'{LARGEST_CONDITION:g}; along one direction the model hardly sees motion: {advice}'
        )


def needs_turn(found: Alignment) -> bool:
    """Return whether a calibration is worth it: at most one of three signs speaks against it."""
    low, high = found.interval
    against = (
        max(abs(found.angles)) < SMALL_ANGLE,
        low <= 0.0 <= high,
        found.error_after >= found.error_before,
    )
    return sum(map(bool, against)) < 2


def _where_to(yaw: float) -> str:
    """Return what to do about a view that is turned by yaw [degrees] and cannot be rescued."""
    if abs(yaw) < SMALL_ANGLE:
        return (
            'round the workspace the camera stands about right; try another height or distance, '
            'let the arm fill more of the picture, and record again'
        )
    # A camera that went round by -yaw sees the world turned by yaw.
    side = 'against the clock' if yaw > 0.0 else 'clockwise'
    return (
        f'move the camera {side} round the workspace, seen from above, by about {abs(yaw):.0f} '
        'degrees, lower or higher as in the data of the model, and record again'
    )


def to_calibration(
    found: Alignment, trajectories: Sequence[Trajectory], model: str, camera: str, source: str
) -> Calibration:
    """Return the Calibration that turns what the planner knows into what the model sees."""
    positions = np.concatenate([trajectory.states[:, :3] for trajectory in trajectories])
    x, y, z = (float(number) for number in np.median(positions, axis=0))
    first, second, third = ((float(r[0]), float(r[1]), float(r[2])) for r in found.rotation)
    return Calibration((first, second, third), (x, y, z), model, camera, source)


def figures(found: Alignment) -> dict[str, Any]:
    """Return the figures of an Alignment as plain numbers, for the file."""
    low, high = found.interval
    return {
        'steps': found.count,
        'axes': found.axes,
        'roll_pitch_yaw_degrees': [round(float(angle), 2) for angle in found.angles],
        'yaw_interval_degrees': [round(low, 2), round(high, 2)],
        'residual': round(found.residual, 4),
        'residual_before': round(found.before, 4),
        'condition': round(found.condition, 3),
        'error_cm': round(100.0 * found.error_after, 3),
        'error_before_cm': round(100.0 * found.error_before, 3),
    }


def summary(found: Alignment) -> list[str]:
    """Return an Alignment as lines for people."""
    roll, pitch, yaw = found.angles
    low, high = found.interval
    turn = f'yaw {yaw:+.1f} degrees ({low:+.1f} to {high:+.1f})'
    if found.axes == 3:
        turn = f'roll {roll:+.1f}, pitch {pitch:+.1f}, {turn}'
    return [
        f'{found.count} steps: the model takes motions for ones turned by {turn}',
        f'motion left unexplained: {found.residual:.0%} once turned, {found.before:.0%} before; '
        f'condition number {found.condition:.2f}',
        f'median error of a step: {100.0 * found.error_after:.2f} cm once turned, '
        f'{100.0 * found.error_before:.2f} cm before',
    ]
