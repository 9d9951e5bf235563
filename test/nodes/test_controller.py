# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller brings an arm to what a picture shows; planner, DDS and threads are real."""

from concurrent.futures import ThreadPoolExecutor
import re
import subprocess
import sys
import time
from types import SimpleNamespace

from builtin_interfaces.msg import Duration
from controller_rig import largest_step, PERIOD, QUIET, SPEED
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from planner_rig import eventually, Gate, GOAL, START
import pytest
from std_msgs.msg import Bool
from std_srvs.srv import SetBool
from tools.toy_world_model import ToyWorldModel
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import SearchSettings, SubGoal
from vjepa2_planner_ros.control.reasons import Outcome, Reason
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.messages.goals import reach_goal, sub_goal
from vjepa2_planner_ros.nodes import reach_run

# A node of a namespace and a name that publishes poses on a topic, until SIGTERM.
TWIN = """
import sys
from geometry_msgs.msg import PoseStamped
import rclpy

namespace, name, topic = sys.argv[1:]
rclpy.init(args=[])
node = rclpy.create_node(name, namespace=namespace)
node.create_publisher(PoseStamped, topic, 10)
rclpy.spin(node)
"""
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
    assert result.message.startswith('not armed: allowed after ')
    assert '/controller/arm' in result.message and '`reach --arm`' in result.message
    assert not lab.targets
    assert np.array_equal(lab.robot.state, START)


def test_a_callback_can_stop_the_arm_but_not_wait_for_the_answer(slow):
    answers = []

    def stop(feedback):
        if feedback.phase == MOVING and not answers:
            began = time.monotonic()
            answers.append((*slow.client.stop(), time.monotonic() - began))

    ended(slow.reach_async(on_feedback=stop), Outcome.STOPPED, Reason.STOP_CALLED)
    ((answered, words, waited),) = answers
    assert not answered and 'cannot wait for its answer' in words and waited < 2.0


@pytest.mark.slow
def test_arming_waits_for_what_it_needs_and_then_says_what_is_missing(make_lab):
    lab = make_lab(sending=['state'], image_timeout=3.0)
    assert lab.client.wait_until_ready(60.0)
    began = time.monotonic()
    armed, words = lab.client.arm()
    assert not armed and time.monotonic() - began >= 3.0
    assert 'within image_timeout = 3 s' in words
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lab.client.arm)
        time.sleep(0.5)
        assert not asked.done()
        lab.robot.sending.add('image')
        assert asked.result() == (True, 'armed')


@pytest.mark.slow
@pytest.mark.case(67, 70)
@pytest.mark.parametrize(
    ('end', 'why'),
    [
        (lambda client: client.stop(), '~/stop was called'),
        (lambda client: client.arm(False), '~/arm was called with false'),
        (lambda client: client.arm(), '~/arm was called again'),
    ],
)
def test_the_newest_order_ends_the_wait_of_an_arming(make_lab, end, why):
    lab = make_lab(sending=['state'], image_timeout=5.0)
    assert lab.client.wait_until_ready(60.0)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lab.client.arm)
        time.sleep(0.5)
        later, began = pool.submit(end, lab.client), time.monotonic()
        assert asked.result() == (False, f'{why} while arming waited for its inputs')
        assert time.monotonic() - began < 2.0
        later.result()
    lab.robot.sending.add('image')
    time.sleep(0.3)
    assert not lab.controller.armed


@pytest.mark.slow
@pytest.mark.case(70)
def test_many_armings_that_wait_delay_no_stop(make_lab):
    lab = make_lab(sending=['state'], image_timeout=20.0)
    assert lab.client.wait_until_ready(60.0)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(lab.client.arm) for _ in range(20)]
        time.sleep(1.0)
        began = time.monotonic()
        assert lab.client.stop()[0]
        assert time.monotonic() - began < 2.0
        assert not any(item.result()[0] for item in asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('output', 'name', 'kind'),
    [('pose', 'target_pose', PoseStamped), ('twist', 'twist', TwistStamped)],
)
def test_it_is_not_armed_where_nobody_takes_its_targets(make_lab, output, name, kind):
    lab = make_lab(output=output, image_timeout=0.5).ready()
    node, topic = lab.robot.node, lab.controller.output.topic
    for subscription in list(node.subscriptions):
        if subscription.topic_name == topic:
            node.destroy_subscription(subscription)
    eventually(lambda: not lab.controller.count_subscribers(topic))
    armed, words = lab.client.arm()
    assert not armed
    assert words.startswith(f"nobody subscribes to '{topic}': remap ~/{name} or set output_topic ")
    lab.set(dry_run=True)
    assert lab.client.arm()[0]  # it publishes none
    lab.client.arm(False)
    lab.set(dry_run=False, image_timeout=20.0)
    node.create_subscription(kind, topic, lambda target: None, 10)
    assert lab.client.arm() == (True, 'armed')


def test_the_log_says_what_arming_allows_and_why_it_is_disarmed(lab):
    assert lab.logged('Armed: goals move the arm from now on')
    lab.client.stop()
    assert lab.logged('Disarmed: ~/stop was called')
    lab.set(dry_run=True)
    lab.arm()
    assert lab.logged('Armed: but dry_run = true: goals move nothing until that is false')
    lab.client.arm(False)
    assert lab.logged('Disarmed: ~/arm was called with false')


@pytest.mark.case(68)
def test_a_dry_run_shows_its_step_and_moves_nothing(lab):
    lab.set(dry_run=True)
    result = ended(lab.reach(), Outcome.NOT_REACHED, Reason.DRY_RUN)
    assert (result.steps, len(result.energies)) == (0, 1)
    assert 'set the parameter dry_run to false' in result.message
    eventually(lambda: lab.steps)
    assert np.abs(np.array(lab.steps[0].command)).max() > 0.01
    assert not lab.targets


def test_a_dry_run_needs_no_arming(lab):
    lab.client.arm(False)
    result = ended(lab.reach(dry_run=True), Outcome.NOT_REACHED, Reason.DRY_RUN)
    assert 'to move the arm, ask for none' in result.message


@pytest.mark.case(68)
def test_a_dry_run_never_moves_the_gripper(lab):
    lab.client.arm(False)
    # The first one is given up, as it is reached already.
    goals = [
        sub_goal(ToyWorldModel.picture(START), gripper=1.0),
        sub_goal(ToyWorldModel.picture(GOAL)),
    ]
    result = lab.client.reach(goals, timeout=60.0, dry_run=True)
    ended(result, Outcome.NOT_REACHED, Reason.DRY_RUN)
    assert result.sub_goals_done == 1
    assert lab.still()
    assert lab.robot.state[6] == START[6]


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


def test_a_goal_that_never_began_takes_nothing_from_the_one_that_ran(slow, monkeypatch):
    first = slow.reach_async()
    slow.moving()
    monkeypatch.setattr(reach_run, 'POLL', 0.5)  # the newer goals come before the run looks
    later = [slow.reach_async() for _ in range(2)]
    result = ended(first, Outcome.STOPPED, Reason.PREEMPTED)
    assert result.run_time > 0.0 and len(result.energies) == 1
    ended(later[0], Outcome.STOPPED, Reason.PREEMPTED)
    slow.client.cancel(10.0)


@pytest.mark.case(70)
def test_disarming_holds(slow):
    future = slow.reach_async()
    slow.moving()
    slow.client.arm(False)
    result = ended(future, Outcome.STOPPED, Reason.DISARMED)
    assert 'was disarmed while the run went on' in result.message
    held(slow)


def test_a_run_ends_even_if_it_is_armed_again_at_once(slow):
    future = slow.reach_async()
    slow.moving()
    slow.controller._disarm('by this test')
    slow.controller._arming.armed = True  # before the run has looked
    ended(future, Outcome.STOPPED, Reason.DISARMED)
    held(slow)


@pytest.mark.case(70)
def test_a_run_that_plans_ends_too(lab, monkeypatch):
    monkeypatch.setattr(reach_run, 'POLL', 2.0)
    with Gate(lab.robot) as gate:
        future = lab.reach_async()
        gate.reached()
        assert lab.client.stop()[0]
        assert lab.client.arm()[0]
        gate.release()
        result = future.result(60.0)
    assert result.reason in (Reason.DISARMED, Reason.STOP_CALLED), str(result)
    assert not lab.targets


def test_no_gripper_moves_after_a_stop(lab, monkeypatch):
    report = lab.controller.report.step

    def stop(steps, limits):  # between the plan and its execution
        report(steps, limits)
        assert steps[-1].limited_command[6]
        assert lab.client.stop()[0]

    monkeypatch.setattr(lab.controller.report, 'step', stop)
    ended(lab.reach(), Outcome.STOPPED, Reason.STOP_CALLED)
    assert lab.still()
    assert lab.robot.state[6] == START[6]


@pytest.mark.case(70)
@pytest.mark.slow
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
@pytest.mark.parametrize(
    'axis, jump, text, most',
    [(1, 0.2, 'jumped by 0.2', 0.05), (5, 1.5, 'and 1.50 rad', 0.3)],
    ids=['position', 'orientation'],
)
def test_a_pose_that_jumps_holds(slow, axis, jump, text, most):
    future = slow.reach_async()
    slow.moving()
    slow.follows = False
    true = slow.robot.state.copy()
    slow.robot.state = true + jump * np.eye(7)[axis]
    result = ended(future, Outcome.FAILED, Reason.WORKSPACE)
    assert text in result.message
    assert max(abs(target[axis] - true[axis]) for _, target in slow.targets) < most


@pytest.mark.case(71)
@pytest.mark.slow
def test_an_arm_that_does_not_follow_holds(slow):
    slow.set(limits__max_lag=0.01)
    slow.follows = False
    result = ended(slow.reach(), Outcome.FAILED, Reason.NOT_FOLLOWING)
    assert 'limits.max_lag = 0.01' in result.message
    assert max(np.linalg.norm((state - START)[:3]) for _, state in slow.targets) < 0.006
    assert np.abs(slow.targets[-1][1] - slow.robot.state)[:3].max() < 1e-6  # where it is


@pytest.mark.slow
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


@pytest.mark.case(71)
@pytest.mark.slow
def test_a_second_controller_of_the_same_name_is_noticed(slow):
    slow.set(limits__max_speed=0.005)  # the twin takes its time to start
    future = slow.reach_async()
    slow.moving()
    name, topic = slow.controller.get_fully_qualified_name(), slow.controller.output.topic
    twin = subprocess.Popen([sys.executable, '-c', TWIN, *name.rsplit('/', 1), topic])
    try:
        result = ended(future, Outcome.FAILED, Reason.OTHER_PUBLISHER)
        assert re.search('published by (another controller|a node that has just)', result.message)
        held(slow)
        assert not slow.client.arm()[0]
    finally:
        twin.terminate()
        twin.wait(20.0)
    eventually(lambda: slow.client.arm()[0])


def test_a_hold_does_not_fight_with_another_publisher(lab):
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    eventually(lambda: time.monotonic() - lab.targets[-1][0] < QUIET)
    other = lab.robot.node.create_publisher(PoseStamped, lab.controller.output.topic, 10)
    assert lab.logged('The hold is repeated no more')
    eventually(lambda: time.monotonic() - lab.targets[-1][0] > 5.0 * QUIET)
    lab.robot.node.destroy_publisher(other)
    eventually(lambda: not lab.controller.output.others())


@pytest.mark.case(69)
def test_a_hold_does_not_draw_an_arm_back_that_was_moved_by_hand(lab):
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    lab.follows = False  # as with the emergency stop pressed
    lab.robot.state = lab.robot.state + [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert lab.logged('The hold is repeated no more: the arm is 0.2')
    eventually(lambda: time.monotonic() - lab.targets[-1][0] > 5.0 * QUIET)
    place, lab.follows = lab.robot.state, True
    lab.ready().targets.clear()
    lab.reach(max_steps=1)
    assert np.abs(lab.targets[0][1] - place)[:3].max() < 0.02  # from where it is


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


@pytest.mark.slow
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


def test_a_step_may_be_confirmed_before_the_log_has_told_of_it(lab, monkeypatch):
    controller = lab.controller

    def confirm(text):
        controller._on_confirm(SetBool.Request(data=True), SetBool.Response())

    monkeypatch.setattr(controller, 'get_logger', lambda: SimpleNamespace(info=confirm))
    assert controller.ask_for_confirmation().answer


@pytest.mark.case(69, 73)
def test_an_arm_that_was_moved_before_the_confirmation_stays_there(lab):
    lab.set(confirm=True)
    seen = []
    future = lab.reach_async(on_feedback=lambda feedback: seen.append(feedback.phase))
    eventually(lambda: seen and seen[-1] == CONFIRMING)
    lab.robot.state = START + [0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]
    poses = lab.controller._streams.poses
    eventually(lambda: poses.newest.message.pose.position.y == lab.robot.state[1])
    assert lab.client.confirm() == (True, 'confirmed')
    result = ended(future, Outcome.FAILED, Reason.NOT_FOLLOWING)
    assert 'moved by 0.200 m and 0.00 rad after the step was planned' in result.message
    assert not lab.targets


def test_a_step_of_a_run_that_has_ended_cannot_be_confirmed(lab):
    lab.set(confirm=True)
    seen = []
    future = lab.reach_async(on_feedback=lambda feedback: seen.append(feedback.phase))
    eventually(lambda: seen and seen[-1] == CONFIRMING)
    lab.client.cancel(10.0)
    ended(future, Outcome.STOPPED, Reason.CANCELLED)
    assert lab.client.confirm() == (False, 'no step waits for a confirmation')


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


def test_a_sub_goal_that_is_given_up_is_logged(lab):
    over = START + [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0]
    result = ended(lab.reach(START, over), Outcome.REACHED, Reason.SETTLED)
    assert result.sub_goals_done == 2
    assert lab.logged('Sub-goal 1 of 2 is given up for the next one (UNSURE): the energy is ')
    assert [step.sub_goal for step in lab.steps[:4]] == [1, 1, 1, 2]  # ending.patience = 3


@pytest.mark.case(67, 70)
def test_deactivating_holds(make_lab):
    lab = make_lab(limits__max_speed=0.02).arm()
    future = lab.reach_async()
    lab.moving()
    lab.controller.trigger_deactivate()
    result = ended(future, Outcome.STOPPED, Reason.DEACTIVATED)
    assert 'activate it' in result.message
    held(lab)
    assert lab.client.arm() == (False, 'the controller is inactive, not active')
    lab.controller.trigger_activate()
    ended(lab.reach(), Outcome.STOPPED, Reason.DISARMED)  # every start is


@pytest.mark.case(70)
@pytest.mark.slow
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


@pytest.mark.case(71)
@pytest.mark.parametrize('step', (0.005, 0.02, 0.1))
@pytest.mark.slow
def test_twists_end_where_the_pose_does_not_move(make_lab, step):
    patient = {'ending__min_drop': 1.0, 'ending__patience': 100, 'ending__max_energy_rise': 9.0}
    patient |= {'ending__max_steps': 100, 'ending__sub_goal_steps': 100}
    lab = make_lab(output='twist', limits__max_step=step, **patient).arm()
    lab.follows = False  # blocked, or its pose is frozen
    result = ended(lab.reach(), Outcome.FAILED, Reason.NOT_FOLLOWING)
    assert 'have not moved the measured pose' in result.message
    speeds = np.array([np.linalg.norm(velocity) for _, velocity in lab.twists])
    assert speeds.sum() * PERIOD < 0.06  # limits.max_lag = 0.05, and what a late tick adds
    moving = speeds[speeds > 0.0]
    assert moving[-5:].max() <= 2.0 * 0.04  # it waits: only twice the distance a second


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


@pytest.mark.case(69)
@pytest.mark.slow
def test_an_arm_that_was_moved_by_hand_sets_out_from_where_it_is(make_lab):
    lab = make_lab(repeat_hold=False).arm()
    ended(lab.reach(), Outcome.REACHED, Reason.SETTLED)
    place = lab.robot.state + [0.03, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0]
    lab.robot.state = place
    lab.ready().targets.clear()
    ended(lab.reach(START), Outcome.REACHED, Reason.SETTLED)
    assert np.abs(lab.targets[0][1] - place)[:6].max() < 0.02
    assert largest_step(lab.targets) <= 1.01 * 2.0 * PERIOD * SPEED


@pytest.mark.case(71)
def test_an_error_of_the_controller_holds(slow, monkeypatch):
    future = slow.reach_async()
    slow.moving()
    monkeypatch.setattr(slow.controller.output, '_check_alone', lambda: 1 / 0)
    result = ended(future, Outcome.FAILED, Reason.INTERNAL_ERROR)
    assert 'ZeroDivisionError' in result.message
    held(slow)


@pytest.mark.slow
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
