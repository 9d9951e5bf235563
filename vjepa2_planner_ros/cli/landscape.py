# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Console client: ask the running planner for an energy landscape, and draw it."""

import argparse
import math
import os
from pathlib import Path
import sys
import threading
import time

from action_msgs.msg import GoalStatus
import rclpy
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from tqdm import tqdm
from vjepa2_interfaces.action import ComputeEnergyLandscape

from .plan import image_from_topic
from ..client import ACCEPT_WITHIN
from ..learning.datasets import read_picture, write_picture
from ..messages.images import to_image
from ..messages.landscapes import to_landscape
from ..messages.results import known_code
from ..nodes.process import spinning
from ..planning.landscape import AXES, MAX_POINTS
from ..planning.landscape_plot import draw

DATA, PICTURES = ('.json', '.npz'), ('.png', '.jpg', '.webp')
GONE_AFTER = 2.0  # s for which the planner is not seen
CANCEL_WITHIN = 5.0  # s


def main(args=None) -> int:
    """Compute one landscape; return 0 only if that was possible."""
    arguments = sys.argv if args is None else ['landscape', *args]
    options = _parser().parse_args(remove_ros_args(arguments)[1:])
    # Ctrl-C has to leave ROS up for as long as the cancel takes.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('landscape_client')
    try:
        landscape = to_landscape(_ask(node, _goal(options), options))
        print(table(landscape))
        for path in options.output:
            landscape.save(path) if path.suffix in DATA else write_picture(path, draw(landscape))
        return 0
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print('cancelled', file=sys.stderr, flush=True)
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def table(landscape) -> str:
    """Return where a Landscape is lowest, as a small table."""
    rows = [
        ('doing nothing', landscape.start_energy, [0.0] * len(AXES)),
        ('minimum', landscape.minimum, landscape.minimum_command),
    ]
    if landscape.command is not None:
        rows.append(('last command', landscape.command_energy, landscape.command))
    heading = ''.join(f'{axis:>9}' for axis in AXES)
    return '\n'.join(
        [
            f'{"":14}   energy{heading}',
            *(
                f'{name:14}{energy:9.5f}' + ''.join(f'{value:+9.4f}' for value in step)
                for name, energy, step in rows
            ),
        ]
    )


def _goal(options):
    goal = ComputeEnergyLandscape.Goal(
        use_last_plan=options.last,
        camera=options.camera,
        axes=options.axes,
        lowest=options.lowest,
        highest=options.highest,
        resolution=options.resolution,
        offset=options.offset,
    )
    if options.goal:
        goal.goal_image = to_image(read_picture(options.goal), goal.goal_image.header)
    elif options.goal_topic:
        goal.goal_image = image_from_topic(options.goal_topic, options.wait)
    return goal


def _ask(node, goal, options):
    """Return the Result; RuntimeError or ValueError with what the server says if there is none."""
    client = ActionClient(node, ComputeEnergyLandscape, options.action)
    try:
        with spinning(node) as executor:
            if not client.wait_for_server(options.wait):
                raise OSError(
                    f'SEND_GOAL_FAILURE: no planner on action {options.action!r} within '
                    f'{options.wait:g} s'
                )
            answer = _result(executor, client, goal)
    finally:
        client.destroy()
    if answer is None:
        raise RuntimeError(f'GOAL_REJECTED: {options.action!r}: the planner is not active')
    if answer.status != GoalStatus.STATUS_SUCCEEDED:
        code = known_code(answer.result.error_code)
        raise RuntimeError(f'{code.name}: {answer.result.error_msg}')
    return answer.result


def _result(executor, client, goal):
    """Return what the server answers to a goal, None if it rejects it; Ctrl-C cancels it."""
    with tqdm(total=100, unit='%', disable=None, leave=False) as bar:
        # Sent on the thread that takes the answers, as PlannerClient does it.
        sent = executor.create_task(
            client.send_goal_async,
            goal,
            lambda message: bar.update(100.0 * message.feedback.progress - bar.n),
        )
        try:
            handle = _wait(client, sent, ACCEPT_WITHIN)
            if not handle.accepted:
                return None
            return _wait(client, executor.create_task(handle.get_result_async))
        except KeyboardInterrupt:
            handle = _wait(client, sent, CANCEL_WITHIN)
            if handle.accepted:
                _wait(client, executor.create_task(handle.cancel_goal_async), CANCEL_WITHIN)
            raise


def _wait(client, task, timeout=math.inf):
    """
    Return the result of the future that a task returns.

    OSError if the planner has gone away meanwhile, or says nothing for timeout [s].
    """
    until = time.monotonic() + timeout
    for _ in range(2):
        done, seen = threading.Event(), time.monotonic()
        task.add_done_callback(lambda _, done=done: done.set())
        while not done.wait(0.1):
            now = time.monotonic()
            seen = now if client.server_is_ready() else seen
            if now > seen + GONE_AFTER:
                raise OSError('SEND_GOAL_FAILURE: the planner has gone away')
            if now > until:
                raise OSError(f'SEND_GOAL_FAILURE: no answer within {timeout:g} s')
        task = task.result()
    return task


def _output(text):
    path = Path(text)
    if path.suffix not in (*DATA, *PICTURES):
        raise argparse.ArgumentTypeError(f'{text}: allowed: {", ".join(PICTURES + DATA)}')
    # Before anything is computed for it.
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f'{text}: allowed: a file in a folder that exists and may be written to'
        )
    return path


def _points(text):
    """Return a number of points as an argument of the command."""
    most = MAX_POINTS // 2  # two on another axis
    if not (text.isdecimal() and 2 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f'{text}: allowed: 2 to {most}')
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(prog='landscape', description=__doc__)
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument(
        '--last', action='store_true', help='look from where the last plan did, at its goal'
    )
    goal.add_argument('--goal', metavar='FILE', help='picture of the goal, any usual format')
    goal.add_argument('--goal-topic', metavar='TOPIC', help='sensor_msgs/Image topic with it')
    parser.add_argument(
        '--axes', nargs='+', default=[], choices=AXES, help='two or three axes (default: x y)'
    )
    parser.add_argument(
        '--lowest',
        nargs='+',
        type=float,
        default=[],
        metavar='VALUE',
        help="first point on each axis [m, rad] (default: the model's bounds)",
    )
    parser.add_argument(
        '--highest',
        nargs='+',
        type=float,
        default=[],
        metavar='VALUE',
        help='last point on each axis',
    )
    parser.add_argument(
        '--resolution',
        nargs='+',
        type=_points,
        default=[],
        metavar='POINTS',
        help='points on each axis (default: 21 on two, 11 on three)',
    )
    parser.add_argument(
        '--offset',
        nargs=len(AXES),
        type=float,
        default=[0.0] * len(AXES),
        metavar='VALUE',
        help=f'step on the other axes: {" ".join(AXES)} '
        "(default: 0; with --last the last plan's command)",
    )
    parser.add_argument('--camera', default='', help='a configured camera (default: the first)')
    parser.add_argument(
        '-o',
        '--output',
        action='append',
        type=_output,
        default=[],
        metavar='FILE',
        help='write a picture, .json or .npz; may be repeated',
    )
    parser.add_argument(
        '--action',
        default='compute_energy_landscape',
        help="the planner's action (default: compute_energy_landscape)",
    )
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
