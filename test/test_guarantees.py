# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every guarantee of docs/guarantees.md is shown by a test."""

import ast
from pathlib import Path
import re

ROOT = Path(__file__).resolve().parent.parent


def guarantees():
    """Return the numbers of docs/guarantees.md, in order."""
    text = (ROOT / 'docs' / 'guarantees.md').read_text()
    return [int(number) for number in re.findall(r'^(\d+)\. ', text, re.M)]


def marked_numbers(file):
    """Return the numbers in the case markers of a file's tests."""
    numbers = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
            numbers += [
                ast.literal_eval(number)
                for decorator in node.decorator_list
                if ast.unparse(decorator).startswith('pytest.mark.case(')
                for number in decorator.args
            ]
    return numbers


def test_every_guarantee_has_a_test_and_every_case_is_a_guarantee():
    numbers = guarantees()
    assert numbers == list(range(1, 76))
    shown = {number for file in ROOT.glob('test/**/test_*.py') for number in marked_numbers(file)}
    assert shown == set(numbers) - {60}  # scripts/lint shows that one
