# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A switch that somebody must hold while the arm moves."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool

from ..control.config import DeadMan


class DeadManSwitch:
    """The switch of the parameters dead_man; without a topic it is held for ever."""

    def __init__(self, node: Node, config: DeadMan):
        self._topic, self._button, self._timeout = config.topic, config.button, config.timeout
        self._held_at = -1.0  # of time.monotonic(); < 0 = not held
        if config.topic:
            kind = Bool if config.button < 0 else Joy
            node.create_subscription(kind, config.topic, self._on_message, qos_profile_sensor_data)

    def problem(self) -> str:
        """Return why the arm may not move, '' if it may."""
        if not self._topic:
            return ''
        if self._held_at < 0.0:
            return f"the switch on '{self._topic}' is not held"
        silent = time.monotonic() - self._held_at
        if silent > self._timeout:
            return (
                f"the switch on '{self._topic}' has been silent for {silent:.2f} s: allowed: "
                f'dead_man.timeout = {self._timeout:g} s'
            )
        return ''

    def _on_message(self, message: Any) -> None:
        if self._button < 0:
            held = message.data
        else:
            buttons = message.buttons
            held = self._button < len(buttons) and bool(buttons[self._button])
        self._held_at = time.monotonic() if held else -1.0
