# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong and whoever asks: a goal comes to its end, with a code that says why."""

from collections import Counter
from contextlib import contextmanager
import threading
from uuid import uuid4

import numpy as np
from planner_rig import DEACTIVATE, eventually, Gate, GOAL, START, to_goal, to_image, transition
from planner_wire import ABORTED, CANCELED, SUCCEEDED, TERMINAL, wait
import pytest
import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.client import PlanFailed, PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.process import THREADS

PICTURE = ToyWorldModel.picture(GOAL)


def raising(error):
    """Return a fault of the toy."""

    def fault(latents):
        raise error

    return fault


def failure(robot, fault=None, **fields):
    """Return the PlanFailed that a goal ends with."""
    robot.model.fault = fault
    with pytest.raises(PlanFailed) as failed:
        robot.plan(**fields)
    robot.model.fault = None
    return failed.value


def failures_of_one_goal(robot):
    """Yield a PlanFailed of everything that can be wrong with a goal or the model."""
    broken = to_image(PICTURE)
    broken.step = 1
    yield failure(robot, current_image=broken)
    yield failure(robot, samples=10**6)
    yield failure(robot, start_state=EndEffectorState(gripper=1.5))
    yield failure(robot, model='another')
    yield failure(robot, model='damaged')
    yield failure(robot, raising(torch.OutOfMemoryError('2 TiB')))
    yield failure(robot, raising(KeyError('layer')))
    yield failure(robot, lambda latents: latents * np.nan)
    robot.model.delay = 0.02
    yield failure(robot, iterations=100, time_allowance=0.1)
    robot.model.delay = 0.0


def failures_of_two_goals(robot):
    """Yield the PlanFailed of a goal that is preempted and of one that is cancelled."""
    with Gate(robot) as gate:
        first = robot.client.plan_async(PICTURE)
        gate.reached()
        second = robot.client.plan_async(PICTURE)
        eventually(lambda: robot.planner._plans.slot._waiting is not None)
        gate.release()
        yield first.exception(60.0)
        second.result(60.0)
    with Gate(robot) as gate:
        first = robot.client.plan_async(PICTURE)
        gate.reached()
        robot.client.cancel(0.0)
        eventually(robot.planner._plans.slot._running.stopped)
        gate.release()
        yield first.exception(60.0)
    robot.model.fault = None


def failures_of_streams(robot):
    """Yield what a robot's streams can lead to; it has sent nothing yet."""
    given = {'current_image': ToyWorldModel.picture(START)}

    def arrives(**streams):
        robot.delay.update(streams)
        robot.sending |= set(streams)
        ages = {
            'image': lambda: robot.planner._streams.age_of_frame('main'),
            'state': robot.planner._streams.age_of_state,
        }
        for stream, delay in streams.items():
            eventually(lambda: ages[stream]() is not None and abs(ages[stream]() - delay) < 0.4)

    yield failure(robot)
    yield failure(robot, **given)
    arrives(image=2.0)
    yield failure(robot)
    arrives(state=2.0)
    yield failure(robot, **given)
    robot.planner.set_parameters(
        [
            Parameter('max_image_age', value=60.0),
            Parameter('max_state_age', value=60.0),
            Parameter('image_timeout', value=1.0),
        ]
    )
    arrives(image=10.0)  # its stamps go back: a clock that was set
    yield failure(robot)


def failures_without_a_planner(robot):
    """Yield what a goal meets when the planner goes away, and when it is gone."""
    with Gate(robot) as gate:
        future = robot.client.plan_async(PICTURE)
        gate.reached()
        job = robot.planner._plans.slot._running
        answer = transition(robot, DEACTIVATE, wait=False)
        eventually(job.stopped)
        gate.release()
        yield future.exception(60.0)
        eventually(answer.done)
    yield failure(robot)
    lonely = rclpy.create_node(
        'lonely', context=robot.node.context, namespace='/nowhere', use_global_arguments=False
    )
    with PlannerClient(lonely) as client, pytest.raises(PlanFailed) as failed:
        client.plan(PICTURE)
    lonely.destroy_node()
    yield failed.value


@pytest.mark.case(19)
@pytest.mark.slow
def test_every_code_can_be_had_and_says_why(make_robot):
    robot, silent = (
        make_robot(),
        make_robot(
            sending=(), image_timeout=0.2, max_image_age=0.5, max_state_age=0.5, max_skew=0.5
        ),
    )
    robot.ready()
    assert silent.client.wait_until_ready(60.0)
    texts = {}
    for source in (
        failures_of_one_goal(robot),
        failures_of_two_goals(robot),
        failures_of_streams(silent),
        failures_without_a_planner(robot),
    ):
        for failed in source:
            assert failed.code not in texts, failed
            texts[failed.code] = failed.message
    assert texts.keys() == set(ErrorCode)
    assert all(len(text) > 10 for text in texts.values()), texts


FAULTS = {
    'rollout': [
        raising(KeyError('layer')),
        raising(ZeroDivisionError()),
        raising(MemoryError()),
        raising(RuntimeError('not enough memory: 9 TiB')),
        raising(torch.OutOfMemoryError()),
        raising(OSError(5, 'I/O error')),
        raising(StopIteration()),
        raising(RecursionError()),
        raising(AssertionError()),
        raising(TimeoutError()),
        raising(UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')),
        lambda latents: latents * np.nan,
        lambda latents: latents + np.inf,
        lambda latents: latents[:1],
        lambda latents: latents[:0],
        lambda latents: latents[..., :3],
        lambda latents: None,
        lambda latents: 'latents',
        lambda latents: latents.numpy(),
        lambda latents: latents.to(torch.int64),
    ],
    'encode': [
        raising(ValueError('frames')),
        raising(MemoryError()),
        lambda latents: latents * np.nan,
        lambda latents: latents[:0],
        lambda latents: None,
    ],
    'model_input': [raising(ValueError('frame')), lambda rgb: rgb[..., 0], lambda rgb: None],
}


@contextmanager
def injected(model, place, fault, after):
    """Let a method of the toy go wrong at a call: the first, second ..."""
    original, calls = getattr(model, place), []

    def broken(*args):
        calls.append(place)
        result = original(*args)
        return fault(result) if len(calls) > after else result

    setattr(model, place, broken)
    try:
        yield
    finally:
        delattr(model, place)


MALFORMED = [
    {'samples': 2**32 - 1},
    {'elite_fraction': float('inf')},
    {'horizon': 99},
    {'camera': '\0'},
    {'model': 'x' * 10_000},
    {'model': 'damaged'},
    {'time_allowance': 1e-9},
    {'iterations': 101},
    {'start_state': EndEffectorState(gripper=float('nan'))},
    {'current_image': Image()},
]


def outcome(robot, place, fault, after, cancel=False, **fields):
    """Return the ErrorCode of a goal, which must have come to a sound end."""
    with injected(robot.model, place, fault, after):
        future = robot.client.plan_async(PICTURE, **fields)
        if cancel:
            robot.client.cancel(60.0)
        error = future.exception(60.0)
    if error is None:
        assert np.isfinite(future.result().command).all()
        return ErrorCode.NONE
    assert error.message
    return error.code


OPTIMIZERS = ('cem', 'trust_region')


def test_what_comes_after_the_end_of_a_goal_costs_no_result(make_robot, monkeypatch):
    robot = make_robot().ready()

    def broken(*end):
        raise OSError('the disk is gone')

    monkeypatch.setattr(robot.planner._plans, '_on_end', broken)
    assert np.any(robot.plan(iterations=2).command)
    eventually(lambda: [line for line in robot.errors() if 'the disk is gone' in line])


@pytest.mark.case(20)
@pytest.mark.slow
def test_goals_end_whatever_fails(robot):
    rng = np.random.default_rng(11)
    faults = [(place, fault) for place, some in FAULTS.items() for fault in some]
    for optimizer in OPTIMIZERS:
        codes = {outcome(robot, place, fault, 0, optimizer=optimizer) for place, fault in faults}
        assert {ErrorCode.UNKNOWN, ErrorCode.OUT_OF_MEMORY, ErrorCode.NON_FINITE_ENERGY} <= codes
    for _ in range(40):
        place, fault = faults[rng.integers(len(faults))]
        outcome(
            robot,
            place,
            fault,
            rng.integers(4),
            cancel=rng.random() < 0.2,
            **{
                'iterations': int(rng.integers(1, 5)),
                'horizon': int(rng.integers(1, 3)),
                'optimizer': OPTIMIZERS[rng.integers(2)],
                **(MALFORMED[rng.integers(len(MALFORMED))] if rng.random() < 0.3 else {}),
            },
        )
    assert not [line for line in robot.errors() if 'Traceback' not in line], robot.errors()
    robot.logs = []  # exceptions that nobody foresaw are logged in full
    assert np.allclose(
        robot.restore().plan(iterations=10).command[:3], (GOAL - START)[:3], atol=5e-3
    )


@pytest.mark.case(36)
@pytest.mark.slow
def test_two_hundred_random_operations(make_robot):
    robot = make_robot(result_timeout=3).ready()
    # With a longer timeout every status would list all the goals there were.
    rng, wire = np.random.default_rng(3), robot.wire
    robot.model.delay = 0.002
    sent, results, answers, threads = [], {}, [], 0

    def follow(uuid, answer):
        assert answer.result().accepted
        wire.result_later(uuid).add_done_callback(
            lambda result: results.setdefault(uuid, []).append(result.result())
        )

    for operation in range(200):
        if operation == 60:
            threads = threading.active_count()
        chance = rng.random()
        if chance < 0.6 or not sent:
            uuid, answer = wire.ask(to_goal(int(rng.integers(1, 8))))
            answer.add_done_callback(lambda answer, uuid=uuid: follow(uuid, answer))
            sent.append(uuid)
        elif chance < 0.85:
            answer = wire.cancel_later(sent[-int(rng.integers(1, min(4, len(sent)) + 1))])
        elif chance < 0.92:
            answer = wire.cancel_later()
        else:
            answer = wire.cancel_later(uuid4().bytes)  # of nobody's goal
        answers.append(answer)
        if rng.random() < 0.7:
            wait(answer)
        if rng.random() < 0.1:  # let the newest one come to its end
            eventually(lambda: sent[-1] in results)
    for answer in answers:
        wait(answer)
    eventually(lambda: len(results) == len(sent))
    assert len(sent) > 80
    ends = Counter()
    for uuid, (result,) in results.items():  # one answer each
        assert set(wire.statuses(uuid)) & set(TERMINAL) <= {result.status}
        ends[result.status, result.result.error_code] += 1
    assert ends.keys() == {
        (SUCCEEDED, ErrorCode.NONE),
        (CANCELED, ErrorCode.NONE),
        (ABORTED, ErrorCode.PREEMPTED),
    }, ends
    # The executor's pool may have filled up since; goals leave no threads.
    assert threading.active_count() <= threads + THREADS + 4
    robot.model.delay = 0.0
    assert np.isfinite(robot.plan().command).all()
    assert not robot.errors()
