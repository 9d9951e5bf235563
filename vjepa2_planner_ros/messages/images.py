# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures between ROS messages and uint8 RGB arrays [H, W, 3]."""

from array import array
import io

import cv2
from cv_bridge import CvBridge
import numpy as np
from PIL import Image as Picture
from sensor_msgs.msg import Image

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
MAX_SIDE = 16384
MAX_PIXELS = 1 << 26  # of a jpeg or png: a small file may unpack to any size
_MAGIC = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n')  # jpeg, png


def check_image(image, field='image'):
    """Raise ValueError naming field, value and what is allowed, if an Image is not usable."""

    def require(condition, name, value, allowed):
        if not condition:
            raise ValueError(f'{field}.{name} = {value}: allowed: {allowed}')

    require(image.encoding in CHANNELS, 'encoding', repr(image.encoding), ', '.join(CHANNELS))
    require(1 <= image.width <= MAX_SIDE, 'width', image.width, f'1 to {MAX_SIDE}')
    require(1 <= image.height <= MAX_SIDE, 'height', image.height, f'1 to {MAX_SIDE}')
    require(not image.is_bigendian, 'is_bigendian', image.is_bigendian, '0')
    row = image.width * CHANNELS[image.encoding]
    require(
        image.step >= row,
        'step',
        image.step,
        f'{row} or more (width {image.width} in {image.encoding})',
    )
    require(
        len(image.data) == image.step * image.height,
        'data length',
        len(image.data),
        f'{image.step * image.height} (step {image.step} x height {image.height})',
    )


def check_compressed(image, field='image'):
    """Raise ValueError, if the data of a CompressedImage is neither jpeg nor png."""
    start = bytes(image.data[:8])
    if not start.startswith(_MAGIC):
        raise ValueError(
            f'{field}.data starts with {start.hex(" ") or "nothing"} (format '
            f'{image.format!r}): allowed: jpeg or png'
        )


def to_rgb(image, field='image'):
    """Return an own uint8 [H, W, 3] copy of an Image; ValueError as check_image."""
    check_image(image, field)
    return np.array(CvBridge().imgmsg_to_cv2(_without_padding(image), 'rgb8'), order='C')


def compressed_to_rgb(image, field='image'):
    """Return uint8 [H, W, 3] from a CompressedImage of jpeg or png; ValueError if it is not."""
    check_compressed(image, field)
    try:
        with Picture.open(io.BytesIO(image.data)) as header:
            pixels = header.width * header.height
    except (OSError, SyntaxError, Picture.DecompressionBombError) as error:
        raise ValueError(f'{field}.data: {error}: allowed: a whole jpeg or png') from error
    if pixels > MAX_PIXELS:
        raise ValueError(
            f'{field}.data: {pixels} pixels: allowed: a jpeg or png of at most {MAX_PIXELS}'
        )
    try:
        picture = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f'{field}.data: {error.err}: allowed: a whole jpeg or png') from error
    if picture is None:
        raise ValueError(
            f'{field}.data: {len(image.data)} bytes that cannot be decoded: '
            'allowed: a whole jpeg or png'
        )
    return np.ascontiguousarray(picture[..., ::-1])


def picture(message):
    """Return the uint8 RGB [H, W, 3] of an Image or CompressedImage; ValueError if damaged."""
    return to_rgb(message) if hasattr(message, 'encoding') else compressed_to_rgb(message)


def to_image(rgb, header):
    """Return the rgb8 Image of a uint8 array [H, W, 3]."""
    height, width = rgb.shape[:2]
    # array.array is the one type that rclpy takes over without looking at every byte.
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='rgb8',
        step=3 * width,
        data=array('B', np.ascontiguousarray(rgb).tobytes()),
    )


def _without_padding(image):
    """Return the Image with rows that follow each other at once; cv_bridge ignores step."""
    row = image.width * CHANNELS[image.encoding]
    if image.step == row:
        return image
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, :row]
    return Image(
        height=image.height,
        width=image.width,
        encoding=image.encoding,
        step=row,
        data=array('B', rows.tobytes()),
    )
