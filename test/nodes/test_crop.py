# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The crop of a camera is what the model sees of its frames, goals and other pictures."""

import numpy as np
from PIL import Image as Pillow
from planner_rig import eventually, Robot, START, to_image
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from vjepa2_interfaces.srv import ComputeEnergy
from vjepa2_planner_ros.messages.input_settings import read_crop
from vjepa2_planner_ros.world_model import load_world_model

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RECTANGLE = {'main': '0.25 0.5 0.5 0.5', 'side': 'droid', 'top': ''}
SEEN = {'main': np.s_[96:, 128:384], 'side': np.s_[:, 126:385], 'top': np.s_[:, 160:352]}


@pytest.fixture(scope='module')
def cropping(context):
    """Return a Robot with the shipped model and three cameras, each with a crop of its own."""
    parameters = {'cameras': list(RECTANGLE), 'model': 'sim-panda-ac', 'device': 'cpu'}
    parameters |= {f'camera.{name}.crop': crop for name, crop in RECTANGLE.items()}
    robot = Robot(context, parameters, load_world_model)
    yield robot.ready()
    robot.close()


def picture(seed):
    """Return a picture of coarse noise, uint8 [192, 512, 3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 32, 3), np.uint8)
    return noise.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize('camera', RECTANGLE)
def test_the_model_sees_that_part_of_frame_and_goal(cropping, camera):
    now, goal, seen = picture(0), picture(1), {}
    subscriptions = [
        cropping.node.create_subscription(
            Image, f'planner/{name}', lambda image, name=name: seen.update({name: image}), LATCHED
        )
        for name in ('model_input', 'goal_image')
    ]
    cropping.client.plan(goal, current_image=now, camera=camera, iterations=1, timeout=60.0)

    def arrived(name, whole):
        if name not in seen or seen[name].header.frame_id != camera:
            return False
        found = np.array(seen[name].data, np.uint8).reshape(128, 128, 3).astype(float)
        part = Pillow.fromarray(whole[SEEN[camera]])
        expected = np.asarray(part.resize((128, 128), Pillow.Resampling.BOX), float)
        return abs(found - expected).mean() < 12.0  # of noise: 64 or so if it were another part

    eventually(lambda: arrived('model_input', now) and arrived('goal_image', goal))
    for subscription in subscriptions:
        cropping.node.destroy_subscription(subscription)


@pytest.mark.parametrize('camera', RECTANGLE)
def test_what_lies_outside_does_not_count_in_energies_and_plans(cropping, camera):
    goal, now = picture(1), picture(2)
    now[SEEN[camera]] = goal[SEEN[camera]]
    client = cropping.node.create_client(ComputeEnergy, 'planner/compute_energy')
    assert client.wait_for_service(60.0)
    future = client.call_async(
        ComputeEnergy.Request(
            goal_image=to_image(goal),
            use_current_image=True,
            current_image=to_image(now),
            camera=camera,
        )
    )
    eventually(future.done)
    assert future.result().error_msg == '' and abs(future.result().energy) < 1e-5
    cropping.node.destroy_client(client)
    cropping.state = START
    still, other = (
        cropping.client.plan(
            to, current_image=goal, camera=camera, seed=1, samples=10, iterations=2, timeout=60.0
        )
        for to in (now, goal)
    )
    np.testing.assert_allclose(still.command, other.command, atol=1e-6)


def test_forms_of_a_crop():
    assert read_crop(' 0 0.1  0.2 .9') == (0.0, 0.1, 0.2, 0.9)
    assert read_crop('droid') == 'droid' and read_crop('') == ''
    with pytest.raises(ValueError) as failure:
        read_crop('0 0 640 480')
    for part in ("crop = '0 0 640 480': allowed: center_square, droid", 'shares', '0.05 or more'):
        assert part in str(failure.value)
