"""Meta-training of LEO on embeddings, tasks a second on one thread: one by one, and by vmap."""

from __future__ import annotations

import argparse

import torch
from leo_adaptation import FEATURES, WAY, data
from tables import write_table
from throughput import CHUNK
from timing import medians

from handful.trainer.episodes import Episode
from handful.trainer.learners.leo import LEO, LEOConfig
from handful.trainer.training.gradient import meta_gradient
from handful.trainer.workers.host import keep_memory

TASKS, QUERIES = 16, (1, 15)


def episodes(queries: int) -> Episode:
    """5-way 1-shot tasks of random directions."""
    draw = torch.Generator().manual_seed(1)
    y = torch.eye(WAY).expand(TASKS, WAY, WAY)
    x = torch.randn(TASKS, WAY * (1 + queries), FEATURES, generator=draw)
    x = x / x.norm(dim=-1, keepdim=True)
    classes = torch.arange(WAY).expand(TASKS, -1)
    return Episode(x[:, :WAY], y, x[:, WAY:], y.repeat(1, queries, 1), classes)


def measure(queries: int, rounds: int) -> str:
    """One row."""
    examples = data()
    learner = LEO(LEOConfig(), examples.input, WAY)
    params = learner.init(torch.Generator().manual_seed(0))
    params = learner.prepare(params, *examples.take_some(len(examples.x), seed=0))
    names = tuple(name for name in params if not learner.is_frozen(name))
    tasks = episodes(queries)
    noise = learner.training_noise(tasks, torch.Generator().manual_seed(2))

    def gradient(chunk: int) -> None:
        meta_gradient(learner, params, names, tasks, noise, progress=1.0, chunk=chunk)

    loop, vmap = (
        TASKS / s for s in medians([lambda: gradient(1), lambda: gradient(CHUNK)], rounds)
    )
    return f"| {queries} | {loop:.0f} | {vmap:.0f} | {vmap / loop:.1f} |"


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    rows = [
        f"| queries a class | loop | vmap of {CHUNK} | ratio |",
        "| --- | --- | --- | --- |",
        *(measure(queries, options.rounds) for queries in QUERIES),
    ]
    note = (
        f"Tasks a second of LEO's meta-gradient, {FEATURES}-d, {WAY}-way 1-shot, 5 + 5 steps,"
        f" {TASKS} tasks, one thread; medians of {options.rounds} rounds in turns."
    )
    text = "\n".join([note, "", *rows])
    print(text)
    if not options.dry:
        title = "LEO's meta-training: loop and vmap"
        write_table("leo-training", title, "python benchmarks/leo_training.py", text)


if __name__ == "__main__":
    main()
