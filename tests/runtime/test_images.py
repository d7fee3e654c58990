"""Image files by the manifest's preprocessing, against small pictures made here."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handful.runtime.errors import InputError
from handful.runtime.inputs.examples import read_folder
from handful.runtime.inputs.pictures import read_image
from handful.runtime.package.manifest import InputSpec

from .refusal import refusal

GREY = InputSpec(
    kind="image", shape=(2, 2, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, resize=2, interpolation="box",
)  # fmt: skip
RGB = InputSpec(
    kind="image", shape=(3, 2, 2), layout="CHW", range=(-1.0, 1.0), colour="rgb",
    scale=1 / 127.5, offset=-1.0, resize=2, interpolation="bilinear",
)  # fmt: skip
INVERTED = InputSpec(
    kind="image", shape=(2, 2, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, invert=True, resize=4, interpolation="lanczos",
)  # fmt: skip


def save(path: Path, pixels: Any) -> Path:
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


@pytest.mark.filterwarnings("ignore:.* of it is cut off:handful.InputWarning")
def test_a_grey_picture_by_hand(tmp_path: Path) -> None:
    # 2 high, 4 wide: the shorter side is 2 already, the centre two columns remain
    file = save(tmp_path / "a.png", [[1, 0, 51, 2], [3, 102, 255, 4]])
    example = read_image(file, GREY)
    assert example.dtype == np.float32
    np.testing.assert_allclose(example[..., 0], [[0, 0.2], [0.4, 1]], rtol=1e-6)


def test_halving_with_a_box_means_four_pixels(tmp_path: Path) -> None:
    pixels = np.kron(np.array([[0, 100], [200, 50]]), np.array([[1, 1], [1, 1]]))
    example = read_image(save(tmp_path / "a.png", pixels), GREY)
    np.testing.assert_allclose(example[..., 0] * 255, [[0, 100], [200, 50]], rtol=1e-5)


def test_colours_layout_scale_and_offset(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 3))
    pixels[0, 1] = [255, 51, 0]
    example = read_image(save(tmp_path / "a.png", pixels), RGB)
    np.testing.assert_allclose(example[:, 0, 1], [1, -0.6, -1], rtol=1e-6)
    np.testing.assert_array_equal(example[:, 1, 1], [-1, -1, -1])


def test_inverted_and_cut_from_a_larger_size(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 255)
    pixels[1, 2] = 0
    example = read_image(save(tmp_path / "a.png", pixels), INVERTED)
    np.testing.assert_array_equal(example[..., 0], [[0, 1], [0, 0]])


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 257 * 102, np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", GREY), 0.4, rtol=1e-6)


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    image.save(tmp_path / "a.png", exif=exif)
    example = read_image(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(example[..., 0], [[0, 0], [1, 1]])


def test_a_folder_a_class(tmp_path: Path) -> None:
    for label, count in (("ka", 2), ("ga", 1)):
        (tmp_path / label).mkdir()
        for i in range(count):
            save(tmp_path / label / f"{i}.png", np.full((2, 2), 10 * i))
        (tmp_path / label / ".DS_Store").write_bytes(b"x")
    classes = read_folder(tmp_path, GREY)
    assert {label: len(pictures) for label, pictures in classes.items()} == {"ga": 1, "ka": 2}
    assert classes["ka"][1].max() == pytest.approx(10 / 255)


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "PIL" or name.startswith("PIL."):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert refusal(lambda: read_image(tmp_path / "a.png", GREY), InputError) == (
        "reading pictures needs Pillow, which is not installed",
        "in a clone of handful: pip install '.[images]'",
    )
