"""Stroke programs: an invented character as points that are linear in a few control points.

Every stroke is basis @ control: a polyline, a Bézier curve, or an arc of an ellipse. A stroke that
touches an earlier one takes its anchor from that stroke's points, so whoever moves the control
points of the first moves the second with it. The whole character is then one matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from handful.runtime.arrays import Array, Floats

STROKES = ((2, 3, 4, 5), (0.25, 0.4, 0.25, 0.1))  # how many, and how often
KINDS = (("line", "curve", "arc"), (0.5, 0.3, 0.2))
CURVE_SEGMENTS = 8  # of a Bézier curve; at 28 pixels the corners are not seen
ARC_SEGMENTS = 16  # of a full turn
CROSSING = 0.35  # how often a stroke touches an earlier one elsewhere than at its beginning
FLAT = 0.1  # aspects are evened out to their square root, and from here on not any further
CLOSING = 0.2  # how often its end lies on an earlier stroke, too


class Stroke(NamedTuple):
    """One stroke, drawn around the origin."""

    basis: Array  # [samples, controls], rows sum to 1
    control: Array  # [controls, 2]
    anchors: tuple[int, ...]  # the controls that the stroke passes through


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
    control = _fitted(basis @ control, control, placed, rng.uniform(0.85, 1.0))
    return Program(basis.astype(np.float32), control.astype(np.float32), np.array(segments))


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


def _fitted(points: Array, control: Array, placed: Array, side: float) -> Array:
    """The control points with the character's longer side at `side`, its middle at the origin."""
    extent = np.ptp(points, axis=0)
    scale = side / np.sqrt(extent.max() * np.maximum(extent, FLAT * extent.max()))
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    fitted: Array = (control - placed[:, None] * middle) * scale
    return fitted


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
