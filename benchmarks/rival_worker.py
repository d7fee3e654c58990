"""Second-order MAML as its users write it with one library: run by benchmarks/rivals.py.

`python rival_worker.py LIBRARY QUERIES STEPS TASKS THREADS` runs in the libraries' environment,
without handful. It writes "ready", and for every line that it reads takes a meta-gradient over
TASKS tasks and writes the seconds that this took.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAY, SIDE, FILTERS, INNER_LR = 5, 28, 64, 0.01
Task = tuple[Tensor, Tensor, Tensor, Tensor]


def network() -> nn.Module:
    """Conv4-64 with pooling, normalised by each batch's own statistics."""
    blocks: list[nn.Module] = []
    for block in range(4):
        blocks += [
            nn.Conv2d(FILTERS if block else 1, FILTERS, 3, padding=1, bias=False),
            nn.BatchNorm2d(FILTERS, eps=1e-3, track_running_stats=False),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(FILTERS, WAY))


def tasks_of(count: int, queries: int) -> list[Task]:
    """5-way 1-shot tasks of random pictures."""
    draw = torch.Generator().manual_seed(1)
    y = torch.arange(WAY)
    return [
        (
            torch.rand(WAY, 1, SIDE, SIDE, generator=draw),
            y,
            torch.rand(WAY * queries, 1, SIDE, SIDE, generator=draw),
            y.repeat(queries),
        )
        for _ in range(count)
    ]


def learn2learn(steps: int) -> Callable[[list[Task]], None]:
    """learn2learn 0.2.0: its MAML wrapper, clone and adapt."""
    # its C extension for data does not build under Python 3.11; its algorithms are plain Python
    package = types.ModuleType("learn2learn")
    package.__path__ = [str(next(Path(sys.prefix).glob("learn2learn-*")) / "learn2learn")]
    algorithms = types.ModuleType("learn2learn.algorithms")
    algorithms.__path__ = [f"{package.__path__[0]}/algorithms"]
    sys.modules |= {"learn2learn": package, "learn2learn.algorithms": algorithms}
    from learn2learn.algorithms.maml import MAML  # pyright: ignore[reportMissingImports]

    model = MAML(network(), lr=INNER_LR, first_order=False)

    def run(tasks: list[Task]) -> None:
        model.zero_grad()
        for x, y, query_x, query_y in tasks:
            learner = model.clone()
            for _ in range(steps):
                learner.adapt(F.cross_entropy(learner(x), y) * WAY)
            torch.autograd.backward(F.cross_entropy(learner(query_x), query_y) / len(tasks))

    return run


def higher(steps: int) -> Callable[[list[Task]], None]:
    """higher 0.2.1: innerloop_ctx."""
    import higher  # pyright: ignore[reportMissingImports]

    model = network()
    inner = torch.optim.SGD(model.parameters(), lr=INNER_LR)

    def run(tasks: list[Task]) -> None:
        model.zero_grad()
        for x, y, query_x, query_y in tasks:
            with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (f, optimiser):
                for _ in range(steps):
                    optimiser.step(F.cross_entropy(f(x), y) * WAY)
                torch.autograd.backward(F.cross_entropy(f(query_x), query_y) / len(tasks))

    return run


def torchopt(steps: int) -> Callable[[list[Task]], None]:
    """TorchOpt 0.7: MetaSGD, whose state is put back after each task, as its MAML example does."""
    import torchopt  # pyright: ignore[reportMissingImports]

    model = network()
    inner = torchopt.MetaSGD(model, lr=INNER_LR)

    def run(tasks: list[Task]) -> None:
        model.zero_grad()
        before = torchopt.extract_state_dict(model, by="reference", detach_buffers=True)
        state = torchopt.extract_state_dict(inner, by="reference")
        for x, y, query_x, query_y in tasks:
            for _ in range(steps):
                inner.step(F.cross_entropy(model(x), y) * WAY)
            torch.autograd.backward(F.cross_entropy(model(query_x), query_y) / len(tasks))
            torchopt.recover_state_dict(model, before)
            torchopt.recover_state_dict(inner, state)

    return run


LIBRARIES = {"learn2learn": learn2learn, "higher": higher, "torchopt": torchopt}


def main() -> None:
    """Answer each line with the seconds of one meta-gradient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    for number in ("queries", "steps", "count", "threads"):
        parser.add_argument(number, type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    tasks = tasks_of(options.count, options.queries)
    run = LIBRARIES[options.library](options.steps)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run(tasks)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
