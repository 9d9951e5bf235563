# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of the console: a module adds one by its name here."""

from . import check, history, landscape, models, plan, reach, recordings, system

PAGES = [
    *(plan.PAGE, reach.PAGE, landscape.PAGE, history.PAGE, models.PAGE),
    *(check.PAGE, recordings.PAGE, system.PAGE),
]
