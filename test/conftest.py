# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What holds for every test: a ROS domain of its own, and messages that check their fields."""

import os
import random
import signal

from browser import chromium, page, patient_chromium  # noqa: F401, fixtures
from file_server import server  # noqa: F401, a fixture

# Before anything imports rclpy or a message; scripts/test sets them too.
os.environ.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(1, 100)))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
# A process that crashes in the middleware says where.
os.environ.setdefault('PYTHONFAULTHANDLER', '1')
# Threads of torch that wait for each other stand still on a machine that has other work too.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# A shell that starts the tests in the background has Ctrl-C ignored by them and their children,
# and nohup a terminal that closes.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
