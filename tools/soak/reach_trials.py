# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One run of the controller with one fault: what was done, what came of it, what was wrong."""

from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict, dataclass, field
import random
import threading
import time

from tools.soak.reach_faults import FAULTS, MOVING, NATURAL, PHASES, Scene, SETTLING
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.control.reasons import Outcome

SEARCH = {'optimizer': 'cem', 'samples': 64, 'iterations': 2}
STEPS, TIME_ALLOWANCE = 5, 25.0
END_WITHIN = 40.0  # s, of a run
RELAY_GAP = 0.4  # s that the relay stands still, after which inputs are rightly called silent
LATE = ('DEAD_MAN_RELEASED', 'STALE_INPUT', 'PLANNER_ERROR', 'NOT_FOLLOWING', 'WORKSPACE')
REST = 0.4  # s for which the arm is watched after a run
LATEST = {'planning': 0.3, 'moving': 0.4, 'settling': 0.2}  # s after the phase has begun


@dataclass
class Trial:
    """What happened in one run; times in s."""

    number: int
    fault: str
    phase: str
    after: float  # from the beginning of the phase to the fault
    in_time: bool = False  # the run had not ended before
    moving: bool = False  # when it happened
    outcomes: list = field(default_factory=list)  # reasons of the run and those begun after it
    hold: float | None = None  # from the fault until the arm held
    travel: float | None = None  # m, from then on
    complaints: list = field(default_factory=list)

    to_json = asdict


class Run:
    """A goal that was sent, and the phases that it came to."""

    def __init__(self, lab):
        self.phase, self.changed = 0, threading.Condition()
        self.future = lab.client.reach_async(
            lab.relay.goal,
            on_feedback=self._on_feedback,
            max_steps=STEPS,
            time_allowance=TIME_ALLOWANCE,
            **SEARCH,
        )

    def wait_for(self, phase, step):
        """Wait until the phase has begun in a step from a number on, or the run has ended."""
        self._wanted = phase, step
        until = time.monotonic() + END_WITHIN
        while not (self._has_come() or self.future.done()) and time.monotonic() < until:
            with self.changed:
                self.changed.wait(0.02)

    def _has_come(self):
        phase, step = self._wanted
        return self.phase == phase and self._steps >= step - (phase not in (MOVING, SETTLING))

    _steps = 0

    def _on_feedback(self, feedback):
        with self.changed:
            self.phase, self._steps = feedback.phase, feedback.step.step
            self.changed.notify_all()

    def result(self):
        """Return the ReachResult, a PlanFailed, or None if it is lost."""
        try:
            return self.future.result(END_WITHIN)
        except PlanFailed as failure:
            return failure
        except FutureTimeoutError:
            return None


def make_trial(seed, number):
    """Return the Trial of a number, its Fault and the chance of what happens in it."""
    block, place = divmod(number, len(FAULTS))
    order = random.Random(f'{seed}/{block}').sample(FAULTS, len(FAULTS))  # each kind as often
    fault, chance = order[place], random.Random(f'{seed}/{block}/{place}')
    phase = chance.choice(fault.phases)
    name = PHASES[phase]
    return Trial(number, fault.name, name, chance.uniform(0.0, LATEST[name])), fault, phase, chance


def perform(lab, seed, number):
    """Do a trial and check it; return it. The Lab is in good order before and after."""
    trial, fault, phase, chance = make_trial(seed, number)
    observer = lab.observer
    before = len(observer.violations)
    lab.next_episode()
    lab.arm()
    lab.relay.gap = 0.0
    runs = [Run(lab)]

    def begin():
        runs.append(Run(lab))

    scene = Scene(lab, chance, begin, trial.complaints)
    runs[0].wait_for(phase, chance.choice((1, 1, 2)))
    time.sleep(trial.after)
    trial.in_time, trial.moving = not runs[0].future.done(), runs[0].phase == MOVING
    began = fault.inject(scene)
    results = [run.result() for run in runs]
    ended = time.time()
    observer.expect_rest(ended + lab.slack)
    time.sleep(lab.slack + REST)
    noticed = getattr(results[0], 'reason', None)
    if noticed is None or noticed.name not in NATURAL:
        _check_motion(trial, fault, scene, began)
    for index, result in enumerate(results):
        _check_result(trial, fault, lab, result, index, len(results))
    fault.repair(lab)
    trial.complaints += observer.violations[before:] + lab.tracebacks()
    lab.wait_until_ready()
    lab.client.arm(False)
    observer.move_again()
    return trial


def _check_motion(trial, fault, scene, began):
    observer, measured = scene.lab.observer, scene.held
    if trial.in_time and fault.hold is not None:
        hold = observer.last_motion(began) - began if measured is None else measured
        trial.hold = hold
        if trial.moving and hold > fault.hold + scene.lab.slack:
            trial.complaints.append(
                f'the arm held {hold:.2f} s after the fault: allowed: {fault.hold:g} s and '
                f'{scene.lab.slack:g} s for the machine'
            )
    if trial.in_time and fault.travel is not None and trial.phase != 'planning':
        trial.travel = observer.travelled(began)
        if trial.travel > fault.travel:
            trial.complaints.append(
                f'the arm moved {trial.travel:.3f} m after the fault: allowed: {fault.travel:g} m'
            )


def _check_result(trial, fault, lab, result, index, count):
    if result is None:
        trial.complaints.append(f'run {index + 1} never ended')
        return
    failed = isinstance(result, PlanFailed)
    name = type(result).__name__ if failed else result.reason.name
    trial.outcomes.append(name)
    if failed:
        if fault.reasons:
            trial.complaints.append(f'run {index + 1} has no result: {result}')
        return
    allowed = set(fault.reasons)
    if index:  # the cancel may overtake the goals after it
        allowed.add('CANCELLED')
    if count > 1 and index == count - 1:
        allowed = {'CANCELLED', *NATURAL}
    if not trial.in_time or (index == 0 and result.reason.name in NATURAL and _close(trial)):
        allowed |= set(NATURAL)
    if lab.relay.gap > RELAY_GAP:
        allowed |= set(LATE)
    if name not in allowed:
        words = f'run {index + 1} ended with {name}: allowed: {", ".join(sorted(allowed))}; '
        trial.complaints.append(words + result.message)
    if result.outcome != result.reason.outcome:
        trial.complaints.append(f'{name} with {result.outcome.name}')
    if not result.message and result.outcome != Outcome.REACHED:
        trial.complaints.append(f'{name} without a message')
    ends = lab.observer.ends(result.run_id)
    if len(ends) != 1:
        trial.complaints.append(f'run {index + 1} was seen in {len(ends)} terminal states: {ends}')


def _close(trial):
    """Return whether the run may have been over before the fault was noticed."""
    return trial.phase == 'planning' or not trial.moving
