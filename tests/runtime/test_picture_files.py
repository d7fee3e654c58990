"""Picture files from anybody: what is refused before it is decoded, and with which words."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.runtime.errors import InputError
from handful.runtime.inputs import pictures as decoding
from handful.runtime.inputs.pictures import read_image
from handful.runtime.package.manifest import InputSpec

from ..each import each
from .encoded import body, chunk, encoded, png

SPEC = InputSpec(
    kind="image", shape=(8, 8, 3), layout="HWC", colour="rgb", scale=1 / 255, resize=8,
    interpolation="lanczos",
)  # fmt: skip


def refusal(path: Path) -> tuple[str, str | None]:
    with pytest.raises(InputError) as error:
        read_image(path, SPEC)
    return str(error.value).replace(f"{path.parent}/", ""), error.value.hint


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


NO_PICTURE = "one of PNG, JPEG, BMP, GIF, WEBP, TIFF, PPM"
BITS = "convert it to PNG with 8 bits a channel"
PARTS = "a cannot be decoded: it has too many parts, or too much beside the pixels"


@pytest.fixture(scope="module")
def progressive() -> bytes:
    """A progressive JPEG with its last scan a thousand times."""
    whole = encoded(Image.new("L", (64, 64), 99), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * 1000 + whole[-2:]


REFUSED: dict[str, tuple[bytes, str, str | None]] = {
    "nothing": (b"", "a is not a picture that can be read", NO_PICTURE),
    "text": (b"hello", "a is not a picture that can be read", NO_PICTURE),
    "another format": (
        encoded(Image.new("L", (8, 8)), "PCX"), "a is not a picture that can be read", NO_PICTURE,
    ),
    "64 million pixels in few bytes": (
        png(8000, 8000, colours=6, data=body()),
        "a has 8000 × 8000 pixels, at most 33554432 are read", "scale it down",
    ),
    "one column of 60 million": (
        png(1, 60_000_000, data=body()),
        "a has 1 × 60000000 pixels, at most 33554432 are read", "scale it down",
    ),
    "narrow": (
        png(1, 30_000_000, data=body()), "a is 1 × 30000000, too long and narrow to resize", None,
    ),
    "more than Pillow opens": (
        png(2**31 - 1, 2**31 - 1, data=body()),
        "a has more than 33554432 pixels, which is the most that is read", None,
    ),
    "a large screen of a GIF": (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00\x3b",
        "a has more than 33554432 pixels, which is the most that is read", None,
    ),
    "a decoder in Python": (
        b"P5 2000 2000 1000\n", "a has 2000 × 2000 pixels, at most 524288 are read",
        "scale it down",
    ),
    "floating point": (
        encoded(Image.new("F", (8, 8)), "TIFF"),
        "a has pixels of Pillow's mode F, wanted 8 or 16 bits a channel", BITS,
    ),
    "32 bits": (
        encoded(Image.new("I", (8, 8)), "TIFF"),
        "a has pixels of Pillow's mode I, wanted 8 or 16 bits a channel", BITS,
    ),
    "colours without a definition": (
        encoded(Image.new("LAB", (8, 8)), "TIFF"),
        "a has pixels of Pillow's mode LAB, wanted 8 or 16 bits a channel", BITS,
    ),
    "a transparent colour of 16 bits": (
        png(1, 1, bits=16, colours=2, data=chunk(b"tRNS", b"\x66\xff" * 3) + body(bytes(7))),
        "a has colours of 16 bits and a transparent one among them", BITS,
    ),
    "a hundred thousand empty chunks": (
        png(8, 8, data=chunk(b"abCd") * 100_000 + body(bytes(72))), PARTS, None,
    ),
    "comments without end": (
        b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + b"\x21\xfe\x01a\x00" * 100_000,
        PARTS, None,
    ),
    "a header without end": (b"P6" + b" " * 100_000, PARTS, None),
}  # fmt: skip


@each("name", REFUSED)
def test_what_is_refused_by_its_header(name: str, tmp_path: Path) -> None:
    data, words, hint = REFUSED[name]
    assert refusal(write(tmp_path / "a", data)) == (words, hint)


def test_a_jpeg_of_a_thousand_scans(tmp_path: Path, progressive: bytes) -> None:
    assert refusal(write(tmp_path / "a", progressive)) == (PARTS, None)


def test_a_jpeg_whose_coefficients_take_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(Image.new("RGB", (1024, 1024)), "JPEG", subsampling=0)
    monkeypatch.setattr(decoding, "JPEG_BYTES", 2**22)
    assert refusal(write(tmp_path / "a", data)) == (
        "a needs 10 MiB to be decoded, at most 4 are taken", "scale it down",
    )  # fmt: skip


def test_a_truncated_picture(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    whole = encoded(Image.fromarray(noise), "PNG")
    words, _ = refusal(write(tmp_path / "a", whole[:-400]))
    assert words.startswith("a cannot be decoded: ")


def test_a_large_jpeg_is_decoded_at_a_reduced_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype(np.uint8))
    path = tmp_path / "a.jpg"
    small.resize((600, 400), Image.Resampling.BICUBIC).save(path, quality=95)
    assert decoding.decode(path, SPEC).size == (600, 400)
    whole = read_image(path, SPEC)
    monkeypatch.setattr(decoding, "REDUCED_ABOVE", 600 * 400 - 1)
    assert decoding.decode(path, SPEC).size == (75, 50)  # an eighth; 24 would be three times 8
    assert np.abs(read_image(path, SPEC) - whole).max() <= 4 / 255


def test_a_reduced_jpeg_gets_the_size_of_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # at 28 pixels 801 × 1217 is 42.54 high, 43 pixels; its eighth, 101 × 153, is 42.42, 42 pixels
    ramp = np.linspace(0, 255, 1217).astype(np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(np.broadcast_to(ramp[:, None], (1217, 801)).copy()).save(path, quality=95)
    cut = InputSpec(
        kind="image", shape=(28, 28, 1), layout="HWC", colour="grey", resize=28,
        interpolation="bilinear",
    )  # fmt: skip
    whole = read_image(path, cut)
    monkeypatch.setattr(decoding, "REDUCED_ABOVE", 0)
    assert decoding.decode(path, cut).size == (101, 153)
    assert np.abs(read_image(path, cut) - whole).max() <= 2  # half a row off would be 3 levels


def test_names_that_are_no_picture_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.png") == ("no file none.png", None)
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path / "folder") == ("folder is a folder, wanted a picture file", None)
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == ("pipe is not a regular file", None)
    assert refusal(Path("")) == (". is a folder, wanted a picture file", None)
    assert refusal(Path("a\0b")) == ("a\\x00b cannot be the name of a file", None)
    assert refusal(Path("a\ud800b")) == ("a\\ud800b cannot be the name of a file", None)
    long = "x" * 5000
    words = f"cannot open {'x' * 200}…{'x' * 199}: File name too long"
    assert refusal(Path(long)) == (words, None)
    (tmp_path / "circle").symlink_to("circle")
    words = "cannot open circle: Too many levels of symbolic links"
    assert refusal(tmp_path / "circle") == (words, None)


def test_a_file_of_too_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**27 + 1)
    assert refusal(path) == ("a.png has 134217729 bytes, at most 134217728 are read", None)


def test_a_link_to_a_picture_is_followed(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("a.png")
    assert read_image(tmp_path / "b.png", SPEC).min() == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the descriptors of Linux")
def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read_image(tmp_path / "good.png", SPEC)
        refusal(tmp_path / "bad.png")
        refusal(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
