# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The nodes as programs, which end with code 0 on SIGINT and SIGTERM from their first moment on.

Importing a node takes seconds on a machine that is busy; until it handles signals itself, there
is nothing to end in order.
"""

import os
import signal


def planner_node() -> int:
    """Run the planner."""
    _end_at_once_on_signals()
    from .planner_node import main

    return main()


def controller_node() -> int:
    """Run the controller."""
    _end_at_once_on_signals()
    from .controller_node import main

    return main()


def simulation_node() -> int:
    """Run the simulator."""
    _end_at_once_on_signals()
    from .simulation_node import main

    return main()


def _end_at_once_on_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
