# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of optimizers: its problems, its figures and the references it keeps."""

import json

import numpy as np
import pytest
from vjepa2_planner_ros.learning.recipes import compare_optimizers
from vjepa2_planner_ros.planning.config import CemConfig


@pytest.fixture
def small_reference(monkeypatch):
    monkeypatch.setattr(
        compare_optimizers, 'REFERENCE', CemConfig(samples=100, iterations=5, seed=0)
    )


@pytest.mark.slow
def test_trust_region_is_as_good_as_a_cem_of_many_more(tmp_path, small_reference):
    """Four problems of the shipped model, in both precisions."""
    kept, table = tmp_path / 'references.json', tmp_path / 'table.json'
    arguments = [
        '--problems',
        '4',
        '--cases',
        'near',
        'bfloat16',
        '--methods',
        'trust_region 16 x 4',
        '--references',
        str(kept),
        '--json',
        str(table),
    ]
    compare_optimizers.main(arguments)
    rows = json.loads(table.read_text())
    assert [row['case'] for row in rows] == ['near', 'bfloat16']
    for row in rows:
        assert 4 * 16 + 3 + 4 <= row['candidates'] <= 4 * 16 + 3 + 5
        assert row['median'] < 0.02 and row['worst'] < 0.1
    known = json.loads(kept.read_text())
    assert len(known) == 4  # shared by both precisions
    assert all(0.0 < reference < nothing for reference, nothing in known.values())
    # A reference that is there is not computed again: half way to nothing, every plan is better.
    kept.write_text(json.dumps({key: [np.mean(pair), pair[1]] for key, pair in known.items()}))
    compare_optimizers.main(arguments)
    assert all(
        row['median'] == pytest.approx(-1.0, abs=0.1) for row in json.loads(table.read_text())
    )
