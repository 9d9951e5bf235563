# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The candidates of a search, of the newest plan or of a recorded one, few enough to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vjepa2_interfaces.msg import SearchCandidates

from .link import Link
from .on_demand import deep
from ..history.recorded import Candidates, RecordedPlan, to_candidates

MOST = 1500  # candidates drawn of an iteration
MOST_ITERATIONS = 100


@dataclass(frozen=True)
class Points:
    """First actions of the candidates of one iteration, in the convention of commands."""

    actions: NDArray[np.float32]  # [N, 7]
    energies: NDArray[np.float32]  # [N], finite
    elite: NDArray[np.bool_]  # [N]


@dataclass(frozen=True)
class Search:
    """What is known of one search."""

    plan_id: str = ''
    points: Mapping[int, Points] = field(default_factory=dict)  # by iteration


def thinned(found: Candidates) -> Points:
    """Return the elites and some of the others, without those of no finite energy."""
    elite = np.zeros(len(found.energies), bool)
    elite[found.elites] = True
    chosen = np.flatnonzero(np.isfinite(found.energies))
    if len(chosen) > MOST:
        others = chosen[~elite[chosen]]
        count = max(MOST - int(elite[chosen].sum()), 0)
        drawn = np.random.default_rng(0).choice(others, min(count, len(others)), replace=False)
        chosen = np.concatenate([chosen[elite[chosen]][:MOST], drawn])
    return Points(
        found.actions[chosen, 0].astype(np.float32),
        found.energies[chosen].astype(np.float32),
        elite[chosen],
    )


def of_recording(plan: RecordedPlan) -> Search:
    """Return the search of a recorded plan."""
    points = {number: thinned(found) for number, found in plan.candidates.items()}
    return Search(bytes(plan.record.plan_id.uuid).hex(), points)


class LiveSearch:
    """The search of the newest plan, of any client, while look() is called."""

    def __init__(self, link: Link):
        self._lock = threading.Lock()
        self._search = Search()
        topic = 'planner/search/candidates'
        self._topic = link.on_demand(SearchCandidates, topic, self._keep, deep(100))

    def look(self) -> Search:
        """Return what has come so far; the planner publishes it only while somebody looks."""
        self._topic.look()
        with self._lock:
            return self._search

    def _keep(self, message: Any) -> None:
        plan_id = bytes(message.plan_id.uuid).hex()
        points = thinned(to_candidates(message))
        with self._lock:
            before = self._search.points if plan_id == self._search.plan_id else {}
            if len(before) < MOST_ITERATIONS:
                self._search = Search(plan_id, {**before, message.iteration: points})
