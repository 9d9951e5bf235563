# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much the console takes at once, so that memory and the planner's share stay bounded."""

MAX_PICTURE_BYTES = 8 << 20  # of an uploaded file
MAX_PIXELS = 16 << 20  # of a picture, before it is decoded
MAX_BODY = 24 << 20  # bytes of a request: two pictures in base64
SMALL_BODY = 4 << 10  # bytes; bigger ones wait for their turn
BODIES = 4  # that are read at once
REST, SHORTEST_REST = 4.0, 0.2  # after one was used: times the time that took, and at least [s]
LONGEST_REST = 2.0  # s
BODY_WITHIN = 30.0  # s that a client may take to send one
WAITING = 32  # requests that wait for their turn; more are told to come back
REFUSE_AFTER = 1.0  # s until they are told so, or a flood would cost more than it is worth
KEPT_PICTURES = 96 << 20  # bytes of uploaded pictures; the oldest go first
QUEUED_PLANS = 16
KEPT_TASKS = 100
KEPT_LINES = 500  # of the log
PREVIEW = 640  # pixels, longest side of a picture as the pages show it
