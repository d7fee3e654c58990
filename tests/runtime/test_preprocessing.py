"""Preprocessing against a second implementation of the format page, bit for bit."""

import io
import tracemalloc
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from handful.runtime.errors import InputWarning
from handful.runtime.inputs import pictures as pictures_module
from handful.runtime.inputs.pictures import (
    fit_pixels,
    levels,
    prepare_pixels,
    read_image,
    read_pixels,
)
from handful.runtime.inputs.remarks import say_once
from handful.runtime.inputs.resize import scaled_size
from handful.runtime.package.manifest import InputSpec

from ..each import each
from .second_preprocessing import FILTERS, one_pass, pixels, prepared


def spec(height: int, width: int, colour: Any = "rgb", **changes: Any) -> InputSpec:
    settings = {"resize": max(height, width), "interpolation": "lanczos", **changes}
    shape = (height, width, 3 if colour == "rgb" else 1)
    return InputSpec(kind="image", shape=shape, layout="HWC", colour=colour, **settings)


def noise(*shape: int, seed: int = 0) -> Any:
    """Black and white, where filters overshoot most, beside levels of all kinds."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, shape)
    return np.where(rng.random(shape) < 0.5, 255 * (levels > 127), levels).astype(np.uint8)


@each("interpolation", FILTERS)
@each("colour", ["grey", "rgb"])
def test_random_pictures_agree_bit_for_bit(interpolation: str, colour: str) -> None:
    rng = np.random.default_rng(len(interpolation))
    for seed in range(25):
        height, width = rng.integers(1, 90, 2)
        side = int(rng.integers(1, 70))
        rows, columns = rng.integers(1, side + 1, 2).tolist()
        cut = spec(rows, columns, colour, resize=side, interpolation=interpolation)
        picture = noise(height, width, *([3] if seed % 3 else []), seed=seed)
        if max(height, width) * side < 4000 * min(height, width):
            np.testing.assert_array_equal(fit_pixels(picture, cut), pixels(picture, cut))


@each("pillow", [True, False])
@each("invert", [True, False])
def test_whole_pictures_agree_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, pillow: bool, invert: bool
) -> None:
    monkeypatch.setattr(pictures_module, "has_pillow", lambda: pillow)
    rng = np.random.default_rng(1)
    for seed in range(25):
        height, width, rows, columns = rng.integers(1, 90, 4).tolist()
        cut = spec(rows, columns, "rgb", fit="whole", invert=invert, interpolation="bilinear")
        picture = noise(height, width, 3, seed=seed)
        np.testing.assert_array_equal(fit_pixels(picture, cut), pixels(picture, cut))


def test_a_whole_picture_by_hand() -> None:
    cut = spec(4, 4, "grey", fit="whole", interpolation="box")
    picture = np.array([[10, 20, 30, 40]], np.uint8)
    ground = np.full((4, 4), 127)
    ground[1] = picture  # of three rows that are left, two below: ⌊(1 − 4) / 2⌋ is −2
    ground[[1, 2]] = ground[[2, 1]]
    np.testing.assert_array_equal(fit_pixels(picture, cut)[..., 0], ground)
    on_paper = fit_pixels(picture, replace(cut, invert=True))[..., 0]
    np.testing.assert_array_equal(on_paper, np.where(ground == 127, 255, ground))


def test_numpy_computes_only_what_is_kept_of_a_long_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures_module, "has_pillow", lambda: False)
    picture = np.zeros((1, 100_000, 3), np.uint8)
    for fit in ("square", "whole"):
        tracemalloc.start()
        made = fit_pixels(picture, spec(8, 8, fit=fit))  # 800 000 wide before it is cut
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert made.shape == (8, 8, 3)
        assert most < 2**25, fit  # it was 300 MB


def test_a_picture_of_which_much_is_cut_off_is_told(tmp_path: Path) -> None:
    cut, whole = spec(8, 8), spec(8, 8, fit="whole")
    Image.fromarray(noise(24, 64, 3)).save(tmp_path / "a.png")
    words = (
        r"a\.png is 64 × 24: 62 % of it is cut off at both its ends; cut it around what is meant"
    )
    with pytest.warns(InputWarning, match=words):
        read_image(tmp_path / "a.png", cut)
    with pytest.warns(InputWarning, match="query is 64 × 24"):
        pictures_module.to_array(noise(24, 64, 3), cut, "query")
    Image.fromarray(noise(24, 40, 3)).save(tmp_path / "b.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / "b.png", cut)
        read_image(tmp_path / "a.png", whole)
    words = "cut off at both its ends; and so for 1 more file; cut it"

    def twice() -> None:
        with say_once(), pictures_module.silence_pillow():
            read_image(tmp_path / "a.png", cut)
            read_image(tmp_path / "a.png", cut)

    with pytest.warns(InputWarning, match=words) as told:
        twice()
    assert len(told) == 1


@each("layout", ["HWC", "CHW"])
@each("invert", [False, True])
@each(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (-3.7, 900.0)])
def test_an_examples_levels_are_those_of_its_pixels(
    layout: Any, invert: bool, scale: float, offset: float
) -> None:
    picture = np.arange(16 * 16 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    shape = (16, 16, 3) if layout == "HWC" else (3, 16, 16)
    changes = {"layout": layout, "invert": invert, "scale": scale, "offset": offset}
    like = replace(spec(16, 16), shape=shape, **changes)
    np.testing.assert_array_equal(levels(prepare_pixels(picture, like), like), picture)


def test_the_horizontal_pass_comes_first() -> None:
    # 100 × 301 → 28 × 84: the vertical axis shrinks more, where newer Pillows begin with it
    picture = noise(301, 100)
    vertical_first = one_pass(picture.astype(np.int64), 84, "lanczos")
    vertical_first = one_pass(vertical_first.T, 28, "lanczos").T[28:56]
    cut = spec(28, 28, "grey")
    ours = fit_pixels(picture, cut)
    np.testing.assert_array_equal(ours, pixels(picture, cut))
    assert np.abs(ours[..., 0] - vertical_first).max() > 2


def test_a_half_is_rounded_up_and_a_whole_is_exact() -> None:
    assert scaled_size((4, 10), 2) == (2, 5)
    assert scaled_size((4, 9), 2) == (2, 5)  # 4.5; Python's round would make it 4
    assert scaled_size((7, 4), 2) == (4, 2)  # 3.5
    assert scaled_size((3, 10**8), 49) == (49, 1_633_333_333)  # 4.9e9 / 3, beyond float32
    assert scaled_size((6, 5), None) == (6, 5)


def test_layout_inversion_and_scale() -> None:
    chw = InputSpec(
        kind="image", shape=(3, 9, 7), layout="CHW", colour="rgb", scale=1 / 127.5, offset=-1.0,
        invert=True, resize=11, interpolation="bicubic",
    )  # fmt: skip
    picture = noise(31, 23, 3)
    np.testing.assert_array_equal(prepare_pixels(picture, chw), prepared(picture, chw))
    assert prepare_pixels(picture, chw).dtype == np.float32
    assert prepare_pixels(picture, chw).flags.c_contiguous


def test_every_colour_on_white_paper_at_every_opacity(tmp_path: Path) -> None:
    level, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([level, 255 - level, level // 2, alpha], axis=-1).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    for colour in ("rgb", "grey"):
        cut = spec(256, 256, colour)
        np.testing.assert_array_equal(read_pixels(tmp_path / "a.png", cut), pixels(rgba, cut))


def test_sixteen_bits_keep_their_high_byte(tmp_path: Path) -> None:
    samples = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    for name in ("a.png", "a.tif"):
        Image.fromarray(samples).save(tmp_path / name)
        for colour in ("rgb", "grey"):
            cut = spec(40, 50, colour, resize=50)
            np.testing.assert_array_equal(read_pixels(tmp_path / name, cut), pixels(samples, cut))


@each("orientation", range(1, 9))
def test_every_orientation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    # so that a small picture is several strips
    monkeypatch.setattr("handful.runtime.inputs.resize.STRIP", 2**11)
    image = Image.fromarray(noise(100, 91, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    cut = spec(40, 50)
    for name in ("a.png", "a.tif", "a.webp"):
        image.save(tmp_path / name, exif=exif, lossless=True)
        with Image.open(tmp_path / name) as turned:
            upright = np.asarray(ImageOps.exif_transpose(turned).convert("RGB"))
        np.testing.assert_array_equal(read_pixels(tmp_path / name, cut), pixels(upright, cut))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\0", b"junk", b"Exif\0\0" + b"\xff" * 50]
)
def test_a_picture_with_broken_exif_is_a_picture(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(noise(9, 9)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_pixels(tmp_path / "a.png", spec(9, 9, "grey"))[..., 0], noise(9, 9)
    )


def decoded(kind: str) -> tuple[bytes, Any]:
    """A file of some kind, and its picture as a person sees it: [2, 2, 3] on white paper."""
    red, white, black, grey = (255, 0, 0), (255,) * 3, (0,) * 3, (90,) * 3
    stream = io.BytesIO()
    image = Image.new("RGB", (2, 2))
    image.putdata([red, white, black, grey])
    seen = [[red, white], [black, grey]]
    if kind == "palette with a transparent colour":
        small = Image.new("P", (2, 2))
        small.putpalette([*red, *black, *black, *grey])
        small.putdata([0, 1, 2, 3])
        small.save(stream, "PNG", transparency=1)
    elif kind == "palette with opacities":
        small = Image.new("P", (2, 2))
        small.putpalette([*red, *black, *black, *grey])
        small.putdata([0, 1, 2, 3])
        small.save(stream, "PNG", transparency=b"\xff\x00\xff\xff")
    elif kind == "a transparent colour":
        image.putpixel((1, 0), (9, 8, 7))
        image.save(stream, "PNG", transparency=(9, 8, 7))
    elif kind == "grey and opacity":
        small = Image.new("LA", (2, 2))
        small.putdata([(0, 255), (0, 0), (9, 0), (90, 255)])
        small.save(stream, "PNG")
        seen = [[black, white], [white, grey]]
    elif kind == "one bit":
        small = Image.new("1", (2, 2))
        small.putdata([0, 255, 255, 0])
        small.save(stream, "PNG")
        seen = [[black, white], [white, black]]
    elif kind == "ink of four colours":
        small = Image.new("CMYK", (2, 2))
        small.putdata([(0, 255, 255, 0), (0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 0, 165)])
        small.save(stream, "TIFF")
    elif kind == "the first of several frames":
        image.save(stream, "GIF", save_all=True, append_images=[Image.new("RGB", (2, 2))] * 3)
    elif kind == "the first of several pages":
        image.save(stream, "TIFF", save_all=True, append_images=[Image.new("RGB", (5, 5))])
    elif kind == "the first of a moving picture":
        image.save(
            stream, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (2, 2))]
        )
    elif kind == "the first of a camera's two":
        first = Image.new("RGB", (2, 2), grey)
        first.save(stream, "MPO", save_all=True, append_images=[image], quality=95)
        seen = [[grey, grey], [grey, grey]]
    else:
        raise ValueError(kind)
    return stream.getvalue(), np.array(seen, np.uint8)


@each(
    "kind",
    [
        "palette with a transparent colour", "palette with opacities", "a transparent colour",
        "grey and opacity", "one bit", "ink of four colours", "the first of several frames",
        "the first of several pages", "the first of a moving picture",
        "the first of a camera's two",
    ],
)  # fmt: skip
def test_every_kind_of_file_is_what_a_person_sees(tmp_path: Path, kind: str) -> None:
    data, seen = decoded(kind)
    (tmp_path / "a").write_bytes(data)
    for colour in ("rgb", "grey"):
        cut = spec(2, 2, colour)
        np.testing.assert_array_equal(read_pixels(tmp_path / "a", cut), pixels(seen, cut))


def test_a_file_and_its_pixels_are_prepared_alike(tmp_path: Path) -> None:
    picture = noise(67, 45, 3)
    cut = spec(28, 20, "grey", scale=1 / 255, invert=True)
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", cut), prepare_pixels(picture, cut))
