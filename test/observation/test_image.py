# Copyright 2026 The world_model_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Images become what the bundle's encoder takes, or are refused with a reason."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_bundle import toy_manifest

from world_model_ros.bundle import ImageContract
from world_model_ros.observation import (
    ENCODINGS,
    ImageError,
    decode_compressed,
    decode_image,
    fit_image,
)

SCENE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize('encoding, convert', [
    ('rgb8', lambda rgb: rgb),
    ('bgr8', lambda rgb: rgb[:, :, ::-1]),
    ('rgba8', lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 9, np.uint8)])),
    ('bgra8', lambda rgb: np.dstack([rgb[:, :, ::-1], np.full(rgb.shape[:2], 9, np.uint8)])),
])
@pytest.mark.parametrize('padding', [0, 5])
def test_every_colour_encoding_shows_the_same_scene_padded_or_not(
    encoding: str, convert: object, padding: int,
) -> None:
    pixels = convert(SCENE)  # type: ignore[operator]
    rows = np.pad(pixels.reshape(4, -1), ((0, 0), (0, padding)), constant_values=77)
    decoded = decode_image(encoding, 4, 6, rows.shape[1], rows.tobytes())
    np.testing.assert_array_equal(decoded, SCENE)


BYTES_PER_PIXEL = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('padding', [1, 6])
def test_what_pads_a_row_is_never_seen_in_any_encoding(encoding: str, padding: int) -> None:
    is_bayer8 = encoding.startswith('bayer') and encoding.endswith('8')
    size = BYTES_PER_PIXEL.get(encoding, 1 if is_bayer8 else 2)  # 16 bits, and YUV 4:2:2
    rows = np.random.default_rng(1).integers(0, 256, (4, 6 * size), np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    whole = decode_image(encoding, 4, 6, 6 * size, rows.tobytes())
    np.testing.assert_array_equal(
        decode_image(encoding, 4, 6, 6 * size + padding, padded.tobytes()), whole)


def test_all_that_a_camera_driver_commonly_sends_is_read() -> None:
    assert set(ENCODINGS) >= {
        'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', 'mono16', '16UC1', 'yuv422', 'bayer_rggb8',
        'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8'}


def test_a_grey_image_becomes_grey_rgb() -> None:
    decoded = decode_image('mono8', 2, 2, 2, bytes([1, 2, 3, 4]))
    np.testing.assert_array_equal(decoded[:, :, 0], decoded[:, :, 2])
    assert decoded.shape == (2, 2, 3)


@given(encoding=st.sampled_from(['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', '', 'jpeg', '16UC1',
                                 'bayer_rggb8', 'bayer_grbg16', 'yuv422', 'yuyv']),
       height=st.integers(0, 50), width=st.integers(0, 50), step=st.integers(0, 250),
       size=st.integers(0, 20_000))
def test_no_image_message_crashes_the_decoder(
    encoding: str, height: int, width: int, step: int, size: int,
) -> None:
    try:
        decoded = decode_image(encoding, height, width, step, bytes(size))
    except ImageError as error:
        assert str(error)
    else:
        assert decoded.shape == (height, width, 3) and decoded.dtype == np.uint8


FLAT = np.full((6, 8, 3), (200, 90, 30), np.uint8)  # one colour: no interpolation changes it


def mosaic(pattern: str) -> np.ndarray:
    """FLAT as a sensor with that colour filter sees it: uint8 [6, 8]."""
    raw = np.empty(FLAT.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        raw[place // 2::2, place % 2::2] = FLAT[0, 0, 'rgb'.index(colour)]
    return raw


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_a_sensors_mosaic_becomes_the_colour_that_it_saw(
    pattern: str, bits: int, is_bigendian: bool,
) -> None:
    raw = mosaic(pattern)
    if bits == 16:
        raw = (raw.astype(np.uint16) << 8 | 0x5A).astype('>u2' if is_bigendian else '<u2')
    decoded = decode_image(f'bayer_{pattern}{bits}', 6, 8, 8 * bits // 8, raw.tobytes(),
                           is_bigendian)
    np.testing.assert_array_equal(decoded, FLAT)


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
@pytest.mark.parametrize('is_bigendian', [False, True])
def test_the_upper_half_of_16_bits_is_seen(encoding: str, is_bigendian: bool) -> None:
    values = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], '>u2' if is_bigendian else '<u2')
    rows = np.pad(values.view(np.uint8).reshape(2, 6), ((0, 0), (0, 3)))  # a step that is odd
    decoded = decode_image(encoding, 2, 3, 9, rows.tobytes(), is_bigendian)
    np.testing.assert_array_equal(decoded[:, :, 1], [[0, 0, 1], [0x12, 0x80, 0xFF]])


@pytest.mark.parametrize('encoding, order', [
    ('uyvy', 'uyvy'), ('yuv422', 'uyvy'), ('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv')])
def test_chroma_that_two_pixels_share_becomes_their_colour(encoding: str, order: str) -> None:
    # ITU-R BT.601, the numbers of pure red, with a bright and a dark pixel in each pair.
    pair = {'y': [81, 41], 'u': [90, 90], 'v': [240, 240]}
    left = {name: iter(values) for name, values in pair.items()}
    row = bytes(next(left[name]) for name in order) * 4
    decoded = decode_image(encoding, 2, 8, 16, row * 2).astype(int)
    assert np.abs(decoded[:, ::2] - (255, 0, 0)).max() <= 3
    assert (decoded[:, 1::2, 0] > 180).all() and (decoded[:, 1::2, 0] < 230).all()


def compressed(extension: str) -> bytes:
    smooth = cv2.resize(SCENE, (64, 48), interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(extension, smooth[:, :, ::-1])[1].tobytes())


@pytest.mark.parametrize('extension, error', [('.png', 0), ('.jpg', 12)])
def test_a_compressed_picture_shows_the_same_scene(extension: str, error: int) -> None:
    decoded = decode_compressed(compressed(extension)).astype(int)
    smooth = cv2.resize(SCENE, (64, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(decoded - smooth).max() <= error


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@given(data=st.data())
def test_a_compressed_picture_that_was_cut_short_is_refused(
    extension: str, data: st.DataObject,
) -> None:
    whole = compressed(extension)
    cut = whole[:data.draw(st.integers(0, len(whole) - 3))]
    with pytest.raises(ImageError):
        decode_compressed(cut)


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), noise=st.binary(max_size=200))
def test_no_damage_to_a_compressed_picture_crashes_the_decoder(
    extension: str, at: int, byte: int, noise: bytes,
) -> None:
    damaged = bytearray(compressed(extension))
    damaged[at % len(damaged)] = byte
    for content in (bytes(damaged), noise, bytes(damaged[:20]) + noise):
        try:
            assert decode_compressed(content).dtype == np.uint8
        except ImageError as error:
            assert str(error)


def test_a_compressed_picture_that_unpacks_to_gigabytes_is_refused_by_its_header() -> None:
    png = bytearray(compressed('.png'))
    png[16:24] = (60_000).to_bytes(4, 'big') * 2
    jpeg = bytearray(compressed('.jpg'))
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5:frame + 9] = b'\xff\xff\xff\xff'
    for bomb in (png, jpeg):
        with pytest.raises(ImageError, match='smaller picture'):
            decode_compressed(bytes(bomb))


def test_a_chunk_of_a_png_that_claims_more_than_is_there_is_refused_unread() -> None:
    png = bytearray(compressed('.png'))
    png[33:37] = (0x0FFFFFFF).to_bytes(4, 'big')  # of the chunk after the header
    with pytest.raises(ImageError, match='no whole JPEG or PNG'):
        decode_compressed(bytes(png))


def contract(**change: object) -> ImageContract:
    return ImageContract.model_validate({**toy_manifest()['image'], **change})


def test_the_crop_is_the_centre_square_and_comes_before_the_resize() -> None:
    scene = np.zeros((240, 320, 3), np.uint8)
    scene[:, :40] = scene[:, 280:] = 255  # outside the square: must not be seen
    assert fit_image(scene, contract()).max() == 0


def test_the_resize_averages_over_areas() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = cv2.resize(noise, (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(fit_image(noise, contract()), expected)
    blocks = noise.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(expected - blocks).max() <= 1


@pytest.mark.parametrize('name, flag', [
    ('area', cv2.INTER_AREA), ('bilinear', cv2.INTER_LINEAR), ('bicubic', cv2.INTER_CUBIC)])
def test_the_resize_uses_the_filter_that_the_bundle_names(name: str, flag: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    expected = cv2.resize(noise, (32, 32), interpolation=flag)
    np.testing.assert_array_equal(fit_image(noise, contract(interpolation=name)), expected)
