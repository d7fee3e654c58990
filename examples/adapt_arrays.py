"""Adapt a shipped package to arrays, ask it, teach it one class more, keep it: no torch needed.

`python examples/adapt_arrays.py`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import handful

SIZE = 28  # what omniglot-leo reads: 28 × 28, ink 1 on paper 0


def shapes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One drawing each of a ring, a cross and a step, a little elsewhere every time."""
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2 + rng.uniform(-2, 2, (2, 1, 1))
    cross = (np.minimum(abs(row), abs(column)) < 1.2) & (np.maximum(abs(row), abs(column)) < 9)
    step = np.where(column < 0, abs(row + 6) < 1.2, abs(row - 6) < 1.2) | (abs(column) < 1.2)
    inside = np.maximum(abs(row), abs(column)) < 9
    drawings = {"ring": abs(np.hypot(row, column) - 8) < 1.2, "cross": cross, "step": step & inside}
    return {name: drawing.astype(np.float32) for name, drawing in drawings.items()}


def main() -> None:
    """Two classes, then three, then from a file."""
    rng = np.random.default_rng(0)
    known, new = shapes(rng), shapes(rng)
    learner = handful.load("omniglot-leo")
    task = learner.adapt([known["ring"], known["cross"]], ["ring", "cross"])
    for name in task.classes:
        scores = task.predict_proba(new[name])
        print(f"{name}: {task.predict(new[name])} {scores.max():.3f}")

    task = task.add({"step": [known["step"]]})
    print(f"step: {task.predict(new['step'])}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shapes.npz"
        task.save(file)
        again = learner.load_task(file)
    print(*again.predict(list(new.values())))


if __name__ == "__main__":
    main()
