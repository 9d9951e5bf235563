# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of rqt_plot: which fields of a message it draws, and how they are named."""

from importlib import import_module

from rosidl_parser.definition import Array, BasicType, NamespacedType


def plottable(kind, path=''):
    """
    Yield the paths of a message type that rqt_plot draws.

    Those are numbers and booleans, also inside other messages, and each element of an array of
    them whose length is fixed.
    """
    for name, slot in zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES):
        if isinstance(slot, BasicType):
            yield path + name
        elif isinstance(slot, Array) and isinstance(slot.value_type, BasicType):
            yield from (f'{path}{name}[{index}]' for index in range(slot.size))
        elif isinstance(slot, NamespacedType):
            module = import_module('.'.join(slot.namespaces))
            yield from plottable(getattr(module, slot.name), f'{path}{name}/')


def value_at(message, path):
    """Return what a path like a/b[2] leads to."""
    for part in path.split('/'):
        name, _, index = part.partition('[')
        message = getattr(message, name)
        if index:
            message = message[int(index[:-1])]
    return message
