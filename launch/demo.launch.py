# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the simulated arm, planner and controller, and the demo, which gives them goals."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
)
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

ARGUMENTS = (
    ('namespace', 'demo', 'Namespace of all nodes.'),
    ('episodes', '3', 'Number of goals.'),
    ('seed', '2000000', 'Seed of the first episode: scene, start and goal.'),
    ('mode', 'kinematic', 'How the arm follows commands: kinematic or physics.'),
    ('images', '', "Folder for pictures and energy plots; '' = none."),
    ('json', '', "File for the figures; '' = none."),
    ('model', '', "World model; '' = the one of config/planner.yaml."),
    ('device', '', "Torch device: auto, cpu, cuda, cuda:N; '' = as the parameters say."),
    ('params_file', '', 'YAML file with parameters that differ from config/planner.yaml.'),
)


def generate_launch_description() -> LaunchDescription:
    """Return the demo's launch description."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {name: context.launch_configurations[name] for name, _, _ in ARGUMENTS}
    launch_folder = Path(get_package_share_directory('vjepa2_planner_ros'), 'launch')
    planner = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(launch_folder / 'planner.launch.py')),
        launch_arguments=[
            *((name, values[name]) for name in ('namespace', 'model', 'device', 'params_file')),
            ('robot', 'simulation'),
            ('controller', 'true'),
            ('dry_run', 'false'),
        ],
    )
    simulation = Node(
        package='vjepa2_planner_ros',
        executable='simulation_node',
        name='simulation',
        namespace=values['namespace'],
        output='screen',
        emulate_tty=True,
        # The demo requests the next episode before each goal, also before the first.
        parameters=[{'seed': int(values['seed']) - 1, 'mode': values['mode']}],
        on_exit=_end_with_simulation,
    )
    options = [
        part
        for name in ('episodes', 'seed', 'images', 'json')
        if values[name]
        for part in (f'--{name}', values[name])
    ]
    demo = Node(
        package='vjepa2_planner_ros',
        executable='demo',
        namespace=values['namespace'],
        arguments=['--no-spawn', *options],
        output='screen',
        emulate_tty=True,
        on_exit=_end_with_demo,
    )
    return [planner, simulation, demo]


def _end_with_simulation(event: ProcessExited, context: LaunchContext) -> EmitEvent | None:
    if context.is_shutdown:  # a second shutdown would end `ros2 launch` itself with an error
        return None
    return EmitEvent(event=Shutdown(reason='the simulation ended'))


def _end_with_demo(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    reason = f'the demo ended with exit code {event.returncode}'
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(reason)  # the only way to make `ros2 launch` itself exit with 1
    return [LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))]
