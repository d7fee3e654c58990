"""Golden pictures: decoded pixels in conformance.npz, and what preprocessing makes of them."""

from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import PackageError
from handful.runtime.images import prepare
from handful.runtime.package.manifest import InputSpec, Manifest
from handful.runtime.pictures.pixels import Pixels, resized, too_narrow

COUNT = 2
TOLERANCE = 1e-6  # two roundings of float32; a grey level is a thousand times more
MAX_PIXELS = 2**23  # of a picture
SHRUNK = ((3, 2), (9, 4))  # by how much the pictures are shrunk: less and more than twice
SMALL, LARGE = 128, 1024  # pixels of the resized side: the package is to stay small
HINT = "export the package again"


def take_pictures(
    golden: dict[str, Array], manifest: Manifest, file: str
) -> list[tuple[Pixels, Array]]:
    """Remove the pictures from `golden`: the pixels of each, and what is to be made of them.

    Packages of arrays and of sound have none.
    """
    if manifest.input.kind != "image":
        return []
    pairs = []
    for name, prepared_name in ((f"picture/{i}", f"picture/{i}/x") for i in range(COUNT)):
        for key in (name, prepared_name):
            if key not in golden:
                raise PackageError(f"{file} has no `{key}`", hint=HINT)
        pixels = golden.pop(name)
        right = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        if not right or not 0 < pixels.size <= 3 * MAX_PIXELS:
            raise PackageError(
                f"`{name}` in {file} is {pixels.dtype} {list(pixels.shape)},"
                f" wanted uint8 [H, W, 3] with at most {MAX_PIXELS} pixels",
                hint=HINT,
            )
        height, width, _ = pixels.shape
        if too_narrow((width, height), manifest.input):
            raise PackageError(
                f"`{name}` in {file} is {width} × {height}, too long and narrow to resize",
                hint=HINT,
            )
        pairs.append((pixels, golden.pop(prepared_name)))
    return pairs


def replay_pictures(spec: InputSpec, pairs: list[tuple[Pixels, Array]]) -> dict[str, float]:
    """max|a − b| / max(max|b|, 1e-3) of each picture."""
    return {
        f"picture/{i}/x": _difference(prepare(pixels, spec), prepared)
        for i, (pixels, prepared) in enumerate(pairs)
    }


def draw_pictures(spec: InputSpec) -> dict[str, Array]:
    """The golden pictures of an image package: gradients, edges and noise, always the same."""
    golden: dict[str, Array] = {}
    for i, (short, long) in enumerate(_sizes(spec)):
        height, width = (short, long) if i % 2 else (long, short)
        pixels = _picture(height, width, np.random.default_rng(i))
        golden[f"picture/{i}"] = pixels
        golden[f"picture/{i}/x"] = prepare(pixels, spec)
    return golden


def _sizes(spec: InputSpec) -> list[tuple[int, int]]:
    """The shorter and the longer side of each picture: no multiples of what they become."""
    side = resized((1, 1), spec.resize)[0]
    if side > LARGE:
        return [(700, 901), (900, 1201)]
    if side > SMALL:
        return [(side + 1, side + side // 3), (side + side // 7, side + side // 2)]
    return [(side * a // b + 1, side * a * 4 // (b * 3) + 2) for a, b in SHRUNK]


def _picture(height: int, width: int, rng: np.random.Generator) -> Pixels:
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], axis=-1)
    noise = rng.integers(-20, 21, (height, width, 3))
    pixels = np.clip(ramps + noise, 0, 255).astype(np.uint8)
    pixels[(x // 5 + y // 7) % 4 == 0] = (255, 255, 255)  # edges, where filters overshoot
    pixels[(x // 3 + y // 5) % 7 == 0] = (0, 0, 0)
    return pixels


def _difference(prepared: Any, golden: Array) -> float:
    a, b = np.asarray(prepared, np.float64), np.asarray(golden, np.float64)
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-3))
