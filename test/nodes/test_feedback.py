# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is told while a plan is made."""

import os
import threading

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
from planner_rig import CONFIGURE, eventually, Gate, GOAL, START, Toy, transition
from plot_fields import plottable, value_at
import psutil
import pytest
from rclpy.parameter import Parameter
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import Metrics, SearchCandidates, SearchIteration
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes import reporting

ITERATIONS, SAMPLES = 6, 50
KEYS = {
    'state',
    'model',
    'confidence',
    'calibration of the camera',
    'device',
    'dtype',
    'model memory [MB]',
    'memory shortages',
    'last plan [s]',
    'iterations a second',
    'plans a second',
    'image age [s]',
    'state age [s]',
    'frames dropped',
    'goals succeeded',
    'goals aborted',
    'goals cancelled',
    'goals preempted',
    'CPU [% of one core]',
    'CPU of all processes [%]',
    'memory [MB]',
    'memory of all processes [MB]',
    'GPU [%]',
    'GPU memory [MB]',
    'GPU memory of all processes [MB]',
}


@pytest.mark.case(21)
def test_feedback_comes_once_an_iteration_in_order(robot):
    feedback = []
    result = robot.plan(iterations=ITERATIONS, samples=SAMPLES, on_feedback=feedback.append)
    encoding = [item for item in feedback if item.phase == PlanAction.Feedback.ENCODING]
    optimizing = feedback[len(encoding) :]
    assert [item.progress for item in encoding] == [0.0, 0.5, 1.0]
    assert all(item.phase == PlanAction.Feedback.OPTIMIZING for item in optimizing)
    iterations = [item.iteration for item in optimizing]
    assert [item.iteration for item in iterations] == list(range(1, ITERATIONS + 1))
    assert np.allclose(
        [item.progress for item in optimizing], np.arange(1, ITERATIONS + 1) / ITERATIONS
    )
    assert [item.energy_best for item in iterations] == list(result.iteration_energies)
    assert all(bytes(item.plan_id.uuid) == result.plan_id for item in iterations)
    assert all(item.iterations_total == ITERATIONS for item in iterations)
    assert all(item.header.frame_id == 'panda_link0' for item in iterations)
    elapsed = [item.elapsed for item in iterations]
    assert elapsed == sorted(elapsed) and elapsed[0] > 0.0


@pytest.mark.case(21)
def test_iteration_statistics_are_those_of_its_energies(robot):
    feedback = []
    robot.plan(iterations=3, samples=SAMPLES, elite_fraction=0.2, on_feedback=feedback.append)
    for item in feedback[-3:]:
        energies = np.sort(np.array(item.iteration.energies, np.float64))
        assert len(energies) == SAMPLES and np.isfinite(energies).all()
        elites = energies[: SAMPLES // 5]
        found = item.iteration
        assert np.allclose(
            [
                found.energy_min,
                found.energy_mean,
                found.energy_max,
                found.energy_elite_mean,
                found.energy_elite_std,
            ],
            [energies[0], energies.mean(), energies[-1], elites.mean(), elites.std()],
            atol=1e-7,
        )
    assert np.isclose(found.mean[6], -(GOAL - START)[6], atol=0.1)  # in command convention


@pytest.mark.case(21)
def test_topic_carries_the_same_as_the_feedback(robot, listen):
    topic, feedback = listen(SearchIteration, 'planner/search'), []
    robot.plan(iterations=ITERATIONS, samples=SAMPLES, on_feedback=feedback.append)
    eventually(lambda: len(topic) >= ITERATIONS)
    assert topic == [item.iteration for item in feedback[-ITERATIONS:]]


def test_candidates_are_published_for_a_subscriber(robot, listen):
    candidates = listen(SearchCandidates, 'planner/search/candidates')
    result = robot.client.plan(
        ToyWorldModel.picture(GOAL),
        horizon=2,
        iterations=3,
        samples=SAMPLES,
        elite_fraction=0.2,
        timeout=60.0,
    )
    eventually(lambda: len(candidates) >= 3)
    for number, message in enumerate(candidates):
        assert bytes(message.plan_id.uuid) == result.plan_id
        assert (message.iteration, message.samples, message.horizon) == (number + 1, SAMPLES, 2)
        actions = np.array(message.actions).reshape(SAMPLES, 2, 7)
        assert (abs(actions) <= np.array(ToyWorldModel.action_bounds) + 1e-6).all()
        assert (actions[..., 3:6] == 0.0).all()
        energies = np.array(message.energies)
        # Independently: where the toy arm would be, and how far from the goal (to 0.01).
        end = START + actions.sum(axis=1) * [1, 1, 1, 1, 1, 1, -1]
        ends = np.clip(end[:, 6], 0.0, 1.0)
        expected = (abs(end - GOAL)[:, :6].sum(axis=1) + abs(ends - GOAL[6])) / 7.0
        # Exact but for a clip of closedness between the two steps.
        assert np.median(abs(energies - expected)) < 1e-4
        assert list(message.elites) == list(np.argsort(energies, kind='stable')[: SAMPLES // 5])


@pytest.mark.case(23)
def test_candidates_are_not_even_converted_without_a_subscriber(robot, listen, monkeypatch):
    conversions = []
    convert = reporting.to_candidates_message
    monkeypatch.setattr(
        reporting,
        'to_candidates_message',
        lambda *args: conversions.append(args) or convert(*args),
    )
    eventually(
        lambda: (
            robot.planner.count_subscribers(
                f'{robot.planner.get_fully_qualified_name()}/search/candidates'
            )
            == 0
        )
    )
    robot.plan(iterations=3)
    assert not conversions
    candidates = listen(SearchCandidates, 'planner/search/candidates')
    robot.plan(iterations=3)
    eventually(lambda: len(candidates) == 3)
    assert len(conversions) == 3


@pytest.mark.case(24)
def test_every_number_of_an_iteration_can_be_plotted(robot, listen):
    scalars = [
        'iteration',
        'iterations_total',
        'energy_min',
        'energy_best',
        'energy_elite_mean',
        'energy_elite_std',
        'energy_mean',
        'energy_max',
        'elapsed',
    ]
    vectors = [f'{name}[{axis}]' for name in ('mean', 'std') for axis in range(7)]
    paths = list(plottable(SearchIteration))
    assert set(paths) == {
        *scalars,
        *vectors,
        'header/stamp/sec',
        'header/stamp/nanosec',
        *(f'plan_id/uuid[{index}]' for index in range(16)),
    }
    messages = listen(SearchIteration, 'planner/search')
    robot.plan(iterations=2)
    eventually(lambda: len(messages) == 2)
    values = np.array([[float(value_at(message, path)) for path in paths] for message in messages])
    assert np.isfinite(values).all()
    assert values[:, paths.index('iteration')].tolist() == [1.0, 2.0]
    # Tools show the first fields first: numbers before what has no fixed length.
    assert list(SearchIteration.get_fields_and_field_types())[-1] == 'energies'


def test_every_metric_can_be_plotted(robot, listen):
    messages = listen(Metrics, 'planner/metrics')
    paths = list(plottable(Metrics))
    fields = set(Metrics.get_fields_and_field_types()) - {'header'}
    assert set(paths) == {*fields, 'header/stamp/sec', 'header/stamp/nanosec'}
    succeeded = robot.planner._plans.outcomes['succeeded']
    result = robot.plan(iterations=2)
    eventually(
        lambda: (
            messages
            and messages[-1].goals_succeeded == succeeded + 1
            and messages[-1].plan_time == pytest.approx(result.planning_time, abs=0.02)
        )
    )
    newest = messages[-1]
    assert np.isfinite([float(value_at(newest, path)) for path in paths]).all()
    assert newest.process_memory == pytest.approx(
        psutil.Process(os.getpid()).memory_info().rss / 1e6, rel=0.2
    )
    assert 0.0 < newest.system_memory < psutil.virtual_memory().total / 1e6
    assert 0.0 < newest.plan_rate and 0.0 < newest.iteration_rate
    assert 0.0 <= newest.image_age < 5.0 and 0.0 <= newest.state_age < 5.0


@pytest.mark.case(37)
def test_everything_runs_on_one_torch_thread(robot):
    robot.model.threads.clear()
    for _ in range(4):
        robot.plan(iterations=2)
    assert len(robot.model.threads) == 1


@pytest.mark.case(58)
@pytest.mark.slow
def test_diagnostics(robot, listen):
    robot.planner.set_parameters([Parameter('max_image_age', value=1.0)])
    reports = listen(DiagnosticArray, '/diagnostics')
    name = f'{robot.planner.get_fully_qualified_name()}: planner'

    def newest():
        return next(
            (report.status[0] for report in reversed(reports) if report.status[0].name == name),
            None,
        )

    eventually(lambda: newest() is not None and newest().level == DiagnosticStatus.OK)
    values = {item.key: item.value for item in newest().values}
    assert values['state'] == 'active' and values['model'] == 'toy'
    assert values['device'] == 'cpu' and values['dtype'] == 'float32'
    assert 50.0 < float(values['memory [MB]']) < 10_000.0
    assert set(values) == KEYS
    done = int(values['goals succeeded'])
    result = robot.plan()
    with_failure = int(values['goals aborted'])
    with pytest.raises(PlanFailed):
        robot.plan(model='other')
    eventually(
        lambda: (
            {item.key: item.value for item in newest().values}['goals succeeded'] == str(done + 1)
        )
    )
    values = {item.key: item.value for item in newest().values}
    assert 0.0 <= float(values['CPU of all processes [%]']) <= 100.0
    assert values['GPU [%]'] == values['GPU memory [MB]'] == 'unknown'  # the toy is on the CPU
    assert float(values['last plan [s]']) == pytest.approx(result.planning_time, abs=0.02)
    assert float(values['iterations a second']) * result.planning_time >= 5
    eventually(
        lambda: (
            {item.key: item.value for item in newest().values}['goals aborted']
            == str(with_failure + 1)
        )
    )
    robot.sending = {'state'}
    eventually(lambda: newest().level == DiagnosticStatus.WARN)
    assert 'image' in newest().message
    robot.planner.set_parameters([Parameter('max_image_age', value=5.0)])


@pytest.mark.case(58)
def test_diagnostics_tell_of_every_camera_and_where_the_clock_stands_still(make_robot):
    robot = make_robot(cameras=['main', 'wrist'], use_sim_time=True)  # and nobody sends /clock
    robot.sending, reports = {'image', 'state'}, []
    robot.node.create_subscription(DiagnosticArray, '/diagnostics', reports.append, 50)
    name = f'{robot.planner.get_fully_qualified_name()}: planner'
    expected = ("no time has arrived on '/clock'", "/planner/wrist/image' within")
    eventually(
        lambda: any(
            status.name == name and all(text in status.message for text in expected)
            for report in reports
            for status in report.status
        )
    )


@pytest.mark.case(58)
def test_diagnostics_count_how_goals_end(robot, listen):
    reports = listen(DiagnosticArray, '/diagnostics')
    name = f'{robot.planner.get_fully_qualified_name()}: planner'

    def counted():
        values = [
            {item.key: item.value for item in report.status[0].values}
            for report in reports
            if report.status[0].name == name
        ]
        return [int(values[-1][f'goals {end}']) for end in ('cancelled', 'preempted')]

    eventually(lambda: any(report.status[0].name == name for report in reports))
    cancelled, preempted = counted()
    with Gate(robot) as gate:
        old = robot.client.plan_async(ToyWorldModel.picture(GOAL))
        gate.reached()
        new = robot.client.plan_async(ToyWorldModel.picture(GOAL))
        eventually(lambda: robot.planner._plans.slot._waiting is not None)
        gate.release()
        assert old.exception(60.0).code == ErrorCode.PREEMPTED
        assert np.isfinite(new.result(60.0).command).all()
    with Gate(robot) as gate:
        future = robot.client.plan_async(ToyWorldModel.picture(GOAL))
        gate.reached()
        asked = threading.Thread(target=robot.client.cancel)
        asked.start()
        eventually(robot.planner._plans.slot._running.stopped)
        gate.release()
        assert future.exception(60.0).cancelled
        asked.join()
    eventually(lambda: counted() == [cancelled + 1, preempted + 1])


@pytest.mark.case(58)
@pytest.mark.slow
def test_diagnostics_of_a_model_that_cannot_be_loaded(make_robot):
    missing = [True]

    def load(name, **options):
        if missing:
            raise OSError('weights.pt is not there')
        return Toy()

    robot, reports = make_robot(load_model=load, autostart=False), []
    name = f'{robot.planner.get_fully_qualified_name()}: planner'

    def note(report):
        reports.extend(
            (status.level, status.message) for status in report.status if status.name == name
        )

    robot.node.create_subscription(DiagnosticArray, '/diagnostics', note, 50)
    eventually(lambda: (DiagnosticStatus.WARN, 'unconfigured: goals are rejected') in reports)
    assert not transition(robot, CONFIGURE)
    eventually(lambda: reports[-1][0] == DiagnosticStatus.ERROR)
    assert 'weights.pt is not there' in reports[-1][1]
    missing.clear()
    assert transition(robot, CONFIGURE)
    eventually(lambda: reports[-1] == (DiagnosticStatus.WARN, 'inactive: goals are rejected'))
