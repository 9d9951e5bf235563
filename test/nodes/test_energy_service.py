# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The service that tells how far a picture is from a goal."""

import io
import threading

from builtin_interfaces.msg import Time
import numpy as np
from PIL import Image as Picture
from planner_rig import CONFIGURE, eventually, GOAL, START, to_image, transition
import pytest
from sensor_msgs.msg import CompressedImage, Image
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.srv import ComputeEnergy
from vjepa2_planner_ros.cli import energy as energy_command
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.world_model import load_world_model

NEARER = START + [0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2]


def image(state, stamp=None):
    """Return the Image in which the toy sees a state."""
    return to_image(ToyWorldModel.picture(state), stamp)


def png(rgb, stamp):
    """Return a CompressedImage."""
    file = io.BytesIO()
    Picture.fromarray(rgb).save(file, 'PNG')
    message = CompressedImage(format='png', data=file.getvalue())
    message.header.stamp = stamp
    return message


@pytest.fixture
def send():
    """Return a function that asks a robot's planner and returns the future of the answer."""
    clients = []

    def send(robot, **fields):
        client = robot.node.create_client(ComputeEnergy, 'planner/compute_energy')
        clients.append((robot, client))
        assert client.wait_for_service(60.0)
        return client.call_async(ComputeEnergy.Request(**fields))

    yield send
    for robot, client in clients:
        robot.node.destroy_client(client)


@pytest.fixture
def ask(send):
    """Return a function that asks a robot's planner and waits for the answer."""

    def ask(robot, **fields):
        future = send(robot, **fields)
        eventually(future.done)
        return future.result()

    return ask


def distance(one, other):
    """Return the energy between two states in the toy's eyes."""
    return np.abs(np.subtract(one, other)).mean()


def test_energy_between_two_pictures(robot, ask):
    stamp = Time(sec=12, nanosec=34)
    answer = ask(
        robot, goal_image=image(GOAL), use_current_image=True, current_image=image(NEARER, stamp)
    )
    assert (answer.error_code, answer.error_msg, answer.model) == (0, '', 'toy')
    assert answer.energy == pytest.approx(distance(NEARER, GOAL), abs=1e-6)
    assert answer.stamp == stamp
    compressed = ask(
        robot,
        goal_image_compressed=png(ToyWorldModel.picture(GOAL), Time()),
        use_current_image=True,
        current_image_compressed=png(ToyWorldModel.picture(NEARER), stamp),
    )
    assert (compressed.energy, compressed.stamp) == (answer.energy, stamp)
    back = ask(robot, goal_image=image(NEARER), use_current_image=True, current_image=image(GOAL))
    assert back.energy == answer.energy
    same = ask(robot, goal_image=image(GOAL), use_current_image=True, current_image=image(GOAL))
    assert same.energy == 0.0


def test_energy_of_what_a_camera_sees_is_the_start_energy_of_a_plan(robot, ask):
    answer = ask(robot, goal_image=image(GOAL), camera='main')
    result = robot.plan(iterations=1)
    assert answer.energy == pytest.approx(distance(START, GOAL), abs=1e-6)
    assert answer.energy == pytest.approx(result.start_energy, abs=1e-6)
    age = robot.node.get_clock().now().nanoseconds - (
        answer.stamp.sec * 10**9 + answer.stamp.nanosec
    )
    assert 0 <= age < 30e9


@pytest.mark.parametrize(
    'fields, code, text',
    [
        ({}, ErrorCode.INVALID_GOAL_IMAGE, 'goal_image.data = nothing'),
        (
            {'goal_image': Image(encoding='16UC1', data=b'12')},
            ErrorCode.INVALID_GOAL_IMAGE,
            "goal_image.encoding = '16UC1'",
        ),
        (
            {'goal_image': image(GOAL), 'use_current_image': True},
            ErrorCode.INVALID_GOAL_IMAGE,
            'current_image.data = nothing, current_image_compressed.data = nothing',
        ),
        (
            {'goal_image': image(GOAL), 'camera': 'left'},
            ErrorCode.INVALID_SETTINGS,
            "camera = 'left': allowed: main",
        ),
    ],
)
def test_wrong_requests_are_named(robot, ask, fields, code, text):
    answer = ask(robot, **fields)
    assert answer.error_code == code and text in answer.error_msg
    assert (answer.energy, answer.model) == (0.0, '')


def test_without_a_frame_or_a_model(make_robot, ask):
    robot = make_robot(sending=['state'], autostart=False, image_timeout=0.1)
    fields = {'goal_image': image(GOAL)}
    assert ask(robot, **fields).error_code == ErrorCode.NODE_DEACTIVATED
    assert transition(robot, CONFIGURE)  # a loaded model is enough, the node need not be active
    answer = ask(robot, **fields)
    assert answer.error_code == ErrorCode.NO_IMAGE and 'image_timeout' in answer.error_msg
    two = {**fields, 'use_current_image': True, 'current_image': image(NEARER)}
    assert ask(robot, **two).energy == pytest.approx(distance(NEARER, GOAL), abs=1e-6)


def test_after_the_end_of_torch_it_says_so(make_robot, ask):
    robot = make_robot().ready()
    robot.planner._worker.close()
    answer = ask(robot, goal_image=image(GOAL))
    assert answer.error_code == ErrorCode.NODE_DEACTIVATED and 'shut down' in answer.error_msg


def test_a_plan_waits_for_one_picture_at_most(make_robot, ask, send, monkeypatch):
    robot = make_robot().ready()
    encode, seen, entered, release = robot.model.encode, [], threading.Event(), threading.Event()
    names = {
        tuple(np.round(state, 2)): name
        for state, name in ((START, 'live'), (GOAL, 'goal'), (NEARER, 'other goal'))
    }

    def held(frames, crop):
        latents = encode(frames, crop)
        seen.append(names[tuple(np.round(latents[0, 0].double().numpy(), 2))])
        entered.set()
        assert release.wait(60.0)
        return latents

    monkeypatch.setattr(robot.model, 'encode', held)
    answer = send(robot, goal_image=image(NEARER))
    assert entered.wait(60.0)
    plan = robot.client.plan_async(ToyWorldModel.picture(GOAL), iterations=1)
    eventually(lambda: robot.planner._worker._pool._work_queue.qsize())  # the plan stands in line
    release.set()
    plan.result(60.0)
    eventually(answer.done)
    assert seen == ['other goal', 'goal', 'live', 'live']
    assert answer.result().energy == pytest.approx(distance(START, NEARER), abs=1e-6)


def test_a_model_that_fails_is_answered(robot, ask, monkeypatch):
    def broken(frames, crop):
        raise ArithmeticError('the encoder broke')

    monkeypatch.setattr(robot.model, 'encode', broken)
    answer = ask(robot, goal_image=image(GOAL))
    assert answer.error_code == ErrorCode.UNKNOWN
    assert 'ArithmeticError: the encoder broke' in answer.error_msg


def test_the_shipped_model_tells_the_same_as_the_command(make_robot, ask, tmp_path, capsys):
    robot = make_robot(load_model=load_world_model, device='cpu', dtype='float32').ready()
    pictures = np.random.default_rng(1).integers(0, 256, (2, 100, 160, 3), np.uint8)
    for index, picture in enumerate(pictures):
        Picture.fromarray(picture).save(tmp_path / f'{index}.png')
    answer = ask(
        robot,
        goal_image=to_image(pictures[1]),
        use_current_image=True,
        current_image=to_image(pictures[0]),
    )
    assert (
        energy_command.main(
            [
                str(tmp_path / '0.png'),
                str(tmp_path / '1.png'),
                '--device',
                'cpu',
                '--dtype',
                'float32',
            ]
        )
        == 0
    )
    assert answer.energy == pytest.approx(float(capsys.readouterr().out), abs=1e-6)
    assert answer.model == 'sim-panda-ac'
