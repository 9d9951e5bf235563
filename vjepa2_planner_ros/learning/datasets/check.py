# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a lab gets wrong in its recordings: figures, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math

import numpy as np
from scipy.spatial.transform import Rotation

from . import Dataset
from .check_pictures import check_camera, check_pictures
from .findings import ERROR, Finding, NOTE, OK, some_names, WARNING
from .recording import Array, Recording
from ..trajectory import Trajectory
from ...messages.input_settings import FRAME_TOLERANCE
from ...messages.states import GRIPPER_TOLERANCE, LARGEST_POSITION
from ...planning.actions import AXES

__all__ = ['check', 'ERROR', 'Finding', 'lines', 'NOTE', 'OK', 'WARNING']

HORIZONS = (1, 2, 4)  # steps of the windows that are counted
FEW_WINDOWS = 200  # one-step windows; the paper's calibration takes as many
LITTLE, MUCH = 0.1, 1.5  # of a model's bound, at the 95th percentile
REACH = (0.1, 1.5)  # m from the base, in which a hand mostly is
LATE = 0.5  # s from a stamp to when it was recorded


def check(dataset: Dataset, bounds: Sequence[float]) -> list[Finding]:
    """
    Return what there is to say of a Dataset.

    :param bounds: largest change of a model per axis and step [7]; 0 = it does not move that axis.
    """
    recordings, trajectories = dataset.recordings, dataset.trajectories
    return [
        *_damage(dataset.problems),
        *_units(recordings),
        *_rates(recordings, dataset.period),
        *_gaps(recordings, trajectories, dataset.period),
        *_clocks(recordings),
        *_gripper(recordings),
        *check_pictures(recordings),
        *check_camera(recordings),
        *_coverage(trajectories, bounds),
        *_windows(trajectories),
    ]


def lines(findings: Iterable[Finding]) -> list[str]:
    """Return findings as lines of text, the advice below each."""
    found = []
    for item in findings:
        found.append(f'{item.severity:8}{item.subject:10} {item.text}')
        found += [f'{"":18} -> {item.advice}'] if item.advice else []
    return found


def _damage(problems: Sequence[str]) -> Iterable[Finding]:
    for problem in problems:
        yield Finding(WARNING, 'damage', problem, 'the rest is used')


def _units(recordings: Sequence[Recording]) -> Iterable[Finding]:
    poses = np.concatenate([item.poses for item in recordings])
    poses = poses[np.isfinite(poses).all(axis=1)]
    if not len(poses):
        yield Finding(
            ERROR,
            'units',
            'no pose of the end effector is recorded',
            'record the topic of pose_topic, or /tf and /tf_static for ee_frame',
        )
        return
    distance = float(np.median(np.linalg.norm(poses[:, :3], axis=1)))
    far = float(abs(poses[:, :3]).max())
    unit = next(
        (
            name
            for name, size in (('millimetres', 1e3), ('centimetres', 1e2))
            if far > LARGEST_POSITION and REACH[0] <= distance / size <= REACH[1]
        ),
        '',
    )
    if far > LARGEST_POSITION:
        yield Finding(
            ERROR,
            'units',
            f'positions go up to {far:.4g}: allowed: {LARGEST_POSITION:g} m'
            + (f'; they look like {unit}' if unit else ''),
            'write metres in the robot base frame',
        )
    angle = float(abs(poses[:, 3:]).max())
    if angle > 2.0 * math.pi:
        yield Finding(
            ERROR,
            'units',
            f'angles go up to {angle:.4g}: allowed: 2 pi rad; they look like degrees',
            'write roll, pitch and yaw in rad',
        )
    if far <= LARGEST_POSITION and angle <= 2.0 * math.pi:
        yield Finding(
            OK,
            'units',
            f'coordinates up to {far:.2f} m, {distance:.2f} m from the base in the middle; angles '
            f'up to {angle:.2f} rad',
        )


def _rates(recordings: Sequence[Recording], period: float) -> Iterable[Finding]:
    longest = math.inf if all(item.stepped for item in recordings) else _longest(period)
    for name, limit in (('frames', longest), ('poses', longest), ('gripper', math.inf)):
        steps = _joined(_steps(_stamps(item, name)) for item in recordings)
        if not len(steps):
            yield Finding(ERROR, 'rates', f'{name}: fewer than two are recorded', 'record them')
            continue
        step = float(np.median(steps))
        text = f'{name}: {1.0 / max(step, 1e-9):.3g} a second'
        if step > limit:
            yield Finding(
                ERROR,
                'rates',
                f'{text}: the model has a frame every {period:g} s',
                f'record {name} at {1.0 / period:g} Hz or more',
            )
        else:
            yield Finding(OK, 'rates', text)


def _longest(period: float) -> float:
    """Return the longest time [s] between frames of a model that has one every period [s]."""
    return (1.0 + FRAME_TOLERANCE) * period


def _gaps(
    recordings: Sequence[Recording], trajectories: Sequence[Trajectory], period: float
) -> Iterable[Finding]:
    if all(item.stepped for item in recordings):
        return
    longest = _longest(period)
    steps = _joined(_steps(item.frame_stamps) for item in recordings)
    gaps = steps[steps > longest]
    total = sum(float(np.ptp(item.frame_stamps)) for item in recordings if len(item.frame_stamps))
    used = sum(float(np.ptp(item.stamps)) for item in trajectories)
    text = (
        f'{used:.1f} of {total:.1f} s are usable, in {len(trajectories)} pieces without a gap; '
        f'{len(gaps)} gaps between frames'
        + (f', the longest {gaps.max():.2f} s' if len(gaps) else '')
    )
    if not used or used < 0.5 * total:
        yield Finding(
            WARNING,
            'gaps',
            text,
            'look for a slow disk or network while recording, and for poses or gripper positions '
            'that are missing beside frames',
        )
    else:
        yield Finding(NOTE if len(gaps) else OK, 'gaps', text)


def _clocks(recordings: Sequence[Recording]) -> Iterable[Finding]:
    clean = True
    for name in ('frames', 'poses', 'gripper'):
        back = [
            (item.source, int((np.diff(_stamps(item, name)) < 0).sum())) for item in recordings
        ]
        count = sum(number for _, number in back)
        if count:
            clean = False
            yield Finding(
                WARNING,
                'clocks',
                f'{name}: stamps go back {count} times, in {some_names(s for s, n in back if n)}',
                'do not set a clock while recording; use one clock for camera and arm',
            )
    for item in recordings:
        if len(item.frame_records):
            late = item.frame_records - item.frame_stamps
            middle, drift = float(np.median(late)), float(np.ptp(np.percentile(late, [5, 95])))
            if abs(middle) > LATE or drift > LATE:
                clean = False
                yield Finding(
                    WARNING,
                    'clocks',
                    f'{item.source}: frames are recorded {middle:.3f} s after their stamps, which '
                    f'varies by {drift:.3f} s',
                    'with a simulated clock this is as it should be; else synchronise the clocks '
                    'of camera and recorder (chrony, PTP)',
                )
        apart = _apart(item)
        if apart:
            clean = False
            yield Finding(
                ERROR,
                'clocks',
                f'{item.source}: frames and poses were not stamped in the same time: the first '
                f'frame is {apart:.3f} s after the first pose',
                'synchronise the clocks of camera and robot, or let both stamp with one clock',
            )
    if clean:
        yield Finding(OK, 'clocks', 'stamps rise, and those of frames and poses belong together')


def _apart(item: Recording) -> float:
    """Return how far frames and poses are apart [s] if they do not overlap in time, else 0."""
    frames, poses = item.frame_stamps, item.pose_stamps
    if not len(frames) or not len(poses):
        return 0.0
    overlap = min(frames.max(), poses.max()) - max(frames.min(), poses.min())
    return 0.0 if overlap >= 0.0 else float(frames.min() - poses.min())


def _gripper(recordings: Sequence[Recording]) -> Iterable[Finding]:
    values = _joined(item.closedness for item in recordings)
    values = values[np.isfinite(values)]
    if not len(values):
        yield Finding(
            ERROR, 'gripper', 'no gripper position is recorded', 'record the topic gripper.topic'
        )
        return
    low, high = float(values.min()), float(values.max())
    text = f'closedness {low:.2f} to {high:.2f} (0 open, 1 closed)'
    outside = (values < -GRIPPER_TOLERANCE) | (values > 1.0 + GRIPPER_TOLERANCE)
    starts = [float(item.closedness[0]) for item in recordings if len(item.closedness)]
    if outside.any():
        yield Finding(
            ERROR,
            'gripper',
            f'{text}: {100.0 * outside.mean():.0f} % are out of range; {_own_unit(recordings)}',
            'set gripper.open_position and gripper.closed_position (of a mapping gripper_open and '
            'gripper_closed) to what your gripper tells at its ends',
        )
    elif high - low < 0.2:
        yield Finding(
            NOTE, 'gripper', f'{text}: it hardly moves', 'nothing is said about grasping'
        )
    elif np.mean(np.array(starts) > 0.8) > 0.7 and len(starts) > 1:
        yield Finding(
            WARNING,
            'gripper',
            f'{text}: closed at the start of most recordings',
            'if it was open there, open and closed position are swapped',
        )
    else:
        yield Finding(OK, 'gripper', text)


def _own_unit(recordings: Sequence[Recording]) -> str:
    """Return between which positions a gripper was, as the first Recording tells them."""
    item = next(item for item in recordings if np.isfinite(item.closedness).any())
    opened, closed = item.gripper_ends
    told = opened + item.closedness * (closed - opened)
    return (
        f'recorded were {np.nanmin(told):.4g} to {np.nanmax(told):.4g}, where open is {opened:g} '
        f'and closed {closed:g}'
    )


def displacements(states: Array) -> Array:
    """Return the actions [T - 1, 7] between states [T, 7], see world_model.poses."""
    turns = Rotation.from_euler('xyz', states[:, 3:6])
    return np.concatenate(
        [
            np.diff(states[:, :3], axis=0),
            (turns[1:] * turns[:-1].inv()).as_euler('xyz'),
            np.diff(states[:, 6:], axis=0),
        ],
        axis=1,
    )


def _coverage(trajectories: Sequence[Trajectory], bounds: Sequence[float]) -> Iterable[Finding]:
    if not trajectories or not any(bounds):
        return
    steps = abs(np.concatenate([displacements(item.states) for item in trajectories]))
    for axis, bound, values in zip(AXES, bounds, steps.T):
        if not bound or axis == 'gripper':  # a gripper moves now and then; _gripper tells of it
            continue
        size, unit = (100.0, ' cm') if axis in 'xyz' else (math.degrees(1.0), ' degrees')
        half, most = np.percentile(values, [50, 95]) * size
        text = (
            f'{axis}: {half:.2f} and {most:.2f}{unit} a step (50 and 95 %), the model goes up to '
            f'{bound * size:.3g}{unit}'
        )
        if most < LITTLE * bound * size:
            yield Finding(
                NOTE, 'coverage', text, f'record motion along {axis}, or trust nothing said of it'
            )
        elif most > MUCH * bound * size:
            yield Finding(WARNING, 'coverage', text, 'move slower: a step is more than it knows')
        else:
            yield Finding(OK, 'coverage', text)


def _windows(trajectories: Sequence[Trajectory]) -> Iterable[Finding]:
    counts = {k: sum(max(0, len(item) - k) for item in trajectories) for k in HORIZONS}
    text = ', '.join(f'{count} of {k} step{"s"[: k > 1]}' for k, count in counts.items())
    if not counts[1]:
        yield Finding(ERROR, 'windows', text, 'nothing can be used; see the errors above')
    elif counts[1] < FEW_WINDOWS:
        yield Finding(
            WARNING, 'windows', text, f'record {FEW_WINDOWS} steps or more for figures to trust'
        )
    else:
        yield Finding(OK, 'windows', text)


def _stamps(item: Recording, stream: str) -> Array:
    stamps = {
        'frames': item.frame_stamps,
        'poses': item.pose_stamps,
        'gripper': item.gripper_stamps,
    }
    return stamps[stream]


def _steps(stamps: Array) -> Array:
    steps = np.diff(stamps)
    return steps[steps > 0]


def _joined(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.empty(0), *parts])
