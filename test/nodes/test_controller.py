# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller brings an arm to what a picture shows; planner, DDS and threads are real."""

from builtin_interfaces.msg import Duration
from controller_rig import largest_step, PERIOD, SPEED
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
import numpy as np
from planner_rig import eventually, Gate, GOAL, START
import pytest
from std_msgs.msg import Bool
from tools.toy_world_model import ToyWorldModel
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import SearchSettings, SubGoal
from vjepa2_planner_ros.control.reasons import Outcome, Reason
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.messages.goals import reach_goal, sub_goal

CONFIRMING, MOVING = ReachGoal.Feedback.CONFIRMING, ReachGoal.Feedback.MOVING


@pytest.fixture
def slow(lab):
    """Return the shared lab with an arm so slow that a test can act while it moves."""
    lab.set(limits__max_speed=0.02)
    return lab


def ended(future, outcome, reason):
    """Wait for a run and check its outcome and reason; return its ReachResult."""
    result = future.result(60.0) if hasattr(future, 'result') else future
    assert (result.outcome, result.reason) == (outcome, reason), str(result) + result.message
    assert result.message or outcome == Outcome.REACHED
    return result


def held(lab):
    """Check that the arm keeps still where it was, not at the goal."""
    eventually(lab.still)  # what was under way on a busy machine arrives first
    assert np.abs(lab.robot.state - GOAL)[:3].max() > 0.005


@pytest.mark.case(69, 75)
def test_the_arm_reaches_the_picture(lab):
    result = ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    assert np.abs(lab.robot.state - GOAL)[:3].max() < 0.006  # the toy sees centimetres
    assert abs(lab.robot.state[6] - GOAL[6]) < 0.02
    eventually(lambda: len(lab.steps) == len(result.energies) == result.steps + 1)
    assert result.energies[-1] < 0.2 * result.energies[0]
    # A hold is repeated, and nothing ever jumps.
    assert lab.targets
    assert largest_step(lab.targets) <= 1.01 * 2.0 * PERIOD * SPEED


@pytest.mark.case(67)
def test_nothing_moves_before_it_is_armed(lab):
    lab.client.arm(False)
    result = ended(lab.reach(), Outcome.STOPPED, Reason.DISARMED)
    assert '/controller/arm' in result.message
    assert not lab.targets
    assert np.array_equal(lab.robot.state, START)


@pytest.mark.case(68)
def test_a_dry_run_shows_its_step_and_moves_nothing(lab):
    lab.set(dry_run=True)
    result = ended(lab.reach(), Outcome.NOT_REACHED, Reason.DRY_RUN)
    assert (result.steps, len(result.energies)) == (0, 1)
    eventually(lambda: lab.steps)
    assert np.abs(np.array(lab.steps[0].command)).max() > 0.01
    assert not lab.targets


def test_a_dry_run_needs_no_arming(lab):
    lab.client.arm(False)
    ended(lab.reach(dry_run=True), Outcome.NOT_REACHED, Reason.DRY_RUN)


@pytest.mark.case(70)
def test_cancel_holds(slow):
    future = slow.reach_async()
    slow.moving()
    slow.client.cancel(10.0)
    result = ended(future, Outcome.STOPPED, Reason.CANCELLED)
    assert result.cancelled
    held(slow)


@pytest.mark.case(70)
def test_the_newest_goal_wins(slow):
    first = slow.reach_async()
    slow.moving()
    slow.set(limits__max_speed=SPEED)
    second = slow.reach_async(START)
    ended(first, Outcome.STOPPED, Reason.PREEMPTED)
    second.result(60.0)
    assert np.abs(slow.robot.state - START)[:3].max() < 0.01


@pytest.mark.case(70)
def test_disarming_holds(slow):
    future = slow.reach_async()
    slow.moving()
    slow.client.arm(False)
    ended(future, Outcome.STOPPED, Reason.DISARMED)
    held(slow)


def test_a_run_ends_even_if_it_is_armed_again_at_once(slow):
    future = slow.reach_async()
    slow.moving()
    slow.controller._disarm()
    slow.controller._armed = True  # before the run has looked
    ended(future, Outcome.STOPPED, Reason.DISARMED)
    held(slow)


@pytest.mark.case(70)
def test_stop_holds_and_disarms(slow):
    future = slow.reach_async()
    slow.moving()
    assert slow.client.stop() == (True, 'stopped and disarmed')
    ended(future, Outcome.STOPPED, Reason.STOP_CALLED)
    held(slow)
    ended(slow.reach(), Outcome.STOPPED, Reason.STOP_CALLED)
    ended(slow.arm().reach(max_steps=1), Outcome.NOT_REACHED, Reason.STEP_LIMIT)


@pytest.mark.case(71)
def test_a_silent_pose_holds(slow):
    slow.set(input_timeout=0.3)
    future = slow.reach_async()
    slow.moving()
    slow.robot.sending.discard('state')
    result = ended(future, Outcome.FAILED, Reason.STALE_INPUT)
    assert 'planner/pose' in result.message
    held(slow)
    assert slow.client.confirm() == (False, 'no step waits for a confirmation')
    ended(slow.reach(), Outcome.STOPPED, Reason.DISARMED)  # somebody has to look first


@pytest.mark.case(71)
def test_a_silent_camera_holds(slow):
    slow.set(input_timeout=0.3)
    future = slow.reach_async()
    slow.moving()
    slow.robot.sending.discard('image')
    result = ended(future, Outcome.FAILED, Reason.STALE_INPUT)
    assert 'planner/image' in result.message
    held(slow)


@pytest.mark.case(71)
def test_a_pose_that_jumps_holds(slow):
    future = slow.reach_async()
    slow.moving()
    slow.follows = False
    true = slow.robot.state.copy()
    slow.robot.state = true + [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    result = ended(future, Outcome.FAILED, Reason.WORKSPACE)
    assert 'jumped by 0.2' in result.message
    assert max(abs(target[1] - true[1]) for _, target in slow.targets) < 0.05


@pytest.mark.case(71)
def test_an_arm_that_does_not_follow_holds(slow):
    slow.set(limits__max_lag=0.01)
    slow.follows = False
    result = ended(slow.reach(), Outcome.FAILED, Reason.NOT_FOLLOWING)
    assert 'limits.max_lag = 0.01' in result.message
    assert max(np.linalg.norm((state - START)[:3]) for _, state in slow.targets) < 0.006
    assert np.abs(slow.targets[-1][1] - slow.robot.state)[:3].max() < 1e-6  # where it is


def test_a_frozen_pose_makes_no_target_jump(lab):
    frozen = lab.robot.state.copy()
    lab.set(limits__max_lag=0.04)
    lab.follows = False  # the arm does, but its pose does not tell
    ended(lab.reach(), Outcome.FAILED, Reason.NOT_FOLLOWING)
    eventually(lambda: np.abs(lab.targets[-1][1] - frozen)[:3].max() < 1e-6)
    assert max(np.linalg.norm((target - frozen)[:3]) for _, target in lab.targets) > 0.015
    assert largest_step(lab.targets) <= 1.01 * 2.0 * PERIOD * SPEED


def test_a_pose_that_jumps_before_the_first_step_moves_nothing(lab):
    jumped = START + [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    with Gate(lab.robot) as gate:
        future = lab.reach_async()
        gate.reached()
        lab.robot.state = jumped
        poses = lab.controller._streams.poses
        eventually(lambda: poses.newest.message.pose.position.y == jumped[1])
        gate.release()
    result = ended(future, Outcome.FAILED, Reason.WORKSPACE)
    assert 'jumped by 0.2' in result.message
    assert not lab.targets


@pytest.mark.case(71)
def test_a_frozen_camera_ends_the_run(lab):
    lab.robot.picture = ToyWorldModel.picture(START)
    result = ended(lab.reach(), Outcome.FAILED, Reason.STALE_INPUT)
    assert 'frozen' in result.message
    assert result.steps == 0


@pytest.mark.case(69)
def test_targets_stay_inside_the_workspace(lab):
    lab.set(limits__workspace=[0.2, 0.41, -0.5, 0.5, 0.05, 0.8])
    result = lab.reach(max_steps=3)
    assert max(target[0] for _, target in lab.targets) <= 0.41 + 1e-9
    assert result.limited_steps > 0
    assert 'workspace' in lab.steps[0].limits


def test_outside_the_workspace_nothing_moves(lab):
    lab.set(limits__workspace=[0.5, 0.8, -0.5, 0.5, 0.05, 0.8])
    result = ended(lab.reach(), Outcome.FAILED, Reason.WORKSPACE)
    assert 'x = 0.400 m: allowed: 0.5 to 0.8' in result.message
    assert not lab.targets


@pytest.mark.case(69)
def test_a_long_step_is_shortened(lab):
    lab.set(limits__max_step=0.01)
    ended(lab.reach(max_steps=2), Outcome.NOT_REACHED, Reason.STEP_LIMIT)
    assert lab.steps[0].limits == ['max_step']
    assert np.linalg.norm(lab.steps[0].limited_command[:3]) == pytest.approx(0.01)
    assert np.linalg.norm((lab.robot.state - START)[:3]) == pytest.approx(0.02, abs=0.001)


@pytest.mark.case(71)
def test_another_publisher_of_the_target_is_noticed(slow):
    future = slow.reach_async()
    slow.moving()
    name = slow.controller.output.topic
    other = slow.robot.node.create_publisher(PoseStamped, name, 10)
    result = ended(future, Outcome.FAILED, Reason.OTHER_PUBLISHER)
    assert 'robot' in result.message
    held(slow)
    armed, words = slow.client.arm()
    assert not armed
    assert 'is published by robot too' in words
    slow.robot.node.destroy_publisher(other)
    eventually(lambda: slow.client.arm()[0])


@pytest.mark.case(72)
def test_a_planner_that_fails_ends_the_run_with_its_code(lab):
    lab.robot.model.fault = lambda latents: latents * float('nan')
    result = ended(lab.reach(), Outcome.FAILED, Reason.PLANNER_ERROR)
    assert result.code == ErrorCode.NON_FINITE_ENERGY
    assert not lab.targets


@pytest.mark.case(72)
def test_a_planner_that_hangs_ends_the_run(lab):
    lab.set(plan_timeout=0.5)
    lab.robot.model.delay = 5.0
    result = ended(lab.reach(), Outcome.FAILED, Reason.PLANNER_ERROR)
    assert 'plan_timeout = 0.5' in result.message or result.code == ErrorCode.TIMEOUT
    assert not lab.targets


def test_time_ends_a_run(slow):
    result = ended(slow.reach(time_allowance=1.0), Outcome.NOT_REACHED, Reason.TIME_LIMIT)
    assert 'allowed: 1 s' in result.message
    held(slow)


def test_a_picture_far_from_the_predicted_one_is_a_surprise(lab):
    lab.set(limits__max_step=0.01)

    def step_done():
        return len(lab.steps) == 1 and lab.still(0.05)

    future = lab.reach_async()
    eventually(step_done)
    lab.robot.picture = ToyWorldModel.picture(START - 0.2)
    result = ended(future, Outcome.FAILED, Reason.SURPRISE)
    assert 'ending.max_energy_rise = 0.5' in result.message


def test_a_goal_that_is_reached_from_the_start_moves_nothing(lab):
    result = ended(lab.reach(START), Outcome.NOT_REACHED, Reason.UNSURE)
    assert 'reached already' in result.message
    assert not lab.targets


@pytest.mark.case(73)
def test_steps_wait_for_confirmation(lab):
    lab.set(confirm=True)
    seen = []
    future = lab.reach_async(on_feedback=lambda feedback: seen.append(feedback.phase))
    eventually(lambda: seen and seen[-1] == CONFIRMING)
    assert lab.still() and not lab.targets
    assert lab.client.confirm() == (True, 'confirmed')
    eventually(lambda: MOVING in seen)
    eventually(lambda: seen[-1] == CONFIRMING or future.done())
    if not future.done():
        assert lab.client.confirm(False) == (True, 'refused')
        ended(future, Outcome.STOPPED, Reason.NOT_CONFIRMED)


@pytest.mark.case(74)
def test_sub_goals_are_reached_in_order(lab):
    over = START + [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0]
    goals = [
        sub_goal(ToyWorldModel.picture(over)),
        sub_goal(ToyWorldModel.picture(GOAL), gripper=1.0),
    ]
    result = ended(lab.client.reach(goals, timeout=60.0), Outcome.REACHED, Reason.SETTLED)
    assert result.sub_goals_done == 2
    assert {step.sub_goal for step in lab.steps} == {1, 2}
    assert max(target[2] for _, target in lab.targets) > over[2] - 0.006
    assert np.abs(lab.robot.state - GOAL)[:3].max() < 0.006
    assert lab.robot.state[6] == pytest.approx(1.0, abs=0.02)


@pytest.mark.case(67, 70)
def test_deactivating_holds(make_lab):
    lab = make_lab(limits__max_speed=0.02).arm()
    future = lab.reach_async()
    lab.moving()
    lab.controller.trigger_deactivate()
    ended(future, Outcome.STOPPED, Reason.DEACTIVATED)
    held(lab)
    assert lab.client.arm() == (False, 'the controller is inactive, not active')
    lab.controller.trigger_activate()
    ended(lab.reach(), Outcome.STOPPED, Reason.DISARMED)  # every start is


@pytest.mark.case(70)
def test_a_dead_man_switch_that_is_released_holds(make_lab):
    lab = make_lab(limits__max_speed=0.02, dead_man__topic='dead_man').arm()
    assert 'is not held' in ended(lab.reach(), Outcome.STOPPED, Reason.DEAD_MAN_RELEASED).message
    hold = lab.robot.node.create_timer(0.05, lambda: lab.switch.publish(Bool(data=True)))
    eventually(lambda: not lab.controller._dead_man.problem())
    future = lab.reach_async()
    lab.moving()
    hold.cancel()
    lab.switch.publish(Bool(data=False))
    ended(future, Outcome.STOPPED, Reason.DEAD_MAN_RELEASED)
    held(lab)
    hold.reset()
    eventually(lambda: not lab.controller._dead_man.problem())
    future = lab.reach_async()
    lab.moving()
    hold.cancel()
    result = ended(future, Outcome.STOPPED, Reason.DEAD_MAN_RELEASED)
    assert 'has been silent' in result.message


def test_twists_lead_there_too(make_lab):
    lab = make_lab(output='twist').arm()
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    assert np.abs(lab.robot.state - GOAL)[:3].max() < 0.02
    assert max(np.linalg.norm(velocity) for _, velocity in lab.twists) <= SPEED + 1e-9
    assert not lab.twists[-1][1].any()


@pytest.mark.parametrize('output', ('pose', 'twist'))
@pytest.mark.slow
def test_targets_are_of_the_frame_that_the_arm_tells(make_lab, output):
    tool = {'tool_offset': [0.02, 0.0, 0.1, 0.1, 0.0, 0.8]}
    lab = make_lab(output=output, of_planner=tool, **tool).arm()
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    # The toy's picture shows that frame: a target of the tool would lead the arm 10 cm away.
    assert np.abs(lab.robot.state - GOAL)[:3].max() < (0.006 if output == 'pose' else 0.02)
    if output == 'pose':
        np.testing.assert_allclose(lab.targets[0][1][:6], START[:6], atol=0.01)
        assert largest_step(lab.targets) <= 1.01 * 2.0 * PERIOD * SPEED


def test_an_arm_that_holds_by_itself_is_left_alone(make_lab):
    lab = make_lab(repeat_hold=False).arm()
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    count = len(lab.targets)
    assert lab.still()
    assert len(lab.targets) == count


@pytest.mark.case(71)
def test_an_error_of_the_controller_holds(slow, monkeypatch):
    future = slow.reach_async()
    slow.moving()
    monkeypatch.setattr(slow.controller.output, '_check_alone', lambda: 1 / 0)
    result = ended(future, Outcome.FAILED, Reason.INTERNAL_ERROR)
    assert 'ZeroDivisionError' in result.message
    held(slow)


def test_diagnostics_say_what_it_does_and_how_the_last_run_ended(lab):
    statuses = []

    def keep(array):
        statuses.extend(item for item in array.status if item.name.endswith(': controller'))

    subscription = lab.robot.node.create_subscription(DiagnosticArray, '/diagnostics', keep, 10)
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    statuses.clear()
    eventually(lambda: statuses)
    values = {item.key: item.value for item in statuses[-1].values}
    assert (statuses[-1].level, statuses[-1].message) == (DiagnosticStatus.OK, 'armed')
    assert values['last run'].startswith('REACHED (SETTLED) after')
    assert int(values['runs REACHED']) >= 1
    lab.robot.sending.discard('image')
    lab.client.arm(False)
    eventually(lambda: statuses[-1].level == DiagnosticStatus.WARN)
    assert 'planner/image' in statuses[-1].message
    lab.robot.node.destroy_subscription(subscription)


def test_rviz_shows_workspace_path_and_target(lab):
    arrays = []
    subscription = lab.robot.node.create_subscription(
        MarkerArray, 'controller/markers', arrays.append, 10
    )
    result = ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    eventually(lambda: arrays and len(arrays[-1].markers[1].points) == result.steps + 2)
    box, path, target = arrays[-1].markers
    corners = np.array([[point.x, point.y, point.z] for point in box.points])
    assert len(corners) == 24
    assert np.allclose(corners.min(0), [0.2, -0.5, 0.05])
    assert np.allclose(corners.max(0), [0.8, 0.5, 0.8])
    first = path.points[0]
    assert np.allclose([first.x, first.y, first.z], START[:3], atol=1e-3)
    assert target.header.frame_id == 'panda_link0'
    lab.robot.node.destroy_subscription(subscription)


@pytest.mark.parametrize(
    ('change', 'code', 'text'),
    [
        ({'sub_goals': []}, ErrorCode.INVALID_GOAL_IMAGE, 'sub_goals = []: allowed: one or more'),
        ({'sub_goals': [SubGoal()]}, ErrorCode.INVALID_GOAL_IMAGE, 'sub_goals[0].image.data'),
        ({'camera': 'nose'}, ErrorCode.INVALID_SETTINGS, "camera = 'nose': allowed: main"),
        (
            {'time_allowance': Duration(sec=-1)},
            ErrorCode.INVALID_SETTINGS,
            'time_allowance = -1.0 s',
        ),
        (
            {'sub_goals': [sub_goal(ToyWorldModel.picture(GOAL), gripper=1.5)]},
            ErrorCode.INVALID_SETTINGS,
            'sub_goals[0].gripper = 1.5: allowed: 0 (open) to 1 (closed)',
        ),
        (
            {'search': SearchSettings(optimizer='guess')},
            ErrorCode.INVALID_SETTINGS,
            "optimizer = 'guess'",
        ),
    ],
)
def test_a_goal_that_cannot_be_used_is_answered(lab, change, code, text):
    goal = reach_goal(ToyWorldModel.picture(GOAL))
    for name, value in change.items():
        setattr(goal, name, value)
    result = lab.client.ask(goal, timeout=60.0)
    assert result.outcome == Outcome.FAILED
    assert result.code == code
    assert text in result.message
    assert not lab.targets


@pytest.mark.case(75)
def test_every_reason_is_a_constant_of_the_action():
    source = ReachGoal.Result
    for enum in (Reason, Outcome):
        for item in enum:
            assert getattr(source, item.name) == item.value
