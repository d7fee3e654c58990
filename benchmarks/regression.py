"""Packages that learn functions, step by step, beside what anybody would try first.

`python benchmarks/regression.py PACKAGE...`: packages trained on sinusoids or on sensors.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import torch
from tables import write_table
from torch import Tensor

from handful.runtime.arrays import Array
from handful.runtime.package.read import find
from handful.runtime.tools.text import difference, mean, value
from handful.trainer.data.functions import load_functions
from handful.trainer.episodes import EpisodeSource, TaskSize
from handful.trainer.evaluation import Result, summarise
from handful.trainer.evaluation.accuracy import earlier_steps
from handful.trainer.evaluation.packages import MeasuredPackage, package_errors
from handful.trainer.evaluation.yardsticks import Fits
from handful.trainer.workers import Shape, workers

SHOTS, QUERIES, EPISODES, SEED = (5, 10, 20), 100, 1000, 0
HIDDEN, RATE, CHECKED = (40, 40), 0.01, (100, 300, 1000)  # of the network trained from scratch


def from_scratch(source: EpisodeSource, size: TaskSize) -> dict[str, Array]:
    """The errors [E] of a network of the package's size that sees the support set alone.

    Each task has its own, trained by Adam on all of the support set; it is looked at after several
    numbers of steps, of which a device could not know the best.
    """
    generator = torch.Generator().manual_seed(SEED)
    drawn = [source.episodes(size, tasks=1, generator=generator) for _ in range(EPISODES)]
    x, y, query_x, query_y = (torch.cat([e[i] for e in drawn]) for i in range(4))
    sizes = (x.shape[-1], *HIDDEN, y.shape[-1])
    weights = [
        (torch.randn(len(x), a, b, generator=generator) * (2 / a) ** 0.5).requires_grad_()
        for a, b in pairwise(sizes)
    ]
    biases = [torch.zeros(len(x), 1, b, requires_grad=True) for b in sizes[1:]]

    def outputs(h: Tensor) -> Tensor:
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            h = torch.relu(h @ weight + bias)
        last: Tensor = h @ weights[-1] + biases[-1]
        return last

    adam = torch.optim.Adam([*weights, *biases], lr=RATE)
    errors = {}
    for step in range(1, max(CHECKED) + 1):
        adam.zero_grad()
        torch.autograd.backward(((outputs(x) - y) ** 2).mean(dim=(1, 2)).sum())
        adam.step()
        if step in CHECKED:
            with torch.no_grad():
                error = ((outputs(query_x) - query_y) ** 2).mean(dim=(1, 2))
            errors[f"a network trained from scratch, {step} steps"] = error.double().numpy()
    return errors


def row(name: str, cells: list[str]) -> str:
    """A line of the table."""
    return f"| {' | '.join([name, *cells])} |"


def table(package: str) -> list[str]:
    """The package's error at each size, and beside it what it has to beat, paired."""
    loaded = MeasuredPackage(find(package))
    manifest = loaded.package.manifest
    source = load_functions(manifest.training["config"]["data"]["source"])
    results = [measure(loaded, source, TaskSize(1, shot, QUERIES)) for shot in SHOTS]
    lines = [
        row(f"{manifest.name}: mean squared error", [str(r.size) for r in results]),
        row("---", ["---"] * len(results)),
        row("**all inner steps**", [f"**{mean(r)}**" for r in results]),
    ]
    for others in zip(*(r.compared for r in results), strict=True):
        lines.append(row(others[0].name, [f"{value(o)} ({difference(o)})" for o in others]))
    return lines


def measure(loaded: MeasuredPackage, source: EpisodeSource, size: TaskSize) -> Result:
    """The package on the tasks of the seed, beside fits, networks from scratch and fewer steps."""
    with workers(Shape()) as pool:
        after = package_errors(
            loaded,
            source,
            size,
            episodes=EPISODES,
            seed=SEED,
            every_step=True,
            tick=lambda: None,
            workers=pool,
        )
    fits = Fits(source).measure(size, episodes=EPISODES, seed=SEED)
    against = {**fits, **from_scratch(source, size), **earlier_steps(after)}
    return summarise(after[:, -1], size, task="regression", against=against)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE")
    names = parser.parse_args().packages
    lines = [
        f"Mean squared error on {EPISODES} functions, {QUERIES} queries each, through the exported"
        " package; in brackets by how much the package is below it after all inner steps, ± the"
        " 95 % interval of the paired difference."
    ]
    for name in names:
        lines += ["", *table(name)]
    title = "Functions: packages that calibrate and fit"
    command = f"python benchmarks/regression.py {' '.join(names)}"
    write_table("regression", title, command, "\n".join(lines))


if __name__ == "__main__":
    main()
