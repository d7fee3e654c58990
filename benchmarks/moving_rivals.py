"""What others fine-tune, beside places on the same tasks: results/moving-rivals.md.

`python benchmarks/moving_rivals.py DATA BACKBONE`, as moving.py, whose tasks these are. Of the last
seven blocks of a MobileNetV1, each in its paper's form as far as a frozen front and a CPU allow:

    tail    weights and biases of the last two blocks and a linear head that starts at class means,
            by Adam on the support set's cross-entropy, 20 steps: plain fine-tuning
    P>M>F   all weights and biases, by Adam, 20 steps: class means of the support set classify
            mirrored crops of it (Hu et al. 2022, arXiv:2204.07305; there 50 steps and a network
            that was meta-trained; its rate is chosen on each task's domain)
    TSA     a residual 1 × 1 convolution beside each convolution and a linear map behind, by
            Adadelta, 40 steps, the nearest class mean by cosine (Li et al. 2022, arXiv:2107.00358)
    shifts  biases alone: TinyTL's part that needs no activations (Cai et al. 2020), as in moving.py

Each answers by its own head, and is also added to places, as much as these. Of two rates of P>M>F
and of TSA, the second a tenth of the first, the better on these tasks of spectrograms is taken;
the tail has one, set by hand. `--scale` multiplies them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from moving import SCALE, Shares, Tail, crop, cut, part_scores, run
from photo_heads import QUERIES, SEED, WAY, settings
from shifts import COLLECTIONS, pictures
from tables import write_table
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import load_pictures
from handful.trainer.data.backbone import prepare_pictures
from handful.trainer.data.backbones.layers import Layer
from handful.trainer.episodes import TaskSize, rows_of
from handful.trainer.parts.features import class_means, unit_length

RATES = {"tail": 1e-3, "P>M>F": 1e-3, "TSA": 0.1}
TUNED = 20  # steps of tail and P>M>F
ADAPTERS = 40  # of TSA
CROPS = 2  # of each support picture, in P>M>F
# of the layers, maps x [S, C, H, W], y [S, N], maps q [Q, C, H, W], those of crops, and the rate
Rival = Callable[[Sequence[Layer], Tensor, Tensor, Tensor, Tensor, float], Tensor]


def forward(
    layers: Sequence[Layer], x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor],
    beside: Sequence[Tensor] = (),
) -> Tensor:  # fmt: skip
    """Pooled features of maps, the residual convolutions `beside` each where there are some."""
    for i, layer in enumerate(layers):
        padded = F.pad(x, [layer.before, layer.after] * 2)
        groups = len(layer.bias) if layer.depthwise else 1
        y = F.conv2d(padded, weights[i], biases[i], stride=layer.stride, groups=groups)
        if beside:
            y = y + F.conv2d(x, beside[i], stride=layer.stride)
        x = F.relu6(y)
    return x.mean(dim=(2, 3))


def descend(moved: list[Tensor], optimiser: torch.optim.Optimizer, loss: Callable[[], Tensor],
            steps: int) -> None:  # fmt: skip
    """So many steps of the optimiser."""
    for _ in range(steps):
        for value, slope in zip(moved, torch.autograd.grad(loss(), moved), strict=True):
            value.grad = slope
        optimiser.step()


def free(values: Sequence[Tensor]) -> list[Tensor]:
    """Copies that move."""
    return [value.clone().requires_grad_() for value in values]


def nearest(z: Tensor, y: Tensor, q: Tensor) -> Tensor:
    """Logits by the class means of z, by cosine."""
    return SCALE * unit_length(q) @ unit_length(class_means(unit_length(z), y)).T


def tail(
    layers: Sequence[Layer], x: Tensor, y: Tensor, q: Tensor, crops: Tensor, rate: float
) -> Tensor:
    """Plain fine-tuning of the last two blocks and a head."""
    still = [layer.weight for layer in layers], [layer.bias for layer in layers]
    front, last = layers[:-4], layers[-4:]
    with torch.no_grad():
        ahead = [_maps(front, maps) for maps in (x, q)]
        z = unit_length(forward(last, ahead[0], still[0][-4:], still[1][-4:]))
    weights, biases = free(still[0][-4:]), free(still[1][-4:])
    (head,) = free([SCALE * unit_length(class_means(z, y))])
    moved = [*weights, *biases, head]

    def logits(maps: Tensor) -> Tensor:
        return unit_length(forward(last, maps, weights, biases)) @ head.T

    descend(
        moved, torch.optim.Adam(moved, rate), lambda: F.cross_entropy(logits(ahead[0]), y), TUNED
    )
    return logits(ahead[1]).detach()


def _maps(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """Maps behind some of the layers."""
    for layer in layers:
        x = F.pad(x, [layer.before, layer.after] * 2)
        groups = len(layer.bias) if layer.depthwise else 1
        x = F.relu6(F.conv2d(x, layer.weight, layer.bias, stride=layer.stride, groups=groups))
    return x


def augmented(
    layers: Sequence[Layer], x: Tensor, y: Tensor, q: Tensor, crops: Tensor, rate: float
) -> Tensor:
    """P>M>F: class means of the support set classify other views of it."""
    weights = free([layer.weight for layer in layers])
    biases = free([layer.bias for layer in layers])
    moved = [*weights, *biases]
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.arange(len(y))

    def loss() -> Tensor:
        which = torch.randint(len(crops) // len(y), (len(y),), generator=generator)
        views = crops[which * len(y) + rows]
        mirrored = torch.rand(len(y), generator=generator) < 0.5
        views = torch.where(mirrored[:, None, None, None], views.flip(3), views)
        z = forward(layers, torch.cat([x, views]), weights, biases)
        return F.cross_entropy(nearest(z[: len(y)], y, z[len(y) :]), y)

    descend(moved, torch.optim.Adam(moved, rate), loss, TUNED)
    with torch.no_grad():
        return nearest(forward(layers, x, weights, biases), y, forward(layers, q, weights, biases))


def adapters(
    layers: Sequence[Layer], x: Tensor, y: Tensor, q: Tensor, crops: Tensor, rate: float
) -> Tensor:
    """TSA: residual convolutions and a linear map behind."""
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    channels = [(len(layer.bias), _inputs(layer)) for layer in layers]
    beside = free([torch.zeros(outputs, inputs, 1, 1) for outputs, inputs in channels])
    (behind,) = free([torch.eye(channels[-1][0])])
    moved = [*beside, behind]

    def features(maps: Tensor) -> Tensor:
        return forward(layers, maps, weights, biases, beside) @ behind

    def loss() -> Tensor:
        z = features(x)
        return F.cross_entropy(nearest(z, y, z), y)

    descend(moved, torch.optim.Adadelta(moved, rate), loss, ADAPTERS)
    with torch.no_grad():
        return nearest(features(x), y, features(q))


def _inputs(layer: Layer) -> int:
    return len(layer.bias) if layer.depthwise else layer.weight.shape[1]


def shifts(whole: Tail, x: Tensor, y: Tensor, q: Tensor) -> Tensor:
    """Biases alone, by moving.py's loss."""
    moved, _ = whole.move(x, y)
    with torch.no_grad():
        return nearest(whole(x, moved)[0], y, whole(q, moved)[0])


RIVALS: dict[str, Rival] = {"tail": tail, "P>M>F": augmented, "TSA": adapters}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path)
    parser.add_argument(
        "--collections", nargs="+", choices=list(COLLECTIONS), default=["negatives", "spectrograms"]
    )
    parser.add_argument("--shots", nargs="+", type=int, default=[5])
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    parser.add_argument("--dry", action="store_true", help="write no file")
    parser.add_argument("--scale", type=float, default=1.0, help="of the rates, to choose them by")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    front, layers = cut(asked.backbone)
    session = ort.InferenceSession(front.SerializeToString(), providers=["CPUExecutionProvider"])
    whole = Tail(layers)
    names = ["class means", "shifts", *RIVALS]
    head = ["pictures", "shot", "tasks", "places, %", *(f"{n} ahead of places" for n in names)]
    head += [f"places + {n} ahead of places" for n in names[1:]]
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    right = torch.arange(WAY).repeat_interleave(QUERIES)
    for name in asked.collections:
        config = settings(asked.backbone, pictures(asked.data, name, asked.pictures))
        data = prepare_pictures(load_pictures(config, "all"), config)
        for shot in asked.shots:
            rows = rows_of(data, TaskSize(WAY, shot, QUERIES), episodes=asked.tasks, seed=SEED)
            y = torch.eye(WAY).repeat_interleave(shot, 0)
            shares: Shares = {}
            for i in range(asked.tasks):
                pixels = data.x[rows.support[i]]
                x, q = (run(session, data, data.x[at[i]]) for at in (rows.support, rows.query))
                some = replace(data, x=pixels.repeat(CROPS, 1, 1, 1))
                crops = run(session, data, crop(some).x)
                still = torch.zeros(sum(whole.widths))
                own, _ = part_scores(whole, whole.parts(x, still), y, whole.parts(q, still))
                places = torch.stack(own).sum(dim=0)
                with torch.no_grad():
                    z = [whole(maps, still)[0] for maps in (x, q)]
                found = {"class means": nearest(z[0], y, z[1]), "shifts": shifts(whole, x, y, q)}
                for rival, tune in RIVALS.items():
                    rate = asked.scale * RATES[rival]
                    found[rival] = tune(whole.layers, x, y, q, crops, rate)
                found |= {f"places + {n}": _sum(places, found[n]) for n in names[1:]}
                for answer, logits in {"places": places, **found}.items():
                    hit = float((logits.argmax(dim=1) == right).float().mean())
                    shares.setdefault(answer, []).append(hit)
            values = {answer: np.array(of) for answer, of in shares.items()}
            cells = [name, str(shot), str(asked.tasks)]
            cells.append(f"{100 * mean_of(values['places']).value:.1f}")
            cells += [
                difference(compare("", values[answer], values["places"]))
                for answer in (*names, *(f"places + {n}" for n in names[1:]))
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    text = (
        f"{WAY}-way, {QUERIES} queries a class, {asked.backbone.stem}, points on the same tasks"
        " with 95 % intervals. Places are two maps that count alike, beside pooled features. Rates:"
        f" {', '.join(f'{name} {rate:g}' for name, rate in RATES.items())}.\n\n"
    )
    if not asked.dry:
        title = "What others fine-tune, beside places"
        command = "python benchmarks/moving_rivals.py DATA BACKBONE"
        write_table("moving-rivals", title, command, text + "\n".join(lines))


def _sum(places: Tensor, other: Tensor) -> Tensor:
    """Probabilities of both, alike."""
    return places.softmax(dim=1) + other.softmax(dim=1)


if __name__ == "__main__":
    main()
