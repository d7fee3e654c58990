"""Lake's twenty official one-shot runs through a package: adapt to 20 drawings, answer 20 others.

`python benchmarks/lake_runs.py --record` puts omniglot-lake to the runs, and writes the result into
its card and results/lake-runs.md; `--package` names another package, `--zip` a copy of the file,
which is otherwise downloaded once from where its authors keep it. A run has 20 characters of one
evaluation alphabet, one drawing of each to learn from by one person and one to answer by another,
at 105 pixels. The package may have seen the background alphabets alone (the split `lake`).
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
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Evaluation
from handful.runtime.package.read import find
from handful.runtime.tools.evaluate import Mean, mean_of
from handful.trainer.data.sources.download import Archive, cache_folder, fetch
from handful.trainer.export.card import markdown_table
from handful.trainer.export.package import with_evaluation

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


class Errors(NamedTuple):
    """What a package makes of the runs: its errors in each, and how many answers that were."""

    counts: list[int]
    answers: int

    @property
    def rate(self) -> Mean:
        """The share of answers that are wrong ± 95 %, over runs, whose answers share two people."""
        return mean_of(np.array(self.counts) * len(self.counts) / self.answers)


def measure(package: str, file: Path) -> Errors:
    """Adapt and answer in every run."""
    learner = handful.load(package)
    runs = list(read_runs(file))
    counts = [count_errors(learner, run) for run in runs]
    return Errors(counts, sum(len(run.queries) for run in runs))


def describe(name: str, found: Errors) -> str:
    """The errors of a package beside those of others, as Markdown."""
    percent, interval = (100 * value for value in found.rate)
    ours = (f"**{name}**", f"{percent:.2f}", "this script")
    others = [(who, f"{error:.1f}", source) for who, error, source in OTHERS]
    rows = sorted([*others, ours], key=lambda row: float(row[1]))
    return "\n".join(
        [
            f"{name}: **{sum(found.counts)} of {found.answers} wrong, {percent:.2f} ±"
            f" {interval:.2f} %**; the interval is over the {len(found.counts)} runs.",
            "",
            markdown_table(("", "error, %", "from"), rows),
            "",
            f"Errors of each run: {', '.join(map(str, found.counts))}.",
        ]
    )


def record(folder: Path, found: Errors) -> None:
    """Put the result into the package's manifest and card, in place of an earlier one."""
    manifest = read_manifest(folder)
    row = Evaluation(
        data="Lake's one-shot runs",
        split="official",
        way=20,
        shot=1,
        episodes=len(found.counts),
        accuracy=round(1 - found.rate.value, 6),
        interval=round(found.rate.interval, 6),
    )
    kept = [e for e in manifest.evaluation if e.data != row.data]
    with_evaluation(folder, manifest, [*kept, row], manifest.confidence)


def main() -> None:
    """Measure one package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", default="omniglot-lake", help="a package: name or folder")
    parser.add_argument("--zip", type=Path, help="all_runs.zip, where it is at hand")
    parser.add_argument("--record", action="store_true", help="into its card and results/")
    options = parser.parse_args()
    warnings.simplefilter("error", handful.InputWarning)
    file = options.zip or fetch(BASE, RUNS, cache_folder() / "omniglot")
    found = measure(options.package, file)
    text = describe(Path(options.package).name, found)
    print(text)
    if options.record:
        record(find(options.package), found)
        write_table(
            "lake-runs", "Lake's one-shot runs", "python benchmarks/lake_runs.py --record", text
        )


if __name__ == "__main__":
    main()
