# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the controller in the planner's own history: its plans, step by step."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
import re
from typing import Any

import numpy as np

from .bag_files import BagFile, Message
from .bags import BagPictures, stamp_of
from .recording import Recording
from ...messages.states import rpy_of_quaternion
from ...messages.times import nanoseconds

# A folder of a recorded plan; those of runs have run_ before the id.
PLAN = re.compile(r'\d{8}T\d{6}\.\d{6}Z_[0-9a-f]{32}')
FILE = 'plan_0.mcap'
RECORD, PICTURE = 'vjepa2_interfaces/msg/PlanRecord', '/current_image'


def plans_in(folder: Path) -> list[Path]:
    """Return the files of the plans in a folder of history, oldest first."""
    names = sorted(item.name for item in folder.iterdir() if PLAN.fullmatch(item.name))
    return [folder / name / FILE for name in names if (folder / name / FILE).is_file()]


def read_history(folder: Path) -> tuple[list[Recording], list[str]]:
    """
    Return the Recordings of the runs in a folder of history, and what is damaged in it.

    A run is what its plans saw: the picture and the state of each, a step apart. Plans that belong
    to no run are left out: nothing says that they follow each other.
    """
    runs: dict[bytes, list[_Plan]] = {}
    problems: list[str] = []
    alone = 0
    for path in plans_in(folder):
        try:
            plan = _Plan(path)
        except ValueError as error:
            problems.append(f'{error}: left out')
            continue
        if any(plan.run):
            runs.setdefault(plan.run, []).append(plan)
        else:
            alone += 1
    if alone:
        problems.append(f'{folder}: {alone} plans belong to no run of the controller: left out')
    found = (_recording(folder, run, plans) for run, plans in runs.items())
    return list(found), problems


class _Plan:
    """What a plan saw."""

    def __init__(self, path: Path):
        self.file = BagFile(path)
        kinds = self.file.topics()
        record = next((name for name, kind in kinds.items() if kind == RECORD), '')
        self.topic = next((name for name in kinds if name.endswith(PICTURE)), '')
        last = pictures = None
        for message in self.file.messages({record, self.topic}):
            if message.topic == record:
                last = message
            else:
                pictures = message
        definition = self.file.definition(record) if record else ''
        self.file.close()
        if last is None or pictures is None:
            raise ValueError(f'{path}: it has no PlanRecord with a picture')
        self.time, self.picture_stamp = pictures.time, stamp_of(pictures)
        content = _decode(last, definition)
        self.run = bytes(content.run_id.uuid) if hasattr(content, 'run_id') else b''
        self.stamp = nanoseconds(content.header.stamp)
        self.camera = content.camera
        if not content.states:
            raise ValueError(f'{path}: its PlanRecord has no state')
        pose, self.closedness = content.states[-1].pose, content.states[-1].gripper
        turn = pose.orientation
        rpy = rpy_of_quaternion(turn.x, turn.y, turn.z, turn.w)
        self.pose = [pose.position.x, pose.position.y, pose.position.z, *rpy]


def _recording(folder: Path, run: bytes, plans: list[_Plan]) -> Recording:
    stamps = np.array([plan.stamp for plan in plans]) * 1e-9
    numbers = [(number, plan.time, plan.picture_stamp) for number, plan in enumerate(plans)]
    return Recording(
        source=f'{folder}:run {run.hex()[:8]}',
        frames=BagPictures(
            [plan.file for plan in plans], plans[0].topic, np.array(numbers, np.int64)
        ),
        frame_stamps=stamps,
        pose_stamps=stamps,
        poses=np.array([plan.pose for plan in plans]),
        gripper_stamps=stamps,
        closedness=np.array([plan.closedness for plan in plans]),
        stepped=True,
    )


def _decode(message: Message, definition: str) -> Any:
    """Return a message as an object, with the fields that it had when it was recorded."""
    try:
        return _types(message.kind, definition).deserialize_cdr(message.data, message.kind)
    except Exception as error:  # it raises anything for damaged data
        raise ValueError(f'{message.topic}: no {message.kind}: {error}') from error


@lru_cache(maxsize=16)
def _types(kind: str, definition: str) -> Any:
    from rosbags.typesys import get_types_from_msg, get_typestore, Stores

    types = get_typestore(Stores.EMPTY)
    types.register(get_types_from_msg(definition, kind))
    return types
