# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recorded plan as Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from . import bag
from .schemas import require_fields
from .store import id_of, NAME, TIME_FORMAT
from .topics import CANDIDATES, IMAGES, RECORD, SEARCH
from ..planning.actions import AXES


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
    record: Any  # PlanRecord
    iterations: tuple[Any, ...]  # of SearchIteration
    candidates: dict[int, Candidates]  # by iteration number
    images: dict[str, np.ndarray]  # uint8 [H, W, 3] by role
    complete: bool  # False: the planner was killed before the plan ended
    damage: tuple[str, ...]  # what is damaged is left out

    @property
    def settings(self) -> dict[str, str]:
        """Return the planner's parameters for this plan, {name: text}."""
        return {item.key: item.value for item in self.record.settings}

    @property
    def short_id(self) -> str:
        """Return the beginning of the plan's id, as in the planner's log."""
        return bytes(self.record.plan_id.uuid).hex()[:8]


def load(folder: Path) -> RecordedPlan:
    """
    Return a recording, as far as it can be read.

    :raise ValueError: not even its PlanRecord can, or the definitions of messages have changed.
    """
    require_definitions(folder)
    record, iterations, candidates, images = None, [], {}, {}
    damage: list[str] = []
    for item in bag.read(folder, (RECORD, SEARCH, CANDIDATES, *IMAGES), damage.append):
        role = item.topic.role
        try:
            message = item.decode()
            if role == RECORD:
                record = message
            elif role == SEARCH:
                iterations.append(message)
            elif role == CANDIDATES:
                candidates[message.iteration] = to_candidates(message)
            else:
                images[role] = np.frombuffer(message.data, np.uint8).reshape(
                    message.height, message.width, 3
                )
        except ValueError as error:
            damage.append(str(error))
    if record is None:
        raise unreadable(folder, damage)
    return RecordedPlan(
        Path(folder),
        record,
        tuple(iterations),
        candidates,
        images,
        bool(record.outcome),
        tuple(damage),
    )


def load_record(folder: Path) -> tuple[Any, list[str]]:
    """Return the last PlanRecord of a recording, and texts about damage; raise as load does."""
    require_definitions(folder)
    damage: list[str] = []
    item = next(iter([*bag.read(folder, (RECORD,), damage.append)][-1:]), None)
    if item is None:
        raise unreadable(folder, damage)
    return item.decode(), damage


def to_candidates(message: Any) -> Candidates:
    """Return a SearchCandidates message as arrays."""
    return Candidates(
        np.asarray(message.actions, float).reshape(message.samples, message.horizon, len(AXES)),
        np.asarray(message.energies, float),
        np.asarray(message.elites, int),
    )


def outcome_of(record: Any, damage: Sequence[str]) -> str:
    """Return how a plan ended, as far as its PlanRecord and the damage of the recording say."""
    return record.outcome or ('damaged' if damage else 'not ended')


def run_of(record: Any) -> str:
    """Return the hexadecimal id of the run that a PlanRecord names, '' = none."""
    run_id = bytes(record.run_id.uuid) if record.run_id else b''
    return run_id.hex() if any(run_id) else ''


def short_id(folder: Path) -> str:
    """Return the beginning of a plan's or run's id, as in the log."""
    return id_of(Path(folder))[:8]


def began(folder: Path) -> datetime:
    """Return when the recording began, UTC: by the folder's name, or else its first message."""
    name = Path(folder).name
    if NAME.fullmatch(name):
        text = name.partition('_')[0]
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=timezone.utc)
    return datetime.fromtimestamp(next(bag.read(folder)).time * 1e-9, timezone.utc)


def unreadable(folder: Path, damage: Sequence[str]) -> ValueError:
    """Return the error of a recording that cannot be read at all."""
    return ValueError(': '.join([f"'{folder}' has nothing readable", *damage]))


def require_definitions(folder: Path) -> None:
    """Raise ValueError unless what was recorded is installed with the same fields, or fewer."""
    for topic in bag.topics(folder):
        require_fields(topic)
