# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stop rule of a closed loop, on courses of energies whose end is plain."""

from types import SimpleNamespace

from vjepa2_planner_ros.control.stop_rule import StopRule


def steps(rule, energies, confidences=None, calibrated=False):
    """Return how many steps are executed before the rule stops (all of them = never)."""
    for step, energy in enumerate(energies):
        confidence = 1.0 if confidences is None else confidences[step]
        plan = SimpleNamespace(confidence=confidence, confidence_calibrated=calibrated)
        if rule.update(energy, plan):
            return step
    return len(energies)


def test_goes_on_while_the_energy_falls():
    assert steps(StopRule(patience=1), [0.9**i for i in range(12)]) == 12


def test_stops_after_patience_steps_without_a_new_lowest():
    course = [1.0, 0.5, 0.3, 0.31, 0.32, 0.33, 0.34]
    assert steps(StopRule(patience=1), course) == 3
    assert steps(StopRule(patience=3), course) == 5


def test_a_new_lowest_begins_the_patience_anew():
    assert steps(StopRule(patience=2), [1.0, 1.1, 0.9, 1.0, 0.8, 0.9, 0.7]) == 7


def test_a_smaller_drop_than_min_drop_does_not_count():
    course = [1.0, 0.995, 0.99, 0.985]
    assert steps(StopRule(patience=2, min_drop=0.05), course) == 2
    assert steps(StopRule(patience=2, min_drop=0.001), course) == 4


def test_stops_at_a_plan_that_promises_next_to_nothing():
    confidences = [0.5, 0.3, 0.01, 0.5]
    falling = [1.0, 0.8, 0.6, 0.4]
    assert steps(StopRule(min_confidence=0.02), falling, confidences) == 2
    assert steps(StopRule(min_confidence=0.005), falling, confidences) == 4


def test_does_not_end_just_after_a_bad_step():
    course = [1.0, 0.5, 0.6, 0.9, 0.8, 0.55, 0.5]
    assert steps(StopRule(patience=2, near_lowest=1.2), course) == 5
    assert steps(StopRule(patience=2, near_lowest=2.0), course) == 3


def test_a_probability_is_judged_by_its_own_limit():
    falling, confidences = [0.9**i for i in range(4)], [0.9, 0.6, 0.4, 0.2]
    assert steps(StopRule(), falling, confidences) == 4
    assert steps(StopRule(min_probability=0.5), falling, confidences, calibrated=True) == 2
