# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every service answers: what is raised, many requests at once, and while a transition waits."""

from lifecycle_msgs.srv import GetState
from planner_rig import DEACTIVATE, eventually, Gate, GOAL, transition
from planner_wire import wait
import pytest
from rcl_interfaces.srv import GetParameters
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.srv import (
    ComputeEnergy,
    DeletePlan,
    GetPlan,
    ListModels,
    ListPlans,
    UnloadModel,
)
from vjepa2_planner_ros.nodes import energy_service, model_server

BURST = 500
# The planner's own services, and what fails in the first lines of each without (owner, name).
SERVICES = {
    'cancel': (Trigger, lambda planner: (planner, '_canceller')),
    'compute_energy': (ComputeEnergy, lambda planner: (energy_service, 'parameters')),
    'delete_plan': (DeletePlan, lambda planner: (planner._history, '_store')),
    'get_plan': (GetPlan, lambda planner: (planner._history, '_store')),
    'list_models': (ListModels, lambda planner: (model_server, 'parameters')),
    'list_plans': (ListPlans, lambda planner: (planner._history, '_store')),
    'unload_model': (UnloadModel, lambda planner: (planner._models, '_worker')),
}


@pytest.fixture
def connect(robot):
    """Return a function that returns a connected client of a service of the shared planner."""
    clients = []

    def make(name, kind):
        clients.append(
            robot.node.create_client(kind, f'planner/{name}', qos_profile=QoSProfile(depth=2000))
        )
        assert clients[-1].wait_for_service(60.0)
        return clients[-1]

    yield make
    for client in clients:
        robot.node.destroy_client(client)


def test_they_are_all_here(robot):
    prefix = f'{robot.planner.get_fully_qualified_name()}/'
    own = {
        service.service_name.removeprefix(prefix)
        for service in robot.planner.services
        if service.srv_type.__module__.startswith(('vjepa2_interfaces', 'std_srvs'))
    }
    assert own == SERVICES.keys()


def test_what_is_raised_is_answered(robot, connect, monkeypatch):
    clients = {name: connect(name, kind) for name, (kind, _) in SERVICES.items()}
    for _, broken in SERVICES.values():
        monkeypatch.setattr(*broken(robot.planner), None)
    for name, client in clients.items():
        answer = wait(client.call_async(client.srv_type.Request()))
        text = getattr(answer, 'message', getattr(answer, 'error_msg', ''))
        assert name == 'list_models' or ('Error: ' in text and 'NoneType' in text), name
    eventually(lambda: any('Traceback' in line for line in robot.errors()))
    robot.logs.clear()


@pytest.mark.parametrize('name', SERVICES)
@pytest.mark.slow
def test_a_burst_is_answered_whole(robot, connect, name):
    if name == 'unload_model':
        robot.planner._worker.unload()  # what it then says to each
    kind, _ = SERVICES[name]
    client = connect(name, kind)
    answers = [client.call_async(kind.Request()) for _ in range(BURST)]
    eventually(lambda: all(answer.done() for answer in answers))
    if name == 'unload_model':
        robot.plan(iterations=1)


def test_state_and_parameters_answer_while_a_transition_waits_for_a_plan(make_robot):
    robot = make_robot().ready()
    state = robot.node.create_client(GetState, 'planner/get_state')
    parameters = robot.node.create_client(GetParameters, 'planner/get_parameters')
    for client in (state, parameters):
        assert client.wait_for_service(60.0)
    with Gate(robot) as gate:
        robot.client.plan_async(ToyWorldModel.picture(GOAL))
        gate.reached()
        deactivated = transition(robot, DEACTIVATE, wait=False)
        eventually(lambda: robot.planner.health[0] == 'inactive')
        assert wait(state.call_async(GetState.Request())).current_state.label == 'deactivating'
        (model,) = wait(parameters.call_async(GetParameters.Request(names=['model']))).values
        assert model.string_value == 'sim-panda-ac'
        assert not deactivated.done()
        second = transition(robot, DEACTIVATE, wait=False)  # it waits for the first one
    assert wait(deactivated).success and not wait(second).success
    robot.logs.clear()
