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
"""The model sees the field of view that it was trained on, whatever camera the robot has."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from toy_bundle import toy_manifest

from world_model_ros.bundle import FieldOfView, ImageContract
from world_model_ros.observation import (
    BEND,
    Calibration,
    ImageError,
    Optics,
    OpticsError,
    Picture,
    Window,
    camera_optics,
    cut_field,
    fit_pictures,
    lens_shift,
)
from world_model_ros.observation.image import UInt8Array

Matrix = tuple[float, ...]


def intrinsics(focal: float, center: tuple[float, float]) -> Matrix:
    return (focal, 0.0, center[0], 0.0, focal, center[1], 0.0, 0.0, 1.0)


def of(matrix: Matrix, horizontal: Window, vertical: Window) -> Optics:
    found = camera_optics(matrix, 3, horizontal, vertical)
    assert found is not None
    return found


def field(horizontal: float, vertical: float) -> FieldOfView:
    return FieldOfView(horizontal=horizontal, vertical=vertical)


def view_of(optics: Optics) -> UInt8Array:
    """A wall of stripes at one metre: red is 100 times the x, green the y, of what a pixel sees."""
    across = (np.arange(optics.horizontal.size) + 0.5 - optics.horizontal.center) / (
        optics.horizontal.focal)
    down = (np.arange(optics.vertical.size) + 0.5 - optics.vertical.center) / optics.vertical.focal
    picture = np.zeros((len(down), len(across), 3))
    picture[:, :, 0] = 128 + 100 * across
    picture[:, :, 1] = 128 + 100 * down[:, None]
    return np.round(picture).clip(0, 255).astype(np.uint8)


@given(focal=st.floats(50, 225), angle=st.floats(0.3, 0.9), ratio=st.floats(0.5, 1.0),
       off=st.tuples(st.floats(-15, 15), st.floats(-10, 10)),
       binning=st.sampled_from([0, 1, 2]),
       roi=st.one_of(st.just((0, 0, 0, 0)), st.tuples(
           st.integers(0, 15), st.integers(0, 10), st.just(276), st.just(216))))
def test_cameras_of_any_focal_length_binning_and_window_show_the_model_the_same(
    focal: float, angle: float, ratio: float, off: tuple[float, float], binning: int,
    roi: tuple[int, int, int, int],
) -> None:
    optics = of(intrinsics(focal, (160 + off[0], 120 + off[1])),
                Window(320, roi[0], roi[2], binning), Window(240, roi[1], roi[3], binning))
    wanted = field(angle, angle * ratio)
    try:
        cut = cut_field(view_of(optics), optics, wanted)
    except ImageError:
        assume(False)
    half = math.tan(angle / 2), math.tan(angle * ratio / 2)
    pixel = max(binning, 1) / focal
    edges = [cut[0, 0, 0], cut[0, -1, 0], cut[0, 0, 1], cut[-1, 0, 1]]
    expected = [128 + 100 * it for it in (-half[0], half[0], -half[1], half[1])]
    # Within what may be moved, and a pixel's rounding, of where the field's borders are.
    for seen, due, size in zip(edges, expected, [half[0]] * 2 + [half[1]] * 2, strict=True):
        assert abs(float(seen) - due) <= 100 * (0.1 * size + 1.5 * pixel) + 1


def test_the_field_lies_about_the_principal_point_not_about_the_middle() -> None:
    optics = of(intrinsics(500, (250, 260)), Window(640), Window(480))
    cut = cut_field(view_of(optics), optics, field(0.6, 0.6))
    assert abs(int(cut[0, 0, 0]) + int(cut[0, -1, 0]) - 256) <= 1
    assert abs(int(cut[0, 0, 1]) + int(cut[-1, 0, 1]) - 256) <= 1


def test_a_camera_of_twice_the_field_is_cut_to_half_its_picture() -> None:
    optics = of(intrinsics(100, (99.5, 99.5)), Window(200), Window(200))
    assert cut_field(np.zeros((200, 200, 3), np.uint8), optics, field(
        2 * math.atan(0.5), 2 * math.atan(0.5))).shape == (100, 100, 3)


def test_what_lies_a_little_outside_is_moved_inside_and_keeps_its_size() -> None:
    optics = of(intrinsics(300, (155, 160)), Window(320), Window(320))
    rgb = np.zeros((320, 320, 3), np.uint8)
    angle = 2 * math.atan(158 / 300)  # 316 of 320 pixels, 2.5 of them left of the border
    assert cut_field(rgb, optics, field(angle, angle)).shape == (316, 316, 3)
    wider = 2 * math.atan(163 / 300)  # 326: the calibrations of two cameras of one make
    assert cut_field(rgb, optics, field(wider, angle)).shape == (316, 320, 3)


@pytest.mark.parametrize(('center', 'angle', 'word'), [
    ((319.5, 239.5), 1.5, 'not wide enough'), ((319.5, 239.5), 1.0, 'not high enough'),
    ((100.0, 239.5), 0.6, 'not wide enough')])
def test_a_camera_that_shows_less_than_the_model_was_trained_on_is_refused_with_the_angles(
    center: tuple[float, float], angle: float, word: str,
) -> None:
    optics = of(intrinsics(500, center), Window(640), Window(480))
    with pytest.raises(ImageError, match=rf'{word}.*{math.degrees(angle):.0f} degrees.*roi'):
        cut_field(np.zeros((480, 640, 3), np.uint8), optics, field(angle, angle))


def test_optics_of_another_picture_are_refused() -> None:
    optics = of(intrinsics(500, (640, 360)), Window(1280), Window(720))
    with pytest.raises(ImageError, match='of pictures of 1280x720, the picture has 640x360'):
        cut_field(np.zeros((360, 640, 3), np.uint8), optics, field(0.5, 0.5))


def test_a_camera_that_is_not_calibrated_has_no_optics() -> None:
    assert camera_optics((0.0,) * 9, 3, Window(640), Window(480)) is None


@given(numbers=st.lists(st.floats(), min_size=12, max_size=12),
       sizes=st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8))
def test_no_camera_info_crashes_the_crop(numbers: list[float], sizes: list[int]) -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    for matrix, columns in ((numbers[:9], 3), (numbers, 4)):
        for windows in ((Window(*sizes[:4]), Window(*sizes[4:])), (Window(64), Window(48))):
            try:
                optics = camera_optics(matrix, columns, *windows)
                if optics is not None:
                    assert min(cut_field(rgb, optics, field(1.0, 1.0)).shape) > 0
            except (ImageError, OpticsError) as error:
                assert str(error)


def contract(**change: object) -> ImageContract:
    return ImageContract.model_validate({**toy_manifest()['image'], **change})


def test_pictures_are_stacked_in_the_bundles_order_each_cut_to_its_own_field() -> None:
    two = contract(cameras=('left', 'right'), crop='none', fields_of_view=(
        {'horizontal': 0.6, 'vertical': 0.6}, {'horizontal': 0.3, 'vertical': 0.3}))
    optics = of(intrinsics(500, (320, 240)), Window(640), Window(480))
    scene = view_of(optics)
    blind = Picture(scene)
    fitted = fit_pictures({'right': Picture(scene, optics), 'left': blind, 'third': blind}, two)
    assert fitted.shape == (2, 32, 32, 3)
    size = (32, 32)
    np.testing.assert_array_equal(
        fitted[0], cv2.resize(scene, size, interpolation=cv2.INTER_AREA))
    inside = cut_field(scene, optics, field(0.3, 0.3))
    np.testing.assert_array_equal(
        fitted[1], cv2.resize(inside, size, interpolation=cv2.INTER_AREA))
    with pytest.raises(ImageError, match='"right" is missing'):
        fit_pictures({'left': blind}, two)


def test_a_camera_whose_field_is_unknown_is_cropped_as_the_bundle_says() -> None:
    scene = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    plain = fit_pictures({'': Picture(scene)}, contract())
    named = contract(fields_of_view=({'horizontal': 0.6, 'vertical': 0.6},))
    np.testing.assert_array_equal(fit_pictures({'': Picture(scene)}, named), plain)


@given(angle=st.floats(0.05, 0.7),
       d=st.lists(st.floats(-0.2, 0.2), max_size=8).filter(lambda d: len(d) not in (1, 2, 3, 6, 7)))
def test_a_lens_moves_what_it_sees_as_opencv_has_it(angle: float, d: list[float]) -> None:
    model = 'rational_polynomial' if len(d) == 8 else 'plumb_bob'
    radial = np.array(d)
    radial[2:4] = 0.0  # the tangential terms
    at, _ = cv2.projectPoints(np.array([[math.tan(angle), 0.0, 1.0]]), np.zeros(3), np.zeros(3),
                              np.eye(3), radial if d else None)
    moved = at[0, 0, 0] / math.tan(angle) - 1
    assert lens_shift(model, d, angle) == pytest.approx(moved, abs=1e-6)


@given(angle=st.floats(0.05, 1.4), d=st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4))
def test_a_fisheye_moves_what_it_sees_as_opencv_has_it(angle: float, d: list[float]) -> None:
    at, _ = cv2.fisheye.projectPoints(
        np.array([[[math.tan(angle), 0.0, 1.0]]]), np.zeros(3), np.zeros(3), np.eye(3),
        np.array(d))
    moved = at[0, 0, 0] / math.tan(angle) - 1
    assert lens_shift('equidistant', d, angle) == pytest.approx(moved, abs=1e-6)


def test_rectified_pictures_are_not_bent_and_of_an_unknown_lens_nothing_is_claimed() -> None:
    calibration = Calibration((60.0,) * 9, (60.0,) * 12, 'plumb_bob', (-0.4,), *(Window(128),) * 2)
    assert calibration.bend('/camera/image_rect_color/compressed', field(0.7, 0.7)) == 0.0
    assert calibration.bend('/camera/image_raw', field(0.7, 0.7)) < -BEND
    assert lens_shift('thin_prism_fisheye', (0.3,) * 8, 0.5) == 0.0
    assert not abs(lens_shift('plumb_bob', (math.nan,), 0.5)) <= BEND
