# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the YAML files and docs/parameters.md from the fields that describe the parameters.

Run it in the repository after a change of one of them:
scripts/run python -m tools.parameter_docs
"""

import json
from pathlib import Path
import textwrap

from vjepa2_planner_ros.messages import input_settings
from vjepa2_planner_ros.messages.input_settings import CameraSettings
from vjepa2_planner_ros.nodes.controller_settings import ControllerSettings
from vjepa2_planner_ros.nodes.parameters import MAX_INT
from vjepa2_planner_ros.nodes.settings import Settings
from vjepa2_planner_ros.planning.config import described

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 92  # columns of the YAML file
HEADER = """\
# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Every parameter of the {node} with its default. Copy what you want to change; 1.0 and 1 are
# different types here: write 1.0 where a default has a dot.
# Written by: python -m tools.parameter_docs
/**:
  ros__parameters:
"""
PAGE = """\
# Parameters

<!-- Written by: python -m tools.parameter_docs -->

A wrong value is refused, and the message names the parameter and what is allowed. A change takes
effect with the next goal, unless the table says otherwise. `config/planner.yaml` and
`config/controller.yaml` have every parameter with its default: copy what you want to change, into
a file keyed `/**:`, which works in every namespace and for both nodes. `1.0` and `1` are different
types: write `1.0` where a default has a dot.
"""
NODES = {'planner': Settings, 'controller': ControllerSettings}
TYPES = {bool: 'bool', int: 'int', float: 'double', str: 'string'}


def rows(node, camera):
    """Yield (ROS name, field) of every parameter, those of one camera after cameras."""
    for name, row in input_settings.rows(NODES[node]):
        yield name, row
        if name == 'cameras':
            yield from ((f'camera.{camera}.{one.name}', one) for one in described(CameraSettings))


def yaml_text(node):
    """Return the content of the node's file in config/."""
    lines, above = [], []
    for name, row in rows(node, 'main'):
        *groups, leaf = name.split('.')
        shared = next(
            (i for i, (a, b) in enumerate(zip(groups, above)) if a != b),
            min(len(groups), len(above)),
        )
        lines += [
            f'{_indent(level)}{group}:' for level, group in enumerate(groups) if level >= shared
        ]
        indent, above = _indent(len(groups)), groups
        comment = _comment(row, 'At start only.')
        lines += textwrap.wrap(
            comment, WIDTH, initial_indent=f'{indent}# ', subsequent_indent=f'{indent}# '
        )
        lines.append(f'{indent}{leaf}: {_default(row)}')
    return HEADER.replace('{node}', node) + '\n'.join(lines) + '\n'


def markdown_text():
    """Return the content of docs/parameters.md."""
    lines = []
    for node in NODES:
        lines += ['', f'## {node.capitalize()}', '', '| parameter | type | default | |']
        lines.append('|---|---|---|---|')
        for name, row in rows(node, 'NAME'):
            text = _comment(row, '*At start only.*')
            lines.append(f'| `{name}` | {_type(row)} | `{_default(row)}` | {text} |')
    return PAGE + '\n'.join(lines) + '\n'


def main():
    """Write all of them."""
    for node in NODES:
        (ROOT / 'config' / f'{node}.yaml').write_text(yaml_text(node))
    (ROOT / 'docs' / 'parameters.md').write_text(markdown_text())


def _indent(level):
    return '    ' + '  ' * level


def _comment(row, at_start):
    """Return what a parameter is and may be; at_start is added if it is set at start only."""
    last = at_start if row.metadata['read_only'] else ''
    return ' '.join(filter(None, (row.metadata['text'], _unit(row), _allowed(row), last)))


def _unit(row):
    return f'[{row.metadata["unit"]}]' if row.metadata['unit'] else ''


def _allowed(row):
    data = row.metadata
    if data['choices']:
        names = ', '.join(choice or "''" for choice in data['choices'])
        return f'One of: {names}.'
    return (
        '' if data['low'] is None else f'From {data["low"]:g} to {min(data["high"], MAX_INT):g}.'
    )


def _type(row):
    if isinstance(row.default, tuple):
        return TYPES[type(row.default[0])] + '[]'
    return TYPES[type(row.default)]


def _default(row):
    """Return the default as YAML; in quotes, because y alone is a yes there."""
    value = row.default
    if isinstance(value, tuple):
        return f'[{", ".join(map(_scalar, value))}]'
    return _scalar(value)


def _scalar(value):
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


if __name__ == '__main__':
    main()
