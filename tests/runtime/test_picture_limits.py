"""Any change to a picture file is a picture or a typed error; memory stays within its bounds."""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.errors import InputError
from handful.runtime.inputs.pictures import read_image
from handful.runtime.package.manifest import InputSpec

from ..each import each
from .encoded import chunk, encoded, png

SPEC = InputSpec(
    kind="image", shape=(8, 8, 3), layout="HWC", colour="rgb", scale=1 / 255, resize=8,
    interpolation="lanczos",
)  # fmt: skip
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def mutations(form: str) -> Iterator[bytes]:
    """A small picture in this format with a few bytes changed, cut out or repeated."""
    rng = np.random.default_rng(len(form) + ord(form[0]))
    pixels = rng.integers(0, 256, (24, 17, 3)).astype(np.uint8)
    whole = encoded(Image.fromarray(pixels), form)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(0, min(len(data), 400) if rng.random() < 0.7 else len(data)))
            match int(rng.integers(4)):
                case 0:
                    data[at] = int(rng.integers(256))
                case 1:
                    data[at] = int(rng.choice([0, 1, 127, 128, 255]))
                case 2:
                    del data[at : at + int(rng.integers(1, 9))]
                case _:
                    data[at:at] = data[at : at + int(rng.integers(1, 9))]
        yield bytes(data)


@pytest.mark.filterwarnings("ignore:.* of it is cut off:handful.runtime.errors.InputWarning")
@each("form", FORMATS)
def test_a_changed_file_is_a_picture_or_an_input_error(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in mutations(form):
        path.write_bytes(data)
        try:
            picture = read_image(path, SPEC)
        except InputError:
            continue
        assert picture.shape == (8, 8, 3)
        assert np.isfinite(picture).all()


MEASURE = """
import re, sys
from pathlib import Path
from handful import HandfulError
from handful.runtime.inputs.pictures import read_image
from handful.runtime.package.manifest import InputSpec
from PIL import Image

Image.init()
def mib(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
spec = InputSpec(kind="image", shape=(28, 28, 1), layout="HWC", colour="grey", resize=28,
                 interpolation="lanczos")
before = mib("VmRSS")
try:
    read_image(sys.argv[1], spec)
except HandfulError as error:
    print(error, file=sys.stderr)
print(mib("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's peak memory")
@pytest.mark.parametrize(
    ("size", "mode", "mib", "words"),
    [
        ((8000, 8000), "RGBA", 8, "has 8000 × 8000 pixels, at most 33554432 are read"),
        ((1, 60_000_000), "L", 8, "has 1 × 60000000 pixels, at most 33554432 are read"),
        ((7000, 4700), "RGB", 160, ""),  # almost the most that is read
    ],
)
def test_the_memory_of_a_large_picture(
    tmp_path: Path, size: tuple[int, int], mode: str, mib: int, words: str
) -> None:
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    stream = zlib.compressobj(1)
    row = bytes(1 + channels * size[0])
    rows = [stream.compress(row * 1000) for _ in range(size[1] // 1000)]
    rows += [stream.compress(row * (size[1] % 1000)), stream.flush()]
    colours = {"L": 0, "RGB": 2, "RGBA": 6}[mode]
    data = png(*size, colours=colours, data=chunk(b"IDAT", b"".join(rows)))
    (tmp_path / "a.png").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "a.png")],
        env={**os.environ, "PYTHONPATH": str(Path(handful.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip().endswith(words)
    assert bool(done.stderr) == bool(words)
    assert float(done.stdout) < mib
