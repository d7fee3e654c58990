"""Wide photographs through `handful photos --fit square` and `--fit whole`, on Caltech-101.

`python benchmarks/wide.py DATA`, DATA the folder of the downloaded collections (see shifts.py). The
pictures are square, so each is drawn on a wider ground of its edges' mean colour with a little
noise, in the middle, anywhere or at a side. Needs the extra `photos`. Writes results/wide.md.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photo_heads import AT_HOME
from photos import BACKBONE
from PIL import Image
from shifts import pictures
from tables import write_table

import handful
from handful.runtime.arrays import Array
from handful.runtime.inputs.examples import to_batch
from handful.runtime.package.manifest import Fit
from handful.runtime.tools.text import difference, mean
from handful.trainer.commands.photos import Request, photos_command
from handful.trainer.data import LabelledSet
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import Result, summarise
from handful.trainer.evaluation.packages import MeasuredPackage, package_accuracies
from handful.trainer.workers import Workers

FITS: tuple[Fit, ...] = ("square", "whole")
SHOTS, QUERIES, NOISE, SEED = (1, 5), 9, 6.0, 0  # noise: a deviation, of 255
Place = Callable[[np.random.Generator], float]  # from 0, the left, to 1
FORMS: tuple[tuple[str, float, Place], ...] = (  # what it is called, width over height, the place
    ("as they are", 1.0, lambda rng: 0.5),
    ("3:2, in the middle", 1.5, lambda rng: 0.5),
    ("3:2, anywhere", 1.5, lambda rng: rng.random()),
    ("2:1, anywhere", 2.0, lambda rng: rng.random()),
    ("2:1, at a side", 2.0, lambda rng: float(rng.random() < 0.5)),
    ("2:1, in the middle", 2.0, lambda rng: 0.5),
)


def drawn_wide(picture: Array, ratio: float, place: Place, rng: np.random.Generator) -> Array:
    """The picture [h, w, 3] on a ground [h, ratio · w, 3]."""
    height, width, _ = picture.shape
    edges = np.concatenate([picture[[0, -1]].reshape(-1, 3), picture[:, [0, -1]].reshape(-1, 3)])
    wide = round(ratio * width)
    ground = edges.mean(axis=0) + rng.normal(0, NOISE, (height, wide, 3))
    frame: Array = np.clip(np.round(ground), 0, 255).astype(np.uint8)
    at = round((wide - width) * place(rng))
    frame[:, at : at + width] = picture
    return frame


def embeddings(package: MeasuredPackage, photographs: list[Array]) -> Any:
    """What the package's `embed` gives for frames of any size, as a device has it."""
    spec, engine = package.package.input, package.package._engine
    return np.concatenate([engine.embed(to_batch([x], spec, "picture")[0]) for x in photographs])


def measure(loaded: MeasuredPackage, data: LabelledSet, h: Any, shot: int, episodes: int) -> Any:
    """The accuracy of each task, [E]; the tasks are the same for every form and package."""
    size = TaskSize(5, shot, QUERIES)
    tasks = as_episodes(rows_of(data, size, episodes=episodes, seed=SEED))
    return package_accuracies(
        loaded, h, tasks, every_step=False, tick=lambda: None, workers=Workers()
    )[:, -1]


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--pictures", type=int, default=14, help="of each class")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", handful.InputWarning)  # that they are wide is known
    head = [f"`{fit}`: 5-way {shot}-shot" for shot in SHOTS for fit in FITS]
    head = [*head[:2], "`whole` ahead by", *head[2:], "`whole` ahead by"]
    lines = [f"| | {' | '.join(head)} |", "| --- |" + " --- |" * len(head)]
    with tempfile.TemporaryDirectory() as temporary:
        folders = sorted(pictures(asked.data, AT_HOME, Path(temporary)).iterdir())
        files = [sorted(folder.iterdir())[: asked.pictures] for folder in folders]
        square = [np.asarray(Image.open(f).convert("RGB")) for of in files for f in of]
        counts = torch.tensor([len(of) for of in files])
        loaded: dict[Fit, MeasuredPackage] = {}
        for fit in FITS:
            package = Path(temporary) / fit
            photos_command(package, Request(backbone=BACKBONE, fit=fit), print)
            loaded[fit] = MeasuredPackage(package)
        names = tuple(folder.name for folder in folders)
        spec = loaded["square"].package.input
        data = LabelledSet(torch.zeros(len(square), 1), counts, names, spec)
        for called, ratio, place in FORMS:
            rng = np.random.default_rng(SEED)
            frames = [drawn_wide(picture, ratio, place, rng) for picture in square]
            h = {fit: embeddings(loaded[fit], frames) for fit in FITS}
            cells = [called]
            for shot in SHOTS:
                found = {f: measure(loaded[f], data, h[f], shot, asked.episodes) for f in FITS}
                size = TaskSize(5, shot, QUERIES)
                cells += [mean(summarise(found[fit], size)) for fit in FITS]
                paired: Result = summarise(found["whole"], size, against={"": found["square"]})
                cells.append(difference(paired.compared[0]))
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    about = (
        f"Accuracy %, {asked.episodes} tasks of the test classes, the first {asked.pictures}"
        f" pictures of each, {QUERIES} queries a class; the tasks are the same in every row."
    )
    command = f"python benchmarks/wide.py DATA --episodes {asked.episodes}"
    title = "Wide photographs: the middle, or the whole picture"
    write_table("wide", title, command, "\n".join([about, "", *lines]))


if __name__ == "__main__":
    main()
