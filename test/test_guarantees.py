# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every guarantee of docs/guarantees.md is shown by a test, and the code is lint-free."""

import ast
from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINTERS = ('ament_flake8', 'ament_pep257')


def guarantees():
    """Return the numbers of docs/guarantees.md, in order."""
    text = (ROOT / 'docs' / 'guarantees.md').read_text()
    return [int(number) for number in re.findall(r'^(\d+)\. ', text, re.M)]


def marked_numbers(file):
    """Return the numbers in the case markers of a file's tests."""
    numbers = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith('test_'):
            numbers += [ast.literal_eval(number) for decorator in node.decorator_list
                        if ast.unparse(decorator).startswith('pytest.mark.case(')
                        for number in decorator.args]
    return numbers


def test_every_guarantee_has_a_test_and_every_case_is_a_guarantee():
    numbers = guarantees()
    assert numbers == list(range(1, 67))
    shown = {number for file in ROOT.glob('test/**/test_*.py') for number in marked_numbers(file)}
    assert shown == set(numbers)


@pytest.mark.case(60)
@pytest.mark.parametrize('linter', LINTERS)
def test_linters_find_nothing(linter):
    pytest.importorskip(linter, reason=f'{linter} is not installed')
    files = [str(file) for file in sorted(ROOT.glob('**/*.py'))
             if not {'.venv', 'build', 'install', 'log'} & set(file.relative_to(ROOT).parts)]
    assert len(files) > 50
    done = subprocess.run([sys.executable, '-m', f'{linter}.main', *files],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
