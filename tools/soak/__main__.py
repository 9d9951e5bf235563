# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Try a planner with a long, random and partly hostile conversation.

It starts a planner of its own and sends it goals over real topics, as a robot would: good ones,
ones that are cancelled, preempted, in a hurry or malformed, while cameras fall silent or send
rubbish and parameters change. The exit code is 0 only if every goal ended exactly once and as it
should, the planner needed no more threads and memory at the end than after the first goals, and
the last plan succeeded.
"""

import argparse
from contextlib import ExitStack
import json
import os
from pathlib import Path
import sys
import time

from tools.soak import latency, report
from tools.soak.robot import Robot
from tools.soak.scenarios import PACES, Scenarios
from tools.soak.server import Server
from tqdm import tqdm
from vjepa2_planner_ros.cli import common as commands
from vjepa2_planner_ros.nodes.process import free_domain

WARM = 0.2  # share of the goals after which the planner counts as warm
ROUND = 100  # malformed messages between two plans
BURST = 10  # malformed frames at once; the planner's queue holds 20


def main(args=None) -> int:
    """Run the soak; return 0 only if the planner passed."""
    options = _parser().parse_args(args)
    if options.fuzz is None:
        options.fuzz = 10 * options.goals
    return commands.run(_run, options, (RuntimeError,))


def _run(options):
    with ExitStack() as stack:
        return _soak(options, stack)


def _soak(options, stack):
    began = time.monotonic()
    os.environ['ROS_DOMAIN_ID'] = str(free_domain())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    pace = PACES[options.model]
    server = stack.enter_context(
        Server(
            options.model,
            {
                'optimizer': 'cem',
                'cem.samples': pace.samples,
                'cem.iterations': pace.iterations,
                'trust_region.iterations': pace.iterations,
            },
        )
    )
    stack.enter_context(commands.ros())
    robot = stack.enter_context(Robot(options.seed))
    robot.wait_until_ready(server.check)
    timed, overhead = latency.measure(robot, pace, options.model, options.repeats)
    scenarios = Scenarios(robot, options.model, options.seed)
    scenarios.warm_up()
    with tqdm(total=options.goals + options.fuzz, unit='', dynamic_ncols=True) as progress:
        warm = _converse(scenarios, server, options.goals, progress)
        _fuzz(scenarios, server, options.fuzz, progress)
    for inputs in ('given', 'live'):
        scenarios.finish(scenarios.send_plan(inputs))
    end, counted = server.usage(), robot.counted()
    frames = scenarios.malformed_frames, robot.frames_refused
    others = [*robot.complaints, *report.frames_complaint(*frames), *server.end()]
    if tracebacks := server.log().count('Traceback'):
        others.append(f'{tracebacks} tracebacks in the log of the planner')
    complaints = report.complaints(robot.goals, warm, end, counted, others)
    rows = report.times({**report.latencies(robot.goals), **timed})
    print(
        '\n'.join(
            [
                f'{len(robot.goals)} goals and {options.fuzz} malformed messages, '
                f'model {options.model}, seed {options.seed}, {time.monotonic() - began:.0f} s',
                f'{frames[0]} frames were malformed, {frames[1]} refused on arrival',
                '',
                report.outcome_table(robot.goals),
                '',
                report.time_table(rows),
                '',
                *latency.verdicts(rows, overhead),
                '',
                report.usage_table(warm, end),
                '',
                *complaints,
                'FAILED' if complaints else 'PASSED',
            ]
        )
    )
    if options.json:
        Path(options.json).write_text(
            json.dumps(
                {
                    'passed': not complaints,
                    'complaints': complaints,
                    'seed': options.seed,
                    'model': options.model,
                    'counted_by_planner': counted,
                    'times': rows,
                    'overhead': overhead,
                    'warm': vars(warm),
                    'end': vars(end),
                    'goals': [goal.to_json() for goal in robot.goals],
                },
                indent=2,
            )
            + '\n'
        )
    if complaints:
        print(server.last_lines(), file=sys.stderr)
    return 1 if complaints else 0


def _converse(scenarios, server, count, progress):
    """Do things at random until count goals were sent; return the Usage of the warm planner."""
    goals, warm = scenarios.robot.goals, None
    first = done = len(goals)
    while done - first < count:
        if warm is None and done - first >= WARM * count:
            warm = server.usage()
        scenarios.step()
        server.check()
        progress.update(min(len(goals), first + count) - done)
        done = min(len(goals), first + count)
    return warm or server.usage()


def _fuzz(scenarios, server, count, progress):
    """Send malformed messages: nine frames and a goal, again and again; plan in between."""
    for number in range(count):
        if number % BURST == BURST - 1:
            scenarios.malformed()
            server.check()
        else:
            scenarios.publish_malformed_frame()
        if number % ROUND == ROUND - 1:
            scenarios.recover()
        progress.update()


def _parser():
    parser = argparse.ArgumentParser(prog='soak', description=__doc__.splitlines()[1])
    parser.add_argument('--goals', type=int, default=1000, help='at least so many (default: 1000)')
    parser.add_argument(
        '--fuzz',
        type=int,
        metavar='N',
        help='malformed frames and goals after that (default: 10 a goal)',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=30,
        help='of each time that is measured at first (default: 30)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is done (default: 0)')
    parser.add_argument(
        '--model',
        choices=sorted(PACES),
        default='toy',
        help='world model of the planner (default: toy, of which the best plan is known)',
    )
    parser.add_argument('--json', metavar='FILE', help='write figures and every goal there')
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
