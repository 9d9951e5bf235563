# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action compute_energy_landscape, over real DDS, with the toy whose energies are known."""

import threading

from action_msgs.msg import GoalStatus
import numpy as np
from planner_rig import (
    DEACTIVATE,
    eventually,
    GOAL,
    send_goal,
    START,
    to_image,
    to_state_message,
    transition,
)
from planner_wire import wait
import pytest
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from tools.toy_world_model import ToyWorldModel
from visualization_msgs.msg import Marker, MarkerArray
from vjepa2_interfaces.action import ComputeEnergyLandscape
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.messages.landscapes import to_landscape
from vjepa2_planner_ros.nodes import landscape_topics
from vjepa2_planner_ros.nodes.landscape_server import step_beside
from vjepa2_planner_ros.nodes.loaded_model import LoadedModel
from vjepa2_planner_ros.planning.landscape import make_grid
from vjepa2_planner_ros.planning.landscape_plot import draw

PICTURE = to_image(ToyWorldModel.picture(GOAL))
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SUCCEEDED, CANCELED, ABORTED = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_CANCELED,
    GoalStatus.STATUS_ABORTED,
)


class Ask:
    """One goal of the action: sent, accepted, and later its end."""

    def __init__(self, node, client, **fields):
        self.progress = []
        self.handle = send_goal(
            node,
            client,
            ComputeEnergyLandscape.Goal(**fields),
            lambda message: self.progress.append(message.feedback.progress),
        )
        self.later = self.handle.get_result_async() if self.handle.accepted else None

    def end(self):
        """Return (status, Result)."""
        answer = wait(self.later)
        return answer.status, answer.result

    def failure(self):
        """Return (ErrorCode, text) of a goal that fails."""
        status, result = self.end()
        assert status == ABORTED
        return ErrorCode(result.error_code), result.error_msg


def asker(robot):
    """Return (function that sends a goal, the client to destroy)."""
    client = ActionClient(robot.node, ComputeEnergyLandscape, 'compute_energy_landscape')
    assert client.wait_for_server(60.0)
    return (lambda **fields: Ask(robot.node, client, **fields)), client


@pytest.fixture
def ask(robot):
    """Return a function that sends a goal to the shared robot's planner."""
    send, client = asker(robot)
    yield send
    client.destroy()
    robot.planner.set_parameters([Parameter('landscape.batch', value=128)])


def energy(x=0.0, y=0.0, z=0.0, closing=0.0, start=START):
    """Return what the toy's energy is after a step, in closed form (arrays broadcast)."""
    position = sum(abs(value + start[i] - GOAL[i]) for i, value in enumerate((x, y, z)))
    turned = abs(np.array(start)[3:6] - GOAL[3:6]).sum()
    return (position + turned + abs(np.clip(start[6] + closing, 0.0, 1.0) - GOAL[6])) / 7.0


def test_energies_over_the_live_picture_and_the_command_of_the_last_plan(robot, ask):
    plan = robot.plan()
    asked = ask(goal_image=PICTURE, axes=['gripper', 'x'], resolution=[4, 5])
    status, result = asked.end()
    assert (status, result.error_code, result.error_msg) == (SUCCEEDED, ErrorCode.NONE, '')
    gripper, x = result.axes
    assert (gripper.name, gripper.unit, x.name, x.unit) == ('gripper', '', 'x', 'm')
    assert np.allclose(gripper.values, [-0.75, -0.25, 0.25, 0.75])
    assert np.allclose(x.values, [-0.05, -0.025, 0.0, 0.025, 0.05])
    expected = energy(x=np.array(x.values), closing=-np.array(gripper.values)[:, None])
    assert np.allclose(np.reshape(result.energies, (4, 5)), expected, atol=1e-6)
    assert np.isclose(result.minimum, expected.min(), atol=1e-6)
    best = np.unravel_index(expected.argmin(), expected.shape)
    assert np.allclose(
        result.minimum_command, [x.values[best[1]], 0, 0, 0, 0, 0, gripper.values[best[0]]]
    )
    assert np.isclose(result.start_energy, energy(), atol=1e-6)
    assert result.has_command and bytes(result.plan_id.uuid) == plan.plan_id
    assert np.allclose(result.command, plan.command)
    assert np.isclose(result.command_energy, plan.energy, atol=1e-6)
    assert result.header.frame_id == result.start_pose.header.frame_id == 'panda_link0'
    assert result.header.stamp.sec > 0 and result.model == 'toy'
    position = result.start_pose.pose.position
    assert np.allclose([position.x, position.y, position.z], START[:3], atol=1e-6)
    assert result.computing_time.sec + result.computing_time.nanosec > 0
    eventually(lambda: asked.progress and asked.progress[-1] == 1.0)


def test_pictures_of_a_goal_are_not_kept_after_its_end(robot, ask, monkeypatch):
    servers, handles = robot.planner._landscapes.goals, []
    execute = servers._execute
    monkeypatch.setattr(
        servers.slot, '_execute', lambda job: (handles.append(job.handle), execute(job))[1]
    )
    picture = to_image(ToyWorldModel.picture(GOAL))
    assert ask(goal_image=picture, axes=['x', 'y'], resolution=[2, 2]).end()[0] == SUCCEEDED
    assert len(handles) == 1 and not handles[0].request.goal_image.data


def test_three_axes_and_a_step_on_another(robot, ask):
    _, result = ask(
        goal_image=PICTURE,
        axes=['x', 'y', 'z'],
        lowest=[0.0, -0.04, 0.0],
        highest=[0.04, 0.0, 0.04],
        resolution=[3, 2, 4],
        offset=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.5],
    ).end()
    x, y, z = (np.array(axis.values) for axis in result.axes)
    expected = energy(x[:, None, None], y[:, None], z, closing=0.5)
    assert expected.shape == (3, 2, 4)
    assert np.allclose(np.reshape(result.energies, (3, 2, 4)), expected, atol=1e-6)
    assert np.isclose(result.minimum_command[6], -0.5)


def test_pictures_and_state_of_the_goal_are_used(robot, ask):
    elsewhere = START + [0.1, -0.05, 0.0, 0.0, 0.0, 0.0, 0.3]
    _, result = ask(
        goal_image=PICTURE,
        use_current_image=True,
        resolution=[2, 2],
        current_image=to_image(ToyWorldModel.picture(elsewhere)),
        use_start_state=True,
        start_state=to_state_message(elsewhere),
    ).end()
    x, y = (np.array(axis.values) for axis in result.axes)
    assert np.allclose(
        np.reshape(result.energies, (2, 2)), energy(x[:, None], y, start=elsewhere), atol=1e-6
    )
    assert np.isclose(result.start_pose.pose.position.x, elsewhere[0])


def test_the_last_plan_can_be_looked_at_when_the_arm_has_moved_on(make_robot):
    robot = make_robot().ready()
    ask, client = asker(robot)
    code, text = ask(use_last_plan=True).failure()
    assert code == ErrorCode.INVALID_SETTINGS and text.startswith('use_last_plan = True')
    _, before = ask(goal_image=PICTURE).end()
    assert not before.has_command
    robot.plan()
    robot.state = START + [0.2, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0]
    eventually(
        lambda: (
            robot.planner._observations.state(
                robot.planner._observations.look(None),
                robot.planner._landscapes._last.request.settings,
            )[0]
            > 0.55
        )
    )
    _, after = ask(use_last_plan=True).end()
    x, y = (np.array(axis.values) for axis in before.axes)
    assert np.allclose(before.energies, energy(x[:, None], y).ravel(), atol=1e-6)
    # Of that plan: beside x and y the steps are its command's.
    z, closing = after.command[2], -after.command[6]
    turned = sum(abs(after.command[3:6])) / 7.0
    assert np.allclose(
        after.energies, turned + energy(x[:, None], y, z, closing).ravel(), atol=1e-6
    )
    assert np.isclose(after.command_energy, 0.0, atol=0.01) and after.has_command
    client.destroy()


def test_a_map_of_the_last_plan_holds_its_command(robot, ask):
    robot.plan()
    _, result = ask(use_last_plan=True, resolution=[51, 51]).end()
    x, y = (np.array(axis.values) for axis in result.axes)
    nearest = [abs(values - step).argmin() for values, step in zip((x, y), result.command)]
    # Steps of 2 mm: the nearest cell is up to a millimetre away on each axis.
    assert np.isclose(
        np.reshape(result.energies, (51, 51))[tuple(nearest)],
        result.command_energy,
        atol=0.002 / 7.0 + 1e-6,
    )
    assert result.minimum == pytest.approx(result.command_energy, abs=0.002)
    assert np.allclose(result.minimum_command[2:], result.command[2:], atol=1e-7)
    assert to_landscape(result).place(np.array(result.command)) == ''
    asked = [0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 0.0]
    _, result = ask(use_last_plan=True, resolution=[2, 2], offset=asked).end()
    assert np.allclose(result.minimum_command[2:], asked[2:])
    assert to_landscape(result).place(np.array(result.command)) == 'projected'


def test_a_command_at_a_bound_that_float32_rounds_up_is_a_step_beside():
    bounds = (0.05, 0.05, 0.1, 0.15, 0.15, 0.15, 0.75)
    command = np.float64(np.float32(bounds))
    assert command[2] > bounds[2] + 1e-9
    goal = ComputeEnergyLandscape.Goal(use_last_plan=True)
    beside = step_beside(goal, command, bounds)
    assert beside.tolist() == [0.0, 0.0, *bounds[2:3], *command[3:].clip(max=bounds[3:])]
    make_grid((), (), (), (), beside, bounds)


@pytest.mark.parametrize(
    'fields, code, text',
    (
        ({}, ErrorCode.INVALID_GOAL_IMAGE, 'goal_image.data = nothing'),
        ({'goal_image': PICTURE, 'model': 'other'}, ErrorCode.MODEL_NOT_FOUND, "model = 'other'"),
        ({'goal_image': PICTURE, 'camera': 'left'}, ErrorCode.INVALID_SETTINGS, "camera = 'left'"),
        ({'goal_image': PICTURE, 'axes': ['x', 'up']}, ErrorCode.INVALID_SETTINGS, "'up'"),
        (
            {'goal_image': PICTURE, 'highest': [0.2, 0.05]},
            ErrorCode.INVALID_SETTINGS,
            'highest of x = 0.2: allowed: -0.05 to 0.05',
        ),
        (
            {'goal_image': PICTURE, 'resolution': [2000, 2000]},
            ErrorCode.INVALID_SETTINGS,
            'resolution = [2000, 2000]',
        ),
        (
            {
                'goal_image': PICTURE,
                'use_start_state': True,
                'start_state': EndEffectorState(gripper=2.0),
            },
            ErrorCode.INVALID_STATE,
            'start_state.gripper = 2.0',
        ),
    ),
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_is_wrong_is_answered_by_name(ask, fields, code, text):
    found, message = ask(**fields).failure()
    assert found == code and text in message


def test_energies_without_a_finite_one_are_an_error(robot, ask):
    robot.model.fault = lambda latents: latents * float('nan')
    code, text = ask(goal_image=PICTURE).failure()
    assert code == ErrorCode.NON_FINITE_ENERGY and '441' in text


class Rollouts:
    """Notes the size of each rollout, and holds the second one until it is released."""

    def __init__(self, robot, batch):
        robot.planner.set_parameters([Parameter('landscape.batch', value=batch)])
        self.sizes = []
        self._reached, self._released = threading.Event(), threading.Event()
        robot.model.fault = self._note

    def reached(self):
        """Wait until the second rollout has begun."""
        assert self._reached.wait(60.0)

    def release(self):
        """Let everything go on."""
        self._released.set()

    def _note(self, latents):
        self.sizes.append(len(latents))
        if len(self.sizes) == 2:
            self._reached.set()
            assert self._released.wait(60.0)
        return latents


def test_a_plan_goes_before_all_but_the_running_batch(robot, ask):
    rollouts = Rollouts(robot, batch=10)
    asked = ask(goal_image=PICTURE, resolution=[10, 10])
    rollouts.reached()
    robot.planner.set_parameters([Parameter('search.min_axis_gain', value=0.0)])
    planned = robot.client.plan_async(ToyWorldModel.picture(GOAL), samples=30, iterations=3)
    eventually(lambda: robot.planner._worker._pool._work_queue.qsize() == 1)
    rollouts.release()
    assert planned.result(60.0).iterations == 3
    robot.planner.set_parameters([Parameter('search.min_axis_gain', value=0.005)])
    assert asked.end()[0] == SUCCEEDED
    # Every point once, doing nothing and perhaps a command; between them the plan in one piece.
    plan = [30, 30, 30, 2]
    assert rollouts.sizes[:6] == [10, 10, *plan]
    assert rollouts.sizes[6:-1] == [10] * 8 and rollouts.sizes[-1] in (1, 2)
    assert len(robot.model.threads) == 1


def test_cancelling_ends_it_after_the_running_batch(robot, ask):
    rollouts = Rollouts(robot, batch=10)
    asked = ask(goal_image=PICTURE)
    rollouts.reached()
    cancelled = asked.handle.cancel_goal_async()
    eventually(lambda: robot.planner._landscapes.goals.slot._running.stopped())
    rollouts.release()
    assert len(wait(cancelled).goals_canceling) == 1
    status, result = asked.end()
    assert (status, result.error_code) == (CANCELED, ErrorCode.NONE)
    assert rollouts.sizes == [10, 10] and not len(result.energies)


def test_a_newer_goal_takes_over(robot, ask):
    rollouts = Rollouts(robot, batch=10)
    first = ask(goal_image=PICTURE)
    rollouts.reached()
    second = ask(goal_image=PICTURE, resolution=[2, 2])
    rollouts.release()
    assert first.failure()[0] == ErrorCode.PREEMPTED
    status, result = second.end()
    assert status == SUCCEEDED and len(result.energies) == 4
    assert robot.plan().iterations > 0


def test_deactivation_ends_it_and_rejects_the_next(make_robot):
    robot = make_robot().ready()
    ask, client = asker(robot)
    rollouts = Rollouts(robot, batch=10)
    asked = ask(goal_image=PICTURE)
    rollouts.reached()
    answer = transition(robot, DEACTIVATE, wait=False)
    eventually(lambda: robot.planner._landscapes.goals.slot._running.stopped())
    rollouts.release()
    assert asked.failure()[0] == ErrorCode.NODE_DEACTIVATED
    assert wait(answer).success
    assert not ask(goal_image=PICTURE).handle.accepted
    client.destroy()


def test_a_model_that_was_replaced_ends_it(robot, ask):
    rollouts = Rollouts(robot, batch=10)
    asked = ask(goal_image=PICTURE)
    rollouts.reached()
    thread = robot.planner._worker
    loaded, thread._loaded = thread._loaded, LoadedModel(ToyWorldModel())
    rollouts.release()
    code, text = asked.failure()
    thread._loaded = loaded
    assert code == ErrorCode.MODEL_NOT_FOUND and "'toy'" in text


def points_of(cloud):
    """Return x y z energy [P, 4] of a PointCloud2."""
    assert [(field.name, field.offset, field.datatype) for field in cloud.fields] == [
        (name, 4 * i, 7) for i, name in enumerate(('x', 'y', 'z', 'energy'))
    ]  # 7: FLOAT32
    assert len(cloud.data) == cloud.row_step * cloud.height == cloud.point_step * cloud.width
    return np.frombuffer(cloud.data, '<f4').reshape(cloud.width, 4)


def test_it_is_shown_on_topics(robot, ask, listen):
    robot.plan()
    images, clouds, markers = (
        listen(kind, f'planner/landscape/{name}', LATCHED)
        for kind, name in ((Image, 'image'), (PointCloud2, 'points'), (MarkerArray, 'markers'))
    )
    offset = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.25]
    _, result = ask(
        goal_image=PICTURE, axes=['x', 'y', 'z'], resolution=[5, 4, 3], offset=offset
    ).end()
    eventually(lambda: images and images[-1].width > 2 * images[-1].height)
    eventually(lambda: clouds and clouds[-1].width == 60)
    eventually(lambda: markers and len(markers[-1].markers) > 4)
    picture, cloud = images[-1], clouds[-1]
    assert picture.encoding == 'rgb8' and picture.header == result.header
    assert cloud.header == result.header and cloud.header.frame_id == 'panda_link0'
    x, y, z = (np.array(axis.values) for axis in result.axes)
    grid = np.stack(np.meshgrid(x, y, z, indexing='ij'), axis=-1).reshape(-1, 3)
    assert np.allclose(
        points_of(cloud), np.column_stack([START[:3] + grid, result.energies]), atol=1e-6
    )
    kinds = {marker.ns: marker for marker in markers[-1].markers if marker.action == Marker.ADD}
    assert set(kinds) == {'xy slice', 'xz slice', 'yz slice', 'minimum', 'command'}
    ends = [[point.x, point.y, point.z] for point in kinds['command'].points]
    assert np.allclose(ends, [START[:3] + result.command[:3]], atol=1e-6)
    lowest = START[:3] + np.array(result.minimum_command[:3])
    at = kinds['minimum'].pose.position
    assert np.allclose([at.x, at.y, at.z], lowest, atol=1e-6)
    for name, cells, across in (
        ('xy slice', 4 * 3, 2),
        ('xz slice', 4 * 2, 1),
        ('yz slice', 3 * 2, 0),
    ):
        marker = kinds[name]
        corners = np.array([[point.x, point.y, point.z] for point in marker.points])
        assert marker.type == Marker.TRIANGLE_LIST
        assert len(corners) == len(marker.colors) == 6 * cells
        assert np.allclose(corners[:, across], lowest[across], atol=1e-6)
        # The triangles cover the slice: their areas add up to its rectangle.
        a, b, c = corners.reshape(-1, 3, 3).swapaxes(0, 1)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2.0
        assert np.isclose(area, 0.1 * 0.1, atol=1e-6)


def test_without_a_translation_there_are_no_points_in_space(robot, ask, listen):
    clouds = listen(PointCloud2, 'planner/landscape/points', LATCHED)
    markers = listen(MarkerArray, 'planner/landscape/markers', LATCHED)
    ask(goal_image=PICTURE, axes=['roll', 'gripper'], resolution=[2, 2]).end()
    eventually(lambda: clouds and clouds[-1].width == 0)
    eventually(
        lambda: markers and [marker.action for marker in markers[-1].markers] == [Marker.DELETEALL]
    )


def test_the_result_does_not_wait_for_the_picture(robot, ask, monkeypatch):
    drawn, released = [], threading.Event()

    def draw_when_released(landscape, dpi):
        drawn.append(landscape.grid.shape)
        assert released.wait(60.0)
        return draw(landscape, dpi)

    monkeypatch.setattr(landscape_topics, 'draw', draw_when_released)
    for points in (2, 3, 4):
        status, result = ask(goal_image=PICTURE, resolution=[2, points]).end()
        assert status == SUCCEEDED
        eventually(lambda: drawn)
    released.set()
    # The one that was being drawn, and the newest: nobody needs what came between.
    eventually(lambda: len(drawn) == 2)
    assert drawn == [(2, 2), (2, 4)]
    late = []
    subscription = robot.node.create_subscription(
        Image, 'planner/landscape/image', late.append, LATCHED
    )
    eventually(lambda: late and late[-1].header == result.header)
    robot.node.destroy_subscription(subscription)


def test_a_picture_that_cannot_be_drawn_is_logged_and_the_next_one_is(make_robot, monkeypatch):
    robot = make_robot().ready()
    ask, client = asker(robot)
    images = []
    robot.node.create_subscription(Image, 'planner/landscape/image', images.append, LATCHED)
    with monkeypatch.context() as patch:
        patch.setattr(landscape_topics, 'draw', lambda *args: 1 / 0)
        assert ask(goal_image=PICTURE, resolution=[2, 2]).end()[0] == SUCCEEDED
        eventually(lambda: any('ZeroDivisionError' in line for line in robot.errors()))
    assert ask(goal_image=PICTURE, resolution=[2, 2]).end()[0] == SUCCEEDED
    eventually(lambda: images)
    client.destroy()
