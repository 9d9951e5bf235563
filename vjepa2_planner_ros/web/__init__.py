# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console in a browser: pages, REST and WebSocket; a client of the nodes like any other."""
