# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Target poses, twists and the gripper of the simulated arm, against SciPy's rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.simulation import PandaSim
from vjepa2_planner_ros.simulation.cartesian import CartesianController
from vjepa2_planner_ros.simulation.gripper import GripperController

CENTRE = np.array([0.47, 0.0, 0.24, np.pi, 0.0, 0.0, 0.5])
TICK = 0.02


@pytest.fixture(scope='module')
def sims():
    with (
        PandaSim(0, image_size=64) as kinematic,
        PandaSim(0, mode='physics', image_size=64) as physics,
    ):
        yield {'kinematic': kinematic, 'physics': physics}


@pytest.fixture(params=('kinematic', 'physics'))
def sim(sims, request):
    sims[request.param].reset(0)
    sims[request.param].set_state(CENTRE)
    return sims[request.param]


def turn_of(sim):
    return Rotation.from_euler('xyz', sim.state()[3:6])


def test_arm_follows_a_stream_of_targets(sim):
    controller = CartesianController(sim)
    start = turn_of(sim)
    limit = 1e-6 if sim.mode == 'kinematic' else 0.012  # the servos lag at 0.2 m/s
    for tick in range(1, 51):
        share = tick / 50
        turn = Rotation.from_rotvec([0.2 * share, -0.3 * share, 0.8 * share]) * start
        position = CENTRE[:3] + share * np.array([0.1, 0.15, -0.08])
        controller.follow(position, turn.as_quat())
        controller.advance(TICK)
        sim.advance(TICK)
        assert np.linalg.norm(sim.state()[:3] - position) < limit
    sim.advance(0.5)  # without a message it stays there
    np.testing.assert_allclose(sim.state()[:3], position, atol=1e-3)
    assert (turn.inv() * turn_of(sim)).magnitude() < 2e-3
    assert sim.state()[6] == pytest.approx(0.5, abs=1e-3)


def test_twist_is_integrated_until_a_tenth_of_a_second_after_the_last(sim):
    controller = CartesianController(sim)
    start = turn_of(sim)
    for _ in range(25):
        controller.move([0.1, -0.2, 0.05], [0.1, 0.2, 0.6])
        controller.advance(TICK)
        sim.advance(TICK)
    for _ in range(25):  # silence: 0.08 s more, as the last message counts from its own tick
        controller.advance(TICK)
        sim.advance(TICK)
    np.testing.assert_allclose(
        sim.state()[:3] - CENTRE[:3], 0.58 * np.array([0.1, -0.2, 0.05]), atol=1e-3
    )
    expected = Rotation.from_rotvec(0.58 * np.array([0.1, 0.2, 0.6])) * start
    assert (expected.inv() * turn_of(sim)).magnitude() < 2e-3


def test_a_target_pose_ends_a_twist(sim):
    controller = CartesianController(sim)
    controller.move([0.5, 0.0, 0.0], [0.0, 0.0, 0.0])
    controller.follow(CENTRE[:3], turn_of(sim).as_quat())
    for _ in range(5):
        controller.advance(TICK)
        sim.advance(TICK)
    np.testing.assert_allclose(sim.state()[:3], CENTRE[:3], atol=1e-4)


@pytest.mark.parametrize(
    'position, turn, allowed',
    [
        ((np.nan, 0, 0), (0, 0, 0), 'finite'),
        ((0.11, 0, 0), (0, 0, 0), '0.110 m and .* allowed: 0.1 m and 0.5 rad'),
        ((0, 0, 0.01), (0, 0, 0.51), '0.510 rad'),
        ((0, 0, -np.inf), (0, 0, 0), 'finite'),
    ],
)
def test_targets_that_make_no_sense_are_refused_and_the_last_stays(sim, position, turn, allowed):
    controller = CartesianController(sim)
    good = CENTRE[:3] + [0.02, 0, 0]
    controller.follow(good, turn_of(sim).as_quat())
    wrong = Rotation.from_rotvec(turn) * turn_of(sim)
    with pytest.raises(ValueError, match=allowed):
        controller.follow(CENTRE[:3] + position, wrong.as_quat())
    with pytest.raises(ValueError, match='norm 1'):
        controller.follow(good, [0, 0, 0, 0])
    sim.advance(0.6)
    np.testing.assert_allclose(sim.state()[:3], good, atol=1e-3)


def test_what_the_arm_cannot_reach_is_refused(sim):
    controller = CartesianController(sim)
    turn = turn_of(sim).as_quat()
    position = CENTRE[:3].copy()
    with pytest.raises(ValueError, match='out of reach|beyond the limits'):
        for _ in range(40):
            position[0] += 0.02
            controller.follow(position, turn)
            sim.advance(0.2)
    assert 0.6 < sim.state()[0] < 0.9  # the reach of the arm, from the vendor's data sheet 0.855 m


def test_twists_that_make_no_sense_are_refused(sim):
    controller = CartesianController(sim)
    for linear, angular in (
        ((np.nan, 0, 0), (0, 0, 0)),
        ((0, 0, 0), (0, np.inf, 0)),
        ((0, 1.8, 0), (0, 0, 0)),
        ((0, 0, 0), (0, 2, 2)),
    ):
        with pytest.raises(ValueError, match='twist'):
            controller.move(linear, angular)
    controller.advance(TICK)
    sim.advance(0.2)
    np.testing.assert_allclose(sim.state()[:3], CENTRE[:3], atol=1e-4)


def done(sim, gripper):
    """Let time pass until the gripper is done; return the status and how long it took."""
    for tick in range(1, 200):
        sim.advance(TICK)
        status = gripper.advance(TICK)
        if status.reached or status.stalled:
            return status, tick * TICK
    raise AssertionError('the gripper never came to an end')


@pytest.mark.parametrize('position', (0.0, 0.04, 0.013))
def test_gripper_reaches_its_goal_at_the_speed_of_the_hand(sim, position):
    gripper = GripperController(sim)
    gripper.move(position)
    status, took = done(sim, gripper)
    assert (status.reached, status.stalled) == (True, False)
    assert status.position == pytest.approx(position, abs=1e-3)
    assert sim.state()[6] == pytest.approx(1 - position / 0.04, abs=0.03)
    assert took >= abs(position - 0.02) / 0.1


def test_gripper_that_holds_stays_where_it_is(sim):
    gripper = GripperController(sim)
    gripper.move(0.0)
    for _ in range(5):
        sim.advance(TICK)
        gripper.advance(TICK)
    gripper.hold()
    here = gripper.advance(TICK).position
    sim.advance(0.5)
    assert 0.005 < gripper.advance(TICK).position == pytest.approx(here, abs=2e-3)


def test_fingers_at_a_cube_are_stalled_and_lift_it(sims):
    sim = sims['physics']
    sim.reset(5)
    sim.set_state([0.47, 0, 0.08, np.pi, 0, 0, 0.0])
    lower, upper = (sim._data.joint(sim._model.body(f'cube{i}').jntadr[0]) for i in (1, 0))
    halves = [float(sim._model.geom(f'cube{i}').size[0]) for i in (1, 0)]
    lower.qpos[:] = 0.47, 0, halves[0], 1, 0, 0, 0
    upper.qpos[:] = 0.47, 0, 2 * halves[0] + halves[1], 1, 0, 0, 0
    gripper, controller = GripperController(sim), CartesianController(sim)
    gripper.move(0.0)
    status, _ = done(sim, gripper)
    assert (status.reached, status.stalled) == (False, True)
    assert status.position == pytest.approx(halves[1], abs=5e-3)  # contacts are soft
    assert -71 < status.force < -5  # closing
    height = upper.qpos[2]
    for _ in range(100):
        controller.move([0, 0, 0.1], [0, 0, 0])
        controller.advance(TICK)
        sim.advance(TICK)
    assert upper.qpos[2] - height == pytest.approx(0.2, abs=0.02)
    gripper.move(0.0, force=10.0)
    sim.advance(0.2)
    assert gripper.advance(TICK).force == pytest.approx(-10.0, abs=0.5)


@pytest.mark.parametrize('position, force', [(-0.001, 0), (0.041, 0), (np.nan, 0), (0.02, -1.0)])
def test_gripper_goals_that_make_no_sense_are_refused(sims, position, force):
    with pytest.raises(ValueError, match='allowed'):
        GripperController(sims['kinematic']).move(position, force)
