# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's health for /diagnostics (REP-107)."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header


def to_diagnostics(stamp, name, hardware, health, values):
    """Return a DiagnosticArray; health is (level, message), values are in order of display."""
    level, message = health
    return DiagnosticArray(header=Header(stamp=stamp), status=[DiagnosticStatus(
        level=level, name=f'{name}: planner', message=message, hardware_id=hardware,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])])


def judge(state, failure, ages, settings):
    """
    Return (level, message) of the planner.

    ERROR: configuring failed. WARN: it cannot plan now: not active, or an input (ages: name to
    seconds, None = never seen) is missing or too old.
    """
    if failure:
        return DiagnosticStatus.ERROR, failure
    if state != 'active':
        return DiagnosticStatus.WARN, f'{state}: goals are rejected'
    limits = {'image': settings.max_image_age, 'state': settings.max_state_age}
    for name, age in ages.items():
        if age is None:
            return DiagnosticStatus.WARN, f'no {name} has arrived'
        if abs(age) > limits[name]:
            return DiagnosticStatus.WARN, f'the newest {name} is {age:.1f} s old'
    return DiagnosticStatus.OK, 'ready'
