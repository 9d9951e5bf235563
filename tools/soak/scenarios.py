# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a soak does to a planner, drawn at random from a seed."""

from array import array
from dataclasses import dataclass
import random
import time

from builtin_interfaces.msg import Duration
import cv2
import numpy as np
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from tools.soak.goals import CANCELLED, flaws_of_plan, PREEMPTED, SUCCEEDED
from tools.soak.malformed import malformed_compressed, malformed_image, spoil
from tools.soak.robot import state_message
from tools.soak.server import PARAMETERS
from tools.soak.streams import image_fields, SAME_PICTURE, START, UNUSABLE
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchSettings

LONG = 100  # iterations, of goals that are to be stopped under way
TOLERANCE = 0.01  # m, of a command of the toy world model
OUTAGE = 3.3  # s: longer than the frame's or state's largest age


@dataclass(frozen=True)
class Pace:
    """How long plans are with a model, and whether the best plan is known."""

    samples: int
    iterations: int
    exact: bool


PACES = {'toy': Pace(200, 10, True), 'sim-panda-ac': Pace(16, 3, False)}
WRONG_PARAMETERS = (
    ('cem.samples', 0),
    ('cem.samples', 16385),
    ('cem.samples', 1.5),
    ('cem.iterations', 'five'),
    ('cem.elite_fraction', float('nan')),
    ('cem.elite_fraction', 1e-4),
    ('search.horizon', -1),
    ('search.axes', ['x', 'x']),
    ('search.axes', ['X']),
    ('search.bounds', [0.01] * 6),
    ('search.bounds', [1.0] * 7),
    ('search.bounds', [float('nan')] * 7),
    ('cem.momentum_mean', 1.0),
    ('image_timeout', -1.0),
    ('max_skew', float('inf')),
    ('gripper.open_position', 0.0),
    ('dtype', 'int8'),
    ('model', ''),
    ('cameras', ['other']),
    ('base_frame', 'map'),
    ('result_timeout', 1),
    ('no.such.parameter', 1),
)


class Scenarios:
    """Sends goals in random ways until there are enough of them."""

    def __init__(self, robot, model, seed):
        self.robot = robot
        self.pace = PACES[model]
        self.random = random.Random(seed)
        self.malformed_frames = 0
        self._iterations = self.pace.iterations  # the planner's parameter
        self._all = {
            self.plan: 40,
            self.cancel: 20,
            self.preempt: 12,
            self.malformed: 15,
            self.hurry: 4,
            self.change_parameter: 6,
            self.disturb_streams: 4,
            self.drop_out: 2,
            self.share_joint_states: 3,
            self.slow_gripper: 2,
            self.change_encoding: 3,
            self.jump_stamps: 3,
            self.jump_clock: 2,
        }

    def warm_up(self):
        """Do each thing once."""
        for scenario in self._all:
            scenario()

    def step(self):
        """Do one thing at random."""
        self.random.choices(list(self._all), self._all.values())[0]()

    def plan(self):
        """Plan from given or live inputs; with the toy world model the best command is known."""
        self.finish(self.send_plan(self._inputs()))

    def send_plan(self, inputs, allowed=(SUCCEEDED,), kind='', camera=None, **settings):
        """Send a good goal; return (Goal, the action it asks for, iterations)."""
        start = START.copy()
        if inputs == 'given':
            start[:3] += self._hundredths(5, 5, 5)
        action = np.array([*self._hundredths(4, 4, 4), 0.0, 0.0, 0.0, *self._hundredths(20)])
        by_region = self.random.random() < 0.3
        message = PlanAction.Goal(
            search=SearchSettings(optimizer='trust_region' if by_region else '', **settings)
        )
        self._put_goal_picture(message, start + action)
        if inputs == 'given':
            message.use_current_image = message.use_start_state = True
            message.current_image = Image(
                **image_fields(self.robot.picture(start), self.random.choice(('rgb8', 'bgra8')), 1)
            )
            message.start_state = state_message(start)
        else:
            message.camera = camera or self.random.choice(('', 'main', 'wrist'))
        goal = self.robot.send(message, kind or inputs, allowed)
        own = self.pace.iterations if by_region else self._iterations
        return goal, action, settings.get('iterations', own)

    def finish(self, plan):
        """Wait for a plan and check it against what is known."""
        goal, action, iterations = plan
        self.robot.wait(goal)
        if goal.outcome != SUCCEEDED:
            return
        result = goal.result
        goal.flaws += flaws_of_plan(result, iterations)
        if self.pace.exact:
            off = abs(np.array(result.command[:3]) - action[:3]).max()
            if off > TOLERANCE or result.energy > result.start_energy:
                goal.flaws.append(
                    f'command is {off:.3f} m off, energy {result.start_energy:.4f} '
                    f'-> {result.energy:.4f}'
                )

    def cancel(self):
        """Cancel a long goal, by its id or by the service, at any point."""
        goal, _, _ = self.send_plan(
            self._inputs(), (SUCCEEDED, CANCELLED), 'cancelled', iterations=LONG
        )
        goal.under_way.wait(1.0)
        time.sleep(self.random.choice((0.0, self.random.uniform(0.0, 0.3))))
        by_service = self.random.random() < 0.2
        (self.robot.cancel_by_service if by_service else self.robot.cancel)(goal)
        self.robot.wait(goal)

    def preempt(self):
        """Send goals upon each other; the newest one wins."""
        goals = []
        for _ in range(self.random.randint(1, 3)):
            goals.append(
                self.send_plan(
                    self._inputs(), (SUCCEEDED, PREEMPTED), 'preempted', iterations=LONG
                )[0]
            )
            time.sleep(self.random.choice((0.0, self.random.uniform(0.0, 0.1))))
        self.finish(self.send_plan(self._inputs(), kind='newest'))
        self.robot.wait(*goals)

    def malformed(self):
        """Send a goal with one mistake."""
        message = PlanAction.Goal(use_current_image=True, use_start_state=True)
        small = Image(**image_fields(self.robot.picture(START, 48, 64)))
        message.goal_image, message.current_image = (
            small,
            Image(**image_fields(self.robot.picture(START, 48, 64))),
        )
        message.start_state = state_message(START)
        allowed = spoil(self.random, message)
        self.robot.wait(self.robot.send(message, 'malformed', allowed))

    def hurry(self):
        """Give a long goal too little time."""
        message = PlanAction.Goal(
            search=SearchSettings(iterations=LONG), time_allowance=Duration(nanosec=50_000_000)
        )
        self._put_goal_picture(message, START)
        self.robot.wait(self.robot.send(message, 'hurried', ('TIMEOUT',)))

    def change_parameter(self):
        """Set a wrong parameter, which must be refused, or a good one, which must be heeded."""
        if self.random.random() < 0.5:
            name, value = self.random.choice(WRONG_PARAMETERS)
            if self.robot.set_parameter(Parameter(name, value=value)):
                self.robot.complaints.append(f'{name} = {value} was taken')
        else:
            name, value = self.random.choice(
                (
                    ('cem.iterations', self.pace.iterations + self.random.randint(0, 4)),
                    ('cem.samples', self.pace.samples + self.random.randint(0, 100)),
                    ('cem.elite_fraction', self.random.uniform(0.1, 0.2)),
                    ('search.seed', self.random.randint(-1, 1000)),
                    ('cem.include_mean', self.random.random() < 0.5),
                )
            )
            self._set(name, value)
            if name == 'cem.iterations':
                self._iterations = value
        self.plan()

    def disturb_streams(self):
        """Publish malformed frames between the good ones, and plan."""
        for _ in range(self.random.randint(1, 20)):
            self.publish_malformed_frame()
        self.recover()

    def publish_malformed_frame(self):
        """Publish one malformed frame on one of the cameras."""
        self.malformed_frames += 1
        if self.random.random() < 0.5:
            self.robot.streams.publish('main', malformed_image(self.random))
        else:
            self.robot.streams.publish('wrist', malformed_compressed(self.random)[0])

    def recover(self):
        """Plan live once good frames have taken the place of malformed ones."""
        # One that is whole at its start only is found out when a goal wants it; how soon the
        # next one is taken in, the machine decides.
        for _ in range(20):
            goal, _, _ = self.send_plan('live', (SUCCEEDED, 'NO_IMAGE'), 'disturbed', 'wrist')
            self.robot.wait(goal)
            self.robot.streams.wait_for_frames(4)
            if goal.outcome == SUCCEEDED:
                break
        self.finish(self.send_plan('live'))

    def drop_out(self):
        """Let camera or state fall silent: for long, shortly, or when a plan is under way."""
        stream = self.random.choice(('image', 'state'))
        if self.random.random() < 0.5:
            self._set('image_timeout', 0.5)
            self.robot.streams.sending.discard(stream)
            time.sleep(OUTAGE)
            goal, _, _ = self.send_plan('live', (f'{stream.upper()}_STALE',), 'drop-out')
            self.robot.wait(goal)
            self.robot.streams.sending.add(stream)
            self._set('image_timeout', float(PARAMETERS['image_timeout']))
            self.finish(self.send_plan('live'))
        else:
            self.robot.streams.sending.discard(stream)
            time.sleep(self.random.uniform(0.0, OUTAGE))
            plan = self.send_plan('live')
            time.sleep(self.random.uniform(0.0, 0.3))
            self.robot.streams.sending.add(stream)
            self.finish(plan)

    def share_joint_states(self):
        """Plan while an arm at 1 kHz shares the topic of the gripper."""
        self._plan_with_gripper('shared')

    def slow_gripper(self):
        """Plan while the gripper tells its position twice a second."""
        self._plan_with_gripper('slow')

    def _plan_with_gripper(self, mode):
        # Strict, so that what is told of the arm, or was told a second ago, is not enough.
        self._set('gripper.max_age', 1.0)
        self.robot.streams.gripper = mode
        for _ in range(self.random.randint(1, 4)):
            time.sleep(self.random.uniform(0.0, 0.6))
            self.finish(self.send_plan('live'))
        self.robot.streams.gripper = 'own'
        self._set('gripper.max_age', float(PARAMETERS['gripper.max_age']))
        self.finish(self.send_plan('live'))

    def change_encoding(self):
        """Let the first camera change its encoding, at times to one that is of no use."""
        for _ in range(self.random.randint(1, 3)):
            self.robot.streams.use_encoding(self.random.choice(SAME_PICTURE))
            self.finish(self.send_plan('live', camera='main'))
        if self.random.random() < 0.3:
            self._set('image_timeout', 0.5)
            self.robot.streams.use_encoding(UNUSABLE)
            time.sleep(OUTAGE)
            goal, _, _ = self.send_plan('live', ('IMAGE_STALE',), 'encoding', 'main')
            self.robot.wait(goal)
            if goal.result is not None and UNUSABLE not in goal.result.error_msg:
                goal.flaws.append(f'{UNUSABLE} is not named: {goal.result.error_msg}')
            self._set('image_timeout', float(PARAMETERS['image_timeout']))
        self.robot.streams.use_encoding('rgb8')
        self.finish(self.send_plan('live', camera='main'))

    def jump_stamps(self):
        """Let the robot's clock jump forward or back, a little or beyond what is allowed."""
        self.robot.streams.offset = self.random.choice((-8.0, -0.6, -0.3, 0.3, 0.6, 8.0))
        if abs(self.robot.streams.offset) < 1.0:
            self.finish(self.send_plan('live'))
        else:
            self._set('image_timeout', 0.5)
            # A frame from before the jump back is good until it is too old.
            time.sleep(OUTAGE if self.robot.streams.offset < 0.0 else 0.5)
            goal, _, _ = self.send_plan('live', ('IMAGE_STALE',), 'stamps')
            self.robot.wait(goal)
            self._set('image_timeout', float(PARAMETERS['image_timeout']))
        self.robot.streams.offset = 0.0
        self.finish(self.send_plan('live'))

    def jump_clock(self):
        """Let time be simulated, and jump as when a recording is played again."""
        self.robot.streams.sim_time = self.random.uniform(10.0, 1000.0)
        self._set('use_sim_time', True)
        self.finish(self.send_plan('live'))
        for _ in range(self.random.randint(1, 3)):
            jump = self.random.choice((-1.0, 1.0)) * self.random.choice((0.5, 5.0, 500.0))
            self.robot.streams.sim_time = max(self.robot.streams.sim_time + jump, 1.0)
            self.finish(self.send_plan('live'))
        self._set('use_sim_time', False)
        self.robot.streams.sim_time = None
        self.finish(self.send_plan('live'))

    def _inputs(self):
        return self.random.choice(('given', 'live'))

    def _put_goal_picture(self, message, state):
        picture = self.robot.picture(state)
        kind = self.random.choice(('rgb8', 'bgr8', 'rgba8', 'bgra8', 'png'))
        if kind == 'png':
            png = cv2.imencode('.png', picture[..., ::-1])[1]
            message.goal_image_compressed = CompressedImage(
                format='png', data=array('B', png.tobytes())
            )
        else:
            message.goal_image = Image(
                **image_fields(picture, kind, self.random.choice((0, 0, 5)))
            )

    def _set(self, name, value):
        if self.robot.set_parameter(Parameter(name, value=value)) is False:
            self.robot.complaints.append(f'{name} = {value} was refused')

    def _hundredths(self, *limits):
        """Return random steps of 0.01, which is what the toy's pictures can hold."""
        return [self.random.randint(-limit, limit) / 100 for limit in limits]
