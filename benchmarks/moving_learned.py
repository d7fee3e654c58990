"""Whether a network that moves by learned rates gains beside places: results/moving-learned.md.

`python benchmarks/moving_learned.py DATA BACKBONE`, as moving.py, whose network, loss and heads
these are. There all shifts move by one rate and one gate, both set by hand; here they are
meta-trained: a rate for each convolution, a factor of it for each step, and the weight

    w_l = A_l (1 − exp(−e / E))

of each moved part l, e the share of the support set that the pooled ridge of all other examples
gets wrong. A rate that falls to nothing is a step not taken, so that the number of steps is learned
as well. The query loss of places with the moved network is lowered by Adam over tasks of 3 to 20
shots; its slope in a rate is taken with the inner gradients fixed (first order). Tasks are of the
training classes of each collection of a turn, and the collections measured on had no part in it.
Answers are those of moving.py, and `random` moves each convolution as far as `learned` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from moving import (
    AT_ONCE,
    GATE,
    RATE,
    STEPS,
    Shares,
    Tail,
    cut,
    part_scores,
    run,
)
from photo_heads import QUERIES, SEED, WAY, settings
from shifts import COLLECTIONS, pictures
from tables import FOLDER, write_table
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import LabelledSet, load_pictures
from handful.trainer.data.backbone import prepare_pictures
from handful.trainer.episodes import TaskSize, rows_of

SHOTS = (3, 5, 10, 20)  # of the tasks that rates are trained on
META_RATE = 0.05
AVERAGED = 0.5  # of the meta-steps, the last: their parameters' mean is what is measured
LEAST = 1e-4  # of a feature, where its power has a slope
HEADS = (
    ("places", "pooled"),
    ("places + moved", "places"),
    ("places + learned", "places"),
    ("places + random", "places"),
    ("places + learned", "places + random"),
)


class Rules(NamedTuple):
    """What is meta-trained."""

    layers: Tensor  # log rate of each convolution
    steps: Tensor  # log of each step's factor
    weights: Tensor  # log A of each part
    error: Tensor  # log E

    def rates(self, tail: Tail) -> Tensor:
        """[steps, shifts]."""
        each = (self.layers + self.steps[:, None]).exp()
        return each.repeat_interleave(torch.tensor(tail.widths), dim=1)

    def weigh(self, error: float) -> Tensor:
        """w [parts]."""
        return self.weights.exp() * (1 - (-error * (-self.error).exp()).exp())


def start(tail: Tail) -> Rules:
    """What moving.py has, and its gate made smooth."""
    return Rules(
        torch.full((len(tail.widths),), RATE).log(),
        torch.zeros(STEPS),
        torch.zeros(3),
        torch.tensor(GATE).log(),
    )


class Pictures(NamedTuple):
    """A collection, of whose pictures the maps are computed as tasks ask for them."""

    front: Any  # the session
    data: LabelledSet

    def maps(self, rows: Tensor) -> Tensor:
        """In front of the moving part, [n, C, H, W]."""
        return run(self.front, self.data, self.data.x[rows])


def mix(frozen: list[Tensor], moved: list[Tensor], weights: Tensor) -> Tensor:
    """Logits of both, as large as those of one."""
    both = torch.stack(frozen) + weights[:, None, None] * torch.stack(moved)
    return both.sum(dim=0) / (1 + weights.mean())


def meta_gradient(
    tail: Tail, rules: Rules, x: Tensor, y: Tensor, q: Tensor, right: Tensor
) -> tuple[Rules, float, float]:
    """The slopes of the query loss in the rules, the loss, and how far it is below places'."""
    still = torch.zeros(sum(tail.widths))
    frozen, error = part_scores(tail, tail.parts(x, still), y, tail.parts(q, still))
    rates = rules.rates(tail)
    shifts, taken = tail.move(x, y, rates)
    shifts.requires_grad_()
    weights, unit = (t.clone().requires_grad_() for t in (rules.weights, rules.error))
    both = tail.features(torch.cat([x, q]), shifts).clamp(min=LEAST)
    moved, _ = part_scores(tail, both[: len(x)], y, both[len(x) :])
    logits = mix(frozen, moved, rules._replace(weights=weights, error=unit).weigh(error))
    loss = F.cross_entropy(logits, right)
    slope, *of_weights = torch.autograd.grad(loss, [shifts, weights, unit])
    each = torch.stack(
        [part.sum(dim=1) for part in torch.split(-rates * taken * slope, tail.widths, dim=1)], dim=1
    )  # [steps, layers]
    before = F.cross_entropy(torch.stack(frozen).sum(dim=0), right)
    found = Rules(each.sum(dim=0), each.sum(dim=1), *of_weights)
    return found, float(loss.detach()), float((before - loss).detach())


def meta_train(tail: Tail, sets: list[Pictures], tasks: int) -> Rules:
    """The rules after a meta-step on each of so many tasks, of the sets in turn."""
    rules = Rules(*(t.clone() for t in start(tail)))
    adam = torch.optim.Adam(list(rules), lr=META_RATE, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(SEED)
    kept, gains = [], []
    right = torch.arange(WAY).repeat_interleave(QUERIES)
    for step in range(tasks):
        of = sets[step % len(sets)]
        fit = [shot for shot in SHOTS if int(of.data.counts.min()) >= shot + QUERIES]
        shot = fit[int(torch.randint(len(fit), (), generator=generator))]
        rows = rows_of(of.data, TaskSize(WAY, shot, QUERIES), episodes=1, seed=1 + step)
        y = torch.eye(WAY).repeat_interleave(shot, 0)
        x, q = of.maps(rows.support[0]), of.maps(rows.query[0])
        slopes, loss, gain = meta_gradient(tail, rules, x, y, q, right)
        for value, slope in zip(rules, slopes, strict=True):
            value.grad = slope
        adam.step()
        gains.append(gain)
        print(step, shot, f"{loss:.3f} {gain:+.4f} {np.mean(gains[-20:]):+.4f}", flush=True)
        if step >= AVERAGED * tasks:
            kept.append(Rules(*(t.clone() for t in rules)))
    return Rules(*(torch.stack(values).mean(dim=0) for values in zip(*kept, strict=True)))


def answers(
    tail: Tail, rules: Rules, x: Tensor, y: Tensor, q: Tensor, *, seed: int
) -> dict[str, Tensor]:
    """Logits [Q, N] of each way to answer."""
    still = torch.zeros(sum(tail.widths))
    frozen, error = part_scores(tail, tail.parts(x, still), y, tail.parts(q, still))

    def moved(shifts: Tensor) -> list[Tensor]:
        return part_scores(tail, tail.parts(x, shifts), y, tail.parts(q, shifts))[0]

    generator = torch.Generator().manual_seed(seed)
    learned, _ = tail.move(x, y, rules.rates(tail))
    by_hand, _ = tail.move(x, y)
    random = torch.cat(
        [
            part.square().mean().sqrt() * torch.randn(part.shape, generator=generator)
            for part in torch.split(learned, tail.widths)
        ]
    )
    weights = rules.weigh(error)
    return {
        "pooled": frozen[0],
        "places": torch.stack(frozen).sum(dim=0),
        "places + moved": mix(frozen, moved(by_hand), torch.full((3,), min(1.0, error / GATE))),
        "places + learned": mix(frozen, moved(learned), weights),
        "places + random": mix(frozen, moved(random), weights),
    }


def measure(tail: Tail, rules: Rules, of: Pictures, shot: int, tasks: int) -> Iterator[Shares]:
    """Shares of right answers, after each task."""
    size = TaskSize(WAY, shot, QUERIES)
    rows = rows_of(of.data, size, episodes=tasks, seed=SEED)
    right = torch.arange(WAY).repeat_interleave(QUERIES)
    y = torch.eye(WAY).repeat_interleave(shot, 0)
    shares: Shares = {}
    for i in range(tasks):
        x, q = of.maps(rows.support[i]), of.maps(rows.query[i])
        for answer, logits in answers(tail, rules, x, y, q, seed=i).items():
            shares.setdefault(answer, []).append(float((logits.argmax(1) == right).float().mean()))
        yield shares


def row(cells: list[str], shares: Shares) -> str:
    """All answers on the same tasks."""
    values = {answer: np.array(of) for answer, of in shares.items()}
    pooled = values["pooled"]
    cells = [*cells, str(len(pooled)), f"{100 * mean_of(pooled).value:.1f}"]
    cells += [difference(compare(beside, values[a], values[beside])) for a, beside in HEADS]
    return f"| {' | '.join(cells)} |"


def describe(rules: Rules) -> str:
    """The rules in a line."""
    layers, steps, weights, error = (
        " ".join(f"{v:.3g}" for v in values.exp().reshape(-1).tolist()) for values in rules
    )
    return f"rates {layers}; factors of the steps {steps}; A {weights}; E {error}"


def read(file: Path) -> list[str]:
    """The rows and the rules that were measured before."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [line for line in lines if line.startswith(("| mobilenet", "Trained on"))]


def write(lines: list[str]) -> None:
    """All rows there are, and what was learned."""
    heads = [f"{answer} ahead of {beside}" for answer, beside in HEADS]
    text = "\n".join(
        [
            f"{WAY}-way, {QUERIES} queries a class, accuracy in percent and paired differences"
            f" with 95 % intervals; {STEPS} steps.",
            "",
            "| network | trained on | measured on | shot | tasks | pooled, % |"
            f" {' | '.join(heads)} |",
            "| --- " * (6 + len(heads)) + "|",
            *(line for line in lines if line.startswith("|")),
            "",
            *(f"{line}\n" for line in lines if not line.startswith("|")),
        ]
    )
    title = "Moving the network by learned rates and a learned gate"
    write_table("moving-learned", title, "python benchmarks/moving_learned.py DATA BACKBONE", text)


def main() -> None:
    """Meta-train, measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path)
    kinds = list(COLLECTIONS)
    trained_on, measured_on = ["caltech", "edges", "spectrograms"], ["negatives", "waste"]
    parser.add_argument("--train", nargs="+", choices=kinds, default=trained_on)
    parser.add_argument("--meta-tasks", type=int, default=100)
    parser.add_argument("--measure", nargs="+", choices=kinds, default=measured_on)
    parser.add_argument("--shots", nargs="+", type=int, default=[5])
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    front, layers = cut(asked.backbone)
    tail = Tail(layers)
    session = ort.InferenceSession(front.SerializeToString(), providers=["CPUExecutionProvider"])

    def collection(name: str, split: str) -> Pictures:
        config = settings(asked.backbone, pictures(asked.data, name, asked.pictures, split=split))
        return Pictures(session, prepare_pictures(load_pictures(config, "all"), config))

    rules = meta_train(tail, [collection(name, "train") for name in asked.train], asked.meta_tasks)
    trained = ", ".join(asked.train)
    told = f"Trained on {trained}, {asked.meta_tasks} tasks, {asked.backbone.stem}"
    lines = [x for x in read(FOLDER / "moving-learned.md") if not x.startswith(f"{told}: ")]
    lines.append(f"{told}: {describe(rules)}.")
    for name in asked.measure:
        of = collection(name, "test")
        for shot in asked.shots:
            cells = [asked.backbone.stem, trained, name, str(shot)]
            start_of = f"| {' | '.join(cells)} |"
            for shares in measure(tail, rules, of, shot, asked.tasks):
                done = len(shares["places"])
                if done % AT_ONCE and done < asked.tasks:
                    continue
                line = row(cells, shares)
                print(line, flush=True)
                lines = [x for x in lines if not x.startswith(start_of)]
                lines.append(line)
                write(lines)


if __name__ == "__main__":
    main()
