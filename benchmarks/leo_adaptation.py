"""LEO's adaptation (5 latent and 5 fine-tuning steps) through the runtime against torch eager."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from tables import write_table
from timing import medians

import handful
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.leo import LEO, LEOConfig

FEATURES, WAY = 640, 5
TARGET_MS, TARGET_RATIO = 0.3, 5.0


def data(classes: int = 40, each: int = 20) -> LabelledSet:
    """Made-up embeddings: a random vector a class, and noise on it."""
    draw = torch.Generator().manual_seed(0)
    means = torch.randn(classes, 1, FEATURES, generator=draw)
    x = means + torch.randn(classes, each, FEATURES, generator=draw)
    names = tuple(f"class {c}" for c in range(classes))
    spec = InputSpec(kind="array", shape=(FEATURES,))
    return LabelledSet(x.flatten(0, 1), torch.full((classes,), each), names, spec)


def export_leo(folder: Path) -> Source:
    """LEO at its start, exported to `folder`."""
    examples = data()
    learner = LEO(LEOConfig(), examples.input, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    params = learner.prepare(params, *examples.take_some(len(examples.x), seed=0))
    source = Source(learner=learner, params=params, test=examples, training={})
    export(source, folder)
    return source


def measure(shot: int, rounds: int, threads: int) -> str:
    """One row: medians in ms of both, after embedding, and their ratio; in turns, and alone."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "leo"
        source = export_leo(package)
        engine = handful.load(package, threads=threads)._engine
    learner, params = source.learner, source.params
    y = torch.eye(WAY).repeat_interleave(shot, dim=0)
    rows = [c * 20 + k for c in range(WAY) for k in range(shot)]
    assert isinstance(source.test, LabelledSet)
    h = learner.embed(params, source.test.x[rows])
    support = Support(h, y)
    x, labels = h.numpy(), y.numpy()

    def in_torch() -> None:
        with torch.no_grad():  # the inner steps then record no more than they need
            adapt(learner, params, support)

    sides = [lambda: engine.adapt(x, labels), in_torch]
    turns = medians(sides, rounds)
    alone = [medians([side], rounds)[0] for side in sides]
    cells = []
    for ours, theirs in (turns, alone):
        cells += [f"{1e3 * ours:.2f}", f"{1e3 * theirs:.2f}", f"{theirs / ours:.1f}"]
    return f"| {shot} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        "| shot | in turns: onnxruntime, ms | the same learner in torch eager, ms | ratio"
        " | alone: onnxruntime, ms | torch, ms | ratio |",
        "|" + " --- |" * 7,
        *(measure(shot, options.rounds, threads=1) for shot in (1, 5)),
    ]
    print("\n".join(rows))
    note = (
        f"LEO, 5 + 5 steps, {FEATURES}-d, {WAY}-way, after embedding, one thread; medians of"
        f" {options.rounds} rounds, in turns, where each finds the caches as the other left them,"
        " and alone."
        f" Targets at 1 shot: {TARGET_MS} ms, {TARGET_RATIO:.0f} ×."
    )
    if not options.dry:
        title = "LEO adapting: onnxruntime and torch"
        text = "\n".join([note, "", *rows])
        write_table("leo-adaptation", title, "python benchmarks/leo_adaptation.py", text)


if __name__ == "__main__":
    main()
