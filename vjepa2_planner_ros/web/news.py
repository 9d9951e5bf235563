# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What failed and what ended, for the notifications of every page."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

Level: TypeAlias = Literal['positive', 'negative', 'warning', 'info']


class News:
    """The newest notifications."""

    def __init__(self) -> None:
        self._rows: deque[tuple[Level, str]] = deque(maxlen=50)
        self.count = 0  # of all so far

    def add(self, level: Level, text: str) -> None:
        """Tell every page."""
        self._rows.append((level, text))
        self.count += 1

    def after(self, seen: int) -> list[tuple[Level, str]]:
        """Return (level, text) of what came after the first so many, as far as kept."""
        new = self.count - seen
        return list(self._rows)[-new:] if new > 0 else []
