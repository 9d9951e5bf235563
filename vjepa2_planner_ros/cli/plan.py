# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Console client: ask the running planner for the command that leads to a goal picture."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import islice
import sys
import time

import numpy as np
from std_msgs.msg import Header
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, SearchIteration

from . import common as commands
from .goal_picture import add_goal_options, goal_picture
from ..client import PlanFailed, PlannerClient, PlanResult
from ..messages.commands import UNITS
from ..messages.goals import goal_yaml, plan_goal, to_png
from ..messages.pictures import write_picture
from ..messages.results import confidence_text
from ..messages.searches import to_pose_message
from ..messages.states import LARGEST_POSITION
from ..planning.actions import AXES
from ..planning.config import require

# Options that are fields of the goal.
FIELDS = (
    *('camera', 'model', 'optimizer', 'samples', 'iterations', 'horizon', 'seed'),
    *('elite_fraction', 'cost', 'preset', 'time_allowance', 'best_effort'),
)
LONGEST_LATENCY = 3600.0  # s
STATE_RANGES = (
    *3 * [(-LARGEST_POSITION, LARGEST_POSITION, 'm (is it in millimetres?)')],
    *3 * [(-2.0 * np.pi, 2.0 * np.pi, 'rad (is it in degrees?)')],
    (0.0, 1.0, '(0 open, 1 closed)'),
)
HEADING = ' iteration   best energy   elites mean     +- std   all mean   elapsed'


def iteration_line(iteration: SearchIteration) -> str:
    """Return a SearchIteration as a line under HEADING."""
    return (
        f'{iteration.iteration:4d} /{iteration.iterations_total:4d} '
        f'{iteration.energy_best:13.5f} {iteration.energy_elite_mean:13.5f} '
        f'{iteration.energy_elite_std:10.5f} {iteration.energy_mean:10.5f} '
        f'{iteration.elapsed:7.2f} s'
    )


def command_lines(command: Iterable[float]) -> list[str]:
    """Return a command [7] as lines with units."""
    return [f'  {axis:8} {value:+9.4f}  {UNITS[axis]}' for axis, value in zip(AXES, command)]


def command_table(result: PlanResult) -> str:
    """Return the command of a PlanResult as a small table with units."""
    return '\n'.join(
        [
            f'Command, relative to {result.frame_id}:',
            *command_lines(result.command),
            f'energy {result.start_energy:.5f} -> {result.energy:.5f}, '
            f'confidence {confidence_text(result)}, model {result.model}, '
            f'planned in {result.planning_time:.2f} s',
        ]
    )


def main(args: Sequence[str] | None = None) -> int:
    """Plan once, or keep the goal for later; return 0 only if that was possible."""
    return commands.run_with_ros(_run, _parser(), args, (PlanFailed, ImportError))


def _run(options):
    goal = goal_picture(options)
    if options.save:
        write_picture(options.save, goal)
    elif options.print_goal:
        print(goal_yaml(plan_goal(to_png(goal), **_goal_fields(options))))
    else:
        with PlannerClient(action=options.action) as client:
            commands.wait_for('planner', client, options)
            (_plan if options.plans == 1 else _plan_on)(client, goal, options)


def _plan(client, goal, options):
    chart = _chart(options)
    try:
        show = IterationTable() if chart is None else chart.on_feedback
        with commands.printed(client, show) as on_feedback:
            result = client.plan(goal, on_feedback=on_feedback, **_goal_fields(options))
    finally:
        if chart is not None:
            chart.close()
    print(command_table(result))


def _plan_on(client, goal, options):
    """Plan again and again from the newest frame; print each command, then rate and latency."""
    print(' plan    latency    energy   ' + ' '.join(f'{name:>8}' for name in AXES), flush=True)
    latencies, began, chart = [], time.monotonic(), _chart(options)
    results = client.plan_continuously(
        goal, on_feedback=chart and chart.on_feedback, **_goal_fields(options)
    )
    for number, result in enumerate(islice(results, options.plans), 1):
        latencies.append(client.age(result.stamp))
        if chart is not None:
            chart.close()
        print(
            f'{number:5d} {_latency(latencies[-1]):>10} {result.energy:9.5f}   '
            + ' '.join(f'{value:+8.4f}' for value in result.command),
            flush=True,
        )
    rate = len(latencies) / (time.monotonic() - began)
    median, most = map(_latency, np.percentile(latencies, (50, 99)))
    print(f'{rate:.1f} plans a second; from the frame to the command {median} (p50), {most} (p99)')


def _latency(seconds):
    """Return a latency as a text; no number where stamps are those of another clock, or none."""
    return f'{seconds:.3f} s' if 0.0 <= seconds < LONGEST_LATENCY else 'unknown'


def _chart(options):
    """Return a FollowChart, None unless it is asked for."""
    if not options.follow:
        return None
    from .chart import FollowChart  # nothing else needs plotext

    return FollowChart(sys.stdout)


def _goal_fields(options):
    fields = {name: getattr(options, name) for name in FIELDS}
    state = None if options.state is None else start_state(options.state)
    return {**fields, 'current_image': options.current, 'start_state': state}


def start_state(numbers: Sequence[float]) -> EndEffectorState:
    """
    Return the state of x y z [m], roll pitch yaw [rad, fixed axes] and closedness.

    ValueError naming the number and what is allowed, if one is out of range.
    """
    for name, value, (low, high, hint) in zip(AXES, numbers, STATE_RANGES):
        allowed = f'{low:.5g} to {high:.5g} {hint}'
        require(low <= value <= high, f'--state {name}', f'{value:g}', allowed)
    pose = to_pose_message(np.array(numbers), Header()).pose
    return EndEffectorState(pose=pose, gripper=numbers[6])


class IterationTable:
    """Prints the iterations of Feedbacks under a heading, and how far a model is loaded."""

    def __init__(self) -> None:
        self._last, self._headed = '', False

    def __call__(self, feedback: PlanAction.Feedback) -> None:
        """Print what a Feedback tells, if that is new."""
        line = ''
        if feedback.phase == PlanAction.Feedback.OPTIMIZING:
            line = iteration_line(feedback.iteration)
            if not self._headed:
                print(HEADING, flush=True)
            self._headed = True
        elif feedback.phase == PlanAction.Feedback.LOADING_MODEL:
            line = f' loading the model: {feedback.progress:4.0%}'
        if line not in ('', self._last):
            print(line, flush=True)
            self._last = line


def _positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text.strip()}; allowed: 1 or more')
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(prog='plan', description=__doc__)
    add_goal_options(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--save', metavar='FILE', help='write the goal picture to a file and do not plan'
    )
    instead.add_argument(
        '--print-goal',
        action='store_true',
        help='print the goal for `ros2 action send_goal --stdin`, do not plan',
    )
    parser.add_argument('--follow', action='store_true', help='draw a chart, not a table')
    parser.add_argument('--camera', default='', help='a configured camera (default: the first)')
    parser.add_argument('--model', default='', help="a model to plan with (default: the server's)")
    parser.add_argument('--optimizer', default='', help='cem or trust_region')
    parser.add_argument('--cost', default='', help='l1 or l2')
    parser.add_argument('--preset', default='', help="meta = as Meta's released planner")
    for name, text in (
        ('samples', 'candidates an iteration'),
        ('iterations', 'iterations'),
        ('horizon', 'actions in the plan'),
    ):
        parser.add_argument(f'--{name}', type=int, default=0, metavar='N', help=text)
    parser.add_argument(
        '--elite-fraction',
        type=float,
        default=0.0,
        metavar='F',
        help='share of the candidates kept as elites, for cem',
    )
    text = 'plan from this picture instead of the newest frame'
    parser.add_argument('--current', metavar='FILE', help=text)
    text = 'the state that belongs to it, not the newest: m, rad and closedness (0 open, 1 closed)'
    names = tuple(name.upper() for name in AXES)
    parser.add_argument('--state', nargs=7, type=float, metavar=names, help=text)
    parser.add_argument('--seed', type=int, metavar='N', help='seed of the candidates')
    text = 'longest planning time [s] (default: no limit)'
    parser.add_argument('--time-allowance', type=float, default=0.0, metavar='S', help=text)
    text = 'when that is over, take the plan found so far'
    parser.add_argument('--best-effort', action='store_true', help=text)
    text = 'plan N times in a row, each from the newest frame; print how fast'
    parser.add_argument('--plans', type=_positive, default=1, metavar='N', help=text)
    parser.add_argument('--action', default='plan', help="the planner's action (default: plan)")
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
