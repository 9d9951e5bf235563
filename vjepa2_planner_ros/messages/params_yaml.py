# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is in a parameter file of ROS; no ROS."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from typing import Any

import yaml

from ..planning.config import require

PARAMETERS = 'ros__parameters'
ALLOWED = (
    f"nodes, each with {PARAMETERS}: the file begins with '/**:', which is every node, or the "
    f"name of one, then '{PARAMETERS}:', then parameters, each line indented more than the one "
    'before'
)


def expanded(path: str) -> str:
    """Return a path with ~ replaced by the folder of a user."""
    return os.path.expanduser(path)


def read_text(path: str) -> str:
    """Return the text of a file; ValueError of one line if it cannot be read."""
    try:
        return Path(expanded(path)).read_text()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not text'
        message = f'params_file = {path!r}: allowed: a YAML file that can be read: {reason}'
        raise ValueError(message) from error


def not_yaml(name: str, error: yaml.YAMLError) -> str:
    """Return a text of one line for what PyYAML raised."""
    mark = getattr(error, 'problem_mark', None)
    line = f', line {mark.line + 1}' if mark else ''
    problem = getattr(error, 'problem', None) or 'it cannot be read'
    return f'{name!r} is not YAML{line}: {problem}'


def sections(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (node, {parameter: value}) of a parameter file."""
    try:
        tree = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ValueError(not_yaml(path, error)) from error
    require(bool(tree) and isinstance(tree, dict), 'params_file', repr(path), ALLOWED)
    yield from _nodes(tree, '', path)


def _nodes(tree: dict[Any, Any], prefix: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in tree.items():
        if key == PARAMETERS and prefix:
            require(isinstance(value or {}, dict), PARAMETERS, f'{value!r} in {path}', ALLOWED)
            yield prefix, _flat(value or {})
            continue
        name = f'{prefix}/{key}'.replace('//', '/')
        require(bool(value) and isinstance(value, dict), str(key), f'{value!r} in {path}', ALLOWED)
        yield from _nodes(value, name, path)


def _flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Return the leaves of a tree as {dotted name: value}."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        inner = _flat(value, f'{prefix}{key}.') if isinstance(value, dict) else None
        leaves.update({f'{prefix}{key}': value} if inner is None else inner)
    return leaves
