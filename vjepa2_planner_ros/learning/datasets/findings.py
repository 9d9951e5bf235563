# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a check tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK, NOTE, WARNING, ERROR = 'ok', 'note', 'warning', 'error'
NAMED = 5  # of many, that are listed


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    severity: str  # ok, note, warning or error: with an error the data cannot be used as it is
    subject: str
    text: str  # with figures
    advice: str = ''  # what to do next


def some_names(names: Iterable[str]) -> str:
    """Return a few of many names as text."""
    found = list(names)
    more = f' and {len(found) - NAMED} more' if len(found) > NAMED else ''
    return ', '.join(found[:NAMED]) + more
