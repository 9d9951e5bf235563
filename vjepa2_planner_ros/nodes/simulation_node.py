# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""
ROS 2 node that puts the simulated arm and its camera on topics and executes commands.

A command moves the targets of the joints over 60 % of step_time, in the physics mode with servos
behind, in the kinematic mode exactly; a newer command replaces the one under way.
"""

import sys

from geometry_msgs.msg import PoseStamped
import numpy as np
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from vjepa2_interfaces.msg import EndEffectorCommand
from vjepa2_planner_ros.messages.commands import command_of
from vjepa2_planner_ros.messages.images import to_image
from vjepa2_planner_ros.messages.searches import to_pose_message
from vjepa2_planner_ros.nodes.process import start
from vjepa2_planner_ros.planning.actions import to_action
from vjepa2_planner_ros.simulation import PandaSim, sample_episode
from vjepa2_planner_ros.simulation.panda import FINGER_TRAVEL, MODES

BASE_FRAME = 'panda_link0'
GRIPPER_JOINT = 'panda_finger_joint1'


class SimulationNode(Node):
    """Publish picture, pose and gripper of a PandaSim at a fixed rate; follow its commands."""

    def __init__(self):
        """Read the parameters, build the scene and begin the episode of the seed."""
        self._sim = None
        super().__init__('simulation')
        self._seed = self._declare(
            'seed',
            2_000_000,
            'Seed of the first episode: scene, start and goal.',
            integer_range=[IntegerRange(from_value=0, to_value=2**62)],
        )
        rate = self._declare(
            'rate',
            10.0,
            'Ticks a second: pictures and states published [Hz].',
            floating_point_range=[FloatingPointRange(from_value=1.0, to_value=60.0)],
        )
        self._period = 1.0 / rate
        self._sim = PandaSim(
            self._seed,
            mode=self._declare('mode', 'kinematic', f'How commands are followed: {MODES}.'),
            image_size=self._declare(
                'image_size',
                256,
                'Width and height of the picture [pixels].',
                integer_range=[IntegerRange(from_value=64, to_value=1024)],
            ),
            camera=self._declare('camera', 'fixed', "Camera: 'fixed', or 'wrist' on the hand."),
            step_time=self._declare(
                'step_time',
                0.25,
                'Duration of the motion of one command [s].',
                floating_point_range=[FloatingPointRange(from_value=0.05, to_value=5.0)],
            ),
        )
        self._frame = f'{self._sim.camera}_camera'
        self._make_topics()
        self._begin_episode()
        self._timer = self.create_timer(self._period, self._tick)

    def _declare(self, name, default, description, **ranges):
        descriptor = ParameterDescriptor(description=description, read_only=True, **ranges)
        return self.declare_parameter(name, default, descriptor).value

    def _make_topics(self):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._image = self.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._camera_info = self.create_publisher(
            CameraInfo, 'camera_info', qos_profile_sensor_data
        )
        self._pose = self.create_publisher(PoseStamped, 'pose', 10)
        self._gripper = self.create_publisher(JointState, 'gripper', 10)
        self._goal_image = self.create_publisher(Image, 'goal_image', latched)
        self._goal_pose = self.create_publisher(PoseStamped, 'goal_pose', latched)
        self._goal_gripper = self.create_publisher(JointState, 'goal_gripper', latched)
        self.create_subscription(EndEffectorCommand, 'command', self._on_command, 10)
        self.create_service(Trigger, 'next_episode', self._on_next_episode)

    def _begin_episode(self):
        """Make the scene of the seed, photograph the goal, then put the arm at the start."""
        episode = sample_episode(self._seed)
        self._sim.reset(self._seed)
        self._sim.set_state(episode.goal)
        stamp = self.get_clock().now().to_msg()
        self._goal_image.publish(self._picture(stamp))
        self._goal_pose.publish(to_pose_message(episode.goal, _header(stamp)))
        self._goal_gripper.publish(gripper_message(episode.goal, _header(stamp)))
        self._sim.set_state(episode.start)
        self.get_logger().info(f'episode {self._seed}')

    def _tick(self):
        self._sim.advance(self._period)
        stamp = self.get_clock().now().to_msg()
        state = self._sim.state()
        self._pose.publish(to_pose_message(state, _header(stamp)))
        self._gripper.publish(gripper_message(state, _header(stamp)))
        self._camera_info.publish(
            camera_info_message(
                self._sim.camera_matrix(), self._sim.image_size, _header(stamp, self._frame)
            )
        )
        self._image.publish(self._picture(stamp))

    def _picture(self, stamp):
        return to_image(self._sim.render(), _header(stamp, self._frame))

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

    def _on_next_episode(self, request, response):
        self._seed += 1
        self._begin_episode()
        response.success = True
        response.message = f'episode {self._seed}'
        return response

    def destroy_node(self):
        """Free the renderer and the node."""
        if self._sim is not None:
            self._sim.close()
        super().destroy_node()


def gripper_message(state, header):
    """Return the JointState of one finger: 0.04 m open .. 0 closed."""
    position = FINGER_TRAVEL * (1.0 - float(state[6]))
    return JointState(header=header, name=[GRIPPER_JOINT], position=[position])


def camera_info_message(intrinsics, size, header):
    """Return the CameraInfo of a pinhole camera with the intrinsics [3, 3] (pixels)."""
    return CameraInfo(
        header=header,
        height=size,
        width=size,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=intrinsics.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=np.hstack([intrinsics, np.zeros((3, 1))]).ravel().tolist(),
    )


def _header(stamp, frame=BASE_FRAME):
    return Header(stamp=stamp, frame_id=frame)


def main(args=None):
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
