# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much the console takes at once, so that memory and the planner's share stay bounded."""

MAX_PICTURE_BYTES = 8 << 20  # of an uploaded file
MAX_PIXELS = 16 << 20  # of a picture, before it is decoded
MAX_BODY = 24 << 20  # bytes of a request: two pictures in base64
BODIES = 2  # requests with a body of more than SMALL_BODY that are read at once
SMALL_BODY = 64 << 10
BODY_WITHIN = 30.0  # s that a client may take to send one
WAITING = 32  # requests that wait for that; more are told to come back
KEPT_PICTURES = 96 << 20  # bytes of uploaded pictures; the oldest go first
QUEUED_PLANS = 16
KEPT_TASKS = 100
KEPT_LINES = 500  # of the log
PREVIEW = 640  # pixels, longest side of a picture as the pages show it
