# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Console client: have the running controller move the arm to goal pictures, in order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
import signal
import sys
import termios
import threading

from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep

from . import common as commands
from .goal_picture import image_from_topic
from ..client import ControllerClient, PlanFailed
from ..control.reasons import Reason
from ..messages.goals import goal_yaml, reach_goal, sub_goal, to_png
from ..messages.images import picture
from ..messages.pictures import read_picture

HEADING = (
    ' sub-goal step    energy -> predicted  conf.   rise        x       y       z    roll   pitch '
    '    yaw  grip'
)
FIELDS = ('camera', 'model', 'max_steps', 'time_allowance', 'dry_run')  # of the goal
FEEDBACK = ReachGoal.Feedback
BEGUN = FEEDBACK.CONFIRMING, FEEDBACK.MOVING


def step_line(step: ReachStep, done: bool = True) -> str:
    """Return a ReachStep as a line under HEADING, which says if it was planned and not done."""
    numbers = ' '.join(f'{value:+7.3f}' for value in step.limited_command[:6])
    limits = f'  limited by {", ".join(step.limits)}' if step.limits else ''
    limits += '' if done else '  not done: nothing moved'
    return (
        f'{step.sub_goal:9d} {step.step:4d} {step.energy:9.5f} -> {step.predicted_energy:9.5f} '
        f'{step.confidence:6.3f} {step.energy_rise:+7.2f} {numbers} '
        f'{step.limited_command[6]:+5.2f}{limits}'
    )


class StepTable:
    """
    Prints the steps of Feedbacks under a heading and keeps them; asks for confirmations.

    A step is printed as soon as it is known whether it is done; end() prints the last one.
    """

    def __init__(self, ask=None):
        self.steps: list[ReachStep] = []
        self._ask, self._printed = ask, 0

    def __call__(self, feedback: ReachGoal.Feedback) -> None:
        """Print what a Feedback tells, if that is new."""
        step = feedback.step
        if step.step and (not self.steps or step.plan_id != self.steps[-1].plan_id):
            self.end(step.step - 1)
            self.steps.append(step)
        if feedback.phase in BEGUN:
            self.end(step.step)
        if feedback.phase == FEEDBACK.CONFIRMING and self._ask is not None:
            threading.Thread(target=self._ask, daemon=True).start()

    def end(self, executed: int) -> None:
        """Print the steps that are not printed yet; executed: number of the last one done."""
        for step in self.steps[self._printed :]:
            if not self._printed:
                print(HEADING, flush=True)
            self._printed += 1
            print(step_line(step, step.step <= executed), flush=True)


def main(args: Sequence[str] | None = None) -> int:
    """Reach the goals; return 0 only if the last one was, or if a dry run showed its step."""
    return commands.run_with_ros(_run, _parser(), args, (PlanFailed,))


def _run(options):
    pictures = [read_picture(file) for file in options.goal or ()]
    pictures += [picture(image_from_topic(topic, options.wait)) for topic in options.goal_topic]
    goals = [sub_goal(to_png(rgb)) for rgb in pictures]
    if options.gripper is not None:
        goals[-1].set_gripper, goals[-1].gripper = True, options.gripper
    fields = {name: getattr(options, name) for name in FIELDS}
    if options.print_goal:
        print(goal_yaml(reach_goal(goals, **fields)))
        return 0
    _end_in_order()
    with ControllerClient(action=options.action, controller=options.controller) as client:
        commands.wait_for('controller', client, options)
        if options.arm:
            armed, words = client.arm()
            if not armed:
                raise OSError(f'not armed: {words}')
        try:
            table = StepTable(partial(_ask, client, options.controller))
            with commands.printed(client, table) as on_feedback:
                result = client.reach(goals, on_feedback=on_feedback, **fields)
        finally:
            if options.arm:
                client.arm(False)
    table.end(result.steps)
    print(result, flush=True)
    if result.message:
        print(result.message, file=sys.stderr)
    return 0 if result.reached or result.reason == Reason.DRY_RUN else 1


def _end_in_order():
    """Let SIGTERM, and a terminal that closes, cancel and disarm as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, signal.default_int_handler)


def _ask(client, controller):
    """Ask at the console whether to do the step that waits; it waits on where nobody is there."""
    if sys.stdin.isatty():  # what was typed before the question is no answer to it
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    print('Do this step? [y/N] ', end='', flush=True)
    answer = sys.stdin.readline()
    if answer or sys.stdin.isatty():
        client.confirm(answer.strip().lower() in ('y', 'yes'))
        return
    prefix = '' if controller.startswith('/') else f'{client.namespace.rstrip("/")}/'
    call = f'{prefix}{controller}/confirm std_srvs/srv/SetBool "{{data: true}}"'
    print(
        'nobody can be asked here: stdin is no terminal. The step waits: confirm it from another '
        f'one with `ros2 service call {call}`, or end with Ctrl-C',
        file=sys.stderr,
        flush=True,
    )


def _closedness(text):
    if not 0.0 <= float(text) <= 1.0:
        raise argparse.ArgumentTypeError(f'{text.strip()}; allowed: 0 (open) to 1 (closed)')
    return float(text)


def _parser():
    parser = argparse.ArgumentParser(prog='reach', description=__doc__)
    goals = parser.add_mutually_exclusive_group(required=True)
    goals.add_argument(
        '--goal',
        action='append',
        metavar='FILE',
        help='picture to reach; give it several times for sub-goals, in order',
    )
    goals.add_argument(
        '--goal-topic',
        action='append',
        default=[],
        metavar='TOPIC',
        help='topic with it, Image or CompressedImage; several times as well',
    )
    text = 'closedness of the gripper at the end, 0 open .. 1 closed'
    parser.add_argument('--gripper', type=_closedness, metavar='C', help=text)
    text = 'arm the controller for this run, and disarm it afterwards'
    parser.add_argument('--arm', action='store_true', help=text)
    text = 'plan and check the first step and show it; nothing moves'
    parser.add_argument('--dry-run', action='store_true', help=text)
    text = 'print the goal for `ros2 action send_goal --stdin`, move nothing'
    parser.add_argument('--print-goal', action='store_true', help=text)
    text = 'most steps of the run (default: as the controller is set)'
    parser.add_argument('--max-steps', type=int, default=0, metavar='N', help=text)
    text = 'longest run [s] (default: as the controller is set)'
    parser.add_argument('--time-allowance', type=float, default=0.0, metavar='S', help=text)
    parser.add_argument('--camera', default='', help='a configured camera (default: the first)')
    parser.add_argument('--model', default='', help='a model to load first (default: as it is)')
    parser.add_argument(
        '--wait',
        type=float,
        default=120.0,
        metavar='S',
        help='how long to wait for the controller and a goal topic [s] (default: %(default)g)',
    )
    text = "the controller's action (default: %(default)s)"
    parser.add_argument('--action', default='reach_goal', help=text)
    text = 'name of the controller (default: %(default)s)'
    parser.add_argument('--controller', default='controller', help=text)
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
