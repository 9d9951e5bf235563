# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a soak found: complaints, which decide about its exit code, and tables of figures."""

from collections import Counter

import numpy as np
from tools.soak.goals import CANCELLED, complaints_of, count, SUCCEEDED
from vjepa2_planner_ros.nodes.process import THREADS

REFUSED = 0.25  # least share of malformed frames, refused as they arrive; measured: 0.7
# MB of resident memory. The heap of one planner breathes by 27 MB within seconds: without a leak
# whole soaks grew by 3 to 34 MB. A leak of 20 kB a goal would be more.
MAX_GROWTH = 48.0


def complaints(goals, warm, end, counted, others=()):
    """
    Return every reason for which the planner did not pass.

    :param warm, end: Usage after the first goals and at the end.
    :param counted: goals by outcome, as the planner itself counts them (see goals.count).
    :param others: complaints about anything but goals.
    """
    found = [
        f'goal {goal.number} ({goal.kind}) {complaint}'
        for goal in goals
        for complaint in complaints_of(goal)
    ]
    if counted != count(goals):
        found.append(f'the planner counted {counted}, its client {count(goals)}')
    if not goals or goals[-1].outcome != SUCCEEDED:
        found.append('the last plan did not succeed')
    if end.threads - warm.threads > THREADS:  # those the executor starts when it needs them
        found.append(f'threads grew from {warm.threads} to {end.threads}: allowed: {THREADS} more')
    if end.memory - warm.memory > MAX_GROWTH:
        found.append(
            f'memory grew from {warm.memory:.1f} to {end.memory:.1f} MB: allowed: '
            f'{MAX_GROWTH:g} MB'
        )
    return [*found, *others]


def frames_complaint(published, refused):
    """Return what is wrong with how many malformed frames were refused, in a list."""
    # Damage behind the head of a compressed one is found only when a goal wants it.
    if refused >= REFUSED * published:
        return []
    return [
        f'{refused} of {published} malformed frames were refused: expected: {REFUSED:.0%} or more'
    ]


def latencies(goals):
    """Return {name: [s]} of what the goals of a soak tell, for times()."""
    plans = [
        goal for goal in goals if goal.kind in ('given', 'live') and goal.outcome == SUCCEEDED
    ]
    cancelled = [goal for goal in goals if goal.outcome == CANCELLED]
    return {
        'goal accepted': [goal.accepted - goal.sent for goal in goals if goal.accepted],
        'plan': [goal.ended - goal.sent for goal in plans],
        'cancel acknowledged': [goal.cancel_answered - goal.cancel_sent for goal in cancelled],
        'cancel effective': [goal.ended - goal.cancel_sent for goal in cancelled],
    }


def times(latencies):
    """Return {name: {count, p50, p99, max}} [s] of {name: [s]}; nothing for an empty list."""
    return {
        name: {
            'count': len(values),
            'p50': float(np.percentile(values, 50)),
            'p99': float(np.percentile(values, 99)),
            'max': max(values),
        }
        for name, values in latencies.items()
        if values
    }


def outcome_table(goals):
    """Return the table of outcomes."""
    counted = Counter(goal.outcome or 'lost or ended twice' for goal in goals)
    lines = [f'{"outcome":<26}{"goals":>7}']
    lines += [f'{name:<26}{number:>7}' for name, number in counted.most_common()]
    return '\n'.join([*lines, f'{"all":<26}{len(goals):>7}'])


def time_table(rows):
    """Return the table of times() in ms."""
    return '\n'.join(
        [
            f'{"time [ms]":<46}{"count":>7}{"p50":>9}{"p99":>9}{"max":>9}',
            *(
                f'{name:<46}{row["count"]:>7}'
                + ''.join(f'{row[key] * 1e3:>9.1f}' for key in ('p50', 'p99', 'max'))
                for name, row in rows.items()
            ),
        ]
    )


def usage_table(warm, end):
    """Return the table of what the planner took of the machine."""
    return '\n'.join(
        [
            f'{"planner process":<26}{"warm":>9}{"end":>9}{"growth":>9}',
            f'{"resident memory [MB]":<26}{warm.memory:>9.1f}{end.memory:>9.1f}'
            f'{end.memory - warm.memory:>+9.1f}',
            f'{"threads":<26}{warm.threads:>9}{end.threads:>9}{end.threads - warm.threads:>+9}',
        ]
    )
