# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The energies of a sub-goal: when it is reached, given up, or surprising."""

from types import SimpleNamespace

import pytest
from vjepa2_planner_ros.control.config import Ending
from vjepa2_planner_ros.control.progress import Progress
from vjepa2_planner_ros.control.reasons import Reason, RunEnd

ENDING = Ending(
    min_confidence=0.03, patience=3, reached_energy=1.0, min_drop=0.2, max_energy_rise=0.5
)


def run(energies, confidences=(), predicted=None, calibrated=False, surprise=None, near=0.0):
    """Return (rises, the reason that ended it or None) of plans made one after the other."""
    progress, rises = Progress(ENDING), []
    for number, energy in enumerate(energies):
        confidence = confidences[number] if number < len(confidences) else 0.5
        promised = 0.9 * energy if predicted is None else predicted[number]
        plan = SimpleNamespace(
            confidence=confidence,
            confidence_calibrated=calibrated,
            surprise=surprise,
            near_energy=near,
        )
        rise, reason = progress.update(energy, promised, plan)
        rises.append(rise)
        if reason is not None:
            return rises, reason
    return rises, None


def test_while_the_energy_falls_it_goes_on():
    assert run([1.0, 0.8, 0.6, 0.4, 0.2])[1] is None


def test_low_confidence_after_a_fall_is_reached():
    assert run([1.0, 0.5, 0.3], [0.5, 0.3, 0.01])[1] == Reason.SETTLED


def test_low_confidence_from_the_start_is_unsure():
    assert run([1.0], [0.01])[1] == Reason.UNSURE


def test_an_energy_that_never_falls_is_no_progress():
    assert run([1.0, 1.0, 1.0, 1.0])[1] == Reason.NO_PROGRESS


def test_a_rise_is_a_share_of_the_energy_at_the_start():
    rises, _ = run([1.0, 0.8, 0.5], predicted=[0.6, 0.5, 0.4])
    assert rises == pytest.approx([0.0, 0.2, 0.0])


def test_a_large_rise_ends_the_run():
    with pytest.raises(RunEnd, match='above the predicted one by 0.60') as raised:
        run([1.0, 1.1], predicted=[0.5, 0.5])
    assert raised.value.reason == Reason.SURPRISE


def test_a_picture_unlike_the_predicted_one_ends_the_run():
    assert run([1.0, 0.8], surprise=ENDING.max_surprise)[1] is None
    with pytest.raises(
        RunEnd, match='4.5 times as far .* allowed: ending.max_surprise = 4;'
    ) as raised:
        run([1.0, 0.8], surprise=4.5)
    assert raised.value.reason == Reason.SURPRISE


def test_a_probability_has_a_limit_of_its_own():
    assert run([1.0], [0.3])[1] is None
    assert run([1.0], [0.3], calibrated=True)[1] == Reason.UNSURE
    assert run([1.0, 0.3], [0.9, 0.3], calibrated=True)[1] == Reason.SETTLED


def test_at_an_energy_that_is_usual_near_a_goal_it_is_reached_whatever_it_began_with():
    assert run([0.07, 0.07, 0.07, 0.07])[1] == Reason.NO_PROGRESS  # nothing is known of the model
    assert run([0.07, 0.07, 0.07, 0.07], near=0.08)[1] == Reason.SETTLED  # it began at the goal
    assert run([0.09, 0.07], [0.9, 0.1], calibrated=True, near=0.08)[1] == Reason.SETTLED
    assert run([1.0, 0.3], [0.9, 0.1], calibrated=True, near=0.08)[1] == Reason.UNSURE
    assert run([1.0, 0.3, 0.3, 0.3, 0.3], near=0.08)[1] == Reason.NO_PROGRESS


def test_what_did_not_count_as_reached_is_said():
    def why(near):
        progress = Progress(ENDING)
        plan = SimpleNamespace(
            confidence=0.5, confidence_calibrated=True, surprise=None, near_energy=near
        )
        assert progress.update(1.0, 0.9, plan)[1] == Reason.UNSURE
        return progress.why(Reason.UNSURE, plan, 1.0)

    known, unknown = why(0.08), why(0.0)
    assert known.startswith('the energy is 1.0000: allowed: 0.0800 (ending.reached_energy = 1 ')
    assert unknown.startswith('the energy is 1.0000: allowed: 0.8000 (ending.min_drop = 20% ')
    assert 'confidence, 0.500, is below ending.min_probability = 0.6; the model' in known
    assert 'reached already' in unknown and 'reached already' not in known


def test_where_a_run_begins_near_its_goal_rises_are_measured_by_what_is_usual_there():
    assert run([0.02, 0.05], predicted=[0.01, 0.01], near=0.1)[1] is None
    with pytest.raises(RunEnd, match='above the predicted one by 0.60'):
        run([0.02, 0.07], predicted=[0.01, 0.01], near=0.1)


def test_near_the_goal_small_energies_surprise_nobody():
    assert run([1.0, 0.001, 0.004], predicted=[0.1, 0.0, 0.0])[1] is None
