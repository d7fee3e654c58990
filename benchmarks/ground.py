"""The README's picture: brick, grass and gravel, learned from one piece each, asked for the others.

`python benchmarks/ground.py` writes docs/ground.jpg. Needs the extra `photos` and scikit-image,
whose sample photographs are CC0: brick and gravel from CC0Textures, grass by linolafett.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import handful
from handful.runtime.package.files import write_atomic
from handful.trainer.commands.photos import Request, photos_command

PICTURE = Path(__file__).parents[1] / "docs" / "ground.jpg"
LABELS = ("brick", "grass", "gravel")
SIDE = 128  # pixels of a piece: sixteen in each photograph
SHOWN = 6  # queries in a row

Pieces = NDArray[np.uint8]  # [16, SIDE, SIDE, 3]


def pieces(label: str) -> Pieces:
    """A photograph [512, 512] of scikit-image in sixteen pieces, in an order drawn once."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise SystemExit("error: scikit-image is not installed\n\nhint: pip install scikit-image")
    with Image.open(Path(found.origin).parent / "data" / f"{label}.png") as picture:
        whole = np.asarray(picture.convert("RGB"))
    rows, columns = (length // SIDE for length in whole.shape[:2])
    cut = whole.reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    return np.random.default_rng(0).permutation(cut)


def answer(
    package: Path, photographs: dict[str, Pieces]
) -> tuple[dict[str, list[str]], dict[str, list[float]]]:
    """What the package says of all pieces but each photograph's first, and how sure it is."""
    learner = handful.load(package)
    task = learner.adapt({label: list(cut[:1]) for label, cut in photographs.items()})
    said: dict[str, list[str]] = {}
    sure: dict[str, list[float]] = {}
    for label, cut in photographs.items():
        probabilities = task.predict_proba(list(cut[1:]))
        said[label] = [task.classes[column] for column in probabilities.argmax(axis=1)]
        sure[label] = [float(p) for p in probabilities.max(axis=1)]
    return said, sure


def draw(
    photographs: dict[str, Pieces], said: dict[str, list[str]], sure: dict[str, list[float]]
) -> bytes:
    """A row for each photograph: the piece learned from, then pieces with their answers."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    right = sum(answer == label for label, answers in said.items() for answer in answers)
    asked = sum(map(len, said.values()))
    figure.suptitle(f"learned from one piece of each: {right} of {asked} other pieces are right")
    axes = figure.subplots(len(LABELS), 1 + SHOWN, gridspec_kw={"wspace": 0.02})
    for row, label in zip(axes, LABELS, strict=True):
        words = [f"learned: {label}"]
        words += [f"{a} {p:.0%}" for a, p in zip(said[label], sure[label], strict=True)][:SHOWN]
        for column, (place, word) in enumerate(zip(row, words, strict=True)):
            place.imshow(photographs[label][column])
            wrong = column > 0 and said[label][column - 1] != label
            colour = "tab:red" if wrong else "black" if column else "tab:blue"
            place.set_xlabel(word, color=colour, fontsize=10)
            place.set(xticks=(), yticks=())
            for edge in place.spines.values():
                edge.set(color=colour, linewidth=1 if column and not wrong else 3)
    written = io.BytesIO()
    FigureCanvasAgg(figure).print_jpg(written, pil_kwargs={"quality": 85})  # type: ignore[no-untyped-call]
    return written.getvalue()


def main() -> None:
    """Write the package to a folder that goes away again, ask it, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, help="one that `handful photos` wrote")
    package = parser.parse_args().package
    photographs = {label: pieces(label) for label in LABELS}
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            package = Path(folder) / "photos"
            photos_command(package, Request(backbone="efficientnet-lite0"), print)
        said, sure = answer(package, photographs)
    write_atomic(PICTURE, draw(photographs, said, sure))


if __name__ == "__main__":
    main()
