# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message definitions as text, the way MCAP files carry them."""

from functools import cache, lru_cache
from pathlib import Path
import re
from typing import Any

from ament_index_python.packages import get_package_share_directory

NUMBERS = (f'{kind}{bits}' for kind in ('int', 'uint', 'float') for bits in (8, 16, 32, 64))
# Fields that messages got since there are recordings, and what they are in those without.
JUDGED = {'confidence_calibrated': False, 'has_surprise': False, 'surprise': 0.0}
DRAWN = {'has_imagined': False, 'imagined_error': 0.0}
ADDED: dict[str, dict[str, Any]] = {
    'vjepa2_interfaces/msg/PlanRecord': {'run_id': None, 'calibration': '', **JUDGED, **DRAWN},
    'vjepa2_interfaces/msg/ReachStep': {'energy_rise': 0.0, 'near_energy': 0.0, **JUDGED},
}
BUILT_IN = {'bool', 'byte', 'char', 'string', 'wstring', *NUMBERS}


@cache
def definition(name: str) -> str:
    """
    Return the definition of a message and of those in it, concatenated as `ros2msg` wants it.

    :param name: package/msg/Type of an installed message.
    """
    package, _, kind = name.split('/')
    texts: dict[str, str] = {}
    _collect(package, kind, texts)
    (_, first), *others = texts.items()
    return '\n'.join([first, *(f'{"=" * 80}\nMSG: {key}\n{text}' for key, text in others)])


@lru_cache(maxsize=64)
def require_fields(topic, exact: bool = False) -> None:
    """
    Raise ValueError, if a bag Topic's message is not installed, or lacks a field that is.

    Fields that were ADDED may be missing.

    :param exact: or if its fields are others, as for reading it without its own definition.
    """
    try:
        installed = definition(topic.kind)
    except (OSError, LookupError):
        raise ValueError(
            f"topic '{topic.name}' holds {topic.kind}, which is not installed: it was recorded by "
            'another version'
        ) from None
    text = (
        f"topic '{topic.name}' was recorded with another definition of {topic.kind} than is "
        'installed'
    )
    missing = {
        (message, *field)
        for message, *field in _members(installed) - _members(topic.definition)
        if field[-1] not in ADDED.get(message or topic.kind, {})
    }
    if missing:
        raise ValueError(f'{text}: it has no {", ".join(sorted(name for *_, name in missing))}')
    if exact and _fields(installed) != _fields(topic.definition):
        raise ValueError(f'{text}: allowed: the same fields')


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
