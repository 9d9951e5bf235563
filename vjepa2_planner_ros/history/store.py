# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of recorded plans: one rosbag2 folder a plan, named by time (UTC) and plan id."""

from __future__ import annotations

from datetime import datetime, timezone
import os
from pathlib import Path
import re
import shutil

from . import bag

NAME = re.compile(r'\d{8}T\d{6}\.\d{6}Z_[0-9a-f]{32}')
TIME_FORMAT = '%Y%m%dT%H%M%S.%fZ'
ROOM = 10  # plans that a disk should still have room for
MB = 1e6


class PlanNotFound(LookupError):  # noqa: N818
    """No recorded plan, or more than one, is meant."""


class PlanStore:
    """Finds, deletes and bounds the recordings in a folder; touches nothing else in it."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self._sizes: dict[Path, int] = {}  # of closed recordings [bytes], by path
        self.stuck: dict[Path, str] = {}  # recordings that cannot be deleted or closed, and why

    def new(self, plan_id: bytes) -> Path:
        """Return the folder for a plan that begins now; it does not exist yet."""
        now = datetime.now(timezone.utc)
        return self.folder / f'{now:{TIME_FORMAT}}_{plan_id.hex()}'

    def plans(self) -> list[Path]:
        """Return the folders of all recordings, oldest first."""
        if not self.folder.is_dir():
            return []
        names = sorted(filter(NAME.fullmatch, os.listdir(self.folder)))
        return [
            self.folder / name
            for name in names
            if os.path.isfile(f'{self.folder}/{name}/{bag.MCAP}')
        ]

    def find(self, plan: str) -> Path:
        """
        Return the folder of one recording.

        :param plan: its folder's name, the plan's id in hexadecimal digits or the unique
            beginning of it, or latest.
        :raise PlanNotFound: it is none of the recordings, or of several.
        """
        plans = self.plans()
        if plan == 'latest':
            matches = plans[-1:]
        else:
            matches = [
                path
                for path in plans
                if plan
                and (path.name == plan or path.name.partition('_')[2].startswith(plan.lower()))
            ]
        if len(matches) != 1:
            raise PlanNotFound(
                f"plan = '{plan}': {len(matches) or 'none'} of the {len(plans)} recordings in "
                f"'{self.folder}': allowed: a folder's name, a plan's id or the unique beginning "
                'of it, or latest'
            )
        return matches[0]

    def name_of(self, path: str | Path) -> str:
        """
        Return the name by which a recording of this folder is found.

        :raise PlanNotFound: the path leads elsewhere, or the planner did not give it this name.
        """
        path = Path(path).resolve()
        if path.parent != self.folder.resolve() or not NAME.fullmatch(path.name):
            raise PlanNotFound(
                f"plan = '{path}': allowed: recordings in the folder of the history, "
                f"'{self.folder}', by the names that they were given there"
            )
        return path.name

    def delete(self, plan: str) -> Path:
        """
        Delete one recording for good; return where it was.

        :raise PlanNotFound: as find does.
        :raise bag.BagInUse: it is being written.
        """
        path = self.find(plan)
        if bag.is_in_use(path):
            raise bag.BagInUse(f"'{path.name}' is being written")
        shutil.rmtree(path)
        return path

    def prune(self, max_plans: int, max_bytes: int) -> list[Path]:
        """
        Delete the oldest recordings beyond a count and a size; return what is gone.

        One that cannot be deleted is added to stuck, and not counted from then on.
        """
        plans = [path for path in self.plans() if path not in self.stuck]
        # A closed recording stays as it is: with many of them a look at each would take long.
        sizes = {path: self._sizes.get(path) or size_of(path) for path in plans}
        self._sizes = {
            path: size
            for path, size in sizes.items()
            if path in self._sizes or bag.is_complete(path)
        }
        gone: list[Path] = []
        total = sum(sizes.values())
        for path in plans[:-1]:  # the newest stays, however big it is
            if len(plans) - len(gone) <= max_plans and total <= max_bytes:
                break
            try:
                if bag.is_in_use(path):
                    continue
                shutil.rmtree(path)
            except OSError as error:
                self.stuck[path] = f'{type(error).__name__}: {error}'
            total -= sizes[path]
            gone.append(path)
        return [path for path in gone if path not in self.stuck]

    def recover(self) -> list[Path]:
        """
        Close the recordings that a killed process left open; return them.

        One that cannot be closed is added to stuck.
        """
        recovered = []
        for path in self.plans():
            if not bag.is_complete(path):
                try:
                    if not bag.recover(path):
                        shutil.rmtree(path)
                    recovered.append(path)
                except bag.BagInUse:
                    continue
                except Exception as error:  # the others are still to be closed
                    self.stuck[path] = f'{type(error).__name__}: {error}'
        return recovered


def why_not_recorded(folder: str, max_bytes: float, plan_bytes: int) -> str:
    """
    Return why plans are not recorded in a folder, or soon will not be; '' if they are.

    :param folder: it may not exist yet; '' = nothing is to be recorded.
    :param max_bytes: beyond which its oldest plans make room for new ones.
    :param plan_bytes: that a plan takes.
    """
    if not folder:
        return ''
    path = os.path.abspath(os.path.expanduser(folder))
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not (os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)):
        return (
            f'history.folder = {folder!r}: allowed: a folder that can be written; '
            'plans are not recorded'
        )
    free = shutil.disk_usage(path).free
    if free >= min(ROOM * plan_bytes, max_bytes):
        return ''
    return (
        f'history.folder = {folder!r}: {free / MB:.1f} MB free on its disk, a plan takes '
        f'{plan_bytes / MB:.1f} MB: allowed: room for {ROOM} plans, or they get lost; delete '
        f'something, or lower history.max_size = {max_bytes / MB:.0f} MB'
    )


def size_of(path: Path) -> int:
    """Return the bytes of a recording, 0 if it is gone or cannot be read."""
    try:
        return sum(file.lstat().st_size for file in path.iterdir())
    except OSError:
        return 0
