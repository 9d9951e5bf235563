# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures: every encoding gives the same array, every malformed message a clear error."""

from array import array
import io
import struct
import tracemalloc
import zlib

import numpy as np
from PIL import Image as Picture
from planner_rig import eventually, to_image
import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages import images
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.messages.pictures import oddities, read_picture

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.full((5, 7, 1), 77, np.uint8)


def encoded(encoding, pixels, padding):
    """Return an Image of pixels [H, W, C] with rows longer by padding bytes of rubbish."""
    height, width, channels = pixels.shape
    rows = np.concatenate(
        [pixels.reshape(height, -1), np.full((height, padding), 123, np.uint8)], axis=1
    )
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=width * channels + padding,
        data=array('B', rows.tobytes()),
    )


@pytest.mark.case(4)
@pytest.mark.parametrize('padding', [0, 1, 13])
@pytest.mark.parametrize(
    'encoding, pixels',
    [
        ('rgb8', RGB),
        ('bgr8', RGB[..., ::-1]),
        ('rgba8', np.concatenate([RGB, ALPHA], axis=2)),
        ('bgra8', np.concatenate([RGB[..., ::-1], ALPHA], axis=2)),
    ],
)
def test_encodings_of_a_picture_give_the_same_array(encoding, pixels, padding):
    rgb = images.to_rgb(encoded(encoding, pixels, padding))
    assert rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    assert np.array_equal(rgb, RGB)


@pytest.mark.case(4)
@pytest.mark.parametrize('padding', [0, 5])
def test_mono_becomes_three_equal_channels(padding):
    rgb = images.to_rgb(encoded('mono8', RGB[..., :1], padding))
    assert np.array_equal(rgb, np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'mono8'])
def test_byte_order_of_single_bytes_means_nothing(encoding):
    pixels = RGB[..., :1] if encoding == 'mono8' else RGB
    message = encoded(encoding, pixels, 0)
    expected = images.to_rgb(message)
    message.is_bigendian = 1
    assert np.array_equal(images.to_rgb(message), expected)


@pytest.mark.parametrize('big', [0, 1])
@pytest.mark.parametrize('padding', [0, 3])
def test_mono16_is_scaled_as_cv_bridge_does(big, padding):
    deep = np.random.default_rng(1).integers(0, 65536, (5, 7), np.uint16)
    data = deep.astype('>u2' if big else '<u2').view(np.uint8).reshape(5, 7, 2)
    message = encoded('mono16', data, padding)
    message.is_bigendian = big
    grey = np.rint(deep / 257.0).astype(np.uint8)
    assert np.array_equal(images.to_rgb(message), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    'encoding, pixels',
    [('8UC3', RGB[..., ::-1]), ('8UC4', np.concatenate([RGB[..., ::-1], ALPHA], axis=2))],
)
def test_encodings_that_name_no_channels_are_blue_first(encoding, pixels):
    assert np.array_equal(images.to_rgb(encoded(encoding, pixels, 2)), RGB)


# A left half and a right half of one colour each, and what BT.601 makes of them.
YUV = np.array([[81, 90, 240], [41, 240, 110]], np.uint8)  # y u v of red, of blue
RED_AND_BLUE = np.repeat([[[254, 0, 0], [0, 0, 254]]], 4, axis=1).repeat(4, axis=0)


def _halves(columns):
    return np.repeat(np.array(columns, np.uint8)[None], 4, axis=0)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize(
    'encoding, order',
    [('yuv422', (1, 0)), ('uyvy', (1, 0)), ('yuv422_yuy2', (0, 1)), ('yuyv', (0, 1))],
)
def test_two_columns_that_share_a_colour(encoding, order, padding):
    columns = []
    for y, u, v in YUV[[0, 0, 1, 1]]:
        for colour in (u, v):
            columns.append([(y, colour)[index] for index in order])
    rgb = images.to_rgb(encoded(encoding, _halves(columns), padding))
    assert abs(rgb.astype(int) - RED_AND_BLUE).max() <= 2


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('encoding, order', [('nv12', [1, 2]), ('nv21', [2, 1])])
def test_colours_of_two_rows_and_columns_after_the_picture(encoding, order, padding):
    grey = np.repeat(YUV[[0, 1], 0], 4)
    colours = YUV[[0, 0, 1, 1]][:, order].reshape(-1)
    rows = np.stack([grey] * 4 + [colours] * 2)[..., None]
    message = encoded(encoding, rows, padding)
    message.height = 4
    rgb = images.to_rgb(message)
    assert rgb.shape == (4, 8, 3)
    assert abs(rgb.astype(int) - RED_AND_BLUE).max() <= 2


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_pattern_keeps_its_colours(pattern):
    colour = {'r': 200, 'g': 100, 'b': 30}
    tile = np.array([colour[letter] for letter in pattern], np.uint8).reshape(2, 2)
    rgb = images.to_rgb(encoded(f'bayer_{pattern}8', np.tile(tile, (4, 5))[..., None], 3))
    assert (rgb == [200, 100, 30]).all()


def test_array_is_a_copy():
    message = to_image(RGB)
    rgb = images.to_rgb(message)
    message.data[0] ^= 255
    assert np.array_equal(rgb, RGB)


def test_array_to_message_and_back():
    assert np.array_equal(images.to_rgb(images.to_image(RGB, Image().header)), RGB)


@pytest.mark.case(3)
@pytest.mark.parametrize(
    'change, words',
    [
        ({'width': 0}, ['width', '0', '1 to']),
        ({'height': 0}, ['height', '0', '1 to']),
        ({'data': array('B', bytes(104))}, ['data length', '104', '105']),
        ({'data': array('B')}, ['data length', '0', '105']),
        ({'step': 20}, ['step', '20', '21']),
        ({'encoding': 'yuv422'}, ['width', '7', 'even']),
        ({'encoding': 'nv12', 'width': 6}, ['height', '5', 'even']),
        ({'encoding': '32FC1'}, ['encoding', '32FC1', 'mono8', 'image_proc']),
        ({'encoding': '16UC1'}, ['encoding', '16UC1', 'mono16', 'image_proc']),
        ({'encoding': ''}, ['encoding', "''", 'mono8']),
    ],
)
def test_malformed_message_is_named(change, words):
    message = to_image(RGB)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(ValueError) as error:
        images.to_rgb(message, 'goal_image')
    assert all(word in str(error.value) for word in ['goal_image.', 'allowed', *words])


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L', 'P'])
def test_png_equals_pillow(mode):
    picture = Picture.fromarray(RGB).convert(mode)
    message = CompressedImage(format='png', data=array('B', _file(picture, 'PNG')))
    expected = np.array(picture.convert('RGB'))
    assert np.array_equal(images.compressed_to_rgb(message), expected)


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_jpeg_is_close_to_pillow(mode):
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
    data = _file(Picture.fromarray(smooth).convert(mode), 'JPEG')
    message = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array('B', data))
    expected = np.array(Picture.open(io.BytesIO(data)).convert('RGB'), np.int16)
    assert abs(images.compressed_to_rgb(message) - expected).max() <= 3  # decoders may round


@pytest.mark.parametrize(
    'data',
    [b'', b'GIF89a' + bytes(40), b'\x89PNG\r\n\x1a\n' + bytes(40), b'\xff\xd8\xff' + bytes(40)],
)
def test_damaged_file_is_named(data):
    message = CompressedImage(format='png', data=array('B', data))
    with pytest.raises(ValueError, match='goal.data.*allowed.*jpeg or png'):
        images.compressed_to_rgb(message, 'goal')


@pytest.mark.parametrize('width, height', [(4097, 4096), (8000, 8000), (60000, 60000)])
@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
def test_small_file_of_a_huge_picture_is_not_unpacked(kind, width, height):
    data = _resized(kind, width, height)
    message = CompressedImage(format=kind, data=array('B', data))
    with pytest.raises(ValueError, match='goal.data.*allowed: .*at most 16777216 pixels') as error:
        images.check_compressed(message, 'goal')
    assert f'{width} x {height}' in str(error.value) or str(width * height) in str(error.value)
    with pytest.raises(ValueError, match='at most 16777216 pixels'):
        images.compressed_to_rgb(message, 'goal')


def test_a_raw_picture_has_the_same_largest_size():
    message = Image(width=4096, height=4096, encoding='mono8', step=4096, data=array('B'))
    message.data = array('B', bytes(4096 * 4096))
    images.check_image(message)
    message.height, message.data = 4097, array('B', bytes(4096 * 4097))
    with pytest.raises(ValueError, match='goal.width x height = 4096 x 4097: allowed: at most'):
        images.check_image(message, 'goal')


def test_a_huge_goal_is_answered_and_huge_frames_are_dropped_with_a_warning(make_robot):
    robot = make_robot(
        sending=['state'], camera__main__topic='packed', camera__main__compressed=True
    ).ready()
    huge = CompressedImage(format='png', data=array('B', _resized('PNG', 8000, 8000)))
    with pytest.raises(PlanFailed, match='goal_image_compressed.data = 8000 x 8000: allowed') as e:
        robot.client.plan(huge, timeout=60.0)
    assert e.value.code == ErrorCode.INVALID_GOAL_IMAGE
    frames = robot.node.create_publisher(CompressedImage, 'packed', qos_profile_sensor_data)
    robot.node.create_timer(0.05, lambda: frames.publish(huge))
    eventually(lambda: robot.logged('dropped: image.data = 8000 x 8000: allowed'))


def _resized(kind, width, height):
    """Return a file of a small picture whose header says another size."""
    data = bytearray(_file(Picture.new('L', (1, 1)), kind))
    if kind == 'PNG':
        data[16:24] = struct.pack('>II', width, height)
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    else:
        start = data.index(b'\xff\xc0')  # of the frame: marker, length, bits, height, width
        data[start + 5 : start + 9] = struct.pack('>HH', height, width)
    return bytes(data)


def _file(picture, kind):
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def test_files_of_sixteen_bits_keep_their_upper_eight(tmp_path):
    grey = RGB[..., 0].astype(np.uint16) * 256 + 200
    Picture.fromarray(grey).save(tmp_path / 'deep.png')
    np.testing.assert_array_equal(
        read_picture(tmp_path / 'deep.png'), np.repeat(RGB[..., :1], 3, axis=-1)
    )
    Picture.fromarray(grey.astype(np.float32)).save(tmp_path / 'deep.tiff')
    with pytest.raises(ValueError, match="deep.tiff: .*mode = 'F'.*8 or 16 bits"):
        read_picture(tmp_path / 'deep.tiff')


def test_files_are_turned_as_the_camera_was(tmp_path):
    exif = Picture.Exif()
    exif[0x0112] = 6  # Orientation: the first row is the right side
    Picture.fromarray(RGB).save(tmp_path / 'turned.png', exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / 'turned.png'), np.rot90(RGB, -1))


SCENE = np.random.default_rng(2).integers(60, 200, (48, 64, 3), np.uint8)


def test_goal_picture_like_the_frame_has_no_oddities():
    assert oddities(SCENE, SCENE) == []
    assert oddities(SCENE[::2, ::2], SCENE) == []
    assert oddities((SCENE * 0.6).astype(np.uint8), SCENE) == []


def test_goal_picture_of_another_aspect():
    (text,) = oddities(SCENE[:36], SCENE)
    assert '64 x 36' in text and '64 x 48' in text and 'aspect' in text


def test_goal_picture_that_is_far_darker():
    (text,) = oddities((SCENE * 0.2).astype(np.uint8), SCENE)
    assert 'far darker' in text and 'of 255' in text


def test_goal_picture_of_a_damaged_jpeg():
    big = np.kron(SCENE, np.ones((10, 10, 1), np.uint8))
    data = _file(Picture.fromarray(big), 'JPEG')
    damaged = CompressedImage(format='jpeg', data=array('B', data[: len(data) // 2] + b'\xff\xd9'))
    (text,) = oddities(images.compressed_to_rgb(damaged), big)
    assert 'of 480 rows' in text and 'damaged JPEG' in text


def test_oddities_of_a_large_picture_take_little():
    large = np.full((4096, 4096, 3), 200, np.uint8)
    tracemalloc.start()
    assert oddities(large, large) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.nbytes / 5  # and not several copies of it, half a second's work
