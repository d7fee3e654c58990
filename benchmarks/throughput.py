"""Meta-training of second-order MAML, tasks a second: torch by hand, ours, ours by workers."""

from __future__ import annotations

import argparse
import statistics

import torch
from by_hand import meta_gradient as by_hand
from by_hand import theta_of
from tables import write_table
from timing import medians

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.training.gradient import meta_gradient, shared_gradient
from handful.trainer.workers import Shape, Workers, workers
from handful.trainer.workers.host import keep_memory

WAY, CHUNK, INNER_LR = 5, 8, 0.01
SPEC = InputSpec(kind="image", shape=(28, 28, 1))
CASES = [(1, 1), (15, 1), (1, 5), (15, 5)]  # queries a class, inner steps


def learner(halving: str, steps: int) -> tuple[MAML, Tensors]:
    """Conv4-64, normalised by each batch's own statistics, as the published MAML is."""
    network = NetworkConfig(halving=halving, normalisation="transductive")  # type: ignore[arg-type]
    maml = MAML(MAMLConfig(network=network, inner_steps=steps, inner_lr=INNER_LR), SPEC, WAY)
    return maml, maml.init(torch.Generator().manual_seed(0))


def episodes(tasks: int, queries: int) -> Episode:
    """5-way 1-shot tasks of random pictures."""
    draw = torch.Generator().manual_seed(1)
    y = torch.eye(WAY).expand(tasks, WAY, WAY)
    support, query = (
        torch.rand(tasks, WAY * each, *SPEC.shape, generator=draw) for each in (1, queries)
    )
    return Episode(
        support, y, query, y.repeat(1, queries, 1), torch.arange(y.shape[-1]).expand(len(y), -1)
    )


def difference(gradients: Tensors, wanted: Tensors) -> float:
    """The largest difference of any entry in torch's layout, relative to the largest of all."""
    largest = max(float(g.abs().max()) for g in wanted.values())
    return max(float((gradients[n].double() - g).abs().max()) for n, g in wanted.items()) / largest


def to_float64(tensors: Tensors) -> Tensors:
    """The same in float64."""
    return {name: t.double() for name, t in tensors.items()}


def differences(
    maml: MAML, params: Tensors, batch: Episode, *, steps: int, stride: int, tasks: int = 4
) -> list[str]:
    """The table's differences, on a few tasks: of float32, and of float64."""
    small_batch = Episode(*(t[:tasks] for t in batch))
    wide = Episode(*(t.double() if t.is_floating_point() else t for t in small_batch))

    def hand(params: Tensors, small_batch: Episode) -> Tensors:
        return by_hand(theta_of(params), small_batch, steps=steps, inner_lr=INNER_LR, stride=stride)

    def ours(params: Tensors, small_batch: Episode) -> list[Tensors]:
        names = tuple(params)
        return [
            theta_of(
                meta_gradient(maml, params, names, small_batch, {}, progress=1.0, chunk=chunk)[0]
            )
            for chunk in (1, tasks)
        ]

    theirs, exact = hand(params, small_batch), hand(to_float64(params), wide)
    single, double = ours(params, small_batch), ours(to_float64(params), wide)
    differences = [
        max(difference(g, theirs) for g in single),
        difference(theirs, exact),
        max(difference(g, exact) for g in single),
        max(difference(g, exact) for g in double),
    ]
    return [f"{value:.0e}" for value in differences]


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="of one process")
    parser.add_argument("--workers", type=int, default=2, help="of one thread each")
    parser.add_argument("--halving", choices=["max", "stride"], default="max")
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()  # as `handful train` does, here for all sides
    with workers(Shape(options.workers, threads=1)) as pool:
        with pool.together():
            pass  # they have started up, before anything is measured
        compare(options, pool)


def compare(options: argparse.Namespace, pool: Workers) -> None:
    """The table."""
    rows = [
        "| queries a class | inner steps | by hand | ours, loop | ours, vmap of 8 | ratio"
        " | workers, loop | workers, vmap of 8 | to by hand | to ours"
        " | float32: ours from by hand | by hand from float64 | ours from float64"
        " | float64: ours from by hand | workers from ours | workers from one of them |",
        "|" + " --- |" * 16,
    ]
    gains = []
    for queries, steps in CASES:
        maml, params = learner(options.halving, steps)
        batch, theta, names = episodes(options.tasks, queries), theta_of(params), tuple(params)
        stride = 2 if options.halving == "stride" else 1

        def torch_loop() -> Tensors:
            return by_hand(theta, batch, steps=steps, inner_lr=INNER_LR, stride=stride)  # noqa: B023

        def ours(chunk: int) -> Tensors:
            return meta_gradient(maml, params, names, batch, {}, progress=1.0, chunk=chunk)[0]  # noqa: B023

        def shared(chunk: int) -> Tensors:
            return shared_gradient(
                pool, maml, params, names, batch, {}, progress=1.0, chunk=chunk  # noqa: B023
            )[0]  # fmt: skip

        all_differences = differences(maml, params, batch, steps=steps, stride=stride)
        by_workers = shared(CHUNK)
        all_differences.append(f"{difference(by_workers, to_float64(ours(CHUNK))):.0e}")
        torch.set_num_threads(1)  # as a worker has it, which adds up in another order than two do
        all_differences.append(f"{difference(by_workers, to_float64(ours(CHUNK))):.0e}")
        torch.set_num_threads(options.threads)
        sides = [lambda: ours(1), lambda: ours(CHUNK), lambda: shared(1), lambda: shared(CHUNK)]
        seconds = medians([torch_loop, *sides], options.rounds)
        hand, *ours_and_shared = (options.tasks / s for s in seconds)
        alone, together = ours_and_shared[:2], ours_and_shared[2:]
        gains.append(max(together) / max(alone))
        cells = [f"{rate:.1f}" for rate in (hand, *alone)]
        cells += [f"{max(alone) / hand:.2f}", *(f"{rate:.1f}" for rate in together)]
        cells.append(f"{max(together) / hand:.2f}")
        cells += [f"{gains[-1]:.2f}", *all_differences]
        rows.append(f"| {queries} | {steps} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    note = (
        f"Tasks a second, 5-way 1-shot, Conv4-64 ({options.halving}), second order, 28×28,"
        f" {options.tasks} tasks, {options.threads} threads, or {options.workers} workers of one"
        f" thread each; medians of {options.rounds} rounds in turns."
        f" The workers' gain over one process, median of the cases: {statistics.median(gains):.2f}."
        " Differences of the meta-gradient, of 4 tasks, relative to its largest entry; the"
        " workers' in float32, of all tasks, from one process of all threads and of one."
    )
    print(note)
    if not options.dry:
        command = f"python benchmarks/throughput.py --halving {options.halving}"
        form = "max-pooled" if options.halving == "max" else "strided"
        title = f"Meta-training of MAML, {form}: tasks a second"
        text = "\n".join([note, "", *rows])
        write_table(f"throughput-{options.halving}", title, command, text)


if __name__ == "__main__":
    main()
