"""Glyphs: invented characters, drawn here, so that everything runs without a data set.

Class c is a stroke program made from the seed [SEED, c]; each of its examples moves the control
points a little and has its own thickness, slant, rotation, size and place. Every stroke is basis @
control: a polyline, a Bézier curve, or an arc of an ellipse. A stroke that touches an earlier one
takes its anchor from that stroke's points, so whoever moves the control points of the first moves
the second with it. The whole character is then one matrix.

Beside them are simple scenes in colour, to try a backbone and a package for pictures on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from handful.runtime.arrays import Array, Floats
from handful.trainer.data.config import DataConfig
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.record import RecordedPart, of_examples
from handful.trainer.data.splits import Part, known_classes
from handful.trainer.settings.errors import DataError

from .pictures import drawing_spec, picture_spec

STROKES = ((2, 3, 4, 5), (0.25, 0.4, 0.25, 0.1))  # how many, and how often
KINDS = (("line", "curve", "arc"), (0.5, 0.3, 0.2))
CURVE_SEGMENTS = 8  # of a Bézier curve; at 28 pixels the corners are not seen
ARC_SEGMENTS = 16  # of a full turn
CROSSING = 0.35  # how often a stroke touches an earlier one elsewhere than at its beginning
FLAT = 0.1  # aspects are evened out to their square root, and from here on not any further
CLOSING = 0.2  # how often its end lies on an earlier stroke, too
SEED = 2017  # of the alphabet itself, the same for every run
SIZE = 28  # pixels, as Omniglot is commonly scaled
# First class, classes, examples of each. Training wants many classes with few examples (Omniglot
# has 1200 of 20); validation and test hold 5 shots and 15 queries, as the published episodes do.
PARTS: dict[Part, tuple[int, int, int]] = {
    "meta_train": (0, 2000, 10),
    "meta_val": (2000, 200, 20),
    "meta_test": (2200, 400, 20),
}
SPEC = drawing_spec(SIZE)  # a glyph is bright on dark, a picture file dark on light

# How much examples of a class differ. Chosen by eye on a sheet of samples, and so that the nearest
# neighbour on pixels is right in 64 % of 5-way 1-shot tasks: neither lost nor done.
INK = 20.0  # pixels across the largest character
JITTER = 0.045  # of a control point, in widths of the character
SLANT = 0.15
ROTATION = 0.12  # radians
STRETCH = 0.08  # of log width, log height
SHIFT = 1.0  # pixels
HALF_WIDTH = (0.85, 0.18)  # of the pen in pixels, mean and deviation
NOISES = 8  # drawn for an example beside its control points
CLASSES, EACH = 20, 6  # what checking a package wants: 20 ways, and 5 shots with a query


def load_glyphs(
    config: DataConfig, part: Part, *, recorded: RecordedPart | None = None
) -> LabelledSet:
    """The part's classes, drawn on the spot; with rotations each is four classes."""
    if config.image_size != SIZE:
        raise DataError(
            f"data.image_size is {config.image_size}, glyphs are drawn at {SIZE} pixels a side",
            hint=f"set data.image_size = {SIZE}",
        )
    first, classes, examples = PARTS[part]
    numbers = range(first, first + classes)
    x = np.empty((classes, examples, SIZE, SIZE, 1), np.uint8)
    for row, number in zip(x, numbers, strict=True):
        row[:] = draw_class(number, examples)
    drawn = LabelledSet(
        torch.from_numpy(x).flatten(0, 1),
        torch.full((classes,), examples),
        tuple(f"glyph-{number:04}" for number in numbers),
        SPEC,
    )
    if recorded is not None:
        drawn = drawn.take(known_classes(drawn.classes, part, list(recorded.classes)))
    drawn = replace(drawn, facts=of_examples(drawn))
    return drawn.rotate() if config.rotations else drawn


def draw_class(number: int, examples: int) -> NDArray[np.uint8]:
    """The first `examples` drawings [K, 28, 28, 1] of a class; a longer series begins alike."""
    rng = np.random.default_rng([SEED, number])
    basis, control, segments = program(rng)
    noise = rng.standard_normal((examples, 2 * len(control) + NOISES), np.float32).clip(-2, 2)
    factors, moves = noise[:, :NOISES], noise[:, NOISES:].reshape(examples, -1, 2)
    points = basis @ (control + JITTER * moves)
    points = points @ _transform(factors) + factors[:, None, 5:7] * SHIFT + (SIZE - 1) / 2
    half_width = HALF_WIDTH[0] + HALF_WIDTH[1] * factors[:, 7]
    distance = _distance(points[:, segments], points[:, segments + 1])
    ink = np.clip(half_width[:, None, None] + 0.5 - distance, 0, 1)
    return np.rint(ink * 255).astype(np.uint8)[..., None]


def _transform(factors: Floats) -> Array:
    """Slant, rotation and size of each example as a matrix [K, 2, 2] for points written as rows."""
    slant, angle = factors[:, 0] * SLANT, factors[:, 1] * ROTATION
    width, height = INK * np.exp(factors[:, 2] * STRETCH), INK * np.exp(factors[:, 3] * STRETCH)
    cos, sin, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    scaled = _matrices(width, zero, zero, height)
    slanted = _matrices(one, zero, slant, one)
    matrix: Array = scaled @ slanted @ _matrices(cos, sin, -sin, cos)
    return matrix


def _matrices(a: Array, b: Array, c: Array, d: Array) -> Array:
    return np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2)


def _distance(start: Array, end: Array) -> Floats:
    """From each pixel to the nearest of the segments [K, G, 2] → [K, 28, 28].

    With p − a seen from the segment's start and d = end − start, the nearest point is at
    t = (p − a)·d / |d|² within 0..1, and the squared distance |p − a|² + t (t |d|² − 2 (p − a)·d).
    """
    pixel = np.arange(SIZE, dtype=np.float32)
    d = end - start
    length = np.maximum((d**2).sum(axis=2), 1e-6)[:, :, None, None]
    across = (pixel - start[:, :, 0, None])[:, :, None, :]  # [K, G, 1, 28]
    down = (pixel - start[:, :, 1, None])[:, :, :, None]  # [K, G, 28, 1]
    dot = across * d[:, :, 0, None, None] + down * d[:, :, 1, None, None]
    t = np.clip(dot / length, 0, 1)
    squared = t * (t * length - 2 * dot)
    squared += across**2
    squared += down**2
    nearest: Floats = np.maximum(squared.min(axis=1), 0)
    return np.sqrt(nearest)


class Program(NamedTuple):
    """A character: points = basis @ (control + jitter), joined by segments."""

    basis: Floats  # [P, F]
    control: Floats  # [F, 2], the character in a square of side 1 around the origin
    segments: Array  # [G] int64: a segment runs from points[g] to points[g + 1]


def program(rng: np.random.Generator) -> Program:
    """A random character of two to five strokes."""
    count = rng.choice(STROKES[0], p=STROKES[1])
    strokes = [_stroke(rng) for _ in range(count)]
    size = sum(len(stroke.control) for stroke in strokes)
    basis = np.zeros((0, size))
    control = np.zeros((size, 2))
    placed = np.ones(size)  # 0 for a control that is an offset: basis @ placed = 1
    segments: list[int] = []
    first = 0  # the stroke's first control
    for stroke in strokes:
        rows = slice(first, first + len(stroke.control))
        block = np.zeros((len(stroke.basis), size))
        block[:, rows] = stroke.basis
        control[rows] = stroke.control
        if first:
            _attach(block, control[rows], placed[rows], stroke, (basis, basis @ control), rng)
        segments += range(len(basis), len(basis) + len(block) - 1)
        basis = np.concatenate([basis, block])
        first = rows.stop
    control = _fit(basis @ control, control, placed, rng.uniform(0.85, 1.0))
    return Program(basis.astype(np.float32), control.astype(np.float32), np.array(segments))


class Stroke(NamedTuple):
    """One stroke, drawn around the origin."""

    basis: Array  # [samples, controls], rows sum to 1
    control: Array  # [controls, 2]
    anchors: tuple[int, ...]  # the controls that the stroke passes through


def _stroke(rng: np.random.Generator) -> Stroke:
    kind = rng.choice(KINDS[0], p=KINDS[1])
    if kind == "arc":
        return _arc(rng)
    count = int(rng.integers(2, 5)) if kind == "line" else int(rng.integers(3, 5))
    control = _walk(count, rng)
    basis = _polyline(count) if kind == "line" else _bezier(count)
    anchors = tuple(range(count)) if kind == "line" else (0, count - 1)
    return Stroke(basis, control, anchors)


def _walk(count: int, rng: np.random.Generator) -> Array:
    """Control points [count, 2] that go on in mostly upright, level or diagonal steps."""
    angle = rng.integers(8) * np.pi / 4 + rng.normal(0, 0.15, count - 1)
    turns = rng.choice([-3, -2, -1, 1, 2, 3], size=count - 1) * np.pi / 4
    angle[1:] += np.cumsum(turns)[:-1]
    length = rng.uniform(0.3, 1.0, count - 1)
    steps = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def _polyline(count: int) -> Array:
    """[samples, count]: each straight piece in two, so that others can touch its middle."""
    at = np.linspace(0, count - 1, 2 * count - 1)
    basis: Array = np.clip(1 - np.abs(at[:, None] - np.arange(count)), 0, 1)
    return basis


def _bezier(count: int) -> Array:
    """Bernstein polynomials [samples, count]."""
    t = np.linspace(0, 1, CURVE_SEGMENTS + 1)[:, None]
    k = np.arange(count)
    binomial = np.array([1, 2, 1]) if count == 3 else np.array([1, 3, 3, 1])
    basis: Array = binomial * t**k * (1 - t) ** (count - 1 - k)
    return basis


def _arc(rng: np.random.Generator) -> Stroke:
    """Part of an ellipse by its start u, its centre c and the end of the other axis v."""
    turn = rng.choice([0.5, 0.75, 1.0]) * 2 * np.pi
    theta = np.linspace(0, turn, int(ARC_SEGMENTS * turn / (2 * np.pi)) + 1)
    basis = np.stack([np.cos(theta), 1 - np.cos(theta) - np.sin(theta), np.sin(theta)], axis=1)
    start = rng.integers(8) * np.pi / 4 + rng.normal(0, 0.15)
    u = np.array([np.cos(start), np.sin(start)]) * rng.uniform(0.15, 0.4)
    v = np.array([-u[1], u[0]]) * rng.uniform(0.6, 1.4) * rng.choice([-1, 1])
    return Stroke(basis, np.stack([u, np.zeros(2), v]), (0,))


def _attach(
    block: Array,
    control: Array,
    placed: Array,
    stroke: Stroke,
    earlier: tuple[Array, Array],
    rng: np.random.Generator,
) -> None:
    """Make one anchor of the stroke, sometimes two, offsets from points of earlier strokes."""
    basis, points = earlier
    anchor = stroke.anchors[0]
    if len(stroke.anchors) > 1 and rng.random() < CROSSING:
        anchor = int(rng.choice(stroke.anchors[1:]))
    chosen = {anchor: int(rng.integers(len(points)))}
    control += points[chosen[anchor]] - control[anchor]
    if anchor == 0 and len(stroke.anchors) > 1 and rng.random() < CLOSING:
        chosen[stroke.anchors[-1]] = int(rng.integers(len(points)))
    for index, point in chosen.items():
        block += np.outer(stroke.basis[:, index], basis[point])
        control[index] = placed[index] = 0


def _fit(points: Array, control: Array, placed: Array, side: float) -> Array:
    """The control points with the character's longer side at `side`, its middle at the origin."""
    extent = np.ptp(points, axis=0)
    scale = side / np.sqrt(extent.max() * np.maximum(extent, FLAT * extent.max()))
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    fitted: Array = (control - placed[:, None] * middle) * scale
    return fitted


def draw_scenes(side: int, *, seed: int = 0) -> LabelledSet:
    """20 classes of 6 pictures, uint8 [120, side, side, 3], always the same: a class is a figure of
    a colour on another, each picture has its own place, size, light and noise."""
    rng = np.random.default_rng(seed)
    pixels = [
        _scene(side, c % 4, colours, rng)
        for c, colours in enumerate(rng.integers(0, 256, (CLASSES, 2, 3)))
        for _ in range(EACH)
    ]
    return LabelledSet(
        torch.from_numpy(np.stack(pixels)),
        torch.full((CLASSES,), EACH),
        tuple(f"scene {c}" for c in range(CLASSES)),
        picture_spec(side, "rgb"),
    )


def _scene(
    side: int, figure: int, colours: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Disc, square, ring or stripes in the second colour on the first, lit from one side."""
    row, column = np.mgrid[:side, :side] / side - rng.uniform(0.35, 0.65, (2, 1, 1))
    size = rng.uniform(0.2, 0.35)
    radius = np.hypot(row, column)
    inside = (
        radius < size,
        np.maximum(abs(row), abs(column)) < size,
        abs(radius - size) < size / 3,
        np.sin((row + column) / size * 9) > 0,
    )[figure]
    light = 0.7 + 0.3 * np.cos(3 * (row * rng.normal() + column * rng.normal()))
    picture = colours[inside.astype(int)] * light[..., None]
    picture = picture + rng.normal(0, 8, (side, side, 3))
    return np.asarray(picture.clip(0, 255).astype(np.uint8))
