# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recorded run of the controller as Python objects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import bag
from .recorded import load_record, require_definitions, run_of, unreadable
from .store import PlanStore
from .topics import FRAMES, RUN_RECORD, STEP, SUB_GOALS
from ..messages.images import picture
from ..messages.runs import ending, energy_change
from ..messages.times import seconds

# Reasons that end a run before its last step is done.
NOT_DONE = ('SETTLED', 'NO_PROGRESS', 'UNSURE', 'DRY_RUN', 'NOT_CONFIRMED')


@dataclass(frozen=True)
class RecordedRun:
    """What was recorded; messages have the fields of their .msg files."""

    folder: Path
    record: Any  # RunRecord
    steps: tuple[Any, ...]  # of ReachStep, as they were planned
    frames: tuple[np.ndarray | None, ...]  # uint8 [H, W, 3] of each step, as far as it is there
    last_frame: np.ndarray | None  # uint8 [H, W, 3] at the end of the run
    sub_goals: tuple[np.ndarray, ...]  # uint8 [H, W, 3]
    damage: tuple[str, ...]  # what is damaged is left out

    @property
    def settings(self) -> dict[str, str]:
        """Return the controller's parameters for this run, {name: text}."""
        return {item.key: item.value for item in self.record.settings}

    @property
    def short_id(self) -> str:
        """Return the beginning of the run's id, as in the controller's log."""
        return bytes(self.record.run_id.uuid).hex()[:8]

    @property
    def outcome(self) -> str:
        """Return how the run ended, and why, as far as it is known."""
        outcome, reason = ending(self.record)
        if not outcome:
            return 'damaged' if self.damage else 'not ended'
        return f'{outcome} ({reason})'

    @property
    def done(self) -> tuple[bool, ...]:
        """Return of each step whether it was begun: not one after which the number stays."""
        numbers = [step.step for step in self.steps]
        begun = [after > number for number, after in zip(numbers, numbers[1:])]
        return (*begun, ending(self.record)[1] not in NOT_DONE) if numbers else ()

    def __str__(self) -> str:
        """Return how it ended in one line."""
        text = self.outcome
        if self.record.outcome:
            steps = sum(self.done)
            text += f' after {steps} step{"" if steps == 1 else "s"}'
            text += f' and {seconds(self.record.run_time):.1f} s'
        energies = [step.energy for step in self.steps]
        return text + energy_change(energies, *ending(self.record), self.record.sub_goals_done)


def load_run(folder: Path, pictures: bool = True) -> RecordedRun:
    """
    Return a recording, as far as it can be read.

    :param pictures: False leaves out frames and sub-goals, which take time.
    :raise ValueError: not even its RunRecord can, or the definitions of messages have changed.
    """
    require_definitions(folder)
    record, steps, sub_goals, frame = None, [], [], None
    frames: list[np.ndarray | None] = []
    damage: list[str] = []
    roles = (RUN_RECORD, STEP, *(FRAMES + SUB_GOALS if pictures else ()))
    for item in bag.read(folder, roles, damage.append):
        role = item.topic.role
        try:
            message = item.decode()
            if role == RUN_RECORD:
                record = message
            elif role == STEP:
                steps.append(message)
                frames.append(frame)
                frame = None
            elif role in FRAMES:
                frame = picture(message)
            else:
                sub_goals.append(picture(message))
        except ValueError as error:
            damage.append(str(error))
    if record is None:
        raise unreadable(folder, damage)
    return RecordedRun(
        Path(folder), record, tuple(steps), tuple(frames), frame, tuple(sub_goals), tuple(damage)
    )


def plans_of(run: RecordedRun) -> list[Path]:
    """Return the recorded plans of a run, oldest first; some may be gone, or in another folder."""
    plans = PlanStore(run.folder.parent).recordings()
    return by_run(plans).get(bytes(run.record.run_id.uuid).hex(), [])


def by_run(plans: list[Path]) -> dict[str, list[Path]]:
    """Return recorded plans by the id of their run, '' = of none, each in the order given."""
    found: dict[str, list[Path]] = {}
    for path in plans:
        try:
            run = run_of(load_record(path)[0])
        except (OSError, ValueError):  # it cannot be read, or has just been deleted
            run = ''
        found.setdefault(run, []).append(path)
    return found


def is_run_folder(folder: Path) -> bool:
    """Return whether a recording is one of a run, whatever its folder's name."""
    return any(topic.role == RUN_RECORD for topic in bag.topics(folder))
