# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the model expects to see after a command: on a topic, in the result, in the recording."""

from dataclasses import replace

import numpy as np
from planner_rig import closed_plans, eventually, Robot, to_state_message
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
import torch
from vjepa2_planner_ros.history import recorded, report
from vjepa2_planner_ros.history.topics import IMAGINED, MODEL_INPUT
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
from vjepa2_planner_ros.world_model import load_world_model, model_spec, MODELS
from vjepa2_planner_ros.world_model.decoder import load_decoder, PictureDecoder

SEED = 3_100_010
SPEC = model_spec('sim-panda-ac')
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope='module')
def pictures():
    """Return a start, its state, and a goal of the simulated arm."""
    episode = sample_episode(SEED)
    with PandaSim(SEED) as sim:
        sim.set_state(episode.goal)
        goal = sim.render()
        sim.set_state(episode.start)
        return sim.render(), sim.state(), goal


@pytest.fixture(scope='module')
def arm(context):
    """Return a Robot whose planner has the model that is shipped, in float32."""
    parameters = {'model': 'sim-panda-ac', 'dtype': 'float32', 'device': 'cpu'}
    arm = Robot(context, parameters, load_world_model)
    yield arm.ready()
    arm.close()


@pytest.fixture
def plan(arm, pictures):
    """Return a function that plans between the pictures."""
    start, state, goal = pictures

    def plan(**options):
        options |= {'current_image': start, 'start_state': to_state_message(state)}
        return arm.client.plan(goal, timeout=60.0, **options)

    return plan


def rgb(message):
    """Return the picture of an rgb8 Image."""
    return np.array(message.data, np.uint8).reshape(message.height, message.width, 3)


@pytest.mark.slow
def test_nothing_is_drawn_while_nobody_looks(plan):
    assert plan().imagined_error is None


@pytest.mark.slow
def test_the_picture_is_drawn_from_what_the_model_predicts(arm, plan, pictures):
    seen = []
    subscription = arm.node.create_subscription(Image, 'planner/imagined', seen.append, LATCHED)
    eventually(lambda: arm.planner._topics.imagined.get_subscription_count())
    result = plan()
    eventually(lambda: seen)
    model = load_world_model('sim-panda-ac', device='cpu', dtype='float32')
    decoder = load_decoder(SPEC.decoder, SPEC, model.device, model.dtype)
    action = torch.tensor([*result.command[:6], -result.command[6]]).float()
    start, state, _ = pictures
    latents = model.encode(start[None])
    expected = decoder.pictures(model.rollout(latents, state[None], action[None, None]))[0]
    assert abs(rgb(seen[-1]).astype(float) - expected).mean() < 1.0
    own = abs(decoder.pictures(latents)[0].astype(float) - model.model_input(start)).mean()
    assert result.imagined_error == pytest.approx(own, abs=0.05)
    arm.node.destroy_subscription(subscription)


@pytest.mark.slow
def test_a_recording_has_the_picture_and_its_error(arm, plan, tmp_path):
    arm.planner.set_parameters([Parameter('history.folder', value=str(tmp_path))])
    result = plan()
    (folder,) = closed_plans(tmp_path)
    arm.planner.set_parameters([Parameter('history.folder', value='')])
    found = recorded.load(folder)
    assert found.record.has_imagined
    assert found.record.imagined_error == pytest.approx(result.imagined_error)
    assert found.images[IMAGINED].shape == found.images[MODEL_INPUT].shape
    text = f'drawn pictures are off by {result.imagined_error:.1f} of 255'
    assert text in report.page(found)


@pytest.mark.slow
def test_a_picture_that_cannot_be_drawn_costs_neither_model_nor_plan(
    make_robot, pictures, tmp_path, monkeypatch
):
    def draw(decoder, latents):
        raise torch.OutOfMemoryError('tried to allocate 2 TiB')

    monkeypatch.setattr(PictureDecoder, 'pictures', draw)
    parameters = {'model': 'sim-panda-ac', 'device': 'cpu', 'history__folder': str(tmp_path)}
    robot = make_robot(load_world_model, **parameters).ready()  # it is warmed up with two pictures
    start, state, goal = pictures
    fields = {'current_image': start, 'start_state': to_state_message(state)}
    result = robot.client.plan(goal, timeout=60.0, **fields)
    assert np.isfinite(result.command).all() and result.energy < result.start_energy
    assert result.imagined_error is None
    eventually(lambda: robot.logged('cannot be drawn'))
    (line,) = robot.logged('cannot be drawn')
    assert line.startswith('Goal ') and line.endswith('ran out (tried to allocate 2 TiB)')
    (folder,) = closed_plans(tmp_path)
    assert not recorded.load(folder).record.has_imagined


def test_a_wrong_decoder_is_refused_if_it_was_named(make_robot, tmp_path, monkeypatch):
    (tmp_path / 'd.safetensors').write_bytes(b'no decoder')
    named = make_robot(
        load_world_model,
        model='sim-panda-ac',
        decoder=str(tmp_path / 'd.safetensors'),
        device='cpu',
    )
    eventually(lambda: named.logged('d.safetensors is not a whole'))
    # Of the catalogue's own, plans have no need.
    spoiled = replace(SPEC, decoder=tmp_path / 'd.safetensors')
    monkeypatch.setitem(MODELS, SPEC.name, spoiled)
    make_robot(load_world_model, model='sim-panda-ac', device='cpu').ready()
