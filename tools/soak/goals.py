# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One goal of the soak from sending to its end, and what is wrong with how it went."""

from collections import Counter
from dataclasses import dataclass, field
import threading

from action_msgs.msg import GoalStatus
import numpy as np
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.messages.results import known_code
from vjepa2_planner_ros.planning.actions import LARGEST_BOUNDS

SUCCEEDED, CANCELLED, PREEMPTED, REJECTED = 'SUCCEEDED', 'CANCELLED', 'PREEMPTED', 'REJECTED'


@dataclass
class Goal:
    """What was sent, what may come of it, and what came; times are of time.monotonic() [s]."""

    number: int
    kind: str
    allowed: frozenset  # of outcomes: SUCCEEDED, CANCELLED or the name of an error code
    sent: float = 0.0
    accepted: float = None
    outcomes: list = field(default_factory=list)  # every end it came to: one, if all is well
    ended: float = None
    iterations: list = field(default_factory=list)  # when the client heard of each
    cancel_sent: float = None
    cancel_answered: float = None
    cancel_granted: bool = False  # the server has promised to cancel it
    flaws: list = field(default_factory=list)  # of its result
    result: object = None
    handle: object = None
    under_way: threading.Event = field(default_factory=threading.Event)  # accepted or rejected
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def outcome(self):
        """Return the outcome, if there is exactly one."""
        return self.outcomes[0] if len(self.outcomes) == 1 else None

    def end(self, outcome, result, now):
        """Note that the goal has come to an end."""
        self.outcomes.append(outcome)
        self.result, self.ended = result, now
        self.done.set()

    def to_json(self):
        """Return what the report says of it."""
        return {
            'number': self.number,
            'kind': self.kind,
            'allowed': sorted(self.allowed),
            'outcomes': self.outcomes,
            'cancel_granted': self.cancel_granted,
            'accepted_after': None if self.accepted is None else self.accepted - self.sent,
            'ended_after': None if self.ended is None else self.ended - self.sent,
            'complaints': complaints_of(self),
        }


def outcome_of(status, result):
    """Return the outcome that a status and a Result mean together."""
    code = known_code(result.error_code)
    if status == GoalStatus.STATUS_ABORTED and code != ErrorCode.NONE:
        return code.name
    if code == ErrorCode.NONE and status == GoalStatus.STATUS_SUCCEEDED:
        return SUCCEEDED
    if code == ErrorCode.NONE and status == GoalStatus.STATUS_CANCELED:
        return CANCELLED
    return f'status {status} with code {code.name}'


def flaws_of_plan(result, iterations):
    """Return what is wrong with a Result that claims to be a plan of so many iterations."""
    flaws, command = [], np.array(result.command)
    if command.shape != (7,) or not (np.abs(command) <= np.add(LARGEST_BOUNDS, 1e-6)).all():
        flaws.append(f'command = {command.tolist()}')
    if result.iterations != iterations or len(result.iteration_energies) != iterations:
        flaws.append(f'{result.iterations} iterations, not {iterations}')
    if not np.isfinite([result.energy, result.start_energy, *result.iteration_energies]).all():
        flaws.append('an energy is not finite')
    if not result.plan or not 0.0 <= result.confidence <= 1.0:
        flaws.append(f'{len(result.plan)} steps with a confidence of {result.confidence}')
    return flaws


def complaints_of(goal):
    """Return what is wrong with how one goal went."""
    if len(goal.outcomes) != 1:
        return [
            f'ended {len(goal.outcomes)} times ({", ".join(goal.outcomes)})'
            if goal.outcomes
            else 'is lost: it never ended'
        ]
    complaints = list(goal.flaws)
    if goal.outcome not in goal.allowed:
        complaints.append(f'{goal.outcome}: allowed: {", ".join(sorted(goal.allowed))}')
    if goal.cancel_sent is not None and goal.cancel_answered is None:
        complaints.append('nobody answered the cancel request')
    if goal.cancel_granted != (goal.outcome == CANCELLED):
        complaints.append(
            f'{goal.outcome} although the cancel request was '
            f'{"granted" if goal.cancel_granted else "not granted"}'
        )
    if goal.outcome not in (SUCCEEDED, REJECTED) and not goal.result.error_msg:
        complaints.append(f'{goal.outcome} without a message')
    return complaints


def count(goals):
    """Return how many goals had each outcome, as the planner's diagnostics name them."""
    counted = Counter(
        {SUCCEEDED: 'succeeded', CANCELLED: 'cancelled', PREEMPTED: 'preempted'}.get(
            outcome, 'aborted'
        )
        for goal in goals
        for outcome in goal.outcomes
        if outcome != REJECTED
    )
    return {name: counted[name] for name in ('succeeded', 'aborted', 'cancelled', 'preempted')}
