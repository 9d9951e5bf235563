# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The faults that happen to a run of the controller, and what may come of each."""

from collections.abc import Callable
from dataclasses import dataclass
import random
import signal
import time

from lifecycle_msgs.msg import Transition
from tools.soak.reach_lab import DEAD_MAN_TIMEOUT, INPUT_TIMEOUT, Lab, MAX_SPEED, WORKSPACE
from vjepa2_interfaces.action import ReachGoal

PLANNING, MOVING, SETTLING = (
    getattr(ReachGoal.Feedback, name) for name in ('PLANNING', 'MOVING', 'SETTLING')
)
PHASES = {PLANNING: 'planning', MOVING: 'moving', SETTLING: 'settling'}
AT_ONCE = 0.1  # s in which the arm must hold
GRAPH = 0.5  # s until another publisher is heard of and looked for
EXIT_WITHIN = 2.0  # s, of a controller after a signal
NATURAL = ('SETTLED', 'NO_PROGRESS', 'UNSURE', 'STEP_LIMIT', 'TIME_LIMIT', 'SURPRISE')


@dataclass
class Scene:
    """A run that a fault is to happen to; complaints is what the fault found wrong itself."""

    lab: Lab
    chance: random.Random
    begin: Callable  # begins another run and returns its number
    complaints: list
    held: float | None = None  # s until the arm held, where the fault measures that itself


@dataclass(frozen=True)
class Fault:
    """
    A fault.

    :param inject: makes it happen in a Scene; returns when it began, by time.time().
    :param reasons: for which the run may end then; () = nobody is left to say one.
    :param hold: s in which the arm must hold while it moves; None = it need not.
    :param travel: m that the arm may move from then on; None = as far as it likes.
    :param repair: makes everything good again, in a Lab.
    :param phases: in which it happens.
    """

    name: str
    inject: Callable
    reasons: tuple
    hold: float | None = None
    travel: float | None = None
    repair: Callable = lambda lab: None
    phases: tuple = (PLANNING, MOVING, MOVING, SETTLING)


def nothing(scene):
    """Let the run come to its own end."""
    return time.time()


def cancel(scene):
    """Cancel the run."""
    began = time.time()
    scene.lab.client.cancel(20.0)
    return began


def cancel_storm(scene):
    """Cancel the run again and again."""
    began = time.time()
    for _ in range(20):
        scene.lab.client.cancel(0.0)
        time.sleep(scene.chance.uniform(0.0, 0.01))
    return began


def preempt(scene):
    """Send a newer goal, or several at once, the last of which is cancelled."""
    began = time.time()
    for _ in range(scene.chance.choice((1, 1, 5))):
        scene.begin()
    time.sleep(scene.chance.uniform(0.0, 0.5))
    scene.lab.client.cancel(20.0)
    return began


def stop(scene):
    """Call ~/stop."""
    began = time.time()
    if not scene.lab.client.stop()[0]:
        scene.complaints.append('~/stop was not answered')
    return began


def stop_and_arm(scene):
    """Call ~/stop and arm again at once, for which the run must not go on."""
    began = stop(scene)
    armed, words = scene.lab.client.arm()
    if not armed:
        scene.complaints.append(f'not armed after ~/stop: {words}')
    return began


def disarm(scene):
    """Disarm."""
    began = time.time()
    if not scene.lab.client.arm(False)[0]:
        scene.complaints.append('~/arm was not answered')
    return began


def relay(**values):
    """Return a fault of the relay's attributes; a list is chosen from."""

    def inject(scene):
        for name, value in values.items():
            chosen = scene.chance.choice(value) if isinstance(value, list) else value
            setattr(scene.lab.relay, name, chosen)
        return time.time()

    return inject


def glitch(scene):
    """Let the pose jump, and back."""
    began = relay(shift=[-0.2, 0.2])(scene)
    time.sleep(0.1)
    scene.lab.relay.shift = 0.0
    return began


def release(silently):
    """Return a fault of the dead-man switch."""

    def inject(scene):
        began = time.time()
        scene.lab.relay.release(silently)
        return began

    return inject


def second_publisher(scene):
    """Publish the arm's target too."""
    began = time.time()
    scene.lab.relay.publish_targets_too(True)
    return began


def pause_planner(scene):
    """Stop the planner for a moment."""
    began = scene.lab.signal('planner', signal.SIGSTOP)
    time.sleep(scene.chance.uniform(0.1, 1.5))
    scene.lab.signal('planner', signal.SIGCONT)
    return began


def stop_planner(scene):
    """Stop the planner for good."""
    return scene.lab.signal('planner', signal.SIGSTOP)


def end_planner(scene):
    """Kill the planner, or end it."""
    number = scene.chance.choice((signal.SIGKILL, signal.SIGTERM))
    return scene.lab.end('planner', number)[0]


def deactivate(scene):
    """Deactivate the controller."""
    began = time.time()
    scene.lab.change(Transition.TRANSITION_DEACTIVATE)
    return began


def kill_controller(scene):
    """Kill the controller."""
    return scene.lab.end('controller', signal.SIGKILL)[0]


def end_controller(scene):
    """End the controller by a signal, after which its exit code is 0."""
    began, code, took = scene.lab.end(
        'controller', scene.chance.choice((signal.SIGINT, signal.SIGTERM))
    )
    if code != 0:
        scene.complaints.append(f'the controller ended with exit code {code}')
    if took > EXIT_WITHIN + scene.lab.slack:
        scene.complaints.append(f'the controller took {took:.1f} s to end')
    return began


def pause_controller(scene):
    """Stop the controller for a moment, in which the arm must come to rest by itself."""
    lab = scene.lab
    began = lab.signal('controller', signal.SIGSTOP)
    time.sleep(1.0)
    scene.held = lab.observer.last_motion(began) - began
    time.sleep(scene.chance.uniform(0.0, 1.0))
    lab.signal('controller', signal.SIGCONT)
    return began


def change_parameters(scene):
    """Change parameters; one that cannot be is refused."""
    began = time.time()
    smaller = [WORKSPACE[0], 0.5, -0.1, 0.1, *WORKSPACE[4:]]
    values = scene.chance.choice(
        (
            {'limits__max_speed': 0.5 * MAX_SPEED},
            {'limits__workspace': smaller},
            {'dry_run': True},
            {'confirm': True},
            {'input_timeout': 0.1},
            {'repeat_hold': False},
        )
    )
    if not all(scene.lab.set(**values)):
        scene.complaints.append(f'{values} was refused')
    if any(scene.lab.set(limits__workspace=smaller[::-1])):
        scene.complaints.append('a workspace without inside was taken')
    return began


def restore_parameters(lab):
    """Undo change_parameters."""
    lab.set(
        limits__max_speed=MAX_SPEED,
        limits__workspace=WORKSPACE,
        dry_run=False,
        confirm=False,
        input_timeout=INPUT_TIMEOUT,
        repeat_hold=True,
    )


def activate(lab):
    """Undo deactivate."""
    lab.change(Transition.TRANSITION_ACTIVATE)


def mend(lab):
    """Undo what the relay does."""
    lab.relay.mend()
    lab.relay.publish_targets_too(False)


def spawn(name):
    """Return what starts a node again."""
    return lambda lab: lab.spawn(name)


STALE = ('STALE_INPUT', 'PLANNER_ERROR')
JUMPED = ('WORKSPACE', 'NOT_FOLLOWING', 'PLANNER_ERROR')
FAULTS = (
    Fault('nothing', nothing, NATURAL),
    Fault('cancel', cancel, ('CANCELLED',), AT_ONCE),
    Fault('cancel storm', cancel_storm, ('CANCELLED',), AT_ONCE),
    Fault('preempt', preempt, ('PREEMPTED',)),
    Fault('stop', stop, ('STOP_CALLED',), AT_ONCE),
    Fault('stop and arm', stop_and_arm, ('STOP_CALLED', 'DISARMED'), AT_ONCE),
    Fault('disarm', disarm, ('DISARMED',), AT_ONCE),
    Fault('dead man released', release(False), ('DEAD_MAN_RELEASED',), AT_ONCE, repair=mend),
    Fault(
        'dead man silent',
        release(True),
        ('DEAD_MAN_RELEASED',),
        AT_ONCE + DEAD_MAN_TIMEOUT,
        repair=mend,
    ),
    Fault('camera silent', relay(image='silent'), STALE, AT_ONCE + INPUT_TIMEOUT, repair=mend),
    Fault('camera frozen', relay(image='frozen'), ('STALE_INPUT', *NATURAL), repair=mend),
    Fault(
        'pose silent',
        relay(pose='silent'),
        ('NOT_FOLLOWING', *STALE),
        AT_ONCE + INPUT_TIMEOUT,
        travel=0.1,
        repair=mend,
    ),
    Fault(
        'pose frozen',
        relay(pose='frozen'),
        ('NOT_FOLLOWING', 'STALE_INPUT', *NATURAL),
        travel=0.07,
        repair=mend,
    ),
    Fault('pose jumps', relay(shift=[-0.2, 0.2]), JUMPED, AT_ONCE, 0.06, repair=mend),
    Fault('pose jumps back', glitch, (*JUMPED, *NATURAL), AT_ONCE, repair=mend),
    Fault(
        'clock jumps', relay(skew=[-5.0, 5.0, 60.0]), STALE, AT_ONCE + INPUT_TIMEOUT, repair=mend
    ),
    Fault(
        'second publisher', second_publisher, ('OTHER_PUBLISHER',), AT_ONCE + GRAPH, repair=mend
    ),
    Fault('planner paused', pause_planner, ('PLANNER_ERROR', *NATURAL)),
    Fault(
        'planner stopped',
        stop_planner,
        ('PLANNER_ERROR',),
        repair=lambda lab: lab.signal('planner', signal.SIGCONT),
    ),
    Fault('planner ended', end_planner, ('PLANNER_ERROR',), repair=spawn('planner')),
    Fault('deactivate', deactivate, ('DEACTIVATED',), AT_ONCE, repair=activate),
    Fault('controller killed', kill_controller, (), AT_ONCE, repair=spawn('controller')),
    Fault(
        'controller ended', end_controller, ('DEACTIVATED',), AT_ONCE, repair=spawn('controller')
    ),
    Fault(
        'controller paused',
        pause_controller,
        ('STALE_INPUT', 'DEAD_MAN_RELEASED', *NATURAL),
        AT_ONCE,
    ),
    Fault('parameters', change_parameters, NATURAL, repair=restore_parameters),
)
