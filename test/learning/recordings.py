# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A drive of an arm as a lab records it, written by the libraries of the formats themselves."""

import io

import numpy as np
from PIL import Image as Picture
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

TYPES = get_typestore(Stores.ROS2_HUMBLE)
START = 1_700_000_000.0  # s
SIZE = (48, 64)  # rows and columns of squares of 4 x 4 pixels
BITS = 12  # of a picture's number, each a white or black square in its corner


def state_at(time):
    """Return x y z, roll pitch yaw and closedness at a time [s] since the start."""
    return np.array(
        [
            *(0.5 + 0.1 * np.sin(0.9 * time), 0.1 * np.cos(0.7 * time)),
            *(0.3 + 0.05 * np.sin(1.3 * time), 0.2 * np.sin(time), 0.1 * np.cos(time), 0.3 * time),
            0.5 - 0.5 * np.cos(0.4 * time),
        ]
    )


def picture_of(number):
    """Return a picture [H, W, 3] that tells its number and has a background with corners."""
    random = np.random.default_rng(0)
    picture = random.integers(60, 200, (*SIZE, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    for bit in range(BITS):
        picture[:16, 16 * bit : 16 * bit + 16] = 255 if number >> bit & 1 else 0
    return picture


def number_of(picture):
    """Return the number that a picture tells."""
    bits = picture[:16, : 16 * BITS].reshape(16, BITS, -1).mean(axis=(0, 2)) > 128
    return sum(1 << bit for bit in range(BITS) if bits[bit])


def png(picture):
    """Return a picture as the bytes of a PNG file."""
    file = io.BytesIO()
    Picture.fromarray(picture).save(file, 'PNG')
    return np.frombuffer(file.getvalue(), np.uint8)


def quaternion_of(rpy):
    """Return x y z w of fixed-axis angles."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler('xyz', rpy).as_quat()


def message(kind, **fields):
    """Return a message of a type such as geometry_msgs/Point."""
    package, name = kind.split('/')
    return TYPES.types[f'{package}/msg/{name}'](**fields)


def header_at(time, frame=''):
    """Return a Header of a time [s] since the start."""
    total = round((START + time) * 1e9)
    stamp = message('builtin_interfaces/Time', sec=total // 10**9, nanosec=total % 10**9)
    return message('std_msgs/Header', stamp=stamp, frame_id=frame)


def image(time, picture, encoding='rgb8'):
    """Return the type and the message of a raw picture."""
    height, width = picture.shape[:2]
    return 'sensor_msgs/msg/Image', message(
        'sensor_msgs/Image',
        header=header_at(time, 'camera'),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(picture).ravel(),
    )


def compressed_image(time, picture):
    """Return the type and the message of a compressed picture."""
    return 'sensor_msgs/msg/CompressedImage', message(
        'sensor_msgs/CompressedImage',
        header=header_at(time, 'camera'),
        format='rgb8; png compressed bgr8',
        data=png(picture),
    )


def pose(time, state, frame='panda_link0'):
    """Return the type and the message of an end effector's pose."""
    x, y, z, w = quaternion_of(state[3:6])
    return 'geometry_msgs/msg/PoseStamped', message(
        'geometry_msgs/PoseStamped',
        header=header_at(time, frame),
        pose=message(
            'geometry_msgs/Pose',
            position=message('geometry_msgs/Point', x=state[0], y=state[1], z=state[2]),
            orientation=message('geometry_msgs/Quaternion', x=x, y=y, z=z, w=w),
        ),
    )


def joints(time, names, positions):
    """Return the type and the message of joints."""
    return 'sensor_msgs/msg/JointState', message(
        'sensor_msgs/JointState',
        header=header_at(time),
        name=list(names),
        position=np.array(positions, float),
        velocity=np.empty(0),
        effort=np.empty(0),
    )


def transforms(time, frames):
    """Return the type and the message of {(parent, child): state [6]}."""
    found = []
    for (parent, child), state in frames.items():
        x, y, z, w = quaternion_of(state[3:6])
        found.append(
            message(
                'geometry_msgs/TransformStamped',
                header=header_at(time, parent),
                child_frame_id=child,
                transform=message(
                    'geometry_msgs/Transform',
                    translation=message(
                        'geometry_msgs/Vector3', x=state[0], y=state[1], z=state[2]
                    ),
                    rotation=message('geometry_msgs/Quaternion', x=x, y=y, z=z, w=w),
                ),
            )
        )
    return 'tf2_msgs/msg/TFMessage', message('tf2_msgs/TFMessage', transforms=found)


def camera_info(time, frame):
    """Return the type and the message of a camera's intrinsics: fx 300, fy 310, cx 128, cy 96."""
    return 'sensor_msgs/msg/CameraInfo', message(
        'sensor_msgs/CameraInfo',
        header=header_at(time, frame),
        height=192,
        width=256,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.array([300.0, 0.0, 128.0, 0.0, 310.0, 96.0, 0.0, 0.0, 1.0]),
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=message(
            'sensor_msgs/RegionOfInterest',
            x_offset=0,
            y_offset=0,
            height=0,
            width=0,
            do_rectify=False,
        ),
    )


def write_bag(path, messages, storage='mcap', compression=None):
    """
    Write [(time [s], topic, (type, message))] as a recording.

    :param compression: None, FILE, MESSAGE or STORAGE, as rosbag2 has them.
    """
    plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for time, topic, (kind, content) in sorted(messages, key=lambda item: item[0]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            data = TYPES.serialize_cdr(content, kind)
            writer.write(connections[topic], round((START + time) * 1e9), data)
    return path


def drive(seconds=5.0, rate=30.0, picture=image, frames='/image', delay=0.02):
    """Return the messages of a drive: pictures, poses at 100 Hz, gripper at 20 Hz."""
    pictures = [
        (time + delay, frames, picture(time, picture_of(number)))
        for number, time in enumerate(np.arange(0.0, seconds, 1.0 / rate))
    ]
    poses = [(t, '/pose', pose(t, state_at(t))) for t in np.arange(0.0, seconds, 0.01)]
    grippers = [
        (t, '/gripper', joints(t, ['panda_finger_joint1'], [0.04 * (1.0 - state_at(t)[6])]))
        for t in np.arange(0.0, seconds, 0.05)
    ]
    return [*pictures, *poses, *grippers]


def write_video(path, pictures, rate=30):
    """Write pictures as an mp4 file; its index is at the end, as libx264 leaves it."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        height, width = pictures[0].shape[:2]
        stream = container.add_stream('libx264', rate=rate, options={'g': '10', 'crf': '20'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode(None))
    return path


def cut(path, share=0.6):
    """Cut a file, as a full disk or a broken copy leaves it."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
