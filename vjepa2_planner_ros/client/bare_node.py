# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that offers nothing of its own: for clients and for commands that listen."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter


def bare_node(name: str, **options: Any) -> Node:
    """
    Return a node without services.

    It is discovered sooner, and a policy of SROS 2 need not name the services of a node whose
    name changes.

    :param options: of rclpy's Node.
    """
    return Node(
        name,
        parameter_overrides=[Parameter('start_type_description_service', value=False)],
        start_parameter_services=False,
        **options,
    )
