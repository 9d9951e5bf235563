# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The folder of recordings: a rosbag2 folder for each plan and for each run of the controller.

Their names are the time (UTC) and the id, with `run_` before the id of a run.
"""

from __future__ import annotations

from datetime import datetime, timezone
import os
from pathlib import Path
import re
import shutil

from . import bag

NAME = re.compile(r'\d{8}T\d{6}\.\d{6}Z_(run_)?[0-9a-f]{32}')
TIME_FORMAT = '%Y%m%dT%H%M%S.%fZ'
ROOM = 10  # plans that a disk should still have room for
MB = 1e6


class PlanNotFound(LookupError):  # noqa: N818
    """No recording, or more than one, is meant."""


class PlanStore:
    """
    Finds, deletes and bounds the recorded plans in a folder; touches nothing else in it.

    So a planner and a controller share a folder, each with limits of its own.
    """

    kinds: tuple[str, ...] = ('',)  # what may come before the id in a name

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self._sizes: dict[Path, int] = {}  # of closed recordings [bytes], by path
        self.stuck: dict[Path, str] = {}  # recordings that cannot be deleted or closed, and why

    def new(self, identity: bytes) -> Path:
        """Return the folder for a recording that begins now; it does not exist yet."""
        now = datetime.now(timezone.utc)
        return self.folder / f'{now:{TIME_FORMAT}}_{self.kinds[0]}{identity.hex()}'

    def recordings(self) -> list[Path]:
        """Return the folders of all recordings, oldest first."""
        if not self.folder.is_dir():
            return []
        names = sorted(filter(self._is_name, os.listdir(self.folder)))
        return [
            self.folder / name
            for name in names
            if os.path.isfile(f'{self.folder}/{name}/{bag.MCAP}')
        ]

    def find(self, plan: str) -> Path:
        """
        Return the folder of one recording.

        :param plan: its folder's name, its id in hexadecimal digits or the unique beginning of
            it, latest, or latest-run.
        :raise PlanNotFound: it is none of the recordings, or of several.
        """
        plans = self.recordings()
        if plan in ('latest', 'latest-run'):
            matches = [path for path in plans if plan == 'latest' or is_run(path)][-1:]
        else:
            matches = [
                path
                for path in plans
                if plan and (path.name == plan or id_of(path).startswith(plan.lower()))
            ]
        if len(matches) != 1:
            raise PlanNotFound(
                f"plan = '{plan}': {len(matches) or 'none'} of the {len(plans)} recordings in "
                f"'{self.folder}': allowed: a folder's name, an id or the unique beginning of it, "
                'latest, or latest-run'
            )
        return matches[0]

    def name_of(self, path: str | Path) -> str:
        """
        Return the name by which a recording of this folder is found.

        :raise PlanNotFound: the path leads elsewhere, or it was given another name.
        """
        path = Path(path).resolve()
        if path.parent != self.folder.resolve() or not self._is_name(path.name):
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
        plans = [path for path in self.recordings() if path not in self.stuck]
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
        for path in self.recordings():
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

    def _is_name(self, name: str) -> bool:
        found = NAME.fullmatch(name)
        return found is not None and (found[1] or '') in self.kinds


class RunStore(PlanStore):
    """The same for recorded runs of the controller."""

    kinds = ('run_',)


class History(PlanStore):
    """The same for both: to look at them, not to bound them."""

    kinds = ('', 'run_')


def is_run(path: Path) -> bool:
    """Return whether the name of a recording's folder is that of a run."""
    return '_run_' in path.name


def id_of(path: Path) -> str:
    """Return the id of a plan or run, in hexadecimal digits, from the name of its folder."""
    return path.name.rpartition('_')[2]


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
