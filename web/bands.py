"""Writes web/pages/bands: a package of made-up wrist bands, and recordings of persons new to it.

`python web/bands.py PACKAGE` takes a package that was exported from a run of the recipe
bands-personal. No recording of a person may be passed on with this project; these are a program's.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from handful.runtime.arrays import Array
from handful.runtime.package.files import write_atomic
from handful.runtime.tools.packed import pack_package
from handful.trainer.data.sources.bands import ELECTRODES, GESTURES, PARTS, wear

FOLDER = Path(__file__).parent / "pages" / "bands"
COUNT = 6  # persons, the first of those that nobody is trained on


def table(person: int) -> str:
    """A person's readings as .csv: a row each, with its gesture and its take."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["label", "recording", *(f"electrode {e + 1}" for e in range(ELECTRODES))])
    for take, gestures in enumerate(wear(person)):  # [N, EACH, T, ELECTRODES]
        for label, examples in zip(GESTURES, gestures, strict=True):
            readings: Array = examples.reshape(-1, ELECTRODES)
            for reading in readings:
                rows.writerow([label, take + 1, *(f"{value:.2f}" for value in reading)])
    return text.getvalue()


def main(package: str) -> None:
    """Pack the package, and write the persons."""
    FOLDER.mkdir(exist_ok=True)
    pack_package(package, FOLDER / "bands-personal.handful", force=True)
    first, _ = PARTS["meta_test"]
    for person in range(first, first + COUNT):
        write_atomic(FOLDER / f"person-{person}.csv", table(person).encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python web/bands.py PACKAGE")
    main(sys.argv[1])
