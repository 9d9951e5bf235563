# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from tools.benchmark.speed import Contest, SIZES
import torch


@pytest.mark.slow
def test_whole_plans_have_the_same_elites_as_metas_modules_driven_by_the_reference():
    size = replace(SIZES['sim'], plans=((40, 3, 2),))
    contest = Contest(size, torch.device('cpu'))

    try:
        rows = contest.plans()
    finally:
        contest.close()

    same = {row['who']: row['same_elites'] for row in rows}
    assert same['float32'] == same['peer'] == 3
