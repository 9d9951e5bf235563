# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message definitions as text, the way MCAP files carry them."""

from functools import cache, lru_cache
from pathlib import Path
import re

from ament_index_python.packages import get_package_share_directory

BUILT_IN = {
    'bool',
    'byte',
    'char',
    'float32',
    'float64',
    'int8',
    'uint8',
    'int16',
    'uint16',
    'int32',
    'uint32',
    'int64',
    'uint64',
    'string',
    'wstring',
}


@cache
def definition(name) -> str:
    """
    Return the definition of a message and of those in it, concatenated as `ros2msg` wants it.

    :param name: package/msg/Type of an installed message.
    """
    package, _, kind = name.split('/')
    texts = {}
    _collect(package, kind, texts)
    own, *others = texts.items()
    return '\n'.join([own[1], *(f'{"=" * 80}\nMSG: {key}\n{text}' for key, text in others)])


@lru_cache(maxsize=64)
def require_current(topic):
    """Raise ValueError, if a bag Topic was recorded with another definition of its message."""
    if _fields(topic.definition) != _fields(definition(topic.kind)):
        raise ValueError(
            f"topic '{topic.name}' was recorded with another definition of "
            f'{topic.kind} than is installed: allowed: the same fields'
        )


@lru_cache(maxsize=64)
def require_fields(topic):
    """Raise ValueError, if a bag Topic's message lacked a field that is installed."""
    missing = _members(definition(topic.kind)) - _members(topic.definition)
    if missing:
        raise ValueError(
            f"topic '{topic.name}' was recorded with another definition of {topic.kind} than is "
            f'installed: it has no {", ".join(sorted(name for *_, name in missing))}'
        )


def _members(text):
    """Return (message, type, name) of every field in a definition."""
    members, message = set(), ''
    for words in _fields(text):
        if words[0] == 'MSG:':
            message = words[1]
        elif len(words) > 1 and '=' not in ''.join(words):
            members.add((message, *words[:2]))
    return members


def _fields(text):
    return [
        line for line in (line.partition('#')[0].split() for line in text.splitlines()) if line
    ]


def _collect(package, kind, texts):
    if f'{package}/{kind}' in texts:
        return
    text = Path(get_package_share_directory(package), 'msg', f'{kind}.msg').read_text()
    texts[f'{package}/{kind}'] = text
    for words in _fields(text):
        name = re.split(r'[\[<]', words[0])[0]
        if name not in BUILT_IN:
            other, _, inner = name.rpartition('/')
            _collect(other or package, inner, texts)
