# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw the rooms of the package and their imports into docs/architecture.md.

scripts/run python -m tools.rooms
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
import re

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'vjepa2_planner_ros'
PICTURE = re.compile(r'(?<=```mermaid\n).*?(?=```)', re.S)


def room(name):
    """Return the room of a dotted name in the package, None for a name outside it."""
    package, _, rest = name.partition('.')
    return rest.partition('.')[0] if package == PACKAGE else None


def imported_names(file):
    """Yield the absolute dotted names of what a file imports, wherever in the file."""
    folders = file.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folders[: len(folders) - node.level + 1] if node.level else ()
            for alias in node.names:
                yield '.'.join([*base, *filter(None, [node.module]), alias.name])


def arrows():
    """Return {room: rooms it imports}."""
    found = {}
    for file in sorted(ROOT.glob(f'{PACKAGE}/**/*.py')):
        name = room('.'.join(file.relative_to(ROOT).with_suffix('').parts))
        if name != '__init__':
            targets = found.setdefault(name, set())
            targets |= {room(imported) for imported in imported_names(file)} - {None, name}
    return found


def picture():
    """Return the rooms as a mermaid flowchart, without the arrows that longer ways imply."""
    graph, below, lines = arrows(), {}, ['flowchart TD']
    for name in TopologicalSorter(graph).static_order():  # CycleError names a circle
        below[name] = graph[name].union(*(below[target] for target in graph[name]))
    for name, targets in sorted(graph.items()):
        implied = set().union(*(below[target] for target in targets))
        lines += [f'    {name} --> {target}' for target in sorted(targets - implied)]
    return '\n'.join(lines) + '\n'


def main():
    """Write the picture."""
    page = ROOT / 'docs' / 'architecture.md'
    page.write_text(PICTURE.sub(lambda _: picture(), page.read_text(), count=1))


if __name__ == '__main__':
    main()
