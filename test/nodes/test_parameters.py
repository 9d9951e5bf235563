# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters: described and ranged, refused by name, equal to the shipped files."""

from dataclasses import replace
from pathlib import Path
import threading

import numpy as np
from planner_rig import eventually, GOAL
import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter, ParameterType
from tools import parameter_docs
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes import parameters
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.settings import Settings
from vjepa2_planner_ros.planning.config import CemConfig, SearchConfig, TrustRegionConfig
import yaml

CONFIG = Path(__file__).parents[2] / 'config'
OF_RCLPY = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')


@pytest.fixture
def make_node(context):
    """Return a function that makes a planner which does not start by itself."""
    nodes = []

    def make(*arguments, **overrides):
        nodes.append(
            PlannerNode(
                context=context,
                use_global_arguments=False,
                cli_args=['--ros-args', *arguments],
                parameter_overrides=[
                    Parameter('autostart', value=False),
                    *(Parameter(name, value=value) for name, value in overrides.items()),
                ],
            )
        )
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


def declared(node):
    """Return {name: Parameter} of the planner's own parameters."""
    return {name: item for name, item in node._parameters.items() if not name.startswith(OF_RCLPY)}


def flat(tree, prefix=''):
    """Return the leaves of a parameter file as {dotted name: value}."""
    leaves = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves.update(flat(value, f'{prefix}{key}.'))
        else:
            leaves[prefix + key] = value
    return leaves


@pytest.mark.case(48)
def test_every_parameter_is_described_and_every_number_ranged(make_node):
    node = make_node()
    for name in declared(node):
        descriptor = node.describe_parameter(name)
        assert descriptor.description.endswith(('.', ']')), name
        if descriptor.type == ParameterType.PARAMETER_INTEGER:
            assert descriptor.integer_range, name
        if descriptor.type == ParameterType.PARAMETER_DOUBLE:
            assert descriptor.floating_point_range, name


@pytest.mark.case(48)
def test_documents_are_those_of_the_table():
    root = CONFIG.parent
    for node in parameter_docs.NODES:
        file = root / 'config' / f'{node}.yaml'
        assert file.read_text() == parameter_docs.yaml_text(node)
    assert (root / 'docs' / 'parameters.md').read_text() == parameter_docs.markdown_text()


@pytest.mark.case(51)
def test_planner_yaml_holds_every_parameter_with_its_default(make_node):
    content = yaml.safe_load((CONFIG / 'planner.yaml').read_text())
    assert list(content) == ['/**']  # a bare node name would be inert under a namespace
    shipped = flat(content['/**']['ros__parameters'])
    defaults = {
        name: list(item.value) if isinstance(item.value, (list, tuple)) else item.value
        for name, item in declared(make_node(autostart=True)).items()
    }
    assert shipped == defaults
    assert {name: type(value) for name, value in shipped.items()} == {
        name: type(value) for name, value in defaults.items()
    }


@pytest.mark.case(51)
@pytest.mark.parametrize('name', ['planner', 'sim-panda-ac', 'vit-giant-ac'])
def test_shipped_files_load_under_a_namespace(make_node, name):
    path = CONFIG / f'{name}.yaml'
    node = make_node('--params-file', str(path), '-r', '__ns:=/cell')
    shipped = flat(yaml.safe_load(path.read_text())['/**']['ros__parameters'])
    assert shipped.keys() <= declared(node).keys()
    assert node.get_namespace() == '/cell'
    assert parameters.read(node, Settings).model == shipped['model']


def test_file_of_a_model_only_holds_what_differs():
    defaults = flat(
        yaml.safe_load((CONFIG / 'planner.yaml').read_text())['/**']['ros__parameters']
    )
    model = flat(
        yaml.safe_load((CONFIG / 'vit-giant-ac.yaml').read_text())['/**']['ros__parameters']
    )
    assert all(defaults[name] != value for name, value in model.items())


def test_an_optimizer_plans_with_what_both_share_and_its_own():
    shared = SearchConfig(horizon=2, bounds=(0.01,) * 7, seed=3)
    for optimizer, own in (('cem', CemConfig(samples=9)), ('trust_region', TrustRegionConfig())):
        settings = Settings(optimizer=optimizer, search=shared, **{optimizer: own})
        assert settings.plan_config(time_limit=1.0) == replace(
            own, horizon=2, bounds=(0.01,) * 7, seed=3, time_limit=1.0
        )


@pytest.mark.parametrize(
    'name, value',
    [
        ('cem.samples', 0),
        ('cem.iterations', 1000),
        ('cem.elite_fraction', 0.0),
        ('cem.elite_fraction', float('nan')),
        ('search.horizon', 17),
        ('cem.momentum_mean', 1.0),
        ('cem.initial_std', [-0.5] * 7),
        ('search.cost', 'l3'),
        ('search.preset', 'mine'),
        ('search.bounds', [0.05] * 6),
        ('search.bounds', [0.2] + [0.0] * 6),
        ('search.bounds', [-0.1] + [0.0] * 6),
        ('search.bounds', [float('nan')] * 7),
        ('search.axes', ['x', 'w']),
        ('search.axes', ['x', 'x']),
        ('max_skew', -1.0),
        ('dtype', 'float8'),
        ('gripper.open_position', 0.0),
        ('model', ''),
        ('history.folder', '~nobody-of-that-name/plans'),
    ],
)
def test_wrong_value_is_refused_with_its_name(robot, name, value):
    before = robot.planner.get_parameter(name).value
    (answer,) = robot.planner.set_parameters([Parameter(name, value=value)])
    assert not answer.successful
    assert name in answer.reason
    assert np.array_equal(robot.planner.get_parameter(name).value, before)
    assert np.isfinite(robot.plan(iterations=1).command).all()


@pytest.mark.parametrize(
    'name, value',
    [('calibration', '~nobody-of-that-name/camera.yaml'), ('decoder', '/' + 'x' * 5000)],
)
def test_a_path_that_the_system_refuses_is_answered(robot, name, value):
    # What such a check raises would leave the client of ~/set_parameters without an answer.
    client = robot.node.create_client(SetParameters, 'planner/set_parameters')
    assert client.wait_for_service(60.0)
    answer = client.call_async(
        SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    )
    eventually(answer.done, timeout=10.0)
    (result,) = answer.result().results
    assert not result.successful and name in result.reason and '\n' not in result.reason
    robot.node.destroy_client(client)


def test_reason_names_value_and_what_is_allowed(robot):
    (answer,) = robot.planner.set_parameters([Parameter('search.bounds', value=[0.2] + [0.0] * 6)])
    assert all(part in answer.reason for part in ('search.bounds (x)', '0.2', '0 to 0.1'))


@pytest.mark.case(17)
def test_elites_and_samples_are_checked_together(robot):
    alone = robot.planner.set_parameters([Parameter('cem.elite_fraction', value=0.001)])[0]
    assert not alone.successful and 'at least one elite of 200 samples' in alone.reason
    assert robot.planner.set_parameters_atomically(
        [Parameter('cem.elite_fraction', value=0.001), Parameter('cem.samples', value=1000)]
    ).successful
    assert robot.planner.set_parameters_atomically(
        [Parameter('cem.elite_fraction', value=0.2), Parameter('cem.samples', value=200)]
    ).successful


def test_start_only_parameters_are_read_only(robot):
    (answer,) = robot.planner.set_parameters([Parameter('base_frame', value='world')])
    assert not answer.successful


@pytest.mark.case(49)
@pytest.mark.parametrize(
    'name, value',
    [
        ('cem.samples', 0),
        ('search.axes', ['up']),
        ('cameras', ['left', 'left']),
        ('cameras', ['not a name']),
        ('search.bounds', [0.2] * 7),
        ('max_image_age', 0.0),
        ('cem.samples', 1.5),
        ('autostart', 'yes'),
        ('camera.main.crop', 'middle'),
        ('camera.main.crop', '0 0 1'),
        ('camera.main.crop', '0.5 0 0.6 1'),
        ('camera.main.crop', '0 0 1 0.01'),
        ('camera.main.crop', '0 nan 1 1'),
        ('camera.main.crop', '0 0 640 480'),
    ],
)
def test_wrong_override_fails_at_start_with_its_name(make_node, name, value):
    with pytest.raises(Exception, match=name):
        make_node(**{name: value})


@pytest.mark.case(50)
def test_change_takes_effect_with_the_next_goal(robot):
    rolling, go_on, samples = threading.Event(), threading.Event(), []

    def fault(latents):
        samples.append(len(latents))
        rolling.set()
        assert go_on.wait(60.0)
        return latents

    robot.model.fault = fault
    future = robot.client.plan_async(ToyWorldModel.picture(GOAL), iterations=3)
    assert rolling.wait(60.0)
    assert robot.planner.set_parameters([Parameter('cem.samples', value=70)])[0].successful
    go_on.set()
    future.result(60.0)
    # Then the plan and doing nothing, and the plan with axes at 0.
    assert samples[:4] == [200, 200, 200, 2]
    del samples[:]
    robot.plan(iterations=1)
    assert samples[:2] == [70, 2]
    robot.planner.set_parameters([Parameter('cem.samples', value=200)])


def test_bounds_narrow_the_model_s_and_never_widen_them(make_robot):
    robot = make_robot(search__bounds=[0.01, -1.0, 0.02, 0.0, 0.0, 0.0, 0.1]).ready()
    command = robot.plan(iterations=10).command
    assert np.allclose(command, [0.01, -0.02, 0.02, 0, 0, 0, -0.1], atol=2e-3)
    robot.planner.set_parameters([Parameter('search.bounds', value=[0.09] + [0.0] * 6)])
    with pytest.raises(PlanFailed) as failure:
        robot.plan()
    assert failure.value.code == ErrorCode.INVALID_SETTINGS
    assert all(part in failure.value.message for part in ('search.bounds', 'x', '0.09', '0.05'))
