# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real controller with a real planner and an arm that follows its targets, over real DDS."""

import threading
import time

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from planner_rig import eventually, GOAL, Robot
from rcl_interfaces.msg import Log
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from std_msgs.msg import Bool, Float64MultiArray
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.msg import ReachStep
from vjepa2_planner_ros.client import ControllerClient
from vjepa2_planner_ros.nodes.controller_node import ControllerNode
from vjepa2_planner_ros.nodes.process import spin_until, THREADS

PERIOD = 0.02  # s between targets
QUIET = 0.1  # s without a target after which none is under way any more
SPEED = 0.25  # m/s, the limit in these tests
REMAPPED = ('pose', 'gripper', 'image')
DEFAULTS = {
    'dry_run': False,
    'limits.workspace': [0.2, 0.8, -0.5, 0.5, 0.05, 0.8],
    'limits.max_speed': SPEED,
    'limits.max_turn_speed': 2.0,
    'arrival.rest_time': 0.1,
    'arrival.timeout': 2.0,
    'gripper_output.kind': 'position',
    'gripper_output.name': 'gripper_position',
    # Patient, as the planner's.
    'max_state_age': 5.0,
    'max_image_age': 5.0,
    'max_skew': 5.0,
    'gripper.max_age': 5.0,
    'input_timeout': 2.0,
}


class Lab:
    """
    A Robot of planner_rig whose arm follows target poses, and a controller.

    observed holds (time, state) of every target that the arm took, measured apart from the
    controller.
    """

    def __init__(self, context, parameters=(), of_planner=(), **robot):
        self.robot = Robot(context, of_planner, **robot)
        namespace = self.robot.node.get_namespace()
        values = {**DEFAULTS, **dict(parameters)}
        self.controller = ControllerNode(
            context=context,
            namespace=namespace,
            use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
            cli_args=[
                '--ros-args',
                *(part for name in REMAPPED for part in ('-r', f'~/{name}:=planner/{name}')),
            ],
        )
        self.targets, self.twists, self.steps, self.follows = [], [], [], True
        self._changed, self.logs = [], []  # texts of the controller
        node = self.robot.node
        node.create_subscription(Log, '/rosout', self._on_log, 1000)
        node.create_subscription(PoseStamped, 'controller/target_pose', self._on_target, 100)
        node.create_subscription(TwistStamped, 'controller/twist', self._on_twist, 100)
        node.create_subscription(ReachStep, 'controller/step', self._on_step, 100)
        node.create_subscription(Float64MultiArray, 'gripper_position', self._on_gripper, 10)
        self.switch = node.create_publisher(Bool, 'dead_man', 10)
        self._executor = MultiThreadedExecutor(THREADS, context=context)
        self._executor.add_node(self.controller)
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=spin_until, args=(self._executor, self.controller, self._ended), daemon=True
        )
        self._thread.start()
        self.client = ControllerClient(node)

    def ready(self):
        """Wait until planner and controller take goals and see the arm; return self."""
        self.robot.ready()
        assert self.client.wait_until_ready(60.0)
        now = self.robot.node.get_clock().now().nanoseconds
        for node in (self.robot.planner, self.controller):  # both see the arm as it is now
            streams = node._streams
            for seen in (streams.frames['main'], streams.poses, streams.grippers):
                eventually(lambda seen=seen: seen.newest and seen.newest.stamp > now)
        eventually(lambda: self.robot.node.count_publishers('/rosout') > 1)
        eventually(lambda: self.controller.count_subscribers(self.controller.output.topic) > 0)
        return self

    def set(self, **parameters):
        """Set parameters of the controller, with __ for the dot, until restore."""
        for name, value in parameters.items():
            name = name.replace('__', '.')
            self._changed.append(self.controller.get_parameter(name))
            (answer,) = self.controller.set_parameters([Parameter(name, value=value)])
            assert answer.successful, answer.reason

    def restore(self):
        """Undo what a test may have changed: disarmed, at the start; return self."""
        self.client.cancel(10.0)
        self.client.arm(False)
        # The last target, which is under way, must not come after the arm is put back.
        eventually(lambda: not self.targets or time.monotonic() - self.targets[-1][0] > QUIET)
        self.controller.set_parameters(self._changed[::-1])
        self._changed, self.follows = [], True
        self.robot.restore()
        self.targets, self.twists, self.steps, self.logs = [], [], [], []
        return self

    def logged(self, text):
        """Return whether the controller has logged this text by and by."""
        eventually(lambda: any(text in line for line in self.logs))
        return True

    def arm(self):
        """Arm the controller; return self."""
        armed, words = self.ready().client.arm()
        assert armed, words
        return self

    def reach(self, *goals, **fields):
        """Reach GOAL or other states; return the ReachResult."""
        pictures = [ToyWorldModel.picture(goal) for goal in goals or (GOAL,)]
        return self.client.reach(pictures, timeout=60.0, **fields)

    def reach_async(self, *goals, **fields):
        """Begin to reach GOAL or other states; return the future."""
        pictures = [ToyWorldModel.picture(goal) for goal in goals or (GOAL,)]
        return self.client.reach_async(pictures, **fields)

    def moving(self):
        """Wait until the arm has begun to move."""
        start = self.robot.state.copy()
        eventually(lambda: np.abs(self.robot.state - start)[:3].max() > 0.002)

    def still(self, seconds=0.3):
        """Return whether the arm keeps still for a while."""
        before = self.robot.state.copy()
        time.sleep(seconds)
        return np.abs(self.robot.state - before)[:6].max() < 1e-9

    def _on_log(self, message):
        if message.name == f'{self.controller.get_namespace()[1:]}.controller':
            self.logs.append(message.msg)

    def _on_step(self, message):
        self.steps.append(message)

    def _on_target(self, message):
        pose = message.pose
        position = [pose.position.x, pose.position.y, pose.position.z]
        turn = Rotation.from_quat([getattr(pose.orientation, axis) for axis in 'xyzw'])
        state = np.array([*position, *turn.as_euler('xyz'), self.robot.state[6]])
        self.targets.append((time.monotonic(), state))
        if self.follows:
            self.robot.state = state

    def _on_twist(self, message):
        twist = message.twist
        velocity = np.array([twist.linear.x, twist.linear.y, twist.linear.z])
        self.twists.append((time.monotonic(), velocity))
        if self.follows:
            self.robot.state = self.robot.state + [*(velocity * PERIOD), 0, 0, 0, 0]

    def _on_gripper(self, message):
        closedness = 1.0 - message.data[0] / 0.04
        self.robot.state = np.array([*self.robot.state[:6], closedness])

    def close(self):
        """End everything."""
        self.client.close()
        self.controller.stop(5.0)
        self._ended.set()
        self._thread.join(5.0)
        self._executor.shutdown(timeout_sec=2.0)
        self.controller.destroy_node()
        self.robot.close()


def largest_step(targets):
    """Return the largest distance [m] between consecutive targets."""
    places = np.array([state[:3] for _, state in targets])
    return 0.0 if len(places) < 2 else np.linalg.norm(np.diff(places, axis=0), axis=1).max()
