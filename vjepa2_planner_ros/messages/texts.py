# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Texts for a log or a terminal; names in goals and recordings come from outside."""

from __future__ import annotations

import re

LONGEST = 2000  # characters
CONTROLS = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def one_line(text: str, longest: int = LONGEST) -> str:
    """
    Return a text on one line without control characters, which are escaped, and not longer.

    A line break would forge a line of a log, and an escape sequence command the terminal.
    """
    if len(text) > longest:
        text = f'{text[: longest // 2]} ... {text[-longest // 4 :]}'
    return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def dtype_name(dtype: object) -> str:
    """Return the name of a dtype of PyTorch as the parameter dtype has it."""
    return str(dtype).removeprefix('torch.')
