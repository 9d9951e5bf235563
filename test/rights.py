# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What nodes have in the ROS graph, and what the policy for SROS 2 lets them have."""

from pathlib import Path
from xml.etree import ElementTree

from rclpy.node import NodeNameNonExistentError

POLICY = Path(__file__).parents[1] / 'config' / 'security' / 'policy.xml'
OF_GRAPH = {
    'publish': 'publisher',
    'subscribe': 'subscriber',
    'reply': 'service',
    'request': 'client',
}
OF_ACTIONS = {'reply': 'execute', 'request': 'call', 'publish': 'execute', 'subscribe': 'call'}


def allowed(enclave, namespace, renamed=()):
    """
    Return the (right, full name) that an enclave has for nodes of a namespace.

    :param renamed: {name in the policy: full name} of topics that are remapped.
    """
    root = ElementTree.parse(POLICY).getroot()
    profile = root.find(f".//enclave[@path='/{enclave}']//profile")
    found = set()
    for group in profile:
        (right,) = group.attrib
        for entry in group:
            name = dict(renamed).get(entry.text, entry.text)
            name = name.replace('~', f'{namespace}/{profile.get("node")}', 1)
            found.add((right, name if name[0] == '/' else f'{namespace}/{name}'))
    return found


def had(looker, nodes):
    """
    Return the (right, full name) that nodes have, as a node that looks sees it.

    :param nodes: (name, namespace) of each; one that is gone has nothing.
    """
    found = set()
    for node in nodes:
        for right, kind in OF_GRAPH.items():
            try:
                names = getattr(looker, f'get_{kind}_names_and_types_by_node')(*node)
            except NodeNameNonExistentError:
                continue
            for name, _ in names:
                name, _, action = name.partition('/_action/')
                found.add((OF_ACTIONS[right] if action else right, name))
    return found
