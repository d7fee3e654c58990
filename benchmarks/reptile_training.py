"""Reptile's meta-step, CPU seconds on one thread: plain torch, ours one task at a time, by vmap."""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
import torch.nn.functional as F
from tables import write_table
from throughput import SPEC, WAY, difference
from timing import durations
from torch import Tensor, nn

from handful.trainer.episodes import Episode
from handful.trainer.form.learner import part
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.reptile import Reptile, ReptileConfig
from handful.trainer.operations.normalise import EPSILON
from handful.trainer.training.gradient import meta_gradient
from handful.trainer.workers.host import keep_memory

TASKS, SHOT, FILTERS = 5, 10, 64  # the authors' meta-step for 5-way Omniglot


def episodes() -> Episode:
    """5-way 10-shot tasks of random pictures."""
    draw = torch.Generator().manual_seed(1)
    y, query_y = (torch.eye(WAY).repeat_interleave(n, dim=0) for n in (SHOT, 1))
    x, query_x = (torch.rand(TASKS, len(y), *SPEC.shape, generator=draw) for y in (y, query_y))
    classes = torch.arange(WAY).expand(TASKS, -1)
    return Episode(x, y.expand(TASKS, -1, -1), query_x, query_y.expand(TASKS, -1, -1), classes)


def module(theta: Tensors) -> nn.Sequential:
    """Conv4 of torch's own modules, with the weights of θ."""
    layers: list[nn.Module] = []
    inputs = SPEC.shape[2]
    for block in range(4):
        conv = nn.Conv2d(inputs, FILTERS, 3, stride=2, padding=1, bias=False)
        norm = nn.BatchNorm2d(FILTERS, eps=EPSILON, track_running_stats=False)
        weight = theta[f"conv{block}.weight"].reshape(3, 3, inputs, FILTERS)
        conv.weight.data = weight.permute(3, 2, 0, 1).contiguous()
        norm.weight.data = theta[f"conv{block}.gamma"].clone()
        norm.bias.data = theta[f"conv{block}.beta"].clone()
        layers += [conv, norm, nn.ReLU()]
        inputs = FILTERS
    head = nn.Linear(4 * FILTERS, WAY)
    rows = theta["head.weight"].reshape(2, 2, FILTERS, WAY)  # ours by pixel, torch's by channel
    head.weight.data = rows.permute(3, 2, 0, 1).reshape(WAY, -1).contiguous()
    head.bias.data = theta["head.bias"].clone()
    network = nn.Sequential(*layers, nn.Flatten(), head)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def plain(start: nn.Sequential, batch: Episode, config: ReptileConfig) -> list[Tensor]:
    """The mean over tasks of θ − θ′, by modules and torch's Adam; its ε alone is another."""
    total = [torch.zeros_like(p) for p in start.parameters()]
    for images, one_hot in zip(batch.support_x, batch.support_y, strict=True):
        network = copy.deepcopy(start)
        betas = (0.0, config.second_moment)
        adam = torch.optim.Adam(network.parameters(), lr=config.inner_lr, betas=betas, eps=1e-8)
        # as many of each class in every batch, in the order that ours has
        order = torch.arange(len(one_hot)).reshape(WAY, SHOT).t().reshape(-1)
        x = images[order].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        y = one_hot[order].argmax(dim=1)
        for rows in torch.arange(len(y)).split(config.batch):  # type: ignore[no-untyped-call]
            adam.zero_grad()
            F.cross_entropy(network(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
            adam.step()
        for sum_, before, after in zip(
            total, start.parameters(), network.parameters(), strict=True
        ):
            sum_ += (before.detach() - after.detach()) / TASKS
    return total


def main() -> None:
    """Print the table and write results/reptile-training.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dry", action="store_true", help="leave the table as it is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    learner, batch = Reptile(ReptileConfig(), SPEC, WAY), episodes()
    params = learner.init(torch.Generator().manual_seed(0))
    names = tuple(name for name in params if not learner.is_frozen(name))
    start = module(part(params, "theta."))

    def ours(chunk: int) -> Tensors:
        return meta_gradient(learner, params, names, batch, {}, progress=0.0, chunk=chunk)[0]

    sides = [lambda: plain(start, batch, learner.config), lambda: ours(1), lambda: ours(TASKS)]
    seconds = durations(sides, options.rounds, time.process_time)
    hand, loop, vmap = (statistics.median(each) for each in seconds)
    ratios = [statistics.median(b / a for a, b in zip(seconds[0], s, strict=True)) for s in seconds]
    # in float32, Adam's first steps turn the rounding of slopes near zero into whole steps
    params = {name: value.double() for name, value in params.items()}
    batch = Episode(*(t.double() if t.is_floating_point() else t for t in batch))
    apart = difference(ours(1), ours(TASKS))
    rows = [
        "| plain torch, s | ours, loop | ours, vmap | loop / plain | vmap / plain"
        " | float64: loop from vmap |",
        "|" + " --- |" * 6,
        f"| {hand:.3f} | {loop:.3f} | {vmap:.3f} | {ratios[1]:.2f} | {ratios[2]:.2f}"
        f" | {apart:.0e} |",
    ]
    note = (
        f"CPU seconds of one meta-step on one thread, {TASKS} tasks of {learner.config.inner_steps}"
        f" inner steps, {WAY}-way, batches of {learner.config.batch}, strided Conv4-{FILTERS};"
        f" medians of {options.rounds} rounds in turns, of the ratios too."
    )
    text = "\n".join([note, "", *rows])
    print(text)
    if not options.dry:
        write_table(
            "reptile-training", "Reptile's meta-step", "python benchmarks/reptile_training.py", text
        )


if __name__ == "__main__":
    main()
