# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the planner and ROS take for what is not planning."""

import math
from statistics import median
import time

import numpy as np
from sensor_msgs.msg import Image
from tools.soak.goals import CANCELLED, SUCCEEDED
from tools.soak.robot import state_message
from tools.soak.scenarios import LONG
from tools.soak.server import load_model
from tools.soak.streams import FRAME_SIZE, image_fields, START
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchSettings
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.search import plan

# What is aimed at [s]; the exit code does not depend on it, for a busy machine is not a fault.
ACCEPTED, ACKNOWLEDGED, EFFECTIVE, OVERHEAD = (
    ('goal accepted, 1920x1080', 0.100),
    ('cancel acknowledged', 0.050),
    ('cancel effective, beyond one iteration', 0.100),
    ('overhead over plan(), goal 640x480, median', 0.010),
)


def measure(robot, pace, model, repeats):
    """Return ({name: [s]} of the times that have an aim, {name: median [s]} of the overhead)."""
    _send_large(robot, pace)  # the first one takes memory that the others find
    large = [_send_large(robot, pace) for _ in range(repeats)]
    return {
        ACCEPTED[0]: [goal.accepted - goal.sent for goal in large if goal.accepted],
        **_cancels(robot, repeats),
    }, overhead(robot, pace, model, repeats)


def verdicts(rows, overhead):
    """Return a line for each aim: what was measured and whether it was met."""
    measured = {name: row['p99'] for name, row in rows.items()}
    measured[OVERHEAD[0]] = overhead['overhead']
    return [
        f'{name:<46}{measured[name] * 1e3:>9.1f} ms, aim: less than {aim * 1e3:.0f} ms: '
        f'{"met" if measured[name] < aim else "MISSED"}'
        for name, aim in (ACCEPTED, ACKNOWLEDGED, EFFECTIVE, OVERHEAD)
        if name in measured
    ]


def _goal(robot, height, width, **settings):
    """Return a goal with pictures of a size, the two pictures and the iterations."""
    start, goal = (robot.picture(state, height, width) for state in (START, START + 0.02))
    return (
        PlanAction.Goal(
            use_current_image=True,
            use_start_state=True,
            start_state=state_message(START),
            goal_image=Image(**image_fields(goal)),
            current_image=Image(**image_fields(start)),
            search=SearchSettings(**settings),
        ),
        start,
        goal,
    )


def _send_large(robot, pace):
    message, _, _ = _goal(robot, 1080, 1920, iterations=1, samples=pace.samples)
    message.use_current_image, message.current_image = False, Image()
    goal = robot.send(message, 'large', (SUCCEEDED,))
    robot.wait(goal)
    return goal


def _cancels(robot, repeats):
    acknowledged, effective = [], []
    for _ in range(repeats):
        message, _, _ = _goal(robot, 480, 640, iterations=LONG)
        goal = robot.send(message, 'cancelled', (SUCCEEDED, CANCELLED))
        while len(goal.iterations) < 5 and not goal.done.wait(0.005):
            pass
        robot.cancel(goal)
        robot.wait(goal)
        if goal.outcome == CANCELLED:
            acknowledged.append(goal.cancel_answered - goal.cancel_sent)
            iteration = float(np.median(np.diff(goal.iterations)))
            effective.append(max(0.0, goal.ended - goal.cancel_sent - iteration))
    return {ACKNOWLEDGED[0]: acknowledged, EFFECTIVE[0]: effective}


def overhead(robot, pace, name, repeats):
    """Plan directly and through the action, in turn: a goal picture and the live frame."""
    model = load_model(name)
    direct, action = [], []
    settings = {'samples': pace.samples, 'iterations': pace.iterations}
    for _ in range(repeats + 1):
        message, _, picture = _goal(robot, 480, 640, optimizer='cem', **settings)
        frame = robot.picture(START, *FRAME_SIZE)
        began = time.monotonic()
        plan(
            model,
            model.encode(frame[None]),
            START[None],
            model.encode(picture[None])[0],
            CemConfig(**settings),
        )
        direct.append(time.monotonic() - began)
        message.use_current_image = message.use_start_state = False
        message.current_image = Image()
        goal = robot.send(message, 'compared', (SUCCEEDED,))
        robot.wait(goal)
        action.append((goal.ended or math.inf) - goal.sent)  # a lost one is complained about
    # Without the first ones, which take memory that the others find.
    times = median(direct[1:]), median(action[1:])
    return {'direct': times[0], 'action': times[1], 'overhead': times[1] - times[0]}
