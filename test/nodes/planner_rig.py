# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A real planner node, a client and a robot, talking over real DDS."""

from array import array
from functools import cached_property
import itertools
import threading
import time

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, Quaternion
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
from planner_wire import Wire
from rcl_interfaces.msg import Log
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.impl.logging_severity import LoggingSeverity
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, JointState
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, SearchSettings
from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.history.recorded import load
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import spin_until, THREADS
from vjepa2_planner_ros.world_model import ModelLoadError, ModelNotFoundError

# What the toy picture can hold to the last digit: steps of 0.01.
START = np.array([0.40, 0.10, 0.30, 0.2, -0.1, 0.3, 0.25])
GOAL = START + [0.03, -0.02, 0.04, 0.0, 0.0, 0.0, 0.5]

STREAMS = ('image', 'state')
CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
)


def eventually(condition, timeout=60.0):
    """Wait until a condition holds; fail the test if it does not."""
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, 'it did not happen in time'
        time.sleep(0.005)


def closed_plans(folder, count=1):
    """Wait until so many recordings are closed; return them, oldest first."""
    # Hidden is what recovering a recording has not put in its place yet.
    eventually(lambda: len(list(folder.glob('[!.]*/metadata.yaml'))) == count)
    return sorted(folder.glob('[!.]*'))


def iterations_written(path):
    """Return how many iterations can be read of a recording that is being written."""
    try:
        return len(load(path).iterations)
    except (OSError, ValueError):
        return 0


def to_image(rgb, stamp=None):
    """Return the rgb8 Image of an array, independently of the package's own conversion."""
    message = Image(
        height=rgb.shape[0],
        width=rgb.shape[1],
        encoding='rgb8',
        step=3 * rgb.shape[1],
        data=array('B', rgb.tobytes()),
    )
    message.header.stamp = stamp or Time()
    return message


def to_goal(iterations=5):
    """Return a PlanAction.Goal toward GOAL."""
    return PlanAction.Goal(
        goal_image=to_image(ToyWorldModel.picture(GOAL)),
        search=SearchSettings(iterations=iterations),
    )


def to_state_message(state):
    """Return the EndEffectorState of a state [7]."""
    message = EndEffectorState(gripper=float(state[6]))
    fill_pose(message.pose, state)
    return message


def fill_pose(pose, state):
    """Write position and orientation of a state [7] into a Pose."""
    x, y, z = map(float, state[:3])
    pose.position = Point(x=x, y=y, z=z)
    x, y, z, w = map(float, Rotation.from_euler('xyz', state[3:6]).as_quat())
    pose.orientation = Quaternion(x=x, y=y, z=z, w=w)


def transition(robot, number, wait=True):
    """Ask for a lifecycle transition as a manager would; return whether it succeeded."""
    if wait:  # the action is there just before the transition that makes it has ended
        eventually(
            lambda: (
                robot.planner._state_machine.current_state[1]
                in ('unconfigured', 'inactive', 'active')
            )
        )
    answer = robot.change.call_async(ChangeState.Request(transition=Transition(id=number)))
    if not wait:
        return answer
    eventually(answer.done)
    return answer.result().success


def send_goal(node, client, goal, feedback=None):
    """
    Send a goal of an ActionClient; return the goal's handle.

    On the thread that takes the answers, as PlannerClient does it and for its reason.
    """
    sent = node.executor.create_task(client.send_goal_async, goal, feedback)
    eventually(sent.done)
    eventually(sent.result().done)
    return sent.result().result()


class Toy(ToyWorldModel):
    """The toy world model, with switches for what can go wrong."""

    def __init__(self):
        self.threads = set()  # of every call
        self.delay = 0.0  # s a rollout
        self.fault = None  # called in every rollout with its result
        self.context = None  # of the last rollout: latents [T, 1, 7] and states [T, 7]

    def encode(self, frames, crop=''):
        """Note the thread."""
        self.threads.add(threading.get_ident())
        return super().encode(frames, crop)

    def rollout(self, context, states, actions):
        """Take time and go wrong as told."""
        self.threads.add(threading.get_ident())
        self.context = context.numpy(), states
        time.sleep(self.delay)
        latents = super().rollout(context, states, actions)
        return latents if self.fault is None else self.fault(latents)


class Gate:
    """Holds the toy in a rollout until it is released: the first, or the one after the search."""

    def __init__(self, robot, at_end=False):
        self.rollouts = 0
        self._at_end = at_end
        self._reached, self._released = threading.Event(), threading.Event()
        robot.model.fault = self._hold

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.release()

    def reached(self):
        """Wait until the toy has come to the gate."""
        assert self._reached.wait(60.0)

    def release(self):
        """Let the toy go on, now and later."""
        self._released.set()

    def _hold(self, latents):
        self.rollouts += 1
        if not self._at_end or len(latents) == 2:  # the plan found, and doing nothing
            self._reached.set()
            assert self._released.wait(60.0)
        return latents


class Robot:
    """The planner, a robot that feeds its topics, and a client, each on threads of its own."""

    numbers = itertools.count()

    def __init__(self, context, parameters=(), load_model=None, sending=STREAMS):
        namespace = f'/robot{next(Robot.numbers)}'
        self.model = Toy()
        self.load = load_model or self._load
        overrides = [
            Parameter(name, value=value)
            for name, value in {
                # Patient: a busy machine may stand still for seconds.
                'image_timeout': 50.0,
                'max_image_age': 5.0,
                'max_state_age': 5.0,
                'max_skew': 5.0,
                'gripper.max_age': 5.0,
                'optimizer': 'cem',
                'cem.samples': 200,
                'search.seed': 1,
                **dict(parameters),
            }.items()
        ]
        self.planner = PlannerNode(
            load_model=lambda *args, **options: self.load(*args, **options),
            context=context,
            parameter_overrides=overrides,
            use_global_arguments=False,
            namespace=namespace,
        )
        self.node = rclpy.create_node(
            'robot',
            context=context,
            use_global_arguments=False,
            namespace=namespace,
            parameter_overrides=[item for item in overrides if item.name == 'use_sim_time'],
        )
        self._make_topics()
        self._sends = threading.Lock()
        self.restore()  # sets state, and how old the stamps are [s]
        self.sending = sending
        self._sent_at = time.monotonic()
        self.node.create_timer(0.02, self._send, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._spin(context)
        self.client = PlannerClient(self.node)

    def _make_topics(self):
        self.logs = []  # (level, text) of the planner
        self.node.create_subscription(
            Log,
            '/rosout',
            self._on_log,
            QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        self.pictures = self.node.create_publisher(Image, 'planner/image', qos_profile_sensor_data)
        self.poses = self.node.create_publisher(
            PoseStamped, 'planner/pose', qos_profile_sensor_data
        )
        self.grippers = self.node.create_publisher(
            JointState, 'planner/gripper', qos_profile_sensor_data
        )

    def _spin(self, context):
        self._executors = [
            MultiThreadedExecutor(THREADS, context=context),
            SingleThreadedExecutor(context=context),
        ]
        for executor, node in zip(self._executors, (self.planner, self.node)):
            executor.add_node(node)
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=spin_until, args=(executor, node, self._ended), daemon=True)
            for executor, node in zip(self._executors, (self.planner, self.node))
        ]
        for thread in self._threads:
            thread.start()

    def _load(self, name, **options):
        if name == 'sim-panda-ac':
            return self.model
        if name == 'damaged':
            raise ModelLoadError('weights.pt lacks encoder.norm')
        raise ModelNotFoundError(f"model is '{name}'; allowed: sim-panda-ac, damaged")

    def ready(self):
        """Wait until the planner plans and has seen the streams; return self."""
        assert self.client.wait_until_ready(60.0)
        inputs = self.planner._streams
        ages = {'image': lambda: inputs.age_of_frame('main'), 'state': inputs.age_of_state}
        for stream in self.sending:
            eventually(lambda: ages[stream]() is not None and ages[stream]() < 0.5)
        return self

    @cached_property
    def change(self):
        """Return the client of the planner's lifecycle transitions, connected."""
        change = self.node.create_client(ChangeState, 'planner/change_state')
        assert change.wait_for_service(60.0)
        return change

    @cached_property
    def wire(self):
        """Return the action's services and topics, connected."""
        return Wire(self.node, self.planner)

    def logged(self, text):
        """Return what the planner logged with this text in it."""
        return [line for _, line in self.logs if text in line]

    def errors(self):
        """Return what the planner logged as an error."""
        return [line for level, line in self.logs if level >= LoggingSeverity.ERROR]

    def plan(self, **fields):
        """Plan toward GOAL."""
        return self.client.plan(ToyWorldModel.picture(GOAL), timeout=60.0, **fields)

    def stamp(self, stream):
        """Return the stamp of a stream's next message."""
        now = self.node.get_clock().now().nanoseconds - round(self.delay[stream] * 1e9)
        return Time(sec=now // 10**9, nanosec=now % 10**9)

    def restore(self):
        """Undo what a test may have switched; return self."""
        self.state, self.sending = START, STREAMS
        self.picture = None  # what the camera sees; None = the toy's picture of state
        self.speed = np.zeros(7)  # of the state, a second
        self.delay = {'image': 0.0, 'state': 0.0}
        self.model.delay, self.model.fault = 0.0, None
        return self

    def _on_log(self, message):
        if message.name.startswith(f'{self.planner.get_namespace()[1:]}.planner'):
            self.logs.append((message.level, message.msg))

    @property
    def sending(self):
        """Return the streams that are fed; once they are set, no other one sends any more."""
        return self._sending

    @sending.setter
    def sending(self, streams):
        with self._sends:
            self._sending = set(streams)

    def _send(self):
        with self._sends:
            self._feed()

    def _feed(self):
        now = time.monotonic()
        if self.speed.any():
            self.state = self.state + (now - self._sent_at) * self.speed
        self._sent_at = now
        if 'state' in self.sending:
            pose = PoseStamped()
            pose.header.stamp = self.stamp('state')
            pose.header.frame_id = 'panda_link0'
            fill_pose(pose.pose, self.state)
            self.poses.publish(pose)
            gripper = JointState(
                name=['panda_joint1', 'panda_finger_joint1'],
                position=[1.5, 0.04 * (1.0 - float(self.state[6]))],
            )
            gripper.header.stamp = pose.header.stamp
            self.grippers.publish(gripper)
        if 'image' in self.sending:
            picture = ToyWorldModel.picture(self.state) if self.picture is None else self.picture
            self.pictures.publish(to_image(picture, self.stamp('image')))

    def close(self):
        """End everything."""
        self.client.close()
        self.planner.stop(5.0)
        self._ended.set()
        for thread in self._threads:
            thread.join(5.0)
        for executor in self._executors:
            executor.shutdown(timeout_sec=2.0)
        self.planner.destroy_node()
        self.node.destroy_node()
