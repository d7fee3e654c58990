"""The shipped package for pens: what a device gives it, and new alphabets where they are here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import handful
from handful.runtime.arrays import Array

SAMPLES = 64


@pytest.fixture(scope="module")
def learner() -> handful.Learner:
    return handful.load("pen-proto-maml")


def stroke(turns: float, seed: int = 0) -> Array:
    """A spiral of so many turns as a touch screen gives it: int16 pixels, the pen down."""
    angle = np.linspace(0, 2 * np.pi * turns, SAMPLES)
    wobble = np.random.default_rng(seed).normal(0, 4, (2, SAMPLES))
    x, y = (100 + 40 * angle) * (np.cos(angle), np.sin(angle)) + wobble
    return np.stack([x + 900, y + 700, np.ones(SAMPLES)], axis=1).astype(np.int16)


def test_pixels_of_any_place_and_scale_are_the_same_trace(learner: handful.Learner) -> None:
    assert learner.manifest.input.seen is None  # a place far from the training's is not unlike it
    task = learner.adapt({"bow": [stroke(0.5)], "ring": [stroke(1)], "snail": [stroke(2)]})
    query = stroke(2, seed=1)
    assert task.predict(query) == "snail"
    moved = (query * [0.125, 0.125, 1] + [-40, 7, 0]).astype(np.float32)
    np.testing.assert_allclose(task.predict_proba(moved), task.predict_proba(query), atol=1e-3)
    shorter = np.concatenate([query[::2], query[-1:]])  # every second reading, then the last again
    padded = handful.windows(shorter, SAMPLES)[0]
    assert task.predict(padded) == "snail"


def sign(name: str, count: int, rng: np.random.Generator) -> Array:
    """x, y and the pen of a hand that is uneven in place, size, slant and speed: [count, 3]."""
    t = np.linspace(0, 1, 2001)
    a, corner = 2 * np.pi * t, t < 0.6
    x, y = {
        "circle": (np.cos(a), np.sin(a)),
        "line": (t, 0.3 * t),
        "eight": (np.sin(2 * a) / 2, np.cos(a)),
        "zigzag": (2 * t, np.abs(6 * t % 2 - 1)),
        "hook": (np.where(corner, 0, 2 * t - 1.2), np.where(corner, 1 - 2 * t, -0.2)),
        "spiral": (t * np.cos(3 * a), t * np.sin(3 * a)),
    }[name]
    c, s = np.cos(turn := rng.normal(0, 0.1)), np.sin(turn)
    size, place = rng.uniform(180, 480), rng.uniform(100, 800, 2)
    path = size * np.stack([c * x - s * y, s * x + c * y], axis=1) + place
    u = np.cumsum(rng.uniform(0.3, 1.7, count))
    u = (u - u[0]) / (u[-1] - u[0])
    u += 0.06 * np.sin(2 * np.pi * u)
    at = np.stack([np.interp(u, t, path[:, k]) for k in (0, 1)], axis=1)
    return np.column_stack([at + rng.normal(0, 1.5, at.shape), np.ones(count)])


def test_signs_are_found_at_any_rate(learner: handful.Learner, tmp_path: Path) -> None:
    names, rng = ("circle", "line", "eight", "zigzag", "hook", "spiral"), np.random.default_rng(0)
    task = learner.adapt({name: [sign(name, 64, rng) for _ in range(2)] for name in names})
    file = tmp_path / "sign.csv"
    for count in (64, 256):
        queries = [(name, sign(name, count, rng)) for name in names for _ in range(8)]
        answers = task.predict([trace for _, trace in queries])
        assert answers == [name for name, _ in queries], count
        table = np.column_stack([queries[0][1][:, [1, 2, 0]], np.arange(count)])
        np.savetxt(file, table, "%.17g", ",", header="Y,Pen,X,time_ms", comments="")
        assert task.predict(file) == "circle"


def test_new_alphabets(learner: handful.Learner, shared_data: Path) -> None:
    folder = shared_data / "pen_strokes"
    index = json.loads((folder / "pen_strokes_index.json").read_text())
    with np.load(folder / "pen_strokes.npz") as arrays:
        x, label = arrays["x"], arrays["label"]
    rng, right = np.random.default_rng(0), []
    for _ in range(40):
        classes = rng.choice(index["class_split"]["meta_test"], 5, replace=False)
        rows = np.stack([rng.permutation(np.flatnonzero(label == c))[:6] for c in classes])
        task = learner.adapt({str(c): x[row[:1]] for c, row in zip(classes, rows, strict=True)})
        answers = np.array(task.predict(x[rows[:, 1:]].reshape(-1, SAMPLES, 3))).reshape(5, 5)
        right.append(np.mean(answers == classes[:, None].astype(str)))
    assert np.mean(right) > 0.85
