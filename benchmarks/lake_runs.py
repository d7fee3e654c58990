"""Lake's twenty official one-shot runs through a package: adapt to 20 drawings, answer 20 others.

`python benchmarks/lake_runs.py` puts omniglot-lake to the runs and writes results/lake-runs.md;
`--package` names another package, `--zip` a copy of the file, which is otherwise downloaded once
from where its authors keep it. A run has 20 characters of one evaluation alphabet, one drawing of
each to learn from by one person and one to answer by another, at 105 pixels. The package may have
seen the background alphabets alone (the split `lake`).
"""

from __future__ import annotations

import argparse
import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tables import write_table

import handful
from handful.runtime.tools.evaluate import mean_of
from handful.trainer.data.sources.download import Archive, cache_folder, fetch

BASE = (
    "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/one-shot-classification/"
)
RUNS = Archive("all_runs.zip", "e8996daecdf12afeeb4a53a179f06b19")
# errors in % on these runs, as their authors give them
OTHERS = (
    ("Bayesian program learning", 3.3, "Lake et al. 2015, Science 350"),
    ("people", 4.5, "Lake et al. 2015"),
    ("Siamese network at 105 pixels", 8.0, "Koch et al. 2015"),
    ("prototypical network", 13.7, "Lake et al. 2019, arXiv:1902.03477"),
    ("modified Hausdorff distance", 38.8, "Lake et al. 2015"),
)


class Run(NamedTuple):
    """One run: a drawing of each class, and drawings with the class that is right."""

    name: str
    support: dict[str, list[Image.Image]]
    queries: list[tuple[Image.Image, str]]


def read_runs(file: Path) -> Iterator[Run]:
    """The runs of the zip, in their order."""
    with zipfile.ZipFile(file) as archive:

        def picture(name: str) -> Image.Image:
            return Image.open(io.BytesIO(archive.read(name)))

        for listed in sorted(n for n in archive.namelist() if n.endswith("class_labels.txt")):
            pairs = [line.split() for line in archive.read(listed).decode().splitlines() if line]
            support = {label: [picture(label)] for label in sorted({label for _, label in pairs})}
            queries = [(picture(query), label) for query, label in pairs]
            yield Run(listed.split("/")[0], support, queries)


def count_errors(learner: handful.Learner, run: Run) -> int:
    """How many of a run's drawings the adapted package names wrongly."""
    task = learner.adapt(run.support)
    answers = task.predict([picture for picture, _ in run.queries])
    return sum(answer != label for answer, (_, label) in zip(answers, run.queries, strict=True))


def measure(package: str, file: Path) -> str:
    """The errors of all runs, as Markdown."""
    learner = handful.load(package)
    counts, sizes = [], []
    for run in read_runs(file):
        counts.append(count_errors(learner, run))
        sizes.append(len(run.queries))
    errors, answers = sum(counts), sum(sizes)
    rates = 100 * np.array(counts) / np.array(sizes)
    interval = mean_of(rates).interval
    ours = (f"**{Path(package).name}**", 100 * errors / answers, "this script")
    rows = sorted([*OTHERS, ours], key=lambda row: row[1])
    lines = [
        f"{Path(package).name}: **{errors} of {answers} wrong, {100 * errors / answers:.2f} "
        f"± {interval:.2f} %**; the interval is over the {len(counts)} runs.",
        "",
        "| | error, % | from |",
        "| --- | --- | --- |",
        *(f"| {name} | {error:.{2 if source == 'this script' else 1}f} | {source} |"
          for name, error, source in rows),
        "",
        f"Errors of each run: {', '.join(map(str, counts))}.",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Measure one package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", default="omniglot-lake", help="a package: name or folder")
    parser.add_argument("--zip", type=Path, help="all_runs.zip, where it is at hand")
    options = parser.parse_args()
    warnings.simplefilter("error", handful.InputWarning)
    file = options.zip or fetch(BASE, RUNS, cache_folder() / "omniglot")
    text = measure(options.package, file)
    print(text)
    if options.package == "omniglot-lake":
        write_table("lake-runs", "Lake's one-shot runs", "python benchmarks/lake_runs.py", text)


if __name__ == "__main__":
    main()
