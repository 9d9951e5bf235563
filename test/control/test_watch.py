# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is watched while the arm moves, and when it is at rest."""

import numpy as np
import pytest
from vjepa2_planner_ros.control.config import Arrival, Limits
from vjepa2_planner_ros.control.reasons import Outcome, Reason, RunEnd
from vjepa2_planner_ros.control.watch import Push, Rest, Watch

LIMITS = Limits(workspace=(0.2, 0.8, -0.5, 0.5, 0.05, 0.8), max_lag=0.05, max_jump=0.04)
ARRIVAL = Arrival(rest_time=0.2, timeout=2.0, gripper_delay=1.0)
STATE = np.array([0.5, 0.0, 0.3, 3.0, 0.0, 0.0, 0.25])


def moved(x=0.0, gripper=0.0):
    """Return STATE, moved along x [m] and closed by some closedness."""
    return STATE + [x, 0.0, 0.0, 0.0, 0.0, 0.0, gripper]


def test_an_arm_that_follows_is_fine():
    watch = Watch(LIMITS)
    for x in np.linspace(0.0, 0.2, 50):
        watch.check(moved(x), moved(x + 0.03)[:6])


@pytest.mark.parametrize(
    ('before', 'now', 'target', 'reason', 'text'),
    [
        (0.0, 0.045, 0.045, Reason.WORKSPACE, 'jumped by 0.045 m and 0.00 rad: allowed'),
        (0.0, 0.0, 0.06, Reason.NOT_FOLLOWING, '0.060 m and 0.00 rad from its target: allowed'),
        (0.31, 0.33, 0.33, Reason.WORKSPACE, 'the measured x = 0.830 m: allowed: 0.2 to 0.8'),
    ],
)
def test_what_is_wrong_ends_the_run(before, now, target, reason, text):
    watch = Watch(LIMITS)
    watch.check(moved(before), moved(before)[:6])
    with pytest.raises(RunEnd, match=text) as raised:
        watch.check(moved(now), moved(target)[:6])
    assert raised.value.reason == reason


def test_an_orientation_that_jumps_or_stays_behind_ends_the_run():
    turned = STATE + [0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0]
    watch = Watch(LIMITS)
    watch.check(STATE, STATE[:6])
    with pytest.raises(RunEnd, match='0.90 rad: allowed') as raised:
        watch.check_place(turned)
    assert raised.value.reason == Reason.WORKSPACE
    with pytest.raises(RunEnd, match='and 0.90 rad from its target') as raised:
        Watch(LIMITS).check(turned, STATE[:6])
    assert raised.value.reason == Reason.NOT_FOLLOWING


def test_the_target_waits_for_a_slow_arm_but_not_for_ever():
    watch = Watch(LIMITS)
    assert not watch.waits(moved(), moved(0.024)[:6], 0.02)
    for _ in range(90):  # 1.8 s
        assert watch.waits(moved(), moved(0.026)[:6], 0.02)
    assert not watch.waits(moved(0.01), moved(0.026)[:6], 0.02)  # it has come nearer
    with pytest.raises(RunEnd, match='stayed 0.026 m behind its target for 2 s') as raised:
        for _ in range(110):
            watch.waits(moved(), moved(0.026)[:6], 0.02)
    assert raised.value.reason == Reason.NOT_FOLLOWING


def rest_after(states, target, start=STATE, period=0.02):
    """Return after what time [s] an arm whose states come one a period is at rest; None = not."""
    rest = Rest(ARRIVAL, start, target, 0.0)
    for number, state in enumerate(states):
        if rest.add(number * period, state):
            return number * period
    return None


def test_twists_that_do_not_move_the_pose_end_the_run():
    push, slowly = Push(), np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0])
    for _ in range(9):
        push.add(STATE, slowly, 0.1, LIMITS)
    push.add(moved(0.003), slowly, 0.1, LIMITS)  # it moves, after all
    for _ in range(8):
        push.add(moved(0.003), slowly, 0.1, LIMITS)
    with pytest.raises(RunEnd, match='twists of 0.05. m and 0.00 rad have not moved') as raised:
        push.add(moved(0.004), slowly, 0.2, LIMITS)
    assert raised.value.reason == Reason.NOT_FOLLOWING
    push.add(moved(0.004), slowly, 0.9, LIMITS)  # anew, after somebody has looked
    with pytest.raises(RunEnd, match='and 0.82 rad'):
        Push().add(STATE, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.82]), 1.0, LIMITS)


def test_it_is_at_rest_once_it_is_still_at_the_target():
    target = moved(0.1)
    states = [moved(min(0.1, 0.01 * number)) for number in range(100)]  # arrives after 0.2 s
    assert rest_after(states, target) == pytest.approx(0.4, abs=0.03)


def test_still_but_elsewhere_takes_the_time_limit():
    assert rest_after([moved(0.05)] * 200, moved(0.1)) == pytest.approx(2.0, abs=0.05)


def test_what_never_comes_to_rest_is_not_following():
    states = [moved(0.01 * (number % 2)) for number in range(400)]
    with pytest.raises(RunEnd, match='still move') as raised:
        rest_after(states, moved())
    assert raised.value.reason == Reason.NOT_FOLLOWING


def test_a_gripper_that_begins_late_is_waited_for():
    """It begins after 0.4 s and is there after 0.8 s."""
    states = [moved(gripper=np.clip(number * 0.02 - 0.4, 0.0, 0.4)) for number in range(100)]
    assert rest_after(states, moved(gripper=0.4)) == pytest.approx(1.0, abs=0.05)


def test_a_gripper_that_meets_something_is_at_rest():
    """It closes by half of what it was told: an object is between the fingers."""
    states = [moved(gripper=min(0.2, 0.01 * number)) for number in range(100)]
    assert rest_after(states, moved(gripper=0.4)) == pytest.approx(0.6, abs=0.05)


def test_each_reason_has_its_outcome():
    assert Reason.SETTLED.outcome == Outcome.REACHED
    assert Reason.STEP_LIMIT.outcome == Outcome.NOT_REACHED
    assert Reason.DEACTIVATED.outcome == Outcome.STOPPED
    assert Reason.INTERNAL_ERROR.outcome == Outcome.FAILED
    assert {reason for reason in Reason if reason.disarms} == {
        Reason.STOP_CALLED,
        Reason.STALE_INPUT,
        Reason.WORKSPACE,
        Reason.NOT_FOLLOWING,
        Reason.SURPRISE,
        Reason.OTHER_PUBLISHER,
        Reason.INTERNAL_ERROR,
    }
