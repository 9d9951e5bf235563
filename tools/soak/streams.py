# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a planner hears of a robot: two cameras, pose, gripper and clock, in all their moods."""

from array import array
import threading
import time

from builtin_interfaces.msg import Time
import cv2
from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header
from vjepa2_planner_ros.messages.searches import to_pose_message
from vjepa2_planner_ros.messages.times import to_stamp
from vjepa2_planner_ros.simulation.panda import FINGER_TRAVEL

PERIOD = 0.05  # s between frames and states
ARM_PERIOD = 0.001  # s between the joint states of an arm that shares a topic with its gripper
GRIPPER_EVERY = 33  # of these, one is the gripper's: 30 Hz
SLOW_EVERY = 10  # of PERIOD: a gripper at 2 Hz
START = np.array([0.40, 0.10, 0.30, 0.2, -0.1, 0.3, 0.25])  # the live state
# Raw frames beyond the 208 kB that Linux buffers for a socket get lost on a busy machine.
FRAME_SIZE = 192, 256
FRAMES = QoSProfile(depth=20, reliability=qos_profile_sensor_data.reliability)
BASE_FRAME = 'panda_link0'
# Of an Image that is the same picture to the last bit, and one that is of no use.
SAME_PICTURE = ('rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3')
UNUSABLE = '32FC1'


class Streams:
    """
    Publishes what a robot does, at 20 Hz; close() ends it.

    Attributes may be set at any time: sending, the streams that do not fall silent; gripper,
    'own', 'slow' or 'shared', with an arm at 1 kHz on its topic; offset, of the stamps [s];
    sim_time [s], of /clock and of the stamps, None = the system's time.
    """

    def __init__(self, node, picture):
        self.sending = {'image', 'state'}
        self.gripper = 'own'
        self.offset = 0.0
        self.sim_time = None
        self.ticks = 0
        self._node, self._picture = node, picture
        self._frame = Image(header=Header(), **image_fields(picture))
        png = cv2.imencode('.png', np.ascontiguousarray(picture[:48, :64, ::-1]))[1]
        self._wrist = CompressedImage(format='png', data=array('B', png.tobytes()))
        state = qos_profile_sensor_data
        self._publishers = {
            'main': node.create_publisher(Image, 'planner/image', FRAMES),
            'wrist': node.create_publisher(CompressedImage, 'planner/wrist/image', FRAMES),
            'pose': node.create_publisher(PoseStamped, 'planner/pose', state),
            'gripper': node.create_publisher(JointState, 'planner/gripper', state),
            'clock': node.create_publisher(ClockMessage, '/clock', 10),
        }
        # A steady clock: time goes on where stamps do not.
        node.create_timer(PERIOD, self._send, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._closing = threading.Event()
        self._arm = threading.Thread(target=self._send_arm, daemon=True)
        self._arm.start()

    def close(self):
        """End the thread of the arm."""
        self._closing.set()
        self._arm.join()

    def use_encoding(self, encoding):
        """Let the first camera send its picture in an encoding."""
        self._frame = Image(header=Header(), **image_fields(self._picture, encoding))

    def publish(self, stream, message):
        """Publish a message that the robot would not, on one of its streams."""
        self._publishers[stream].publish(message)

    def wait_for_frames(self, count):
        """Wait until so many more frames were sent."""
        until = self.ticks + count
        while self.ticks < until:
            time.sleep(PERIOD / 2)

    def _stamp(self):
        if self.sim_time is not None:
            return to_stamp(round((self.sim_time + self.offset) * 1e9))
        now = self._node.get_clock().now().nanoseconds
        return to_stamp(now + round(self.offset * 1e9))

    def _send(self):
        if self.sim_time is not None:
            self.sim_time += PERIOD
            clock = to_stamp(round(self.sim_time * 1e9))
            self._publishers['clock'].publish(ClockMessage(clock=clock))
        stamp = self._stamp()
        if 'state' in self.sending:
            header = Header(stamp=stamp, frame_id=BASE_FRAME)
            self._publishers['pose'].publish(to_pose_message(START, header))
            if self.gripper == 'own' or (self.gripper == 'slow' and self.ticks % SLOW_EVERY == 0):
                self._publishers['gripper'].publish(joints(stamp, ('panda_joint1', FINGER)))
        if 'image' in self.sending:
            for stream, message in (('main', self._frame), ('wrist', self._wrist)):
                message.header.stamp = stamp
                self._publishers[stream].publish(message)
        self.ticks += 1

    def _send_arm(self):
        count = 0
        while not self._closing.wait(ARM_PERIOD):
            if self.gripper != 'shared' or 'state' not in self.sending:
                continue
            count += 1
            names = (FINGER,) if count % GRIPPER_EVERY == 0 else ARM
            self._publishers['gripper'].publish(joints(self._stamp(), names))


FINGER = 'panda_finger_joint1'
ARM = tuple(f'panda_joint{number}' for number in range(1, 8))


def joints(stamp: Time, names):
    """Return the JointState of joints, the finger's as START has it."""
    finger = FINGER_TRAVEL * (1.0 - START[6])
    return JointState(
        header=Header(stamp=stamp, frame_id=BASE_FRAME),
        name=list(names),
        position=[finger if name == FINGER else 1.5 for name in names],
    )


def image_fields(rgb, encoding='rgb8', padding=0):
    """
    Return the fields of the Image of a picture, with so many bytes behind each row.

    :param encoding: of SAME_PICTURE, or UNUSABLE.
    """
    if encoding.startswith('bgr') or encoding == '8UC3':
        rgb = rgb[..., ::-1]
    if encoding.endswith('a8'):
        rgb = np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1)
    if encoding == UNUSABLE:
        rgb = np.zeros((*rgb.shape[:2], 4), np.uint8)
    height, width, channels = rgb.shape
    rows = np.pad(rgb.reshape(height, -1), ((0, 0), (0, padding)))
    return {
        'height': height,
        'width': width,
        'encoding': encoding,
        'step': width * channels + padding,
        'data': array('B', rows.tobytes()),
    }
