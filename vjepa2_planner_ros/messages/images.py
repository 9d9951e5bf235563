# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures between ROS messages and uint8 RGB arrays [H, W, 3]."""

from __future__ import annotations

from array import array
import io

import cv2
from cv_bridge import CvBridge
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..planning.config import require

CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
MAX_SIDE = 16384
MAX_PIXELS = 1 << 26  # of a jpeg or png: a small file may be a picture of any size
_MAGIC = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n')  # jpeg, png


def check_image(image: Image, field: str = 'image') -> None:
    """Raise ValueError naming field, value and what is allowed, if an Image is not usable."""
    encoding, width, height, step = image.encoding, image.width, image.height, image.step
    require(encoding in CHANNELS, f'{field}.encoding', repr(encoding), ', '.join(CHANNELS))
    require(1 <= width <= MAX_SIDE, f'{field}.width', width, f'1 to {MAX_SIDE}')
    require(1 <= height <= MAX_SIDE, f'{field}.height', height, f'1 to {MAX_SIDE}')
    require(not image.is_bigendian, f'{field}.is_bigendian', image.is_bigendian, '0')
    row, length = width * CHANNELS[encoding], len(image.data)
    require(step >= row, f'{field}.step', step, f'{row} or more (width {width} in {encoding})')
    allowed = f'{step * height} (step {step} x height {height})'
    require(length == step * height, f'{field}.data length', length, allowed)


def check_compressed(image: CompressedImage, field: str = 'image') -> None:
    """Raise ValueError, if the data of a CompressedImage is neither jpeg nor png."""
    start = bytes(image.data[:8])
    if not start.startswith(_MAGIC):
        raise ValueError(
            f'{field}.data starts with {start.hex(" ") or "nothing"} (format '
            f'{image.format!r}): allowed: jpeg or png'
        )


def to_rgb(image: Image, field: str = 'image') -> NDArray[np.uint8]:
    """Return an Image as a new uint8 array [H, W, 3]; ValueError as check_image."""
    check_image(image, field)
    return np.array(CvBridge().imgmsg_to_cv2(_without_padding(image), 'rgb8'), order='C')


def compressed_to_rgb(image: CompressedImage, field: str = 'image') -> NDArray[np.uint8]:
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
        bgr = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f'{field}.data: {error.err}: allowed: a whole jpeg or png') from error
    if bgr is None:
        raise ValueError(
            f'{field}.data: {len(image.data)} bytes that cannot be decoded: '
            'allowed: a whole jpeg or png'
        )
    return np.ascontiguousarray(bgr[..., ::-1])


def picture(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Return the uint8 RGB [H, W, 3] of an Image or CompressedImage; ValueError if damaged."""
    return to_rgb(message) if hasattr(message, 'encoding') else compressed_to_rgb(message)


def to_image(rgb: NDArray[np.uint8], header: Header) -> Image:
    """Return the rgb8 Image of a uint8 array [H, W, 3]."""
    height, width = rgb.shape[:2]
    # rclpy checks each byte of any type but array.array.
    return Image(
        header=header,
        height=height,
        width=width,
        encoding='rgb8',
        step=3 * width,
        data=array('B', np.ascontiguousarray(rgb).tobytes()),
    )


def _without_padding(image: Image) -> Image:
    """Return the Image without padding between its rows; cv_bridge ignores step."""
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
