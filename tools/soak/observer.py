# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An observer of the simulated arm that knows nothing of the controller but its limits."""

from collections import deque
import threading

from action_msgs.msg import GoalStatus, GoalStatusArray
from geometry_msgs.msg import PoseStamped
import numpy as np
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from vjepa2_planner_ros.messages.times import nanoseconds
from vjepa2_planner_ros.nodes.process import spinning

OUTSIDE = 0.01  # m that the arm may be outside the workspace
HOLD = 0.01  # m that target and arm may go back at once, to where the arm holds
STILL = 0.001  # m that an arm at rest may move
WINDOW = 0.2  # s of which speeds are measured
# s of motion that may come at once: a target waits for the arm's next tick, and both processes for
# the machine. Targets are compared by their own stamps, which wait for much less.
ARM_SLACK, TARGET_SLACK = 0.15, 0.05
HISTORY = 6000  # samples, 2 minutes
ENDED = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)


class Observer:
    """
    Watches the true pose, the targets and the goals' states; a context manager.

    Its times [s] are stamps: those of the simulation, by the clock of the machine. violations says
    what must not have happened.

    :param workspace: lowest and highest x, y, z [m].
    :param max_speed: highest speed [m/s].
    """

    def __init__(self, namespace, workspace, max_speed):
        self._lows, self._highs = np.array(workspace[::2]), np.array(workspace[1::2])
        self._max_speed = max_speed
        self._lock = threading.Lock()
        self._from, self._still_since, self._rest = float('inf'), None, None
        self._samples, self._targets = deque(maxlen=HISTORY), deque(maxlen=HISTORY)
        self._ends = {}  # the terminal states of each goal
        self.violations, self.seen = [], 0
        self.fastest = {'arm': 0.0, 'target': 0.0}  # m/s over WINDOW
        self._node = rclpy.create_node('observer', namespace=namespace)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, topic, callback, qos in (
            (PoseStamped, 'pose', self._on_pose, 100),
            (PoseStamped, 'target_pose', self._on_target, 100),
            (GoalStatusArray, 'reach_goal/_action/status', self._on_status, latched),
        ):
            self._node.create_subscription(kind, topic, callback, qos)

    def __enter__(self):
        self._spinning = spinning(self._node)
        self._spinning.__enter__()
        return self

    def __exit__(self, *error):
        self._spinning.__exit__(*error)
        self._node.destroy_node()

    def look_away(self):
        """See nothing, while the arm is put elsewhere by hand."""
        with self._lock:
            self._from, self._still_since, self._rest = float('inf'), None, None

    def look_from(self, since):
        """See the arm again, from a time on."""
        with self._lock:
            self._samples.clear()
            self._targets.clear()
            self._from = since

    def expect_rest(self, since):
        """From a time on the arm must not move, until move_again() or look_away()."""
        with self._lock:
            self._still_since, self._rest = since, None

    def move_again(self):
        """Let the arm move."""
        with self._lock:
            self._still_since = None

    def last_motion(self, since):
        """Return when after a time the arm last moved, that time if it did not."""
        with self._lock:
            samples = [sample for sample in self._samples if sample[0] >= since - 0.1]
        last = since
        for (_, before), (stamp, place) in zip(samples, samples[1:]):
            if stamp > since and np.linalg.norm(place - before) > STILL / 5:
                last = stamp
        return last

    def travelled(self, since):
        """Return how far [m] from its place at a time the arm has been since then."""
        with self._lock:
            places = [place for stamp, place in self._samples if stamp >= since]
        return max((float(np.linalg.norm(place - places[0])) for place in places), default=0.0)

    def ends(self, run_id):
        """Return the terminal states that a goal has been seen in."""
        with self._lock:
            return set(self._ends.get(bytes(run_id), ()))

    def _on_pose(self, message):
        stamp, place = _read(message)
        with self._lock:
            if stamp <= self._from:
                return
            self.seen += 1
            over = max((self._lows - place).max(), (place - self._highs).max())
            if over > OUTSIDE:
                self._complain(f'the arm is {over:.3f} m outside the workspace')
            self._check_speed('arm', self._samples, stamp, place, ARM_SLACK)
            if self._still_since is not None and stamp > self._still_since:
                self._rest = place if self._rest is None else self._rest
                if np.linalg.norm(place - self._rest) > STILL:
                    away = np.linalg.norm(place - self._rest)
                    after = stamp - self._still_since
                    self._complain(
                        f'the arm moved {away:.4f} m, {after:.2f} s after it had to rest'
                    )
                    self._still_since = None  # once

    def _on_target(self, message):
        stamp, place = _read(message)
        with self._lock:
            if stamp > self._from:
                self._check_speed('target', self._targets, stamp, place, TARGET_SLACK)

    def _on_status(self, message):
        with self._lock:
            for item in message.status_list:
                if item.status in ENDED:
                    ends = self._ends.setdefault(bytes(item.goal_info.goal_id.uuid), set())
                    ends.add(item.status)

    def _check_speed(self, name, kept, stamp, place, slack):
        for before, start in reversed(kept):
            passed = stamp - before
            if passed > WINDOW:
                break
            moved = float(np.linalg.norm(place - start))
            if passed > 0.8 * WINDOW:
                self.fastest[name] = max(self.fastest[name], moved / passed)
            if moved > self._max_speed * (max(passed, 0.0) + slack) + HOLD:
                self._complain(
                    f'the {name} moved {moved:.4f} m in {passed:.3f} s: allowed: '
                    f'{self._max_speed:g} m/s'
                )
                kept.clear()  # once
                break
        kept.append((stamp, place))

    def _complain(self, text):
        if not self.violations or self.violations[-1] != text:
            self.violations.append(text)


def _read(message):
    """Return (stamp [s], place [3]) of a PoseStamped."""
    position = message.pose.position
    place = np.array([position.x, position.y, position.z])
    return nanoseconds(message.header.stamp) * 1e-9, place
