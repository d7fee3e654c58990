"""How the parts of places are weighed, on what that was chosen from: results/parts.md.

`python benchmarks/parts.py DATA BACKBONE`, DATA and BACKBONE as for photo_heads.py. The weight of a
part is b (m₀ / m)^(τ (1 − 1/K)), see trainer/learners/places.py; two maps of equal weight are what
every other rule is compared with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from photo_heads import QUERIES, SEED, WAY, apply_metric, behind, over_tasks, places, settings
from shifts import pictures
from tables import write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import LabelledSet, load_pictures
from handful.trainer.data.backbone import embed_pictures
from handful.trainer.episodes import Episode, TaskSize
from handful.trainer.form.stage import Support

SHOTS = (1, 2, 5, 20)
TASKS = 150
CHOSEN_ON = (("caltech", "val"), ("spectrograms", "test"), ("edges", "test"), ("waste", "test"))
Rule = Callable[[float], tuple[float, float]]  # of 1 − 1/K: the third map's b, and the power
RULES: dict[str, Rule] = {
    "two maps, alike": lambda some: (0.0, 0.0),
    "two maps, τ = 6": lambda some: (0.0, 6 * some),
    "three maps, alike": lambda some: (1.0, 0.0),
    "three, τ = 6": lambda some: (1.0, 6 * some),
    "three, b = 1 − 1/K, τ = 6": lambda some: (some, 6 * some),
    "three, b = (1 − 1/K)², τ = 6": lambda some: (some**2, 6 * some),
    "three, b = (1 − 1/K)², τ = 8": lambda some: (some**2, 8 * some),
}


def accuracies(data: LabelledSet, sizes: tuple[int, ...], shot: int, tasks: int) -> Array:
    """Of the pooled features alone, then of each rule, on each task: [E, 1 + rules]."""
    learner = places(sizes)
    params = learner.init(torch.Generator().manual_seed(SEED))

    def right(episode: Episode) -> Tensor:
        scores, squares = [], []
        split = (torch.split(x, list(sizes), dim=1) for x in (episode.support_x, episode.query_x))
        for form, x, q in zip(learner.forms.values(), *split, strict=True):
            solved, missed = form.solve_and_leave_out(params, Support(x, episode.support_y))
            scores.append(form.predict(params, solved, q))
            squares.append(missed.square().mean())
        found = [scores[0]]
        for rule in RULES.values():
            base, power = rule(1 - 1 / shot)
            weights = torch.stack([(squares[0] / m) ** power for m in squares])
            weights = weights * torch.tensor([1.0, 1.0, 1.0, base])
            found.append((weights[:, None, None] * torch.stack(scores)).sum(dim=0))
        wanted = episode.query_y.argmax(dim=1)
        return torch.stack([(f.argmax(dim=1) == wanted).float().mean() for f in found])

    size = TaskSize(WAY, shot, QUERIES)
    return over_tasks(right, data, size, tasks)


def rows(
    data: Path, file: Path, parts: tuple[int, ...], name: str, split: str, tasks: int
) -> list[str]:
    """A row for each number of shots."""
    config = settings(file, pictures(data, name, file.parent, split=split))
    embedded, sizes = apply_metric(embed_pictures(load_pictures(config, "all"), config), parts)
    lines = []
    for shot in SHOTS:
        if int(embedded.counts.min()) < shot + QUERIES:
            continue
        pooled, alike, *others = accuracies(embedded, sizes, shot, tasks).T
        cells = [name if split == "test" else f"{name}, {split}", str(shot)]
        cells += [f"{100 * mean_of(pooled).value:.1f}", difference(compare("", alike, pooled))]
        cells += [difference(compare("", other, alike)) for other in others]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    file, parts = behind(asked.backbone, asked.pictures)
    head = ["", "shot", "pooled, %", "two maps alike ahead of pooled", *list(RULES)[1:]]
    table = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    for name, split in CHOSEN_ON:
        table += rows(asked.data, file, parts, name, split, asked.tasks)
    note = (
        f"{WAY}-way, {QUERIES} queries a class, {asked.tasks} tasks, {asked.backbone.stem}; points"
        " ahead of two maps that count alike, on the same tasks, with 95 % intervals."
    )
    title = "How the parts of places are weighed"
    text = "\n".join([note, "", *table])
    write_table("parts", title, "python benchmarks/parts.py DATA BACKBONE", text)


if __name__ == "__main__":
    main()
