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

# Encoding: bytes of a pixel in a row, and OpenCV's conversion to RGB of those that not every
# cv_bridge converts. OpenCV names a Bayer pattern by its second row, sensor_msgs by its first.
ENCODINGS: dict[str, tuple[int, int | None]] = {
    'rgb8': (3, None),
    'bgr8': (3, None),
    'rgba8': (4, None),
    'bgra8': (4, None),
    'mono8': (1, None),
    'mono16': (2, cv2.COLOR_GRAY2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUY2),
    'nv12': (1, cv2.COLOR_YUV2RGB_NV12),
    'nv21': (1, cv2.COLOR_YUV2RGB_NV21),
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
}
# Encodings that do not name their channels, and what they are taken for.
UNNAMED = {'8UC1': 'mono8', '8UC3': 'bgr8', '8UC4': 'bgra8'}
HALF_COLUMNS = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv')  # two columns share a colour
HALF_BOTH = ('nv12', 'nv21')  # and two rows; half as many rows of colours come after the picture
MAX_SIDE = 16384
# Of any picture. A small file may be a picture of any size, and unpacking it takes time that no
# allowance ends: a quarter of a second for this many pixels.
MAX_PIXELS = 4096 * 4096
_MAGIC = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n')  # jpeg, png


def check_image(image: Image, field: str = 'image') -> None:
    """Raise ValueError naming field, value and what is allowed, if an Image is not usable."""
    width, height, step = image.width, image.height, image.step
    encoding = UNNAMED.get(image.encoding, image.encoding)
    require(
        encoding in ENCODINGS,
        f'{field}.encoding',
        repr(encoding),
        f'{", ".join((*ENCODINGS, *UNNAMED))}; image_proc converts others',
    )
    require(1 <= width <= MAX_SIDE, f'{field}.width', width, f'1 to {MAX_SIDE}')
    require(1 <= height <= MAX_SIDE, f'{field}.height', height, f'1 to {MAX_SIDE}')
    _check_size(width, height, f'{field}.width x height')
    odd = width % 2 if encoding in HALF_COLUMNS + HALF_BOTH else 0
    require(not odd, f'{field}.width', width, f'an even number in {encoding}')
    odd = height % 2 if encoding in HALF_BOTH else 0
    require(not odd, f'{field}.height', height, f'an even number in {encoding}')
    row, length, rows = width * ENCODINGS[encoding][0], len(image.data), _rows(image)
    require(step >= row, f'{field}.step', step, f'{row} or more (width {width} in {encoding})')
    allowed = f'{step * rows} (step {step} x {rows} rows)'
    require(length == step * rows, f'{field}.data length', length, allowed)


def check_compressed(image: CompressedImage, field: str = 'image') -> None:
    """
    Raise ValueError, if the data of a CompressedImage is no jpeg or png of a usable size.

    Only the header is read: what comes after it may still be damaged.
    """
    start = bytes(image.data[:8])
    if not start.startswith(_MAGIC):
        raise ValueError(
            f'{field}.data starts with {start.hex(" ") or "nothing"} (format '
            f'{image.format!r}): allowed: jpeg or png'
        )
    try:
        with Picture.open(io.BytesIO(image.data), formats=('JPEG', 'PNG')) as header:
            size = header.size
    except Exception as error:  # a damaged header makes Pillow raise anything
        raise ValueError(
            f'{field}.data: {error}: allowed: a whole jpeg or png of at most {MAX_PIXELS} pixels'
        ) from error
    _check_size(*size, f'{field}.data')


def to_rgb(image: Image, field: str = 'image') -> NDArray[np.uint8]:
    """Return an Image as a new uint8 array [H, W, 3]; ValueError as check_image."""
    check_image(image, field)
    encoding = UNNAMED.get(image.encoding, image.encoding)
    size, conversion = ENCODINGS[encoding]
    rows = np.frombuffer(image.data, np.uint8).reshape(_rows(image), image.step)
    pixels: NDArray[np.uint8] = rows[:, : image.width * size]
    pixels = pixels.reshape(_rows(image), image.width, size)
    if encoding == 'mono16':
        order = '>u2' if image.is_bigendian else '<u2'
        deep = np.ascontiguousarray(pixels).view(order)[..., 0].astype(np.uint16)
        # Rounded as cv_bridge does.
        pixels = cv2.convertScaleAbs(deep, alpha=255.0 / 65535.0).astype(np.uint8)[..., None]
    if conversion is None:
        packed = Image(
            height=image.height,
            width=image.width,
            encoding=encoding,
            step=image.width * size,  # cv_bridge ignores padding
            data=array('B', pixels.tobytes()),
        )
        return np.array(CvBridge().imgmsg_to_cv2(packed, 'rgb8'), order='C')
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), conversion), np.uint8)
    except cv2.error as error:
        raise ValueError(
            f'{field}: {image.width} x {image.height} pixels in {encoding}: {error.err}: allowed: '
            'a picture that OpenCV converts'
        ) from error


def compressed_to_rgb(image: CompressedImage, field: str = 'image') -> NDArray[np.uint8]:
    """Return uint8 [H, W, 3] from a CompressedImage of jpeg or png; ValueError if it is not."""
    check_compressed(image, field)
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


def _check_size(width: int, height: int, name: str) -> None:
    allowed = f'at most {MAX_PIXELS} pixels, such as 4096 x 4096'
    require(width * height <= MAX_PIXELS, name, f'{width} x {height}', allowed)


def _rows(image: Image) -> int:
    """Return how many rows of step bytes the data of an Image has."""
    return image.height * 3 // 2 if image.encoding in HALF_BOTH else image.height
