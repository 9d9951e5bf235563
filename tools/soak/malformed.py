# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and goals that a planner must refuse, drawn at random."""

from array import array
import math
import struct
import zlib

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
ENCODINGS = (
    '',
    ' ',
    'rgb',
    'RGB8',
    'rgb8 ',
    'rgb16',
    '8UC2',
    '16UC1',
    '32FC1',
    'bayer_rggb16',
    'yuv444',
    'nv24',
    'ключ',
    'rgb8; jpeg compressed bgr8',
    'x' * 10000,
)
NOT_FINITE = (math.nan, math.inf, -math.inf)
HUGE = 2**32 - 1
PNG = b'\x89PNG\r\n\x1a\n'


def malformed_image(rng) -> Image:
    """Return an Image with one to three faults; none makes good for another."""
    width, height = rng.randint(1, 64), rng.randint(1, 48)
    encoding = rng.choice(list(CHANNELS))
    step = width * CHANNELS[encoding] + rng.choice((0, 0, 3))
    image = Image(
        height=height,
        width=width,
        encoding=encoding,
        step=step,
        data=array('B', rng.randbytes(step * height)),
    )
    for fault in rng.sample(IMAGE_FAULTS, rng.choice((1, 1, 2, 3))):
        fault(rng, image)
    return image


def _wrong_encoding(rng, image):
    image.encoding = rng.choice(ENCODINGS)


def _wrong_width(rng, image):
    image.width = rng.choice((0, 4 * image.width + 4, 2**31, HUGE))


def _wrong_height(rng, image):
    image.height = rng.choice((0, image.height + 1000, 2**31, HUGE))


def _small_step(rng, image):
    image.step = rng.randrange(max(image.width, 1))


def _large_step(rng, image):
    image.step = rng.choice((image.step + 1000, HUGE))


def _wrong_length(rng, image):
    image.data = rng.choice(
        (
            image.data[: rng.randrange(len(image.data))],
            image.data + array('B', rng.randbytes(rng.randint(1, 100))),
        )
    )


IMAGE_FAULTS = (
    _wrong_encoding,
    _wrong_width,
    _wrong_height,
    _small_step,
    _large_step,
    _wrong_length,
)


def malformed_compressed(rng):
    """
    Return (CompressedImage, whether it is surely refused).

    A jpeg that is damaged behind its head may be shown all the same, as every viewer does.
    """
    surely, data = True, rng.choice(COMPRESSED_FAULTS)(rng)
    if isinstance(data, tuple):
        data, surely = data
    return CompressedImage(
        format=rng.choice(('jpeg', 'png', '', 'h264', 'rgb8; png compressed')),
        data=array('B', data),
    ), surely


def _picture(rng, suffix):
    small = np.frombuffer(rng.randbytes(12 * 16 * 3), np.uint8).reshape(12, 16, 3)
    return cv2.imencode(suffix, cv2.resize(small, (64, 48)))[1].tobytes()


def _cut(data, rng):
    return data[: rng.randrange(8, len(data) - 16)]


def _jpeg_with_wrong_bytes(rng):
    data = bytearray(_picture(rng, '.jpg'))
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(3, len(data))] = rng.randrange(256)
    return bytes(data), False


def _chunk(kind, content):
    return (
        struct.pack('>I', len(content))
        + kind
        + content
        + struct.pack('>I', zlib.crc32(kind + content))
    )


def _huge_png(rng):
    width, height = rng.choice(((60000, 60000), (2**31 - 1, 1), (16384, 16384), (0, 5)))
    return (
        PNG
        + _chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
        + _chunk(b'IDAT', zlib.compress(bytes(1000)))
        + _chunk(b'IEND', b'')
    )


COMPRESSED_FAULTS = (
    lambda rng: b'',
    lambda rng: b'GIF89a' + rng.randbytes(50),
    lambda rng: b'RIFF' + rng.randbytes(rng.randint(0, 3000)),
    lambda rng: _picture(rng, '.jpg')[1:],
    lambda rng: b'\xff\xd8\xff' + bytes(rng.randint(0, 100)),
    lambda rng: PNG + rng.randbytes(rng.randint(0, 100)),
    lambda rng: _cut(_picture(rng, '.png'), rng),
    lambda rng: (_cut(_picture(rng, '.jpg'), rng), False),
    _jpeg_with_wrong_bytes,
    _huge_png,
)


def spoil(rng, goal):
    """Put one mistake into a good goal; return the outcomes that are right then."""
    return rng.choice(GOAL_FAULTS)(rng, goal)


def _goal_image(rng, goal):
    goal.goal_image = malformed_image(rng)
    return {'INVALID_GOAL_IMAGE'}


def _goal_image_compressed(rng, goal):
    goal.goal_image = Image()
    goal.goal_image_compressed, surely = malformed_compressed(rng)
    return {'INVALID_GOAL_IMAGE'} if surely else {'INVALID_GOAL_IMAGE', 'SUCCEEDED'}


def _current_image(rng, goal):
    goal.current_image = rng.choice((Image(), malformed_image(rng)))
    return {'INVALID_GOAL_IMAGE'}


def _position(rng, goal):
    setattr(
        goal.start_state.pose.position, rng.choice('xyz'), rng.choice((*NOT_FINITE, 400.0, -1e308))
    )
    return {'INVALID_STATE'}


def _orientation(rng, goal):
    orientation = goal.start_state.pose.orientation
    if rng.random() < 0.5:
        setattr(orientation, rng.choice('xyzw'), rng.choice((*NOT_FINITE, 2.0)))
    else:
        orientation.x = orientation.y = orientation.z = 0.0
        orientation.w = rng.choice((0.0, 1e-300, 1e200))
    return {'INVALID_STATE'}


def _gripper(rng, goal):
    goal.start_state.gripper = rng.choice((*NOT_FINITE, -0.01, 1.01, 40.0))
    return {'INVALID_STATE'}


def _frame(rng, goal):
    goal.start_state.header.frame_id = rng.choice(('camera', ' ', 'panda_link0 ', 'ä' * 1000))
    return {'INVALID_STATE'}


def _camera(rng, goal):
    goal.camera = rng.choice(('nowhere', 'Main', ' ', 'x' * 1000))
    return {'INVALID_SETTINGS'}


def _model(rng, goal):
    goal.model = rng.choice(('nobody', '../toy', '/etc/passwd', 'x' * 1000))
    return {'MODEL_NOT_FOUND'}


def _settings(rng, goal):
    name, values = rng.choice(
        (
            ('samples', (16385, HUGE)),
            ('iterations', (101, HUGE)),
            ('horizon', (17, HUGE)),
            ('elite_fraction', (*NOT_FINITE, -0.1, 1.01, 1e-5, 1e300)),
        )
    )
    setattr(goal.search, name, rng.choice(values))
    return {'INVALID_SETTINGS'}


def _no_elites(rng, goal):
    goal.search.samples, goal.search.elite_fraction = rng.randint(1, 4), 0.1
    return {'INVALID_SETTINGS'}


def _allowance(rng, goal):
    goal.time_allowance.sec = rng.choice((-1, -(2**31)))
    return {'INVALID_SETTINGS'}


GOAL_FAULTS = (
    _goal_image,
    _goal_image,
    _goal_image_compressed,
    _goal_image_compressed,
    _current_image,
    _position,
    _orientation,
    _gripper,
    _frame,
    _camera,
    _model,
    _settings,
    _no_elites,
    _allowance,
)
