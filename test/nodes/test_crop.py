# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The crop of a camera is what the model sees of its frames, goals and other pictures."""

import itertools

import numpy as np
from PIL import Image as Pillow
from planner_rig import eventually, Robot, send_goal, START, to_image
import pytest
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from vjepa2_interfaces.action import ComputeEnergyLandscape
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


def look(context, crop, see, goal):
    """
    Plan and compute a landscape with live frames and a context of three of them.

    Return the context's latents [3, ...], the plan's command and energy, the landscape's energies.

    :param see: returns what the camera sees next.
    """
    contexts = []

    def load(*args, **options):
        model = load_world_model(*args, **options)
        rollout = model.rollout
        model.rollout = lambda *of: (contexts.append(of[0].numpy()), rollout(*of))[1]
        return model

    parameters = {'device': 'cpu', 'dtype': 'float32', 'context_frames': 3}
    robot = Robot(context, {**parameters, 'camera.main.crop': crop}, load)
    robot.picture = see()
    steady = Clock(clock_type=ClockType.STEADY_TIME)
    robot.node.create_timer(0.02, lambda: setattr(robot, 'picture', see()), clock=steady)

    def whole(ask):
        """Return what ask() does once it had three frames: few just after the start, or late."""
        found = []
        eventually(lambda: (found.append(ask()), len(contexts[-1]) == 3)[1])
        return found[-1]

    try:
        robot.ready()
        how = {'seed': 1, 'samples': 10, 'iterations': 2, 'timeout': 60.0}
        plan = whole(lambda: robot.client.plan(goal, **how))
        energies = whole(lambda: landscape(robot, goal))
        return contexts[-1], plan.command, plan.energy, energies
    finally:
        robot.close()


def landscape(robot, goal):
    """Return the energies over x and y, from the live frames and the state."""
    client = ActionClient(robot.node, ComputeEnergyLandscape, 'compute_energy_landscape')
    assert client.wait_for_server(60.0)
    message = ComputeEnergyLandscape.Goal(goal_image=to_image(goal), resolution=[3, 3])
    ended = send_goal(robot.node, client, message).get_result_async()
    eventually(ended.done)
    client.destroy()
    assert ended.result().result.error_msg == ''
    return ended.result().result.energies


@pytest.mark.slow
def test_live_frames_of_the_context_and_landscapes_are_cropped(context):
    whole, goal, numbers = picture(3), picture(4), itertools.count(5)
    part = np.s_[96:, 128:224]  # a square, of which the model sees all

    def changing():  # but for the part
        seen = picture(next(numbers))
        seen[part] = whole[part]
        return seen

    found = look(context, '0.25 0.5 0.1875 0.5', changing, goal)
    same = look(context, '', lambda: whole[part], goal[part])  # cropped beforehand
    for one, other in zip(found, same):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_forms_of_a_crop():
    assert read_crop(' 0 0.1  0.2 .9') == (0.0, 0.1, 0.2, 0.9)
    assert read_crop('droid') == 'droid' and read_crop('') == ''
    with pytest.raises(ValueError) as failure:
        read_crop('0 0 640 480')
    for part in ("crop = '0 0 640 480': allowed: center_square, droid", 'shares', '0.05 or more'):
        assert part in str(failure.value)
