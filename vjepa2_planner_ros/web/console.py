# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the pages and the REST interface share."""

from __future__ import annotations

from pathlib import Path

from .checks import Checks
from .frames import Preview
from .geometry import CameraGeometry
from .history import Deletions
from .link import Link
from .model_loads import ModelLoads
from .news import News
from .pictures import Pictures
from .runs import Runs
from .searches import LiveSearch
from .tasks import Tasks


class Console:
    """The link to the nodes, and what was begun from the console."""

    def __init__(self, link: Link, recordings: Path | None, browser_timeout: float):
        self.link = link
        self.news = News()
        self.pictures = Pictures()
        self.tasks = Tasks(link, self.pictures, self.news)
        self.models = ModelLoads(link, self.news)
        self.deletions = Deletions(link, self.news)
        self.live_search = LiveSearch(link)
        self.runs = Runs(link, self.pictures, self.news, browser_timeout)
        self.preview = Preview(link)
        self.geometry = CameraGeometry(link)
        self.checks = Checks(link, self.news, recordings)
