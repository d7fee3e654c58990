"""Pictures that an application gives: paths, PIL images, a camera's frames, mixed lists of them."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.errors import InputError
from handful.runtime.inputs.examples import to_batch
from handful.runtime.inputs.pictures import fit_pixels, read_image
from handful.runtime.inputs.resize import FILTERS
from handful.runtime.package.manifest import InputSpec

from ..each import each
from .refusal import refusal

RGB = InputSpec(
    kind="image", shape=(3, 6, 5), layout="CHW", range=(-1.0, 1.0), colour="rgb",
    scale=1 / 127.5, offset=-1.0, resize=7, interpolation="bicubic",
)  # fmt: skip
GREY = InputSpec(
    kind="image", shape=(6, 6, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, invert=True, resize=6, interpolation="lanczos",
)  # fmt: skip


def frame(height: int = 20, width: int = 33, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "PIL" or name.startswith("PIL."):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


@pytest.mark.filterwarnings("ignore:.* of it is cut off:handful.runtime.errors.InputWarning")
@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
def test_file_image_and_frame_are_the_same_example(spec: InputSpec, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(frame()).save(file)
    wanted = read_image(file, spec)
    with Image.open(file) as image:
        for given in (str(file), file, image, frame(), frame()[::1, ::1].copy(order="F")):
            x, single = to_batch(given, spec, "query")
            assert single
            np.testing.assert_array_equal(x, wanted[None])
        x, single = to_batch([wanted, file, image, frame(), str(file)], spec, "query")
    assert not single
    np.testing.assert_array_equal(x, np.stack([wanted] * 5))
    x, single = to_batch(np.stack([frame(), frame(seed=1)]), spec, "query")
    assert (single, x.shape) == (False, (2, *spec.shape))
    np.testing.assert_array_equal(x[0], wanted)


def test_an_array_of_the_packages_own_shape_is_an_example_already() -> None:
    pixels = np.full((6, 6, 1), 51, np.uint8)
    np.testing.assert_allclose(to_batch(pixels, GREY, "query")[0], 0.2, rtol=1e-6)  # not inverted
    chw = np.zeros((3, 6, 5), np.uint8)
    np.testing.assert_array_equal(to_batch(chw, RGB, "query")[0], -np.ones((1, 3, 6, 5)))


def test_a_task_learns_from_files_and_answers_for_a_camera(
    head: handful.Learner, tmp_path: Path
) -> None:
    left = np.full((9, 14, 3), 255, np.uint8)
    left[:, :7] = 0
    right = np.full((30, 30, 3), 255, np.uint8)
    right[:, 15:] = 0
    files = {}
    for name, pixels in (("left", left), ("right", right)):
        files[name] = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(files[name])
    task = head.adapt({name: [file] for name, file in files.items()})
    assert task.predict(left) == "left"
    assert task.predict(str(files["right"])) == "right"
    mixed: list[handful.Example] = [right, files["left"], Image.fromarray(right)]
    assert task.predict(mixed) == ["right", "left", "right"]
    both: list[handful.Example] = [files["left"], right]
    again = head.adapt(both, ["left", "right"])
    np.testing.assert_array_equal(again.predict_proba(right), task.predict_proba(right))


def test_a_turned_photograph_that_was_opened_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(frame()).save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        x, _ = to_batch(image, RGB, "query")
    np.testing.assert_array_equal(x[0], read_image(tmp_path / "a.jpg", RGB))


@each("kind", FILTERS)
@each("spec", [RGB, GREY])
def test_numpy_alone_gives_the_same_values_as_pillow(
    kind: Any, spec: InputSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [replace(spec, interpolation=kind, resize=resize) for resize in (6, 7, 40)]
    frames = [
        frame(*size, seed=i) for i, size in enumerate([(20, 33), (101, 7), (6, 6), (48, 300)])
    ]
    frames += [np.kron(frame(3, 3), np.ones((8, 8, 1), np.uint8)) // 255 * 255, frames[0][..., :1]]
    by_pillow = [fit_pixels(pixels, cut) for pixels in frames for cut in specs]
    without_pillow(monkeypatch)
    by_numpy = [fit_pixels(pixels, cut) for pixels in frames for cut in specs]
    for a, b in zip(by_pillow, by_numpy, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:.* of it is cut off:handful.runtime.errors.InputWarning")
def test_without_pillow_files_are_refused_and_frames_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = to_batch(frame(), RGB, "query")[0]
    without_pillow(monkeypatch)
    np.testing.assert_array_equal(to_batch(frame(), RGB, "query")[0], wanted)
    assert refusal(lambda: to_batch("a.png", RGB, "query"), InputError) == (
        "reading pictures needs Pillow, which is not installed",
        "in a clone of handful: pip install '.[images]'",
    )


def broken(folder: Path) -> Any:
    Image.fromarray(frame(200, 200)).save(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(data[: len(data) // 2])
    return Image.open(folder / "a.png")


@pytest.mark.filterwarnings("ignore:.* of it is cut off:handful.runtime.errors.InputWarning")
def test_pictures_that_cannot_be_examples_are_refused(tmp_path: Path) -> None:
    arrays = InputSpec(kind="array", shape=(4,))
    takes_arrays = (
        "the package takes arrays, not pictures",
        "give adapt and predict what it was trained on",
    )
    picture = Image.new("RGB", (4, 4))
    assert refusal(lambda: to_batch(picture, arrays, "query"), InputError) == takes_arrays
    cases: list[tuple[Any, str]] = [
        (Image.new("F", (4, 4)),
         "the PIL.Image has pixels of Pillow's mode F, wanted 8 or 16 bits a channel"),
        (Image.new("RGB", (0, 4)), "the PIL.Image has 0 × 4 pixels, 1 to 33554432 are read"),
        (Image.new("RGB", (1, 900_000)),
         "the PIL.Image is 1 × 900000, too long and narrow to resize"),
        (np.zeros((900_000, 1, 3), np.uint8),
         "a picture is 1 × 900000, too long and narrow to resize"),
        (tmp_path, f"{tmp_path} is a folder, wanted a picture file"),
        (np.zeros((0, 4, 3), np.uint8),
         "query has shape [0, 4, 3], wanted [3, 6, 5] or a batch of them"),
        (np.zeros((20, 33, 4), np.uint8),
         "query has shape [20, 33, 4], wanted [3, 6, 5] or a batch of them"),
        (frame() / np.float32(255),
         "query has shape [20, 33, 3], wanted [3, 6, 5] or a batch of them"),
    ]  # fmt: skip
    for given, words in cases:
        assert refusal(lambda given=given: to_batch(given, RGB, "query"), InputError)[0] == words  # type: ignore[misc]
    with broken(tmp_path) as image:
        assert refusal(lambda: to_batch(image, RGB, "query"), InputError)[0].startswith(
            "the PIL.Image cannot be decoded: "
        )
