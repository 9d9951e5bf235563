# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recorded plan as Python has it."""

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from . import bag
from .store import TIME_FORMAT
from .topics import CANDIDATES, CEM, IMAGES, RECORD
from ..plan_result import AXES


@dataclass(frozen=True)
class Candidates:
    """The candidates of one iteration, in command convention."""

    actions: np.ndarray  # float64 [S, H, 7]
    energies: np.ndarray  # float64 [S]
    elites: np.ndarray  # int64 [K], best first


@dataclass(frozen=True)
class RecordedPlan:
    """What was recorded; messages have the fields of their .msg files."""

    folder: Path
    record: object  # PlanRecord, None if not even that was written
    iterations: tuple  # of CemIteration
    candidates: dict  # Candidates by iteration number
    images: dict  # uint8 [H, W, 3] by role
    complete: bool  # False: the planner was killed before the plan ended

    @property
    def settings(self):
        """Return the planner's parameters for this plan, {name: text}."""
        return {item.key: item.value for item in self.record.settings} if self.record else {}


def load(folder) -> RecordedPlan:
    """Return a recording, as far as it can be read."""
    record, iterations, candidates, images = None, [], {}, {}
    for item in bag.read(folder, (RECORD, CEM, CANDIDATES, *IMAGES)):
        role, message = item.topic.role, item.decode()
        if role == RECORD:
            record = message
        elif role == CEM:
            iterations.append(message)
        elif role == CANDIDATES:
            candidates[message.iteration] = to_candidates(message)
        else:
            images[role] = np.frombuffer(message.data, np.uint8).reshape(
                message.height, message.width, 3)
    return RecordedPlan(Path(folder), record, tuple(iterations), candidates, images,
                        record is not None and bool(record.outcome))


def load_record(folder):
    """Return the last PlanRecord of a recording, None if it has none."""
    record = None
    for item in bag.read(folder, (RECORD,)):
        record = item
    return None if record is None else record.decode()


def to_candidates(message) -> Candidates:
    """Return a CemCandidates message as arrays."""
    return Candidates(
        np.asarray(message.actions, float).reshape(message.samples, message.horizon, len(AXES)),
        np.asarray(message.energies, float), np.asarray(message.elites, int))


def short_id(folder) -> str:
    """Return the beginning of the plan's id, as in the planner's log."""
    return Path(folder).name.partition('_')[2][:8]


def began(folder) -> datetime:
    """Return when the plan was recorded, UTC."""
    text = Path(folder).name.partition('_')[0]
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)
