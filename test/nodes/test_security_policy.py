# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy file for SROS 2 names what the planner really has, no more and no less."""

from pathlib import Path
from xml.etree import ElementTree

from planner_rig import eventually
from rclpy.action import get_action_server_names_and_types_by_node

POLICY = Path(__file__).parents[2] / 'config' / 'security' / 'policy.xml'
# Only under simulated time, with ee_frame, and for a camera on the hand.
SOMETIMES = {'/clock', '/tf', '/tf_static', '~/camera_info'}


def named(kind, right, enclave='/planner'):
    """Return the names of a right in the policy."""
    root = ElementTree.parse(POLICY).getroot()
    entries = root.iterfind(f".//enclave[@path='{enclave}']//{kind}s[@{right}='ALLOW']/{kind}")
    return {entry.text for entry in entries}


def had(robot, function):
    """Return the names that a function of the graph tells of the planner, as in the policy."""
    planner = robot.planner
    own, space = planner.get_fully_qualified_name(), planner.get_namespace()
    found = function(robot.node, planner.get_name(), space)
    names = [name.replace(f'{own}/', '~/').replace(f'{space}/', '') for name, _ in found]
    return {name for name in names if '/_action/' not in name}


def topics(way):
    return lambda node, *name: getattr(node, f'get_{way}_names_and_types_by_node')(*name)


def test_policy_names_every_topic_service_and_action_of_the_planner(robot):
    for kind, right, function in (
        ('topic', 'publish', topics('publisher')),
        ('topic', 'subscribe', topics('subscriber')),
        ('service', 'reply', topics('service')),
        ('service', 'request', topics('client')),
        ('action', 'execute', get_action_server_names_and_types_by_node),
    ):
        expected = named(kind, right) - SOMETIMES
        eventually(lambda: had(robot, function) == expected, timeout=10.0)  # noqa: B023


def test_client_may_ask_for_nothing_that_the_planner_does_not_have():
    allowed = {f'/planner/{name[2:]}' for name in named('service', 'reply')}
    assert named('service', 'request', '/plan_client') <= allowed
    assert named('action', 'call', '/plan_client') <= named('action', 'execute')
    assert named('service', 'request', '/plan_client').isdisjoint(
        {'/planner/delete_plan', '/planner/set_parameters', '/planner/unload_model'}
    )
