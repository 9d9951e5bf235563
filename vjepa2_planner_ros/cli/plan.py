# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Console client: ask the running planner for the command that leads to a goal picture."""

import argparse
from itertools import islice
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image
from vjepa2_interfaces.action import PlanAction

from .chart import FollowChart
from ..client import PlannerClient
from ..learning.datasets import read_picture, write_picture
from ..messages.goals import goal_yaml
from ..messages.images import to_rgb
from ..messages.results import AXES, PlanFailed
from ..nodes.process import spinning

HEADING = ' iteration   best energy   elites mean     +- std   all mean   elapsed'


def iteration_line(iteration) -> str:
    """Return a SearchIteration as a line under HEADING."""
    return (
        f'{iteration.iteration:4d} /{iteration.iterations_total:4d} '
        f'{iteration.energy_best:13.5f} {iteration.energy_elite_mean:13.5f} '
        f'{iteration.energy_elite_std:10.5f} {iteration.energy_mean:10.5f} '
        f'{iteration.elapsed:7.2f} s'
    )


def command_lines(command) -> list:
    """Return a command [7] as lines with units."""
    return [f'  {name:8} {value:+9.4f}  {unit}' for (name, unit), value in zip(AXES, command)]


def command_table(result) -> str:
    """Return the command of a PlanResult as a small table with units."""
    return '\n'.join(
        [
            f'Command, relative to {result.frame_id}:',
            *command_lines(result.command),
            f'energy {result.start_energy:.5f} -> {result.energy:.5f}, '
            f'confidence {result.confidence:.2f}, model {result.model}, '
            f'planned in {result.planning_time:.2f} s',
        ]
    )


def main(args=None) -> int:
    """Plan once, or keep the goal for later; return 0 only if that was possible."""
    arguments = sys.argv if args is None else ['plan', *args]
    options = _parser().parse_args(remove_ros_args(arguments)[1:])
    # Ctrl-C has to leave ROS up for as long as the cancel takes.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        goal = (
            read_picture(options.goal)
            if options.goal
            else to_rgb(image_from_topic(options.goal_topic, options.wait))
        )
        if options.save:
            write_picture(options.save, goal)
            return 0
        if options.print_goal:
            print(goal_yaml(goal))
            return 0
        with PlannerClient(action=options.action) as client:
            if not client.wait_until_ready(options.wait):
                return _fail(
                    f'SEND_GOAL_FAILURE: no planner on action {options.action!r} within '
                    f'{options.wait:g} s'
                )
            return (_plan if options.plans == 1 else _plan_on)(client, goal, options)
    except PlanFailed as failure:
        return _fail(str(failure))
    except (OSError, ValueError) as error:
        return _fail(f'INVALID_GOAL_IMAGE: {error}')
    except KeyboardInterrupt:
        return _fail('cancelled', 130)
    finally:
        rclpy.try_shutdown()


def _plan(client, goal, options):
    if not options.follow:
        print(HEADING, flush=True)
    chart = FollowChart(sys.stdout)
    try:
        result = client.plan(
            goal,
            on_feedback=_drawing(chart) if options.follow else print_iteration,
            **_goal_fields(options),
        )
    finally:
        chart.close()
    print(command_table(result))
    return 0


def _plan_on(client, goal, options):
    """Plan again and again from the newest frame; print each command, then rate and latency."""
    print(' plan    latency    energy   ' + ' '.join(f'{name:>8}' for name, _ in AXES), flush=True)
    latencies, began, chart = [], time.monotonic(), FollowChart(sys.stdout)
    results = client.plan_continuously(
        goal, on_feedback=_drawing(chart) if options.follow else None, **_goal_fields(options)
    )
    for number, result in enumerate(islice(results, options.plans), 1):
        latencies.append(client.age(result.stamp))
        chart.close()
        print(
            f'{number:5d} {latencies[-1]:8.3f} s {result.energy:9.5f}   '
            + ' '.join(f'{value:+8.4f}' for value in result.command),
            flush=True,
        )
    rate = len(latencies) / (time.monotonic() - began)
    median, most = np.percentile(latencies, (50, 99))
    print(
        f'{rate:.1f} plans a second; from the frame to the command {median:.3f} s (p50), '
        f'{most:.3f} s (p99)'
    )
    return 0


def _drawing(chart):
    """Return an on_feedback that draws each iteration into a FollowChart."""

    def draw(feedback):
        if feedback.phase == PlanAction.Feedback.OPTIMIZING:
            chart.add(feedback.iteration)

    return draw


def _goal_fields(options):
    return {
        name: getattr(options, name)
        for name in (
            'camera',
            'model',
            'optimizer',
            'samples',
            'iterations',
            'horizon',
            'seed',
            'time_allowance',
            'best_effort',
        )
    }


def print_iteration(feedback):
    """Print the iteration in a Feedback, if there is one."""
    if feedback.phase == PlanAction.Feedback.OPTIMIZING:
        print(iteration_line(feedback.iteration), flush=True)
    elif feedback.phase == PlanAction.Feedback.LOADING_MODEL:
        print(f' loading the model: {feedback.progress:4.0%}', flush=True)


def _fail(message, code=1):
    print(message, file=sys.stderr, flush=True)
    return code


def image_from_topic(topic, timeout):
    """Return the next Image on a topic, or the latched one; OSError if none comes."""
    node = rclpy.create_node('plan_goal')
    arrived, images = threading.Event(), []

    def keep(image):
        images.append(image)
        arrived.set()

    try:
        # A latched picture reaches only subscriptions that ask for it, and those no other ones.
        for durability in (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
            node.create_subscription(
                Image,
                topic,
                keep,
                QoSProfile(
                    depth=1,
                    durability=durability,
                    reliability=(
                        ReliabilityPolicy.BEST_EFFORT
                        if durability == DurabilityPolicy.VOLATILE
                        else ReliabilityPolicy.RELIABLE
                    ),
                ),
            )
        with spinning(node):
            arrived.wait(timeout)
    finally:
        node.destroy_node()
    if not images:
        raise OSError(f"no image on '{topic}' within {timeout:g} s")
    return images[0]


def _positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}; allowed: 1 or more')
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(prog='plan', description=__doc__)
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument('--goal', metavar='FILE', help='picture of the goal, any usual format')
    goal.add_argument('--goal-topic', metavar='TOPIC', help='sensor_msgs/Image topic with it')
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        '--save', metavar='FILE', help='write the goal picture to a file and do not plan'
    )
    instead.add_argument(
        '--print-goal',
        action='store_true',
        help='print the goal for `ros2 action send_goal --stdin`, do not plan',
    )
    parser.add_argument(
        '--follow',
        action='store_true',
        help='draw the search as a chart instead of printing a table',
    )
    parser.add_argument('--camera', default='', help='a configured camera (default: the first)')
    parser.add_argument('--model', default='', help='a model to load first (default: as it is)')
    parser.add_argument('--optimizer', default='', help='cem or trust_region')
    parser.add_argument('--samples', type=int, default=0, help='candidates an iteration')
    parser.add_argument('--iterations', type=int, default=0, help='iterations')
    parser.add_argument('--horizon', type=int, default=0, help='actions in the plan')
    parser.add_argument('--seed', type=int, help='seed of the candidates')
    parser.add_argument(
        '--time-allowance',
        type=float,
        default=0.0,
        metavar='S',
        help='longest planning time [s] (default: no limit)',
    )
    parser.add_argument(
        '--best-effort', action='store_true', help='when that is over, take the plan found so far'
    )
    parser.add_argument(
        '--plans',
        type=_positive,
        default=1,
        metavar='N',
        help='plan N times in a row, each from the newest frame; print how fast',
    )
    parser.add_argument('--action', default='plan', help="the planner's action (default: plan)")
    parser.add_argument(
        '--wait',
        type=float,
        default=10.0,
        metavar='S',
        help='how long to wait for the planner and a goal topic [s]',
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
