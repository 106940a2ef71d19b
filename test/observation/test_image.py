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
from world_model_ros.observation import ImageError, decode_image, fit_image

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


def test_a_grey_image_becomes_grey_rgb() -> None:
    decoded = decode_image('mono8', 2, 2, 2, bytes([1, 2, 3, 4]))
    np.testing.assert_array_equal(decoded[:, :, 0], decoded[:, :, 2])
    assert decoded.shape == (2, 2, 3)


@given(encoding=st.sampled_from(['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', '', 'jpeg', '16UC1']),
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
