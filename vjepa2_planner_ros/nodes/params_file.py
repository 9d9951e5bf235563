# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameter files and names, checked before rclpy reads them; no ROS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from math import inf
from pathlib import Path
import re
from typing import Any

import yaml

from .controller_settings import ControllerSettings
from .settings import Settings
from ..messages.input_settings import CameraSettings, rows
from ..messages.params_yaml import expanded, not_yaml, read_text, sections
from ..planning.config import described, require

NODES = ('planner', 'controller', 'simulation')  # of the package, unless __node renames them
OF_RCLPY = ('use_sim_time', 'start_type_description_service')
# What ROS reads as true and false, and PyYAML as text; so `ros2 param dump` leaves them bare.
BARE_BOOLS = ('y', 'Y', 'n', 'N')


def check_params_file(path: str, *nodes: str) -> str:
    """
    Return the path of a parameter file for planner and controller, with ~ expanded.

    ValueError of one line if it cannot be read, or has a node or parameter that is not known.

    :param nodes: their full names, as /namespace/planner.
    """
    check_nodes(path, nodes)
    for name, values in sections(path):
        if name.rpartition('/')[2] != 'simulation':  # it checks its parameters itself
            check_known(values, f' in {path}')
    return expanded(path)


def check_nodes(path: str, nodes: Iterable[str]) -> None:
    """
    Raise ValueError if a parameter file has a section for none of nodes: it would be ignored.

    One file may serve several nodes, so what is for another one of them is right.

    :param nodes: full names, as /namespace/planner.
    """
    names = list(dict.fromkeys(nodes))
    for name, _ in sections(path):
        known = any(_matches(name, node) for node in names)
        require(known, 'node', f'{name!r} in {path}', _nodes_allowed(name, names))


def check_args(args: list[str]) -> None:
    """
    Raise ValueError if a command line has parameters for an unknown node, in a file or by -p.

    Known are the nodes of the package and the node itself, all in the namespace of the node.
    """
    own = {rule: name for rule, name in reversed(_remaps(args)) if rule.startswith('__')}
    prefix = f'/{own.get("__ns", "").strip("/")}/'.replace('//', '/')
    names = (*NODES, *(own[rule] for rule in ('__node', '__name') if rule in own))
    for path in params_files(args):
        check_nodes(path, [prefix + name for name in names])
    for flag, value in zip(args, args[1:]):
        node, mark, _ = value.partition(':=')[0].rpartition(':')
        if flag in ('-p', '--param') and mark:  # -p NODE:NAME:=VALUE
            allowed = f'{", ".join(names)}{nearest(node, names)}'
            require(node in names, 'node', f'{node!r} in -p {value}', allowed)


def params_files(args: list[str]) -> list[str]:
    """Return the parameter files of a command line."""
    return [value for flag, value in zip(args, args[1:]) if flag == '--params-file']


def is_for(path: str, node: str) -> bool:
    """Return whether a parameter file has a section for a node, by its full name."""
    return any(_matches(name, node) for name, _ in sections(path))


def check_known(values: dict[str, Any], where: str = '', cameras: Iterable[str] = ()) -> None:
    """
    Raise ValueError naming a parameter that neither planner nor controller has, and the nearest.

    One file of a robot serves both.

    :param values: by ROS name.
    :param where: added to the message, such as the name of a file.
    :param cameras: names of the cameras; none = any.
    """
    of_nodes = dict.fromkeys(
        name for kind in (Settings, ControllerSettings) for name, _ in rows(kind)
    )
    known = [*of_nodes, *OF_RCLPY]
    of_camera = {row.name: row.default for row in described(CameraSettings)}
    of_cameras = [f'camera.{name}.{leaf}' for name in cameras for leaf in of_camera]
    for name, value in values.items():
        group, _, rest = name.partition('.')
        camera, _, leaf = rest.rpartition('.')
        if name in known or name in of_cameras or group == 'qos_overrides':
            continue
        if group == 'camera' and leaf in of_camera:
            # planner.yaml has the defaults of a camera 'main' that there may not be.
            default = of_camera[leaf]
            if not of_cameras or value == (list(default) if type(default) is tuple else default):
                continue
        choices = [
            *known,
            *(of_cameras or [f'camera.{camera or "NAME"}.{row}' for row in of_camera]),
        ]
        near = nearest(name, choices)
        require(
            False, name, f'{value!r}{where}', f'a parameter of the planner or controller{near}'
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ', the nearest is ...', or '' if nothing is near."""
    names = list(known)
    found = get_close_matches(name, names, n=1, cutoff=0.5) or [
        one for one in names if one.rpartition('.')[2] == name.rpartition('.')[2]
    ]
    return f', the nearest is {found[0]}' if found else ''


def readable_args(args: list[str], folder: str) -> list[str]:
    """
    Return a node's command line with the lists of --params-file and -p as they are meant.

    ROS reads a bare y in a list as true; it is put into quotes, in a copy of the file in
    folder, as `ros2 param dump` does not. ValueError of one line if a file cannot be read.
    """
    answer = list(args)
    for index, (flag, value) in enumerate(zip(args, args[1:]), 1):
        if flag == '--params-file':
            text = read_text(value)
            quoted = _quoted(text, value)
            answer[index] = _written(quoted, folder, index) if quoted != text else expanded(value)
        elif flag in ('-p', '--param'):
            name, mark, given = value.partition(':=')
            answer[index] = name + mark + _quoted(given, f'-p {name}').strip()
    return answer


def _quoted(text: str, name: str) -> str:
    """Return YAML with bare y and n in lists in quotes; as it was if there are none."""
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(not_yaml(name, error)) from error
    bare = [
        item
        for sequence in _inner(tree)
        if isinstance(sequence, yaml.SequenceNode)
        for item in sequence.value
        if isinstance(item, yaml.ScalarNode) and not item.style and item.value in BARE_BOOLS
    ]
    for item in bare:
        item.style = "'"
    return yaml.serialize(tree, Dumper=yaml.SafeDumper, width=inf) if bare else text


def _inner(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if node is not None:
        yield node
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _inner(value)


def _written(text: str, folder: str, number: int) -> str:
    path = Path(folder, f'{number}.yaml')
    path.write_text(text)
    return str(path)


def _matches(pattern: str, node: str) -> bool:
    """Return whether a name of a parameter file, * and ** included, is that of a node."""
    regex = re.escape(pattern).replace(r'/\*\*', r'(/[^/]+)*').replace(r'\*', r'[^/]+')
    return re.fullmatch(regex, node) is not None


def _remaps(args: list[str]) -> list[tuple[str, str]]:
    """Return (from, to) of the remappings of a command line, those of one node included."""
    rules = [
        value.partition(':=') for flag, value in zip(args, args[1:]) if flag in ('-r', '--remap')
    ]
    return [(name.rpartition(':')[2], to) for name, _, to in rules]


def _nodes_allowed(name: str, nodes: Iterable[str]) -> str:
    return f'{", ".join(nodes)}{nearest(name, nodes)}; /** is every node'
