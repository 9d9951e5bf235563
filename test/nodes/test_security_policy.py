# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The policy for SROS 2 names what the processes really have, no more and no less."""

import subprocess
import sys

from controller_rig import Lab, REMAPPED
from planner_rig import eventually
import pytest
from rights import allowed, had

# Only under simulated time, with ee_frame, for a camera on the hand, for a dead-man switch, and
# by what is set for arm and gripper.
SOMETIMES = {
    ('subscribe', '/clock'),
    ('subscribe', '/tf'),
    ('subscribe', '/tf_static'),
    ('subscribe', '~/camera_info'),
    ('subscribe', '/web/alive'),
    ('publish', '~/twist'),
    ('call', '~/gripper_command'),
}


def check(looker, node, enclave, others=(), renamed=()):
    """Check that a node of the enclave's name and its other nodes have just what is allowed."""
    own, space = node.get_fully_qualified_name(), node.get_namespace()
    nodes = [(one.get_name(), space) for one in (node, *others)]
    sometimes = {(right, name.replace('~', own, 1)) for right, name in SOMETIMES}
    expected = allowed(enclave, space, renamed) - sometimes
    eventually(lambda: had(looker, nodes) == expected)


def test_the_planner_has_what_its_enclave_names(robot):
    check(robot.node, robot.planner, 'planner')


def test_the_controller_has_what_its_enclave_names(context):
    lab = Lab(context, {'gripper_output.name': '~/gripper_command'})
    renamed = {f'~/{name}': f'planner/{name}' for name in REMAPPED}
    try:
        check(
            lab.robot.node,
            lab.ready().controller,
            'controller',
            [lab.controller.planner._node],
            renamed,
        )
    finally:
        lab.close()


@pytest.mark.slow
@pytest.mark.parametrize('command, action', (('plan', 'plan'), ('reach', 'reach_goal')))
def test_a_command_has_nothing_that_its_enclave_does_not_name(robot, goal_file, command, action):
    space, looker = f'/asks_to_{command}', robot.node
    words = ['--goal', goal_file, '--wait', '100', '--ros-args', '-r', f'__ns:={space}']
    words = [sys.executable, '-m', f'vjepa2_planner_ros.cli.{command}', *words]
    may = allowed(f'{command}_client', space)

    def has():
        nodes = looker.get_node_names_and_namespaces()
        return had(looker, [node for node in nodes if node[1] == space])

    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:  # a client of the action, and what says why nobody answers
        eventually(lambda: {('call', f'{space}/{action}'), ('subscribe', '/diagnostics')} <= has())
        assert has() <= may
    finally:
        process.kill()
        process.communicate()


def test_a_client_may_ask_for_nothing_that_the_nodes_do_not_have():
    offered = allowed('planner', '') | allowed('controller', '')
    offered = {name for right, name in offered if right in ('reply', 'execute')}
    for enclave in ('controller', 'plan_client', 'reach_client', 'web'):
        asked = {name for right, name in allowed(enclave, '') if right in ('request', 'call')}
        assert asked - offered <= {'/controller/gripper_command'}  # the gripper's driver has it


def test_only_the_controller_moves_the_arm_and_only_two_may_arm_it():
    every = ('planner', 'controller', 'plan_client', 'reach_client', 'web')
    rights = {enclave: allowed(enclave, '') for enclave in every}

    def who(right, name):
        return {enclave for enclave in every if (right, name) in rights[enclave]}

    for topic in ('target_pose', 'twist', 'gripper_command'):
        assert who('publish', f'/controller/{topic}') == {'controller'}
    for asked in (('request', '/controller/arm'), ('call', '/reach_goal')):
        assert who(*asked) == {'reach_client', 'web'}
    for service in ('delete_plan', 'set_parameters', 'unload_model'):
        assert who('request', f'/planner/{service}') == {'web'}
