# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner with the model that is shipped, looking at the simulated arm."""

import threading

import numpy as np
from planner_rig import eventually, Robot
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
from vjepa2_planner_ros.world_model import load_world_model

SEED = 2_000_003


@pytest.fixture(scope='module')
def sim():
    """Return the simulated arm."""
    with PandaSim(SEED) as sim:
        yield sim


@pytest.fixture(scope='module')
def arm(context):
    """Return a Robot whose planner has the model that is shipped."""
    arm = Robot(
        context,
        {
            'cem.samples': 48,
            'cem.iterations': 3,
            'dtype': 'float32',
            'device': 'cpu',
            'model': 'sim-panda-ac',
        },
        load_world_model,
    )
    yield arm.ready()
    arm.close()


def look(arm, sim):
    """Let the robot's camera and encoders see what the simulated arm does now."""
    arm.state, arm.picture = sim.state(), sim.render()
    arm.sending = {'image', 'state'}
    after = arm.node.get_clock().now().nanoseconds
    newest = arm.planner._streams.frames['main']
    eventually(lambda: newest.newest.stamp > after)


@pytest.mark.slow
def test_commands_bring_the_arm_nearer_to_the_picture_of_the_goal(arm, sim):
    episode = sample_episode(SEED)
    sim.set_state(episode.goal)
    goal = sim.render()
    sim.set_state(episode.start)
    energies, distances = [], []
    for _ in range(3):
        look(arm, sim)
        distances.append(np.linalg.norm(sim.state()[:3] - episode.goal[:3]))
        result = arm.client.plan(goal, timeout=60.0)
        energies.append(result.start_energy)
        assert result.model == 'sim-panda-ac'
        assert result.energy < result.start_energy
        sim.step([*result.command[:6], -result.command[6]])
    assert distances[-1] < distances[0] - 0.03, distances  # two steps, up to 5 cm an axis
    assert energies[-1] < 0.9 * energies[0], energies


@pytest.mark.case(5)
def test_encoder_sees_the_centred_square(arm):
    # 4x4 pixels of the square become one of the model's 128x128; the sides are cut off.
    wanted = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    square = wanted.repeat(4, axis=0).repeat(4, axis=1)
    goal = np.concatenate(
        [np.zeros((512, 100, 3), np.uint8), square, np.full((512, 100, 3), 255, np.uint8)], axis=1
    )
    seen, latched = [], QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    arm.node.create_subscription(Image, 'planner/model_input', seen.append, latched)
    arm.client.plan(goal, current_image=goal, iterations=1, samples=10, timeout=60.0)
    eventually(lambda: seen and seen[-1].header.stamp.sec == 0)
    assert (seen[-1].encoding, seen[-1].height, seen[-1].width) == ('rgb8', 128, 128)
    np.testing.assert_array_equal(np.array(seen[-1].data, np.uint8).reshape(128, 128, 3), wanted)


@pytest.mark.case(25)
def test_cancel_of_a_long_plan(arm, sim):
    look(arm, sim)
    started = threading.Event()
    future = arm.client.plan_async(
        sim.render(),
        iterations=100,
        on_feedback=lambda item: item.phase == item.OPTIMIZING and started.set(),
    )
    assert started.wait(60.0)
    assert arm.client.cancel(60.0)
    error = future.exception(60.0)
    assert isinstance(error, PlanFailed) and error.cancelled
    assert np.isfinite(arm.client.plan(sim.render(), timeout=60.0).command).all()
