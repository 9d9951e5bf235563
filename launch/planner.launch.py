# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the planner, and with controller:=true the controller; they activate themselves."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import LifecycleNode, Node
from vjepa2_planner_ros.nodes.params_file import check_params_file, nearest

INPUTS = ('image', 'pose', 'gripper')
ARGUMENTS = (
    ('namespace', '', 'Namespace of the nodes and of the names below.'),
    (
        'robot',
        '',
        "File of config/robots without .yaml: fr3, panda, ur5e_robotiq, gen3, simulation; '' = "
        'none.',
    ),
    ('image', 'image', "Topic of the first camera's frames."),
    (
        'pose',
        '',
        "Topic of the end effector's pose (geometry_msgs/PoseStamped); '' = as the parameters "
        "say, or 'pose'.",
    ),
    (
        'ee_frame',
        '',
        "Frame of the end effector, whose pose is then read from tf instead; '' = as the "
        'parameters say.',
    ),
    (
        'gripper',
        '',
        "Topic of the gripper's joint (sensor_msgs/JointState); '' = as the parameters say, or "
        "'gripper'.",
    ),
    (
        'model',
        '',
        "World model; '' = as the parameters say. If config/ has a file of its name, "
        'that is read too.',
    ),
    ('device', '', "Torch device: auto, cpu, cuda, cuda:N; '' = as the parameters say."),
    ('controller', 'false', 'Start the controller too: true or false.'),
    (
        'dry_run',
        '',
        'The controller plans and checks a step, and moves nothing: true, false; '
        "'' = as the parameters say, which is true.",
    ),
    (
        'target',
        '',
        "Topic of the controller's targets; '' = as the parameters say, or 'target_pose'.",
    ),
    ('use_sim_time', 'false', 'Take the time from /clock: true or false.'),
    (
        'params_file',
        '',
        'YAML file with parameters that differ from config/planner.yaml and controller.yaml.',
    ),
    ('rviz', 'false', 'Open rviz2 too, with config/planner.rviz: true or false.'),
    ('web', 'false', 'Serve the console in a browser too: true or false.'),
    ('web_host', '127.0.0.1', 'Address of the console; others than this machine need its token.'),
    ('web_port', '8080', 'Port of the console.'),
)
# Arguments that are parameters, when they are given.
OF_BOTH = {'ee_frame': 'ee_frame', 'pose': 'pose_topic', 'gripper': 'gripper.topic'}
OF_PLANNER = {'model': 'model', 'device': 'device'}
OF_CONTROLLER = {'target': 'output_topic'}


def generate_launch_description() -> LaunchDescription:
    """Return the launch description of planner and controller."""
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[Node]:
    values = {name: context.launch_configurations[name] for name, _, _ in ARGUMENTS}
    config = Path(get_package_share_directory('vjepa2_planner_ros'), 'config')
    shared = [*_of_robot(config / 'robots', values['robot']), *_of_user(values)]
    shared += [{OF_BOTH[name]: values[name]} for name in OF_BOTH if values[name]]
    if _is_true(values, 'use_sim_time'):
        shared.append({'use_sim_time': True})
    # Later entries win: defaults, the model's file, the robot's, the user's, the command line.
    of_model = [str(file) for file in [config / f'{values["model"]}.yaml'] if file.is_file()]
    planner = [str(config / 'planner.yaml'), *of_model, *shared]
    planner += [{OF_PLANNER[name]: values[name]} for name in OF_PLANNER if values[name]]
    nodes = [_node('planner', planner, values)]
    if _is_true(values, 'controller'):
        controller = [str(config / 'controller.yaml'), *shared]
        if values['dry_run']:
            controller.append({'dry_run': _is_true(values, 'dry_run')})
        controller += [
            {OF_CONTROLLER[name]: values[name]} for name in OF_CONTROLLER if values[name]
        ]
        nodes.append(_node('controller', controller, values))
    return [*nodes, *_rviz(config / 'planner.rviz', values), *_web(values)]


def _of_robot(folder: Path, robot: str) -> list[str]:
    known = sorted(file.stem for file in folder.glob('*.yaml'))
    if robot and robot not in known:
        raise ValueError(f"robot = '{robot}': allowed: {', '.join(known)}{nearest(robot, known)}")
    return [str(folder / f'{robot}.yaml')] if robot else []


def _of_user(values: dict[str, str]) -> list[str]:
    if not values['params_file']:
        return []
    prefix = f'/{values["namespace"].strip("/")}/'.replace('//', '/')
    names = [f'{prefix}{node}' for node in ('planner', 'controller')]
    return [check_params_file(values['params_file'], *names)]


def _is_true(values: dict[str, str], name: str) -> bool:
    if values[name] not in ('true', 'false'):
        raise ValueError(f"{name} = '{values[name]}': allowed: true, false")
    return values[name] == 'true'


def _node(name: str, parameters: list[str | dict[str, object]], values: dict[str, str]) -> Node:
    topics = [(f'~/{topic}', values[topic] or topic) for topic in INPUTS]
    outputs = [('~/target_pose', 'target_pose'), ('~/twist', 'twist')]
    return LifecycleNode(
        package='vjepa2_planner_ros',
        executable=f'{name}_node',
        name=name,
        namespace=values['namespace'],
        parameters=parameters,
        remappings=[*topics, *(outputs if name == 'controller' else [])],
        output='screen',
        emulate_tty=True,
    )


def _rviz(layout: Path, values: dict[str, str]) -> list[Node]:
    if not _is_true(values, 'rviz'):
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


def _web(values: dict[str, str]) -> list[Node]:
    if not _is_true(values, 'web'):
        return []
    return [
        Node(
            package='vjepa2_planner_ros',
            executable='web',
            namespace=values['namespace'],
            arguments=['--host', values['web_host'], '--port', values['web_port']],
            output='screen',
            emulate_tty=True,
        )
    ]
