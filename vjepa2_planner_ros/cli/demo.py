# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drive the simulated arm to goal pictures by planner and controller, over real ROS topics.

Per episode: a new scene and goal picture, then the controller's action, which ends by itself. The
exit code is 0 only if every episode ended less than 4 cm from its goal. The true goal pose is used
for that score and for nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
import json
import os
from pathlib import Path
import time

from ament_index_python.packages import get_package_share_directory
import numpy as np
import rclpy

from . import common as commands
from .demo_arm import DemoArm
from .demo_pictures import energy_plot, side_by_side
from .reach import StepTable
from .spawn import SpawnedNode
from ..client import ControllerClient, PlannerClient
from ..messages.times import seconds
from ..nodes.process import free_domain

PACKAGE = 'vjepa2_planner_ros'
NAMESPACE = '/demo'
WEB = 'http://127.0.0.1:8080/'
FIRST_SEED = 2_000_000  # of the range kept for demonstrations
REACHED = 0.04  # m


def main(args: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 only if every goal was reached."""
    options, arguments = commands.parse(_parser(), args)
    # PlanFailed is a RuntimeError too.
    return commands.run(partial(_run, arguments), options, (RuntimeError,))


def _run(arguments, options):
    with ExitStack() as stack:
        nodes = []
        if not options.no_spawn:
            os.environ['ROS_DOMAIN_ID'] = str(free_domain())
            os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
            print('Starting simulated arm, planner and controller ...', flush=True)
            nodes = [stack.enter_context(node) for node in _nodes(options)]
        stack.enter_context(commands.ros(arguments))
        node = rclpy.create_node('demo', namespace=None if options.no_spawn else NAMESPACE)
        arm = stack.enter_context(DemoArm(node))
        client = stack.enter_context(ControllerClient(node))
        planner = stack.enter_context(PlannerClient(node))
        _wait_until_ready((planner, client), arm, nodes, options.timeout)
        episodes = [_episode(number, arm, client, options) for number in range(options.episodes)]
        if options.web:
            _serve(nodes)
    reached = sum(episode['distance_after'] < REACHED for episode in episodes)
    print(f'\n{reached} of {len(episodes)} goals reached (less than {REACHED * 100:.0f} cm away)')
    if episodes:
        distance, turn, seconds_taken = (
            np.median([episode[name] for episode in episodes])
            for name in ('distance_after', 'turn_after', 'run_time')
        )
        print(f'median {distance * 100:.2f} cm, {turn:.3f} rad, {seconds_taken:.1f} s a run')
    if options.json:
        Path(options.json).write_text(
            json.dumps({'reached': reached, 'episodes': episodes}, indent=2) + '\n'
        )
    return 0 if reached == len(episodes) else 1


def _nodes(options):
    """Yield simulation, planner and controller as SpawnedNodes."""
    preset = Path(get_package_share_directory(PACKAGE), 'config', 'robots', 'simulation.yaml')
    inputs = {f'~/{name}': name for name in ('image', 'pose', 'gripper')}
    target = {'~/target_pose': 'target_pose'}
    history = {'history.folder': os.path.abspath(options.history)} if options.history else {}
    shared = {'image_timeout': 20.0, **history}  # on a busy machine nodes find each other late
    simulated = {'seed': options.seed - 1, 'mode': options.mode, 'goal_turn': options.turn}
    for name, parameters, remappings, params_file in (
        ('simulation', simulated, {}, None),
        ('planner', shared, inputs, preset),
        ('controller', {**shared, 'dry_run': False}, {**inputs, **target}, preset),
    ):
        yield SpawnedNode(
            name,
            f'{PACKAGE}.nodes.{name}_node',
            parameters,
            {'__ns': NAMESPACE, **remappings},
            params_file=params_file,
        )
    if options.web:
        yield SpawnedNode('web', f'{PACKAGE}.cli.web', {}, {'__ns': NAMESPACE})


def _wait_until_ready(clients, arm, nodes, timeout):
    until = time.monotonic() + timeout
    while not (all(client.wait_until_ready(0.5) for client in clients) and arm.is_seen()):
        for node in nodes:
            node.check()
        if arm.planner_failure:
            raise RuntimeError(arm.planner_failure)
        if time.monotonic() > until:
            raise TimeoutError(f'planner, controller or arm not ready within {timeout:g} s')


def _serve(nodes):
    """Keep the nodes until Ctrl-C."""
    print(f'\nWeb console: {WEB} until Ctrl-C', flush=True)
    while True:
        for node in nodes:
            node.check()
        time.sleep(0.5)


def _draw(folder, stem, pictures, steps):
    """Write the pictures of an episode side by side, and its energies."""
    folder.mkdir(parents=True, exist_ok=True)
    side_by_side(pictures).save(folder / f'{stem}.png')
    energy_plot(steps).savefig(folder / f'{stem}-energy.png')


def _episode(number, arm, client, options):
    name = arm.next_episode()
    before = arm.score()
    start_picture, goal_picture = arm.picture(), arm.goal_picture()
    print(
        f'\nEpisode {number + 1} of {options.episodes} ({name}): {before[0] * 100:.1f} cm from '
        f'the goal, turned by {before[1]:.2f} rad, gripper off by {before[2]:.2f}',
        flush=True,
    )
    armed, words = client.arm()
    if not armed:
        raise RuntimeError(f'the controller cannot be armed: {words}')
    table = StepTable()
    with commands.printed(client, table) as on_feedback:
        result = client.reach(
            arm.goal_image,
            on_feedback=on_feedback,
            timeout=options.timeout,
            max_steps=options.max_steps,
            samples=options.samples,
        )
    table.end(result.steps)
    client.arm(False)
    after = arm.score()
    print(
        f'{result}{": " * bool(result.message)}{result.message}\n'
        f'Episode {number + 1}: {before[0] * 100:.1f} cm -> {after[0] * 100:.1f} cm, turn '
        f'{before[1]:.2f} -> {after[1]:.2f} rad, gripper {before[2]:.2f} -> {after[2]:.2f}, '
        f'{result.steps} steps, {result.run_time:.1f} s',
        flush=True,
    )
    if options.images:
        stem = f'{number + 1:02d}-{name}'.replace(' ', '-')
        final = f'final, {after[0] * 100:.1f} cm away', arm.picture()
        pictures = [('start', start_picture), ('goal', goal_picture), final]
        _draw(Path(options.images), stem, pictures, table.steps)
    return {
        'name': name,
        'distance_before': before[0],
        'distance_after': after[0],
        'turn_before': before[1],
        'turn_after': after[1],
        'gripper_before': before[2],
        'gripper_after': after[2],
        'outcome': result.outcome.name,
        'reason': result.reason.name,
        'run_time': result.run_time,
        'steps': [
            {
                'command': list(step.command),
                'limited_command': list(step.limited_command),
                'limits': list(step.limits),
                'energy': step.energy,
                'predicted_energy': step.predicted_energy,
                'confidence': step.confidence,
                'energy_rise': step.energy_rise,
                'planning_time': seconds(step.planning_time),
            }
            for step in table.steps
        ],
    }


def _parser():
    parser = argparse.ArgumentParser(prog='demo', description=__doc__.splitlines()[1])
    parser.add_argument('--episodes', type=int, default=3, help='goals (default: 3)')
    parser.add_argument(
        '--seed',
        type=int,
        default=FIRST_SEED,
        help=f'of the first episode (default: {FIRST_SEED})',
    )
    parser.add_argument(
        '--mode',
        choices=('kinematic', 'physics'),
        default='kinematic',
        help='how the arm follows commands (default: kinematic)',
    )
    parser.add_argument(
        '--turn',
        type=float,
        default=0.0,
        metavar='RAD',
        help='of the goals against the starts about the vertical, 0.4 at most (default: 0)',
    )
    parser.add_argument('--json', metavar='FILE', help='write the figures there')
    parser.add_argument('--images', metavar='DIR', help='write pictures and energy plots there')
    parser.add_argument('--history', metavar='DIR', help='record plans and runs there')
    parser.add_argument(
        '--no-spawn',
        action='store_true',
        help='the nodes are running already, in the ROS domain of this shell',
    )
    parser.add_argument(
        '--web',
        action='store_true',
        help=f'serve the console in a browser too, at {WEB}, until Ctrl-C; with --episodes 0 '
        'nothing moves before you move it',
    )
    parser.add_argument('--max-steps', type=int, default=12, help='of an episode (default: 12)')
    parser.add_argument(
        '--samples',
        type=int,
        default=0,
        help='candidates an iteration (default: as the planner is set)',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=300.0,
        help='longest wait for the nodes, and for an episode [s] (default: 300)',
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
