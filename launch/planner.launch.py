# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the planner; it configures and activates itself."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import LifecycleNode, Node
from vjepa2_planner_ros.nodes.params_file import check_params_file

ARGUMENTS = (
    ('namespace', '', 'Namespace of the node and of the names below.'),
    ('image', 'image', "Topic of the first camera's frames."),
    ('pose', 'pose', "Topic of the end effector's pose (geometry_msgs/PoseStamped)."),
    (
        'ee_frame',
        '',
        "Frame of the end effector, whose pose is then read from tf instead; '' = as the "
        'parameters say.',
    ),
    ('gripper', 'gripper', "Topic of the gripper's joint (sensor_msgs/JointState)."),
    (
        'model',
        '',
        "World model; '' = as the parameters say. If config/ has a file of its name, "
        'that is read too.',
    ),
    ('device', '', "Torch device: auto, cpu, cuda, cuda:N; '' = as the parameters say."),
    ('use_sim_time', 'false', 'Take the time from /clock: true or false.'),
    ('params_file', '', 'YAML file with parameters that differ from config/planner.yaml.'),
    ('rviz', 'false', 'Open rviz2 too, with config/planner.rviz: true or false.'),
)


def generate_launch_description() -> LaunchDescription:
    """Return the planner's launch description."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=_start_planner),
        ]
    )


def _start_planner(context: LaunchContext) -> list[Node]:
    values = {name: context.launch_configurations[name] for name, _, _ in ARGUMENTS}
    config = Path(get_package_share_directory('vjepa2_planner_ros'), 'config')
    # Later entries win: defaults, the model's file, the user's file, the command line.
    parameters = [str(config / 'planner.yaml')]
    of_model = config / f'{values["model"]}.yaml'
    if of_model.is_file():
        parameters.append(str(of_model))
    if values['params_file']:
        name = f'/{values["namespace"].strip("/")}/planner'.replace('//', '/')
        parameters.append(check_params_file(values['params_file'], name))
    named = ('model', 'device', 'ee_frame')
    parameters += [{name: values[name]} for name in named if values[name]]
    if values['use_sim_time'] not in ('true', 'false'):
        raise ValueError(f"use_sim_time = '{values['use_sim_time']}': allowed: true, false")
    if values['use_sim_time'] == 'true':
        parameters.append({'use_sim_time': True})
    planner = LifecycleNode(
        package='vjepa2_planner_ros',
        executable='planner_node',
        name='planner',
        namespace=values['namespace'],
        parameters=parameters,
        remappings=[(f'~/{name}', values[name]) for name in ('image', 'pose', 'gripper')],
        output='screen',
        emulate_tty=True,
    )
    return [planner, *_rviz(config / 'planner.rviz', values)]


def _rviz(layout: Path, values: dict[str, str]) -> list[Node]:
    if values['rviz'] != 'true':
        return []
    prefix = f'/{values["namespace"].strip("/")}'.rstrip('/')
    topics = [
        line.split()[1]
        for line in layout.read_text().splitlines()
        if line.strip().startswith('Value: /')
    ]
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            arguments=['-d', str(layout)],
            remappings=[(topic, f'{prefix}{topic}') for topic in topics],
        )
    ]
