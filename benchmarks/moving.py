"""What moving a backbone's biases, or crops, gain beyond closed forms: results/moving.md.

`python benchmarks/moving.py DATA BACKBONE`, DATA as for shifts.py, BACKBONE a MobileNetV1's ONNX
file. The last seven blocks move as TinyTL (Cai et al. 2020, arXiv:2007.11622) have it: a
shift for the output of every convolution, by Adam on the loss of each support example under the
class means of the others, every second step on mirrored maps. Answers are

    pooled      ridge regression and class means on pooled features
    places      the same with ridge regression on two maps, in equal parts
    + moved     the same on the moved network added, times min(1, e / 0.15), e the share of the
                support set that the pooled ridge of all other examples gets wrong
    + random    the same on a network moved as far at random, as a control
    + crops     places, with a crop of each support picture as one more example of its class

What is measured again has its rows replaced, and others stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from photo_heads import QUERIES, SEED, WAY, settings
from shifts import COLLECTIONS, pictures
from tables import FOLDER, write_table
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import LabelledSet, load_pictures
from handful.trainer.data.backbone import prepare_pictures
from handful.trainer.data.backbones.layers import PLACES, Layer, read_layers
from handful.trainer.episodes import TaskSize, rows_of
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Support
from handful.trainer.learners.places import Places, PlacesConfig
from handful.trainer.parts.features import class_means, squared_distance, unit_length

BLOCKS, STEPS, RATE, GATE, SCALE, SHOTS = 7, 10, 0.03, 0.15, 10.0, 5
FLOOR = 1e-3  # features after a ReLU6 are often zero, where a root has no slope
ADDED = {"moved": (0, 1, 2), "moved, pooled alone": (0,), "random": (0, 1, 2)}
HEADS = (  # a way to answer, and the one that it is compared with
    ("places", "pooled"),
    ("pooled + moved", "pooled"),
    *((f"places + {added}", "places") for added in (*ADDED, "crops")),
    ("places + moved", "places + random"),
)
CROP = 0.8  # of the side, anywhere
BATCH = 25
AT_ONCE = 20  # tasks, between which the table is written
Key = tuple[str, int, int]
Shares = dict[str, list[float]]  # of right answers in each task, by the way to answer


def cut(path: Path) -> tuple[onnx.ModelProto, list[Layer]]:
    """The graph in front of the last blocks, and their layers."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    layers = read_layers(model, path)
    start = [i for i, layer in enumerate(layers) if layer.depthwise][-BLOCKS]
    front = onnx.utils.Extractor(model).extract_model(
        [model.graph.input[0].name], [layers[start].reads]
    )
    return front, layers[start:]


def maps_of(front: onnx.ModelProto, data: LabelledSet) -> LabelledSet:
    """What the front gives for prepared pictures: maps [M, C, H, W]."""
    session = ort.InferenceSession(front.SerializeToString(), providers=["CPUExecutionProvider"])
    return data.with_features(run(session, data, data.x))


def run(session: Any, data: LabelledSet, x: Tensor) -> Tensor:
    """The front's maps of some of the prepared pictures."""
    name = session.get_inputs()[0].name
    parts = [
        np.asarray(session.run(None, {name: data.as_float(some).numpy()})[0])
        for some in torch.split(x, BATCH)
    ]
    return torch.from_numpy(np.concatenate(parts))


def crop(data: LabelledSet) -> LabelledSet:
    """A crop of each prepared picture [M, C, H, W], as large as the picture again."""
    generator = torch.Generator().manual_seed(SEED)
    side = data.x.shape[-1]
    small = round(CROP * side)
    crops = torch.empty_like(data.x)
    for i, picture in enumerate(data.x):
        top, left = torch.randint(side - small + 1, (2,), generator=generator).tolist()
        part = picture[None, :, top : top + small, left : left + small].float()
        large = F.interpolate(part, (side, side), mode="bilinear", align_corners=False)
        crops[i] = large[0].round().clamp(0, 255).to(torch.uint8)
    return replace(data, x=crops)


class Collection(NamedTuple):
    """What is measured on: maps in front of the moving part, and the unmoved parts."""

    maps: LabelledSet  # [M, C, H, W]
    parts: Tensor  # [M, D]
    crops: Tensor  # [M, D] of a crop of each picture


class Tail:
    """The last blocks in torch, with a shift for each output of a convolution."""

    def __init__(self, layers: list[Layer]) -> None:
        """`layers` are without residuals, as MobileNetV1's, and end in its last map."""
        last = torch.channels_last  # in which the gradients are faster
        self.layers = [
            replace(layer, weight=layer.weight.contiguous(memory_format=last)) for layer in layers
        ]
        self.widths = [len(layer.bias) for layer in layers]
        # the last layer in front of the last stride gives the finer map
        self.finer = max(i for i, layer in enumerate(layers) if layer.stride > 1) - 1

    def __call__(self, x: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features, the last map and the finer one of x [B, C, H, W]."""
        kept, x = [], x.contiguous(memory_format=torch.channels_last)
        for layer, shift in zip(self.layers, torch.split(shifts, self.widths), strict=True):
            x = F.pad(x, [layer.before, layer.after] * 2)
            groups = len(layer.bias) if layer.depthwise else 1
            x = F.conv2d(x, layer.weight, layer.bias + shift, stride=layer.stride, groups=groups)
            x = F.relu6(x)
            kept.append(x)
        return x.mean(dim=(2, 3)), x, kept[self.finer]

    def features(self, x: Tensor, shifts: Tensor) -> Tensor:
        """Pooled features and both maps in windows: [B, D]."""
        pooled, coarse, fine = self(x, shifts)
        return torch.cat([pooled, *(average(x).flatten(1) for x in (coarse, fine))], dim=1)

    @torch.no_grad()
    def parts(self, x: Tensor, shifts: Tensor) -> Tensor:
        """The same of many, without gradients."""
        return torch.cat([self.features(batch, shifts) for batch in torch.split(x, BATCH)])

    def move(self, x: Tensor, y: Tensor, rates: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The shifts that fit a support set x [S, C, H, W], y [S, N] of equal shots.

        And Adam's direction at each step, [steps, shifts]; `rates` are as many, by default RATE.
        """
        shifts = torch.zeros(sum(self.widths), requires_grad=True)
        adam = torch.optim.Adam([shifts], lr=1.0)
        if rates is None:
            rates = torch.full((STEPS, len(shifts)), RATE)
        directions = []
        order = torch.arange(len(y)).reshape(WAY, -1).T.reshape(-1)  # one of each class in turn
        size = min(len(y), SHOTS * WAY)
        for step in range(STEPS):
            rows = order[(step * size + torch.arange(size)) % len(y)]
            batch = x[rows].flip(3) if step % 2 else x[rows]
            loss = left_out_loss(self(batch, shifts)[0], y[rows])
            (shifts.grad,) = torch.autograd.grad(loss, shifts)
            before = shifts.detach().clone()
            adam.step()
            directions.append(before - shifts.detach())
            with torch.no_grad():
                shifts.copy_(before - rates[step] * directions[-1])
        return shifts.detach(), torch.stack(directions)


def average(x: Tensor) -> Tensor:
    """A map [B, C, H, H] in PLACES × PLACES windows, as `with_places` has them."""
    side = x.shape[-1]
    stride = side // PLACES
    return F.avg_pool2d(x, side - (PLACES - 1) * stride, stride=stride)


def left_out_loss(features: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of each example by the class means of the others."""
    z = unit_length((features + FLOOR).sqrt())
    counts = y.sum(dim=0)
    squares = squared_distance(z, class_means(z, y))
    # without itself an example is K / (K − 1) times as far from its class's mean
    alone = (counts / (counts - 1).clamp(min=1)) ** 2
    return F.cross_entropy(-SCALE * torch.where(y > 0, squares * alone, squares), y)


def collect(front: onnx.ModelProto, tail: Tail, prepared: LabelledSet) -> Collection:
    """Everything that does not depend on a task, computed once."""
    still = torch.zeros(sum(tail.widths))
    maps = maps_of(front, prepared)
    crops = tail.parts(maps_of(front, crop(prepared)).x, still)
    return Collection(maps, tail.parts(maps.x, still), crops)


def measure(
    data: Path, backbone: Path, folder: Path, names: list[str], shots: list[int], tasks: int
) -> Iterator[str]:
    """A line for each collection and number of shots, again after every few of the tasks."""
    front, layers = cut(backbone)
    tail = Tail(layers)
    collected = {}
    for name in names:
        config = settings(backbone, pictures(data, name, folder))
        prepared = prepare_pictures(load_pictures(config, "all"), config)
        collected[name] = collect(front, tail, prepared)
    found: dict[tuple[str, int], Shares] = {}
    for first in range(0, tasks, AT_ONCE):
        for shot in shots:
            for name, of in collected.items():
                shares = found.setdefault((name, shot), {})
                some = range(first, min(first + AT_ONCE, tasks))
                answer_tasks(tail, of, TaskSize(WAY, shot, QUERIES), some, tasks, shares)
                yield row(backbone.stem, name, shot, shares)


def answer_tasks(
    tail: Tail, of: Collection, size: TaskSize, some: range, tasks: int, shares: Shares
) -> None:
    """Add each answer's share of right ones in `some` of the tasks."""
    right = torch.arange(WAY).repeat_interleave(size.queries)
    y = torch.eye(WAY).repeat_interleave(size.shot, 0)
    rows = rows_of(of.maps, size, episodes=tasks, seed=SEED)
    for i in some:
        given = answers(tail, of, rows.support[i], y, rows.query[i], seed=i)
        for answer, logits in given.items():
            shares.setdefault(answer, []).append(float((logits.argmax(1) == right).float().mean()))


def row(backbone: str, name: str, shot: int, shares: Shares) -> str:
    """All answers on the same tasks."""
    values = {answer: np.array(of) for answer, of in shares.items()}
    pooled = values["pooled"]
    cells = [backbone, name, str(shot), str(len(pooled)), f"{100 * mean_of(pooled).value:.1f}"]
    for answer, beside in HEADS:
        cells.append(difference(compare(beside, values[answer], values[beside])))
    return f"| {' | '.join(cells)} |"


def answers(
    tail: Tail, of: Collection, support: Tensor, y: Tensor, query: Tensor, *, seed: int
) -> dict[str, Tensor]:
    """Logits [Q, N] of each way to answer for pictures `query` [Q], given those of `support`."""
    x, q = of.maps.x[support], of.maps.x[query]
    shifts, _ = tail.move(x, y)
    generator = torch.Generator().manual_seed(seed)
    away = shifts.square().mean().sqrt() * torch.randn(shifts.shape, generator=generator)
    frozen, error = part_scores(tail, of.parts[support], y, of.parts[query])
    with_crops = torch.cat([of.parts[support], of.crops[support]])
    cropped, _ = part_scores(tail, with_crops, torch.cat([y, y]), of.parts[query])
    moved, random = (
        part_scores(tail, tail.parts(x, at), y, tail.parts(q, at))[0] for at in (shifts, away)
    )
    gate = min(1.0, error / GATE)
    found = {
        "pooled": frozen[0],
        "places": torch.stack(frozen).sum(dim=0),
        "pooled + moved": frozen[0] + gate * moved[0],
        "places + crops": torch.stack(cropped).sum(dim=0),
    }
    for added, parts in ADDED.items():
        scores = random if added == "random" else moved
        more = torch.stack([scores[i] for i in parts]).sum(dim=0)
        found[f"places + {added}"] = found["places"] + gate * more
    return found


def part_scores(tail: Tail, x: Tensor, y: Tensor, q: Tensor) -> tuple[list[Tensor], float]:
    """The scores of each part for q [Q, D], given x [S, D] and y [S, N].

    And the share of the support set that the pooled ridge of the others gets wrong.
    """
    pooled = tail.widths[-1]
    sizes = [pooled, 16 * pooled, x.shape[1] - 17 * pooled]
    learner = Places(
        PlacesConfig(parts=tuple(sizes)), InputSpec(kind="array", shape=(sum(sizes),)), WAY
    )
    params = learner.init(torch.Generator().manual_seed(SEED))
    state = adapt(learner, params, Support(x, y))
    parts = zip(learner.forms.items(), torch.split(q, sizes, dim=1), strict=True)
    scores = [form.predict(params, part(state, prefix), h) for (prefix, form), h in parts]
    first = next(iter(learner.forms.values()))
    _, missed = first.solve_and_leave_out(params, Support(x[:, :pooled], y))
    wrong = (y - missed).argmax(dim=1) != y.argmax(dim=1)
    return scores, float(wrong.float().mean())


def key(line: str) -> Key:
    """The network, the collection and the shots of a row."""
    backbone, name, shot, *_ = line.removeprefix("| ").split(" | ")
    return backbone, list(COLLECTIONS).index(name), int(shot)


def read() -> dict[Key, str]:
    """The rows that were measured before."""
    file = FOLDER / "moving.md"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {key(line): line for line in lines if line.startswith("| mobilenet")}


def write(rows: dict[Key, str]) -> None:
    """All rows there are."""
    heads = [f"{answer} ahead of {beside}" for answer, beside in HEADS]
    text = "\n".join(
        [
            f"{WAY}-way, {QUERIES} queries a class, accuracy in percent and paired differences"
            f" with 95 % intervals; {STEPS} steps.",
            "",
            f"| network | pictures | shot | tasks | pooled, % | {' | '.join(heads)} |",
            "| --- " * (5 + len(heads)) + "|",
            *(rows[at] for at in sorted(rows)),
        ]
    )
    title = "What moving the network, and crops, gain beyond closed forms"
    write_table("moving", title, "python benchmarks/moving.py DATA BACKBONE", text)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path)
    parser.add_argument(
        "--collections", nargs="+", choices=list(COLLECTIONS), default=["spectrograms", "negatives"]
    )
    parser.add_argument("--shots", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    rows = read()
    for line in measure(
        asked.data, asked.backbone, asked.pictures, asked.collections, asked.shots, asked.tasks
    ):
        print(line, flush=True)
        rows[key(line)] = line
        write(rows)


if __name__ == "__main__":
    main()
