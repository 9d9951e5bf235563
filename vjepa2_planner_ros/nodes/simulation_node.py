# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""
ROS 2 node that puts the simulated arm and its camera on topics and executes commands.

A command moves the targets of the joints over 60 % of step_time, in the physics mode with servos
behind, in the kinematic mode exactly; a newer command replaces the one under way. target_pose,
twist and the gripper's actions are what real arms have, see simulated_arm and simulated_gripper.

Time passes in ticks, each of which publishes the state; a picture is rendered in some of them and
has the stamp of its tick. A render delays the next tick, whose time is then as much longer.
"""

from collections.abc import Sequence
import sys

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TransformStamped
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from vjepa2_interfaces.msg import EndEffectorCommand

from .parameters import declare
from .params_file import nearest
from .process import start
from .services import serve
from .simulated_arm import SimulatedArm
from .simulated_gripper import GRIPPER_JOINT, SimulatedGripper
from .simulation_settings import SimulationSettings
from ..messages.commands import command_of
from ..messages.images import to_image
from ..messages.searches import to_pose_message
from ..planning.actions import to_action
from ..planning.config import require
from ..simulation import PandaSim, sample_episode
from ..simulation.description import BASE_FRAME, JOINTS, Transform
from ..simulation.kinematics import matrix_to_quaternion
from ..simulation.panda import FINGER_TRAVEL

LONGEST_TICK = 0.1  # s; where the machine stands still longer, so does the simulated time


class SimulationNode(Node):
    """Publish picture, state and frames of a PandaSim at a fixed rate; follow its commands."""

    def __init__(self):
        """Read the parameters, build the scene and begin the episode of the seed."""
        self._sim = None
        super().__init__('simulation')
        settings = declare(self, SimulationSettings)
        self._picture_period = 1.0 / settings.rate  # s
        self._picture_due = 0.0  # s, by the node's clock
        self._period = 1.0 / max(settings.rate, settings.state_rate)
        self._goal_turn = settings.goal_turn
        self._check_known()
        self._sim = PandaSim(
            settings.seed,
            mode=settings.mode,
            image_size=settings.image_size,
            camera=settings.camera,
            step_time=settings.step_time,
        )
        self._sim.place_camera(settings.camera_turn, settings.camera_rise)
        self._frame = f'{self._sim.camera}_camera'
        self._make_topics()
        self._arm, self._fingers = SimulatedArm(self, self._sim), SimulatedGripper(self, self._sim)
        self._describe()
        self._begin_episode(settings.seed)
        self._ticked_at = self._seconds()
        self._timer = self.create_timer(self._period, self._tick)

    def _check_known(self):
        """Raise ValueError naming a parameter that was set but does not exist."""
        known = self.get_parameters_by_prefix('')
        for name, item in self._parameter_overrides.items():
            allowed = f'a parameter of the simulation{nearest(name, known)}'
            require(name in known, name, repr(item.value), allowed)

    def _make_topics(self):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = self.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._camera_info = self.create_publisher(
            CameraInfo, 'camera_info', qos_profile_sensor_data
        )
        self._pose = self.create_publisher(PoseStamped, 'pose', 10)
        self._gripper = self.create_publisher(JointState, 'gripper', 10)
        self._joints = self.create_publisher(JointState, 'joint_states', 10)
        self._tf = self.create_publisher(TFMessage, '/tf', 100)
        self._fixed_tf = self.create_publisher(TFMessage, '/tf_static', latched)
        self._description = self.create_publisher(String, 'robot_description', latched)
        self._goal_image = self.create_publisher(Image, 'goal_image', latched)
        self._goal_pose = self.create_publisher(PoseStamped, 'goal_pose', latched)
        self._goal_gripper = self.create_publisher(JointState, 'goal_gripper', latched)
        self.create_subscription(EndEffectorCommand, 'command', self._on_command, 10)
        serve(self, Trigger, 'next_episode', self._on_next_episode)

    def _describe(self):
        """Publish once what never changes: the URDF and the frames that no joint moves."""
        base, _ = self._headers()
        self._description.publish(String(data=self._sim.description()))
        self._fixed_tf.publish(tf_message(self._sim.fixed_transforms(), base.stamp))

    def _begin_episode(self, seed):
        """Make the scene of a seed, photograph the goal, then put the arm at the start."""
        episode = sample_episode(seed, turn=self._goal_turn)
        self._seed = seed
        self._arm.stop()
        self._fingers.preempt()
        self._sim.reset(seed)
        self._sim.set_state(episode.goal)
        base, camera = self._headers()
        self._goal_image.publish(to_image(self._sim.render(), camera))
        self._goal_pose.publish(to_pose_message(episode.goal, base))
        self._goal_gripper.publish(gripper_message(episode.goal, base.stamp))
        self._sim.set_state(episode.start)
        self.get_logger().info(f'episode {self._seed}')

    def _tick(self):
        sim, now = self._sim, self._seconds()
        passed = min(now - self._ticked_at, LONGEST_TICK)
        passed = passed if passed > 0.0 else self._period  # the clock was set back
        self._ticked_at = now
        self._arm.advance(passed)
        sim.advance(passed)
        self._fingers.advance(passed)
        base, camera = self._headers()
        state = sim.state()
        self._pose.publish(to_pose_message(state, base))
        self._gripper.publish(gripper_message(state, base.stamp))
        self._joints.publish(joint_message(JOINTS, sim.joint_positions(), base.stamp))
        self._tf.publish(tf_message(sim.transforms(), base.stamp))
        if self._is_picture_due(now):
            matrix, size = sim.camera_matrix(), sim.image_size
            self._camera_info.publish(camera_info_message(matrix, size, camera))
            self._image.publish(to_image(sim.render(), camera))

    def _is_picture_due(self, now):
        """Return whether a tick at a time [s] is the one nearest to when a picture is due."""
        period = self._picture_period
        if abs(now - self._picture_due) > 2 * period:  # the first, after a halt, a clock set back
            self._picture_due = now
        if now < self._picture_due - self._period / 2:
            return False
        self._picture_due += period
        return True

    def _seconds(self):
        return self.get_clock().now().nanoseconds * 1e-9

    def _headers(self):
        """Return two headers of this moment: in the frame of the base and in the camera's."""
        stamp = self.get_clock().now().to_msg()
        return (Header(stamp=stamp, frame_id=frame) for frame in (BASE_FRAME, self._frame))

    def _on_command(self, message):
        if message.header.frame_id not in ('', BASE_FRAME):
            self.get_logger().error(
                f'command refused: its frame is {message.header.frame_id!r}, not {BASE_FRAME!r}'
            )
            return
        try:
            self._sim.command(to_action(command_of(message)))
        except ValueError as error:
            self.get_logger().error(f'command refused: {error}')
            return
        self._arm.stop()
        if message.gripper:
            self._fingers.preempt()

    def _on_next_episode(self, request, response):
        try:
            self._begin_episode(self._seed + 1)
            response.success, response.message = True, f'episode {self._seed}'
        except ValueError as error:  # the last seed was reached
            response.message = str(error)

    def destroy_node(self):
        """Free the renderer and the node."""
        if self._sim is not None:
            self._sim.close()
        super().destroy_node()


def gripper_message(state: np.ndarray, stamp: Time) -> JointState:
    """Return the JointState of one finger: 0.04 m open .. 0 closed."""
    return joint_message([GRIPPER_JOINT], [FINGER_TRAVEL * (1 - float(state[6]))], stamp)


def joint_message(names: Sequence[str], positions: list[float], stamp: Time) -> JointState:
    """Return the JointState of positions (rad, m)."""
    return JointState(header=Header(stamp=stamp), name=names, position=positions)


def camera_info_message(intrinsics: np.ndarray, size: int, header: Header) -> CameraInfo:
    """Return the CameraInfo of a square picture (size, pixels) with the intrinsics [3, 3]."""
    return CameraInfo(
        header=header,
        height=size,
        width=size,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=intrinsics.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([intrinsics, np.zeros((3, 1))]).ravel(),
    )


def tf_message(transforms: list[Transform], stamp: Time) -> TFMessage:
    """Return the TFMessage of poses of frames in their parents."""
    messages = []
    for (parent, child, _), position, rotation in transforms:
        message = TransformStamped(child_frame_id=child)
        message.header = Header(stamp=stamp, frame_id=parent)
        fields = message.transform
        fields.translation.x, fields.translation.y, fields.translation.z = position.tolist()
        turn = fields.rotation
        turn.x, turn.y, turn.z, turn.w = matrix_to_quaternion(rotation).tolist()
        messages.append(message)
    return TFMessage(transforms=messages)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    started = start(SimulationNode, args)
    if started is None:
        return 1
    node, asked = started
    # On the main thread, which made the renderer: OpenGL belongs to one thread.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not asked.is_set():
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
