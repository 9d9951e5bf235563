# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The markers of a plan, over real DDS, against the messages that carry the numbers."""

import numpy as np
from planner_rig import eventually, GOAL, START
import pytest
from scipy.spatial.transform import Rotation
from tools.toy_world_model import ToyWorldModel
from visualization_msgs.msg import Marker, MarkerArray
from vjepa2_interfaces.msg import SearchCandidates, SearchIteration
from vjepa2_planner_ros.nodes import reporting

ITERATIONS, SAMPLES, HORIZON = 3, 50, 2


def positions(points):
    """Return [N, 3] of Points."""
    return np.array([[point.x, point.y, point.z] for point in points]).reshape(-1, 3)


def by_name(array):
    """Return {(namespace, id): Marker} of what a MarkerArray adds."""
    assert all(marker.header.frame_id == 'panda_link0' for marker in array.markers)
    return {
        (marker.ns, marker.id): marker for marker in array.markers if marker.action == Marker.ADD
    }


@pytest.fixture
def seen(robot, listen):
    """Plan with a horizon of 2; return (result, markers, candidates, iterations)."""
    markers, candidates, iterations = (
        listen(kind, topic)
        for kind, topic in (
            (MarkerArray, 'planner/markers'),
            (SearchCandidates, 'planner/search/candidates'),
            (SearchIteration, 'planner/search'),
        )
    )
    result = robot.client.plan(
        ToyWorldModel.picture(GOAL),
        horizon=HORIZON,
        samples=SAMPLES,
        iterations=ITERATIONS,
        elite_fraction=0.2,
        timeout=60.0,
    )
    eventually(
        lambda: (
            len(markers) == ITERATIONS + 1
            and len(candidates) == ITERATIONS
            and len(iterations) == ITERATIONS
        )
    )
    return result, markers, candidates, iterations


def test_candidates_are_where_they_end_and_the_best_are_dark_and_large(seen):
    _, markers, candidates, _ = seen
    for array, message in zip(markers, candidates):
        assert array.markers[0].action == Marker.DELETEALL
        shown = by_name(array)
        actions = np.reshape(message.actions, (SAMPLES, HORIZON, 7))
        ends = START[:3] + actions[:, :, :3].sum(axis=1)
        elites = np.array(message.elites)
        others = np.setdiff1d(np.arange(SAMPLES), elites)
        best, rest = shown['elites', 0], shown['candidates', 0]
        assert np.allclose(positions(best.points), ends[elites], atol=1e-6)
        assert np.allclose(positions(rest.points), ends[others], atol=1e-6)
        assert best.type == rest.type == Marker.SPHERE_LIST
        assert best.scale.x > rest.scale.x > 0.0
        brightness = {}
        for marker, indices in ((best, elites), (rest, others)):
            assert len(marker.colors) == len(indices)
            for colour, index in zip(marker.colors, indices):
                assert colour.a == 1.0
                brightness[index] = colour.r + colour.g + colour.b
        by_energy = np.argsort(message.energies)
        values = np.array([brightness[index] for index in by_energy])
        assert (np.diff(values) >= -1e-6).all() and values[-1] > values[0] + 0.5


def test_the_distribution_is_an_ellipsoid_of_one_standard_deviation(robot, listen):
    markers = listen(MarkerArray, 'planner/markers')
    iterations = listen(SearchIteration, 'planner/search')
    robot.plan(iterations=2, samples=SAMPLES)
    eventually(lambda: len(markers) == 3 and len(iterations) == 2)
    for array, iteration in zip(markers, iterations):
        shown = by_name(array)
        ellipsoid = shown['distribution', 0]
        assert ellipsoid.type == Marker.SPHERE
        assert np.allclose(positions([ellipsoid.pose.position]), START[:3] + iteration.mean[:3])
        assert np.allclose(
            [ellipsoid.scale.x, ellipsoid.scale.y, ellipsoid.scale.z],
            np.maximum(2.0 * np.array(iteration.std[:3]), 0.001),
        )
        assert ('path', 0) not in shown  # one step has none


def test_the_path_of_a_longer_horizon_ends_at_the_ellipsoid(seen):
    _, markers, _, iterations = seen
    for array, iteration in zip(markers, iterations):
        shown = by_name(array)
        path = positions(shown['path', 0].points)
        assert shown['path', 0].type == Marker.LINE_STRIP and len(path) == HORIZON + 1
        assert np.allclose(path[:2], [START[:3], START[:3] + iteration.mean[:3]])
        assert np.allclose(path[-1], positions([shown['distribution', 0].pose.position])[0])


def test_the_command_is_an_arrow_with_the_gripper_at_its_end(seen):
    result, markers, _, _ = seen
    shown = by_name(markers[-1])
    arrow, path = shown['command', 0], positions(shown['path', 0].points)
    target = result.target_pose.pose
    assert arrow.type == Marker.ARROW and min(arrow.scale.x, arrow.scale.y) > 0.0
    assert np.allclose(
        positions(arrow.points), [START[:3], positions([target.position])[0]], atol=1e-6
    )
    assert np.allclose(
        path,
        START[:3] + np.cumsum(np.concatenate([np.zeros((1, 3)), result.plan[:, :3]]), axis=0),
        atol=1e-6,
    )
    fingers = [shown['gripper', number] for number in (0, 1)]
    apart = np.diff([positions([finger.pose.position])[0] for finger in fingers], axis=0)[0]
    q = target.orientation
    y_axis = Rotation.from_quat([q.x, q.y, q.z, q.w]).apply([0.0, 1.0, 0.0])
    closedness = np.clip(START[6] - result.command[6], 0.0, 1.0)
    assert np.allclose(apart, 0.08 * (1.0 - closedness) * y_axis, atol=1e-6)
    assert all(finger.type == Marker.CUBE and finger.pose.orientation == q for finger in fingers)
    assert shown['gripper', 2].text == f'gripper:{result.command[6]:+.2f}'


def test_many_candidates_are_thinned_but_not_the_elites(robot, listen):
    markers = listen(MarkerArray, 'planner/markers')
    robot.plan(iterations=1, samples=5000, elite_fraction=0.01)
    eventually(lambda: len(markers) == 2)
    shown = by_name(markers[0])
    assert len(shown['elites', 0].points) == 50
    assert 200 <= len(shown['candidates', 0].points) <= 400


def test_what_has_no_energy_is_not_shown(robot, listen):
    def fault(latents):
        latents[:20] = float('inf')
        return latents

    markers = listen(MarkerArray, 'planner/markers')
    robot.model.fault = lambda latents: fault(latents) if len(latents) > 2 else latents
    robot.plan(iterations=1, samples=SAMPLES, elite_fraction=0.2)
    eventually(lambda: len(markers) == 2)
    shown = by_name(markers[0])
    assert len(shown['elites', 0].points) + len(shown['candidates', 0].points) == SAMPLES - 20


@pytest.mark.case(23)
def test_nothing_is_drawn_without_a_subscriber(robot, monkeypatch):
    drawn = []
    for name in ('iteration_markers', 'command_markers'):
        monkeypatch.setattr(reporting, name, lambda *args: drawn.append(args))
    topic = f'{robot.planner.get_fully_qualified_name()}/markers'
    eventually(lambda: robot.planner.count_subscribers(topic) == 0)
    robot.plan(iterations=2)
    assert not drawn
