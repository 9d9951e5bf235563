# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that publishes the arm's target; nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import threading
import time
import traceback

from geometry_msgs.msg import PoseStamped, TwistStamped, Vector3
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from .arm_inputs import ArmInputs
from .controller_settings import ControllerSettings
from ..control.path import distance, Path, toward, way
from ..control.reasons import Reason, RunEnd
from ..control.watch import Push, Watch
from ..messages.searches import to_pose_message
from ..messages.transforms import frame_of

GAIN = 2.0  # 1/s; of the distance from the path, which a twist corrects
GRAPH_EVERY = 0.2  # s between looks for other publishers
NEAR = 0.01, 0.05  # m and rad that the target goes back at once, where the arm holds
UNNAMED = '_NODE_NAME_UNKNOWN_', '_NODE_NAMESPACE_UNKNOWN_'  # by rmw, until a node is discovered
LAST_WAY = 0.5  # s in which a node that ends leads the target back to where the arm is
State = NDArray[np.float64]


class Motion:
    """One path under way, and what is watched on it."""

    def __init__(self, path: Path, measure: Callable[[], State], watch: Watch):
        self.path, self.measure, self.watch = path, measure, watch
        self.elapsed = 0.0  # s along the path
        self.problem: RunEnd | None = None

    @property
    def done(self) -> bool:
        """Return whether the target has reached the end of the path."""
        return self.elapsed >= self.path.duration


class ArmOutput:
    """Publishes targets at a fixed rate: along a path, or the one at which the arm holds."""

    def __init__(self, node: Node, settings: ControllerSettings):
        self._node, self._settings = node, settings
        self._twist = settings.output == 'twist'
        kind, name = (TwistStamped, '~/twist') if self._twist else (PoseStamped, '~/target_pose')
        self._name = name
        self._publisher = node.create_publisher(kind, settings.output_topic or name, 10)
        self.topic = self._publisher.topic_name
        self._frame = settings.output_frame or settings.base_frame
        self._lock = threading.Lock()
        self._motion: Motion | None = None
        self._target: State | None = None  # that of the hold; None = silence
        self._back: State | None = None  # where the target of the hold still has to go
        self._released = False  # silence once it is there
        self._good: State = np.zeros(7)  # in the last motion: newest measured state that passed
        self._push = Push()
        self._measure: Callable[[], State] | None = None  # as in the last motion
        self._looked = 0.0  # for other publishers, of time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name='arm output', daemon=True)
        self._thread.start()

    def move(
        self,
        end: State,
        settings: ControllerSettings,
        inputs: ArmInputs,
        check: Callable[[], None],
    ) -> Motion:
        """
        Begin to move the target to a state; return the Motion, whose problem says why it ended.

        :param check: called at each target; a RunEnd that it raises ends the motion.
        """

        def measure() -> State:
            check()
            return inputs.state(settings)

        measured = measure()
        with self._lock:
            self._settings = settings
            start = measured[:6] if self._target is None else self._target
            if self._was_moved(measured):
                start = measured[:6]
            watch = Watch(settings.limits)
            watch.check(measured, start)
            self._motion = Motion(Path(start, end, settings.limits), measure, watch)
            self._good, self._back, self._released = measured, None, False
            self._measure = partial(inputs.state, settings)
            return self._motion

    def rest(self) -> None:
        """End the watch of a motion that is done; the arm holds at its end."""
        with self._lock:
            self._motion = None

    def hold(self) -> None:
        """Hold where the arm is; silent if nothing was published since it was released."""
        with self._lock:
            self._hold()

    def release(self) -> None:
        """Hold once more, then publish nothing."""
        with self._lock:
            self._hold()
            if self._back is None:
                self._target = None
            self._released = True

    def others(self) -> list[str]:
        """Return the names of other nodes that publish the target."""
        found = self._node.get_publishers_info_by_topic(self.topic)
        mine = (self._node.get_name(), self._node.get_namespace())
        names = [(item.node_name, item.node_namespace) for item in found]
        if mine in names:
            names.remove(mine)  # once: a second controller has the same name
        texts = {
            mine: f'another {mine[0]} (if it was killed, DDS forgets it within half a minute)',
            UNNAMED: 'a node that has just begun',
        }
        return [texts.get(each, each[0]) for each in names]

    def why_unheard(self) -> str:
        """Return that nobody takes the targets, and what to do; '' if somebody does."""
        if self._publisher.get_subscription_count():
            return ''
        set_it = '' if self._settings.output_topic else f'remap {self._name} or '
        return (
            f"nobody subscribes to '{self.topic}': {set_it}set output_topic to what your arm's "
            'controller takes, or start that controller'
        )

    def close(self) -> None:
        """Hold, and end the thread."""
        self.release()
        until = time.monotonic() + LAST_WAY
        while self._target is not None and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.5 / self._settings.rate)
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        period = 1.0 / self._settings.rate
        last = due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            now = time.monotonic()
            # After a delay the path goes on where it was: the target never jumps.
            elapsed, last, due = min(now - last, 2.0 * period), now, now + period
            with self._lock:
                try:
                    self._tick(elapsed)
                except RunEnd as end:
                    self._stop(end)
                except Exception as error:
                    self._node.get_logger().error(traceback.format_exc())
                    text = f'{type(error).__name__}: {error}'
                    self._stop(RunEnd(Reason.INTERNAL_ERROR, text))

    def _tick(self, elapsed: float) -> None:
        motion = self._motion
        if motion is None:
            if self._back is not None:
                self._go_back(elapsed)
            elif self._target is not None and self._settings.repeat_hold:
                self._check_hold(self._target)
                self._publish(self._target)
            return
        measured = motion.measure()
        velocity: State = np.zeros(6)
        if not motion.watch.waits(measured, motion.path.at(motion.elapsed), elapsed):
            motion.elapsed += elapsed
            velocity = motion.path.velocity(motion.elapsed)
        target = motion.path.at(motion.elapsed)
        motion.watch.check(measured, target)
        self._check_alone()
        self._good, self._target = measured, target
        velocity = self._limited(velocity + GAIN * way(measured, target))
        if self._twist:
            self._push.add(measured, velocity, elapsed, self._settings.limits)
        self._publish(target, velocity)

    def _limited(self, velocity: State) -> State:
        """Return a velocity [6] within the limits of speed."""
        limits = self._settings.limits
        return np.concatenate(
            [
                part * min(1.0, most / max(float(np.linalg.norm(part)), 1e-9))
                for part, most in (
                    (velocity[:3], limits.max_speed),
                    (velocity[3:], limits.max_turn_speed),
                )
            ]
        )

    def _check_hold(self, target: State) -> None:
        """Raise RunEnd if a hold must not be repeated: somebody else, or a hand, moves the arm."""
        self._check_alone()
        if self._twist or self._measure is None:
            return
        try:
            measured = self._measure()
        except RunEnd:  # not measured: it holds on
            return
        Watch(self._settings.limits).check(measured, target)

    def _check_alone(self) -> None:
        now = time.monotonic()
        if now - self._looked > GRAPH_EVERY:
            self._looked, others = now, self.others()
            if others:
                raise RunEnd(
                    Reason.OTHER_PUBLISHER,
                    f"'{self.topic}' is published by {', '.join(others)} too: allowed: this node "
                    'alone; end the other',
                )

    def _was_moved(self, measured: State) -> bool:
        """Return whether somebody has moved an arm that holds by itself; the lock is held."""
        if self._target is None or (self._settings.repeat_hold and not self._twist):
            return False
        # Still where it was last measured, it is only behind its target, or its pose is frozen.
        return not any(_is_near(measured, place) for place in (self._target, self._good))

    def _stop(self, end: RunEnd) -> None:
        if self._motion is None:  # see _check_hold: the arm would be drawn back
            self._target = self._back = None
            self._node.get_logger().warning(f'The hold is repeated no more: {end}')
            return
        self._motion.problem = end
        self._hold(end.reason != Reason.STALE_INPUT)

    def _hold(self, measured: bool = True) -> None:
        """
        Hold, and publish that once; the lock is held.

        :param measured: hold a moving arm where it was last measured, else at its last target:
            where it is not measured any more it is nearer to that, and must not be drawn back.
        """
        motion, self._motion = self._motion, None
        if motion is not None and motion.problem is None:  # told to, as by disarming
            text = 'the arm was told to hold while it moved: was it disarmed for a moment?'
            motion.problem = RunEnd(Reason.DISARMED, f'{text} Send the goal again')
        if self._target is None:
            return
        if motion is not None and measured:
            self._back = self._good[:6]
            if self._twist or _is_near(self._target, self._back):
                self._target, self._back = self._back, None
        self._publish(self._target)

    def _go_back(self, elapsed: float) -> None:
        """
        Lead the target back to where the arm was measured, for a time [s]; the lock is held.

        From far away not at once: if the arm is at its target and the pose is frozen, it jumped.
        """
        if self._target is None or self._back is None:
            return
        self._target = toward(self._target, self._back, elapsed, self._settings.limits)
        self._publish(self._target)
        if np.array_equal(self._target, self._back):
            self._back = None
            if self._released:
                self._target = None

    def _publish(self, target: State, velocity: State | None = None) -> None:
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=self._frame)
        offset = self._settings.tool_offset
        # The arm's controller takes targets of the frame that the arm tells the pose of.
        frame = frame_of(target[:6], offset) if any(offset) else target
        if not self._twist:
            self._publisher.publish(to_pose_message(frame, header))
            return
        message = TwistStamped(header=header)
        if velocity is not None:
            angular = velocity[3:]
            linear = velocity[:3] + np.cross(angular, frame[:3] - target[:3])
            for field, part in (('linear', linear), ('angular', angular)):
                x, y, z = part.tolist()
                setattr(message.twist, field, Vector3(x=x, y=y, z=z))
        self._publisher.publish(message)


def _is_near(one: State, other: State) -> bool:
    apart = distance(one, other)
    return apart[0] <= NEAR[0] and apart[1] <= NEAR[1]
