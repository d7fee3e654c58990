"""What moving a backbone's biases gains beyond closed forms: results/moving.md.

`python benchmarks/moving.py DATA BACKBONE`, DATA as for shifts.py, BACKBONE a MobileNetV1's ONNX
file. The last seven blocks move as TinyTL (Cai et al. 2020, arXiv:2007.11622) have it: a
shift for the output of every convolution, by Adam on the loss of each support example under the
class means of the others, every second step on mirrored maps. Answers are

    pooled      ridge regression and class means on pooled features
    places      the same with ridge regression on two maps: the head of `handful photos`
    + moved     the same on the moved network added, times min(1, e / 0.15), e the share of the
                support set that the pooled ridge of all other examples gets wrong
    + random    the same on a network moved as far at random, as a control
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from photo_heads import QUERIES, SEED, WAY, settings
from shifts import COLLECTIONS, pictures
from tables import write_table
from torch import Tensor

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.evaluate import compare, mean_of
from handful.runtime.tools.text import difference
from handful.trainer.data import LabelledSet, load_pictures
from handful.trainer.data.backbone import prepare_pictures
from handful.trainer.data.backbones.layers import Layer, read_layers
from handful.trainer.episodes import TaskSize, rows_of
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Support
from handful.trainer.learners.places import Places, PlacesConfig
from handful.trainer.parts.features import class_means, squared_distance, unit_length

BLOCKS, STEPS, RATE, GATE, SCALE, SHOTS = 7, 6, 0.03, 0.15, 10.0, 5
FLOOR = 1e-3  # features after a ReLU6 are often zero, where a root has no slope
ADDED = {"moved": (0, 1, 2), "moved, pooled alone": (0,), "random": (0, 1, 2)}
BATCH = 25
NAMES = ["spectrograms", "edges", "waste", "caltech"]


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
    name = session.get_inputs()[0].name
    parts = [
        np.asarray(session.run(None, {name: data.as_float(x).numpy()})[0])
        for x in torch.split(data.x, BATCH)
    ]
    return data.with_features(torch.from_numpy(np.concatenate(parts)))


class Tail:
    """The last blocks in torch, with a shift for each output of a convolution."""

    def __init__(self, layers: list[Layer]) -> None:
        """`layers` are without residuals, as MobileNetV1's, and end in its last map."""
        self.layers = layers
        self.widths = [len(layer.bias) for layer in layers]
        # the last layer in front of the last stride gives the finer map
        self.finer = max(i for i, layer in enumerate(layers) if layer.stride > 1) - 1

    def __call__(self, x: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features, the last map and the finer one of x [B, C, H, W]."""
        kept = []
        for layer, shift in zip(self.layers, torch.split(shifts, self.widths), strict=True):
            x = F.pad(x, [layer.before, layer.after] * 2)
            groups = len(layer.bias) if layer.depthwise else 1
            x = F.conv2d(x, layer.weight, layer.bias + shift, stride=layer.stride, groups=groups)
            x = F.relu6(x)
            kept.append(x)
        return x.mean(dim=(2, 3)), x, kept[self.finer]

    def parts(self, x: Tensor, shifts: Tensor) -> Tensor:
        """Pooled features and both maps in 4 × 4 windows: [B, D]."""
        found = []
        with torch.no_grad():
            for batch in torch.split(x, BATCH):
                pooled, coarse, fine = self(batch, shifts)
                windows = F.avg_pool2d(coarse, 2, stride=1), F.avg_pool2d(fine, 4, stride=2)
                found.append(torch.cat([pooled, *(window.flatten(1) for window in windows)], dim=1))
        return torch.cat(found)

    def move(self, x: Tensor, y: Tensor) -> Tensor:
        """The shifts that fit a support set x [S, C, H, W], y [S, N] of equal shots."""
        shifts = torch.zeros(sum(self.widths), requires_grad=True)
        adam = torch.optim.Adam([shifts], lr=RATE)
        order = torch.arange(len(y)).reshape(WAY, -1).T.reshape(-1)  # one of each class in turn
        size = min(len(y), SHOTS * WAY)
        for step in range(STEPS):
            rows = order[(step * size + torch.arange(size)) % len(y)]
            batch = x[rows].flip(3) if step % 2 else x[rows]
            loss = left_out_loss(self(batch, shifts)[0], y[rows])
            (shifts.grad,) = torch.autograd.grad(loss, shifts)
            adam.step()
        return shifts.detach()


def left_out_loss(features: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of each example by the class means of the others."""
    z = unit_length((features + FLOOR).sqrt())
    counts = y.sum(dim=0)
    squares = squared_distance(z, class_means(z, y))
    # without itself an example is K / (K − 1) times as far from its class's mean
    alone = (counts / (counts - 1).clamp(min=1)) ** 2
    return F.cross_entropy(-SCALE * torch.where(y > 0, squares * alone, squares), y)


def table(data: Path, backbone: Path, folder: Path, names: list[str], asked: dict[int, int]) -> str:
    """A line for each collection and number of shots, `asked` with their tasks."""
    front, layers = cut(backbone)
    tail = Tail(layers)
    heads = [f"places + {name}" for name in ADDED]
    lines = [
        f"| | shot | tasks | pooled, % | places ahead | pooled + moved ahead | {' | '.join(heads)}"
        " ahead of places |",
        "| --- " * (6 + len(heads)) + "|",
    ]
    for name in names:
        config = settings(backbone, pictures(data, name, folder))
        maps = maps_of(front, prepare_pictures(load_pictures(config, "all"), config))
        for shot, tasks in asked.items():
            lines.append(row(name, tail, maps, TaskSize(WAY, shot, QUERIES), tasks))
            print(lines[-1], flush=True)
    return "\n".join(lines)


def row(name: str, tail: Tail, maps: LabelledSet, size: TaskSize, tasks: int) -> str:
    """All answers on the same tasks."""
    found: dict[str, list[float]] = {}
    right = torch.arange(WAY).repeat_interleave(size.queries)
    rows = rows_of(maps, size, episodes=tasks, seed=SEED)
    for i in range(tasks):
        support = Support(maps.x[rows.support[i]], torch.eye(WAY).repeat_interleave(size.shot, 0))
        for answer, logits in answers(tail, support, maps.x[rows.query[i]], seed=i).items():
            found.setdefault(answer, []).append(float((logits.argmax(1) == right).float().mean()))
    values = {answer: np.array(shares) for answer, shares in found.items()}
    cells = [name, str(size.shot), str(tasks), f"{100 * mean_of(values['pooled']).value:.1f}"]
    for answer, beside in (
        ("places", "pooled"),
        ("pooled + moved", "pooled"),
        *((f"places + {added}", "places") for added in ADDED),
    ):
        cells.append(difference(compare(beside, values[answer], values[beside])))
    return f"| {' | '.join(cells)} |"


def answers(tail: Tail, support: Support, query: Tensor, *, seed: int) -> dict[str, Tensor]:
    """Logits [Q, N] of each way to answer."""
    still = torch.zeros(sum(tail.widths))
    shifts = tail.move(support.x, support.y)
    generator = torch.Generator().manual_seed(seed)
    away = shifts.square().mean().sqrt() * torch.randn(shifts.shape, generator=generator)
    frozen, error = part_scores(tail, support, query, still)
    moved, random = (part_scores(tail, support, query, at)[0] for at in (shifts, away))
    gate = min(1.0, error / GATE)
    found = {
        "pooled": frozen[0],
        "places": torch.stack(frozen).sum(dim=0),
        "pooled + moved": frozen[0] + gate * moved[0],
    }
    for added, parts in ADDED.items():
        scores = random if added == "random" else moved
        more = torch.stack([scores[i] for i in parts]).sum(dim=0)
        found[f"places + {added}"] = found["places"] + gate * more
    return found


def part_scores(
    tail: Tail, support: Support, query: Tensor, shifts: Tensor
) -> tuple[list[Tensor], float]:
    """The scores of each part, and the share that the pooled ridge of the others gets wrong."""
    x, q = tail.parts(support.x, shifts), tail.parts(query, shifts)
    pooled = tail.widths[-1]
    sizes = [pooled, 16 * pooled, x.shape[1] - 17 * pooled]
    learner = Places(
        PlacesConfig(parts=tuple(sizes)), InputSpec(kind="array", shape=(sum(sizes),)), WAY
    )
    params = learner.init(torch.Generator().manual_seed(SEED))
    state = adapt(learner, params, Support(x, support.y))
    parts = zip(learner.forms.items(), torch.split(q, sizes, dim=1), strict=True)
    scores = [form.predict(params, part(state, prefix), h) for (prefix, form), h in parts]
    first = next(iter(learner.forms.values()))
    left_out = first.left_out(params, Support(x[:, :pooled], support.y))
    wrong = left_out.argmax(dim=1) != support.y.argmax(dim=1)
    return scores, float(wrong.float().mean())


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("backbone", type=Path)
    parser.add_argument(
        "--collections", nargs="+", choices=list(COLLECTIONS), default=["spectrograms", "edges"]
    )
    parser.add_argument("--shots", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--pictures", type=Path, default=Path("pictures"), help="where they go")
    asked = parser.parse_args()
    asked.pictures.mkdir(exist_ok=True)
    lines = table(
        asked.data, asked.backbone, asked.pictures, asked.collections,
        {shot: asked.tasks for shot in asked.shots},
    )  # fmt: skip
    write_table(
        "moving",
        "What moving the network gains beyond closed forms",
        "python benchmarks/moving.py DATA BACKBONE",
        f"{asked.backbone.stem}, {WAY}-way, {QUERIES} queries a class, accuracy in percent and"
        f" paired differences with 95 % intervals; {STEPS} steps.\n\n{lines}",
    )


if __name__ == "__main__":
    main()
