# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated arm, planner and controller as processes, and a relay between arm and controller."""

from contextlib import ExitStack
from copy import deepcopy
import os
from pathlib import Path
import signal
import subprocess
import tempfile
import time

from ament_index_python.packages import get_package_share_directory
from geometry_msgs.msg import PoseStamped, TwistStamped
from lifecycle_msgs.srv import ChangeState
import rclpy
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from tools.soak.observer import Observer
from vjepa2_planner_ros.cli.spawn import SpawnedNode
from vjepa2_planner_ros.client import ControllerClient, PlanFailed, PlannerClient
from vjepa2_planner_ros.control.reasons import Outcome
from vjepa2_planner_ros.messages.times import nanoseconds, to_stamp
from vjepa2_planner_ros.nodes.process import spinning

PACKAGE = 'vjepa2_planner_ros'
NAMESPACE = '/reach_soak'
START_WITHIN = 180.0  # s for a node on whatever machine
WORKSPACE = [0.32, 0.62, -0.25, 0.25, 0.08, 0.40]  # m
MAX_SPEED = 0.1  # m/s
DEAD_MAN = 'dead_man'
INPUT_TIMEOUT = DEAD_MAN_TIMEOUT = 0.8  # s
CONTROLLER = {
    'dry_run': False,
    'limits.workspace': WORKSPACE,
    'limits.max_speed': MAX_SPEED,
    'input_timeout': INPUT_TIMEOUT,
    'dead_man.topic': DEAD_MAN,
    'dead_man.timeout': DEAD_MAN_TIMEOUT,
    'plan_timeout': 4.0,
    'arrival.timeout': 1.5,
    'result_timeout': 20,
}
TARGETS = {'pose': (PoseStamped, 'target_pose'), 'twist': (TwistStamped, 'twist')}
PLANNER = {'model': 'sim-panda-ac', 'image_timeout': 2.0}


class Process(SpawnedNode):
    """A node whose end can be waited for."""

    def wait(self, timeout):
        """Return the exit code, None if it has not ended after timeout [s]."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


class Lab:
    """The processes, the observer and a client of the controller; a context manager."""

    def __init__(self, mode, seed, output):
        self._stack, self._nodes, self._old_logs = ExitStack(), {}, []
        self._told, self._planner_is_new, self._is_unseen = set(), False, False
        self._output = output
        self._simulation = {'mode': mode, 'seed': 3_000_000 + seed}
        self._preset = Path(
            get_package_share_directory(PACKAGE), 'config', 'robots', 'simulation.yaml'
        )

    def __enter__(self):
        enter = self._stack.enter_context
        folder = enter(tempfile.TemporaryDirectory(prefix='soak-'))
        os.environ['ROS_LOG_DIR'] = folder
        self._stack.callback(self._end_nodes)
        for name in ('simulation', 'planner', 'controller'):
            self.spawn(name)
        self.observer = enter(Observer(NAMESPACE, WORKSPACE, MAX_SPEED))
        self.relay = enter(Relay(*TARGETS[self._output]))
        node = self.relay.node
        self.client = enter(ControllerClient(node))
        self._next = node.create_client(Trigger, 'next_episode')
        self._change = node.create_client(ChangeState, 'controller/change_state')
        self._parameters = AsyncParameterClient(node, 'controller')
        return self

    def __exit__(self, *error):
        self._stack.__exit__(*error)

    def spawn(self, name):
        """Start a node that is not there."""
        self._planner_is_new |= name == 'planner'
        self._is_unseen |= name in ('planner', 'controller')
        inputs = {f'~/{part}': f'seen/{part}' for part in ('image', 'pose')}
        inputs['~/gripper'] = 'gripper'
        parameters, remappings = {
            'simulation': (self._simulation, {}),
            'planner': (PLANNER, inputs),
            'controller': (
                {**CONTROLLER, 'output': self._output},
                {**inputs, **{f'~/{target}': target for _, target in TARGETS.values()}},
            ),
        }[name]
        self._nodes[name] = Process(
            name,
            f'{PACKAGE}.nodes.{name}_node',
            parameters,
            {'__ns': NAMESPACE, **remappings},
            params_file=None if name == 'simulation' else self._preset,
        )

    def signal(self, name, number):
        """Send a signal to a node; return when."""
        os.kill(self._nodes[name].pid, number)
        return time.time()

    def end(self, name, number):
        """End a node by a signal; return (when it was sent, exit code, seconds until the end)."""
        node = self._nodes.pop(name)
        began = time.time()
        os.kill(node.pid, number)
        code = node.wait(20.0)
        took = time.time() - began
        self._old_logs.append((name, node.log()))
        node.__exit__(None, None, None)
        return began, code, took

    def check(self):
        """Raise RuntimeError if a node has ended by itself."""
        for node in self._nodes.values():
            node.check()

    def tracebacks(self):
        """Return the logs that have a traceback, as complaints."""
        logs, self._old_logs = self._old_logs, []
        logs += [(name, node.log()) for name, node in self._nodes.items()]
        found = [
            f'a traceback in the log of the {name}: {log[log.index("Traceback") :][:1500]}'
            for name, log in logs
            if 'Traceback' in log
        ]
        new = [text for text in found if text not in self._told]
        self._told.update(new)
        return new

    def wait_until_ready(self):
        """Wait until planner and controller take goals and the arm can be armed."""
        self.until(lambda: self.client.wait_until_ready(0.2), 'the controller')
        if self._planner_is_new:  # a client knows one for ever
            with PlannerClient(self.relay.node) as planner:
                self.until(lambda: planner.wait_until_ready(0.2), 'the planner')
            self._planner_is_new = False
        self.until(self._next.service_is_ready, 'the simulation')
        if self._is_unseen:
            self.until(self._controller_plans, 'a plan of the controller')
            self._is_unseen = False

    def _controller_plans(self):
        """Return whether a dry run succeeds: the controller has found the planner too."""
        if self.relay.goal is None:
            return False
        try:
            return self.client.reach(self.relay.goal, dry_run=True).outcome == Outcome.NOT_REACHED
        except PlanFailed:
            return False

    def next_episode(self):
        """Put the arm at the start of another scene and wait until that and its goal are seen."""
        self.observer.look_away()
        asked = time.time()
        self.answer(self._next.call_async(Trigger.Request()))
        self.until(lambda: self.relay.has_goal_since(asked), 'the next episode')
        self.observer.look_from(self.relay.stamps['goal'])

    def arm(self):
        """Arm the controller, however long its start takes."""
        words = ['']

        def armed():
            good, words[0] = self.client.arm()
            return good

        try:
            self.until(armed, 'the controller to be armed')
        except TimeoutError as error:
            raise TimeoutError(f'{error}: {words[0]}') from None

    def change(self, transition):
        """Make a transition of the controller, by its number; return when it was answered."""
        self.until(self._change.service_is_ready, 'the lifecycle services')
        request = ChangeState.Request()
        request.transition.id = transition
        self.answer(self._change.call_async(request))
        return time.time()

    def set(self, **values):
        """Set parameters of the controller, __ for the dot; return whether each was taken."""
        items = [Parameter(name.replace('__', '.'), value=value) for name, value in values.items()]
        return [
            item.successful for item in self.answer(self._parameters.set_parameters(items)).results
        ]

    def answer(self, future):
        """Return the response of a service."""
        self.until(future.done, 'the answer of a service')
        return future.result()

    def until(self, condition, what):
        """Wait for a condition; TimeoutError after START_WITHIN."""
        until = time.monotonic() + START_WITHIN
        while not condition():
            self.check()
            if time.monotonic() > until:
                raise TimeoutError(f'waited {START_WITHIN:g} s for {what}')
            time.sleep(0.02)

    def _end_nodes(self):
        for node in self._nodes.values():
            os.kill(node.pid, signal.SIGCONT)
            node.__exit__(None, None, None)


class Relay:
    """
    Passes pictures and poses of the arm on, or what a fault makes of them.

    image and pose are 'pass', 'silent' or 'frozen', which goes on with new stamps; shift [m] is
    added to y, skew [s] to the stamps. gap [s] is how long it, or the arm, has stood still
    at most: the middleware may do so while a participant leaves. A context manager.

    :param kind, target: type and topic of the arm's target.
    """

    def __init__(self, kind, target):
        self._kind, self._target = kind, target
        self.node = rclpy.create_node('relay', namespace=NAMESPACE)
        self.mend()
        self._last, self.stamps = {}, {}  # of messages; stamps [s], of the goal too
        self._publishers = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for part, kind, qos in (
            ('image', Image, qos_profile_sensor_data),
            ('pose', PoseStamped, 10),
        ):
            self._publishers[part] = self.node.create_publisher(kind, f'seen/{part}', qos)
            self.node.create_subscription(
                kind, part, lambda message, part=part: self._pass(part, message), qos
            )
        self.node.create_subscription(Image, 'goal_image', self._on_goal, latched)
        self.goal = None
        self._switch = self.node.create_publisher(Bool, DEAD_MAN, qos_profile_sensor_data)
        self.node.create_timer(0.05, self._hold)
        self._other = None

    def __enter__(self):
        self._spinning = spinning(self.node)
        self._spinning.__enter__()
        return self

    def __exit__(self, *error):
        self._spinning.__exit__(*error)
        self.node.destroy_node()

    def mend(self):
        """Pass everything on again."""
        self.image = self.pose = 'pass'
        self.shift = self.skew = 0.0
        self.held, self.gap = True, 0.0
        self._held_at = self._came_at = time.monotonic()

    def release(self, silently):
        """Release the dead-man switch; silently: it says nothing any more."""
        self.held = None if silently else False
        if not silently:
            self._switch.publish(Bool(data=False))

    def publish_targets_too(self, on):
        """Be a second publisher of the arm's target, or be none any more."""
        if on:
            self._other = self.node.create_publisher(self._kind, self._target, 10)
        elif self._other is not None:
            self.node.destroy_publisher(self._other)
            self._other = None

    def has_goal_since(self, when):
        """Return whether a goal of after a time is there, and picture and pose of after that."""
        stamps = self.stamps
        goal = stamps.get('goal', 0.0)
        return goal > when and all(stamps.get(part, 0.0) > goal for part in ('image', 'pose'))

    def _on_goal(self, message):
        self.goal = message
        self.stamps['goal'] = nanoseconds(message.header.stamp) * 1e-9

    def _hold(self):
        now = time.monotonic()
        self.gap, self._held_at = max(self.gap, now - self._held_at), now
        if self.held is not None:
            self._switch.publish(Bool(data=self.held))

    def _pass(self, part, message):
        stamp, now = nanoseconds(message.header.stamp), time.monotonic()
        self.stamps[part] = stamp * 1e-9
        if part == 'pose':
            self.gap, self._came_at = max(self.gap, now - self._came_at), now
        mode = getattr(self, part)
        if mode == 'silent':
            return
        if mode == 'frozen':
            message = deepcopy(self._last[part])
        else:
            self._last[part] = message
        if self.skew or mode == 'frozen':
            message.header.stamp = to_stamp(stamp + round(self.skew * 1e9))
        if part == 'pose' and self.shift:
            message = deepcopy(message)
            message.pose.position.y += self.shift
        self._publishers[part].publish(message)
