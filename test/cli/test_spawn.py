# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that a command has started end with it, however it ends."""

from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import time
from vjepa2_planner_ros.cli.spawn import SpawnedNode

with SpawnedNode('controller', 'vjepa2_planner_ros.nodes.controller_node', {}, {}) as node:
    print(node.pid, flush=True)
    time.sleep(60.0)
"""


@pytest.mark.slow
@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGHUP))
def test_nodes_end_with_the_command(number):
    command = subprocess.Popen([sys.executable, '-c', SCRIPT], stdout=subprocess.PIPE, text=True)
    node = Path('/proc', command.stdout.readline().strip())
    assert node.exists()
    time.sleep(1.0)
    command.send_signal(number)
    assert command.wait(20.0) == 128 + number
    assert not node.exists()
