# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The preset `meta` and the parameters of the reference planner give its commands.

The commands were recorded from cem() of facebookresearch/vjepa2 (notebooks/utils/mpc_utils.py,
c2963a4) with a world model whose latents are its states, as the toy's, after torch.manual_seed(5).
"""

import numpy as np
from planner_rig import eventually, GOAL, START
import pytest
from rclpy.parameter import Parameter
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_interfaces.msg import SearchSettings
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.settings import Settings, with_goal, with_preset
from vjepa2_planner_ros.planning.config import CemConfig, SearchConfig, TrustRegionConfig
from vjepa2_planner_ros.planning.search import plan

# x y z and the gripper, closing counted positive, of each step.
WRAPPER = [
    [0.01385152, 0.0139628, 0.02734845, -0.56130612],
    [0.01615805, -0.03402009, 0.01289676, 0.74957913],
]
CLOSING = [
    [0.0212003738, -0.0195451342, 0.0177890733, 0.0],
    [0.00900688861, -0.0000662204257, 0.0220491942, 1.0],
]
FUNCTION = [[0.03000316, -0.01976385, 0.03989851, 0.49993527]]
NOTEBOOK = [
    [0.00750815, -0.02051865, 0.013798, 0.0],
    [-0.00664786, -0.00479303, 0.0237967, 0.5042237],
]
META = SearchConfig(preset='meta', seed=5)


class Wide(ToyWorldModel):
    """The toy with the translation bounds of the notebook."""

    action_bounds = (0.075,) * 3 + ToyWorldModel.action_bounds[3:]


def commands(settings, model=None, **goal):
    """Return x y z and gripper of the steps planned with settings and a goal's search."""
    settings = with_goal(settings, SearchSettings(**goal), None)
    start = torch.tensor(START, dtype=torch.float32)[None, None]
    goal = torch.tensor(GOAL, dtype=torch.float32)[None]
    found = plan(model or ToyWorldModel(), start, START[None], goal, settings.plan_config())
    assert (found.actions[:, 3:6] == 0.0).all()
    return found.actions[:, [0, 1, 2, 6]]


def changed(search, **changes):
    return SearchConfig(**{**vars(search), **changes})


@pytest.mark.parametrize(
    'search, expected',
    [
        (META, WRAPPER),
        (changed(META, fixed_gripper_from=1), CLOSING),
        (changed(META, fixed_gripper_from=0), [[*step[:3], 1.0] for step in CLOSING]),
        (
            changed(META, fixed_gripper_from=0, fixed_gripper=0.4),
            [[*step[:3], 0.4] for step in CLOSING],
        ),
    ],
    ids=['searched', 'closing', 'closed', 'fixed'],
)
def test_the_preset_gives_the_commands_of_the_released_planner(search, expected):
    np.testing.assert_allclose(commands(Settings(search=search)), expected, atol=1e-6)


def test_parameters_give_the_commands_of_the_released_function_and_notebook():
    shared = {'axes': ('x', 'y', 'z', 'gripper'), 'gripper_deadband': 0.25, 'min_axis_gain': 0.0}
    own = {
        'initial_std': (-1.0,) * 6 + (1.0,),
        'momentum_mean_gripper': 0.15,
        'momentum_std_gripper': 0.15,
        'include_mean': False,
    }
    function = Settings(
        optimizer='cem',
        search=SearchConfig(bounds=(0.05,) * 3 + (-1.0,) * 4, seed=5, **shared),
        cem=CemConfig(
            samples=100,
            iterations=100,
            elite_fraction=0.1,
            momentum_mean=0.25,
            momentum_std=0.95,
            **own,
        ),
    )
    np.testing.assert_allclose(commands(function, Wide()), FUNCTION, atol=1e-6)
    notebook = Settings(
        optimizer='cem',
        search=SearchConfig(horizon=2, seed=5, **shared),
        cem=CemConfig(
            samples=25,
            iterations=2,
            elite_fraction=0.4,
            momentum_mean=0.15,
            momentum_std=0.75,
            **own,
        ),
    )
    np.testing.assert_allclose(commands(notebook, Wide()), NOTEBOOK, atol=1e-6)


def test_what_a_goal_sets_goes_before_the_preset():
    settings = Settings(search=SearchConfig(seed=5))
    np.testing.assert_allclose(commands(settings, preset='meta'), WRAPPER, atol=1e-6)
    search = SearchSettings(preset='meta', horizon=1, samples=50, elite_fraction=0.5, cost='l2')
    config = with_goal(settings, search, seed=7).plan_config()
    assert (config.horizon, config.samples, config.elites, config.cost, config.seed) == (
        *(1, 50, 25),
        *('l2', 7),
    )
    assert (config.iterations, config.gripper_deadband) == (10, 0.25)  # those of the preset
    other = with_goal(settings, SearchSettings(preset='meta', optimizer='trust_region'), None)
    assert isinstance(other.plan_config(), TrustRegionConfig) and other.plan_config().horizon == 2
    with pytest.raises(ValueError, match="search.preset = 'mine': allowed: meta or ''"):
        with_goal(settings, SearchSettings(preset='mine'), None)


def test_bounds_can_be_narrower_than_the_preset_s():
    bounds = (0.01, 0.1, 0.0, -1.0, -1.0, -1.0, 0.3)
    narrow = with_preset(Settings(search=changed(META, bounds=bounds)))
    assert narrow.search.bounds == (0.01, 0.05, 0.0, -1.0, -1.0, -1.0, 0.3)
    found = commands(Settings(search=changed(META, bounds=bounds)))
    assert (abs(found) <= [0.01, 0.05, 0.0, 0.3]).all()


def test_axes_that_stay_still_do_so_under_a_preset():
    found = commands(Settings(search=changed(META, axes=('x', 'gripper', 'yaw'))))
    assert found[:, [0, 3]].any(axis=0).all() and not found[:, [1, 2]].any()
    settings = Settings(search=SearchConfig(axes=('roll', 'yaw')))
    refused = "search.axes = roll, yaw: allowed: one of x, y, z, gripper with preset 'meta'"
    with pytest.raises(ValueError, match=refused):
        commands(settings, preset='meta')


def test_another_cost_beside_a_preset_is_refused_unless_the_goal_has_its_own():
    settings = Settings(search=SearchConfig(seed=5, cost='l2'))
    with pytest.raises(ValueError, match="search.cost = 'l2': allowed: l1 or '' with preset 'm"):
        commands(settings, preset='meta')
    config = with_goal(settings, SearchSettings(preset='meta', cost='l2'), None).plan_config()
    assert config.cost == 'l2'
    same = Settings(search=SearchConfig(seed=5, cost='l1'))
    np.testing.assert_allclose(commands(same, preset='meta'), WRAPPER, atol=1e-6)


def test_what_does_not_go_with_a_preset_cannot_be_set(robot):
    def set_parameters(**values):
        changed = [Parameter(f'search.{name}', value=value) for name, value in values.items()]
        return robot.planner.set_parameters_atomically(changed)

    answer = set_parameters(preset='meta', cost='l2')
    assert not answer.successful
    assert answer.reason.startswith("search.cost = 'l2': allowed: l1 or '' with preset")
    assert set_parameters(preset='meta', cost='l1').successful
    assert not set_parameters(axes=['roll']).successful
    assert set_parameters(preset='', cost='').successful


@pytest.mark.parametrize('by', ['parameter', 'goal'])
def test_the_preset_is_reached_over_ros(robot, by):
    names = {'search.seed': 5, 'search.preset': 'meta' if by == 'parameter' else ''}
    robot.planner.set_parameters([Parameter(name, value=v) for name, v in names.items()])
    try:
        found = robot.plan(preset='' if by == 'parameter' else 'meta')
        with pytest.raises(PlanFailed) as failure:
            robot.plan(cost='cosine')
    finally:
        robot.planner.set_parameters(
            [Parameter('search.seed', value=1), Parameter('search.preset', value='')]
        )
    assert found.iterations == 10
    eventually(lambda: robot.logged("10 iterations, horizon 2, cost l1, preset 'meta', camera"))
    np.testing.assert_allclose(
        found.plan[:, [0, 1, 2, 6]], np.array(WRAPPER) * [1, 1, 1, -1], atol=1e-5
    )
    assert failure.value.code == ErrorCode.INVALID_SETTINGS
    assert "search.cost = 'cosine': allowed: '', l1, l2" in failure.value.message
