# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller does when planner, gripper, clock or a manager of nodes do not go along."""

import threading
import time

from control_msgs.action import GripperCommand
from planner_rig import eventually, Gate, GOAL
import pytest
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rosgraph_msgs.msg import Clock as ClockMessage
from vjepa2_interfaces.action import ReachGoal
from vjepa2_planner_ros.control.reasons import Outcome, Reason
from vjepa2_planner_ros.messages.times import to_stamp

SETTLING = ReachGoal.Feedback.SETTLING


class SimulatedTime:
    """Publishes /clock: the system's time, which can be halted and set."""

    def __init__(self, node):
        self.runs, self.ahead = True, 0.0  # s before the system's
        self._publisher = node.create_publisher(ClockMessage, '/clock', 10)
        node.create_timer(0.01, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self):
        if self.runs:
            now = time.time_ns() + round(self.ahead * 1e9)
            self._publisher.publish(ClockMessage(clock=to_stamp(now)))


class SlowGripper:
    """A gripper's driver that takes its time to accept a goal."""

    def __init__(self, node):
        self.asked, self.accepting = threading.Event(), threading.Event()
        self.cancelled = threading.Event()
        self._server = ActionServer(
            node,
            GripperCommand,
            'gripper_command',
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def _on_goal(self, goal):
        self.asked.set()
        assert self.accepting.wait(60.0)
        return GoalResponse.ACCEPT

    def _execute(self, handle):
        eventually(lambda: handle.is_cancel_requested)
        handle.canceled()
        self.cancelled.set()
        return GripperCommand.Result()

    def close(self):
        self._server.destroy()


def check_end(future, outcome, reason):
    """Wait for the end of a run and return its text."""
    result = future.result(60.0)
    assert (result.outcome, result.reason) == (outcome, reason), str(result) + result.message
    return result.message


@pytest.mark.slow
def test_without_a_planner_a_run_says_so(make_lab):
    lab = make_lab(planner='nobody').arm()
    message = check_end(lab.reach_async(), Outcome.FAILED, Reason.PLANNER_ERROR)
    assert "nobody serves the action 'nobody'" in message
    future = lab.reach_async()
    began = time.monotonic()
    lab.client.cancel(10.0)
    check_end(future, Outcome.STOPPED, Reason.CANCELLED)
    assert time.monotonic() - began < 1.5  # it waits for a planner no longer
    assert not lab.targets


def test_a_gripper_is_held_also_before_its_driver_has_answered(make_lab):
    kind = {'gripper_output__kind': 'gripper_command', 'gripper_output__name': 'gripper_command'}
    lab = make_lab(**kind)
    driver = SlowGripper(lab.controller)
    lab.arm()
    future = lab.reach_async()
    assert driver.asked.wait(60.0)
    assert lab.client.stop()[0]
    check_end(future, Outcome.STOPPED, Reason.STOP_CALLED)
    driver.accepting.set()
    assert driver.cancelled.wait(10.0)
    driver.close()


@pytest.mark.slow
def test_the_controller_is_deactivated_in_every_phase(make_lab):
    lab = make_lab(arrival__rest_time=1.0, arrival__timeout=5.0).arm()
    controller, phases = lab.controller, []

    def deactivate(reason=Reason.DEACTIVATED):
        controller.trigger_deactivate()
        check_end(future, Outcome.STOPPED, reason)
        assert lab.still()
        assert not lab.client.arm()[0]
        for change in ('cleanup', 'configure', 'activate'):
            getattr(controller, f'trigger_{change}')()
        assert lab.arm().client.arm()[0]

    with Gate(lab.robot) as gate:
        future = lab.reach_async()
        gate.reached()
        deactivate()
    lab.robot.restore()
    lab.set(confirm=True)
    future = lab.reach_async(on_feedback=lambda feedback: phases.append(feedback.phase))
    eventually(lambda: phases and phases[-1] == ReachGoal.Feedback.CONFIRMING)
    deactivate()
    lab.set(confirm=False)
    future = lab.reach_async(on_feedback=lambda feedback: phases.append(feedback.phase))
    eventually(lambda: phases[-1] == SETTLING)
    deactivate()


@pytest.mark.slow
def test_no_frame_after_a_step_ends_the_run(make_lab):
    lab = make_lab(input_timeout=10.0, image_timeout=0.5, arrival__rest_time=0.5).arm()
    phases = []
    future = lab.reach_async(on_feedback=lambda feedback: phases.append(feedback.phase))
    eventually(lambda: phases and phases[-1] == SETTLING)
    lab.robot.sending.discard('image')
    message = check_end(future, Outcome.FAILED, Reason.STALE_INPUT)
    assert 'image_timeout = 0.5' in message
    assert lab.still()


@pytest.mark.slow
def test_a_simulated_clock_may_stand_still_and_jump(make_lab):
    simulated = {'use_sim_time': True}
    lab = make_lab(simulated, **simulated, limits__max_speed=0.02, input_timeout=0.5)
    assert not lab.client.arm()[0]  # there is no time yet
    clock = SimulatedTime(lab.robot.node)
    lab.arm()
    future = lab.reach_async()
    lab.moving()
    clock.runs = False
    check_end(future, Outcome.FAILED, Reason.STALE_INPUT)
    assert lab.still()
    clock.runs = True
    for ahead in (30.0, 0.0):  # forward, and back again
        lab.arm()
        future = lab.reach_async()
        lab.moving()
        clock.ahead = ahead
        result = future.result(60.0)
        assert result.reason in (Reason.SETTLED, Reason.STALE_INPUT), result.message
        assert lab.still()
        eventually(lambda: lab.client.arm()[0])
        lab.restore()
    lab.set(limits__max_speed=0.25)
    assert lab.arm().reach(GOAL).reached
