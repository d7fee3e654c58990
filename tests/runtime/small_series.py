"""A small package for series [4, 2]: class means of the readings; and recordings for it."""

from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import InputSpec, Manifest, StageSpec

from .small_packages import Floats, node, one_hot, prototypes, tensor, write_graph

SHAPE = (4, 2)


def means_of_series(folder: Path) -> Manifest:
    """The means over time and over the differences of a series, as four numbers; class means."""
    means = prototypes(folder)
    embed = write_graph(
        folder,
        "embed",
        [node("Reshape", ["x", "flat"], ["rows"]), node("MatMul", ["rows", "weight"], ["h"])],
        [tensor("x", "B", *SHAPE)],
        [tensor("h", "B", 4)],
        {"flat": np.array([-1, 8]), "weight": weight()},
    )
    return Manifest(
        name="series",
        learner="prototypical",
        task="classification",
        input=InputSpec(kind="array", shape=SHAPE),
        embed="embed",
        graphs={**means.graphs, "embed": embed},
        stages=(StageSpec(name="means", init="means", state=("c",)),),
        predict="predict",
        licence="Apache-2.0",
    )


def weight() -> Floats:
    """[8, 4]: the mean of each channel, and the last reading less the first."""
    matrix = np.zeros((4, 2, 4), np.float32)
    for channel in range(2):
        matrix[:, channel, channel] = 0.25
        matrix[0, channel, 2 + channel], matrix[-1, channel, 2 + channel] = -1, 1
    return matrix.reshape(8, 4)


def series_golden() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    x, q = (rng.normal(size=(n, *SHAPE)).astype(np.float32) for n in (4, 3))
    y = one_hot([0, 0, 1, 2])
    h, g = (part.reshape(-1, 8) @ weight() for part in (x, q))
    c = (y.T @ h) / y.sum(axis=0)[:, None]
    logits = -((g[:, None] - c[None]) ** 2).sum(axis=-1)
    return {"support_x": x, "support_y": y, "query_x": q, "means/0/c": c, "logits": logits}


def still(level: int = 0, count: int = 4) -> Any:
    """A sensor at rest, its two channels at a level and at its negative: int16 [n, 2]."""
    return np.tile(np.array([level, -level], np.int16), (count, 1))


def rising(count: int = 4) -> Any:
    """Both channels rise by 100 a reading: int16 [n, 2]."""
    return np.stack([100 * np.arange(count), 100 * np.arange(count)], axis=1).astype(np.int16)


def write_npy(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def write_csv(path: Path, array: Any, head: str = "ax,ay") -> Path:
    """One line a reading, below the names of the channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row)) for row in np.asarray(array).tolist()]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path
