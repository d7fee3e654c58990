"""A bound for the inner gradient of pen-proto-maml, which was trained without: results/bound.md.

`python benchmarks/bound.py choose pen-proto-maml=DATA` measures bounds on tasks of meta-validation
classes. `… write pen-proto-maml=DATA BOUND` puts the package in its place: parameters and all
graphs but `head_step` stay, bit for bit, and accuracy and confidence are measured anew, as
`… measure PACKAGE=DATA` does for any package of classes.

The run is not kept, so the parameters are read from the constants of the package's graphs; without
a bound they give `head_step` the very constants that it had.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from shots import QUERIES, SEED, SQUARED, flat
from tables import write_table

from handful.runtime.arrays import Array
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Manifest
from handful.runtime.package.read import find
from handful.runtime.tools.text import difference
from handful.trainer.commands.evaluate import evaluate_package
from handful.trainer.commands.export import package_confidence
from handful.trainer.commands.subjects import Plan, meta_training_sample
from handful.trainer.data import LabelledSet
from handful.trainer.episodes import TaskSize, as_episodes, rows_of
from handful.trainer.evaluation import summarise
from handful.trainer.evaluation.packages import MeasuredPackage, embed_shared, package_accuracies
from handful.trainer.evaluation.yardsticks import Features, nearest_mean, on_tasks
from handful.trainer.export.card import markdown_table
from handful.trainer.export.package import build, in_place, with_evaluation
from handful.trainer.export.source import Source
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.proto_maml import TENTHS, ProtoMAML, ProtoMAMLConfig
from handful.trainer.operations.normalise import EPSILON
from handful.trainer.settings.read import read_sections
from handful.trainer.training.data import RecordedData
from handful.trainer.workers import Shape, Workers, workers

NAME, STEP = "pen-proto-maml", "head_step"
BOUNDS = (None, 2.0, 1.0, 0.5, 0.25)
WAYS, SHOTS = (5, 20), (1, 5, 10, 15, 19)
TITLE = f"Bounds of the inner gradient of {NAME}, as it was trained, on meta-validation classes"
NOTE = (
    "Meta-trained with 1 and 5 shots and no bound on the inner gradient. The bound,"
    " `clip = {bound}`, was added to the graph `head_step` afterwards, at a value chosen on"
    " meta-validation classes; every parameter and every other graph is as it was trained."
    f" The recipe {NAME} now trains with the bound and with 15 shots as well, so it gives other"
    " parameters."
)


def learner_of(manifest: Manifest, bound: float | None) -> ProtoMAML:
    """The package's learner, with the bound."""
    known = ProtoMAMLConfig.__dataclass_fields__
    settings = manifest.training["config"]["learner"].items()
    kept = {name: value for name, value in settings if name in known} | {"clip": bound}
    sections = read_sections({"learner": ProtoMAMLConfig}, {"learner": kept}, where=NAME)
    return ProtoMAML(sections["learner"], manifest.input, max(WAYS))


def parameters(folder: Path, learner: ProtoMAML) -> Tensors:
    """The meta-parameters, from the constants of the graphs.

    γ and β of a normalisation and its running averages are one factor and one shift there: they are
    given as averages of no effect.
    """
    embed, start, memory, step, predict = (
        [numpy_helper.to_array(t) for t in onnx.load(folder / f"{name}.onnx").graph.initializer]
        for name in ("embed", "start", "remember", STEP, "predict")
    )
    params = learner.init(torch.Generator().manual_seed(0))
    weights = [x for x in embed if x.ndim == 4 and x.shape[2:] == (3, 3)]
    norms = [x.reshape(-1) for x in embed if x.ndim == 4 and x.shape[2:] == (1, 1)]
    for at, weight in enumerate(weights):
        factor, shift = norms[2 * at : 2 * at + 2]
        layer = {"weight": weight, "gamma": factor, "beta": shift, "running_mean": 0 * shift}
        layer["running_var"] = 0 * shift + np.float32(1 - EPSILON)
        params |= {f"embed.conv{at}.{k}": torch.from_numpy(v.copy()) for k, v in layer.items()}
    numbers = [x for x in step if x.dtype == np.float32]
    centre, spread, power, exponent, rate_w, rate_b = numbers[:6]
    tau = -scalars(start)[1]
    g = -next(x for x in scalars(memory) if x < -1)
    weight_k = next(x for x in scalars(memory) if 1e-3 < x < 1)  # κ / g
    gamma = next(x for x in scalars(predict) if x not in (2.0, 3.0, 1.0) and x > 1 and x != spread)
    found = {
        "centre": centre, "spread": spread,
        "power": power / np.float32(-0.5 * TENTHS), "shot_exponent": exponent / np.float32(TENTHS),
        "log.temperature": tenth(tau), "log.sharpness": tenth(g),
        "log.exemplars": tenth(weight_k, 1 / g),
        "log.answer_scale": tenth(gamma), "log.rate.w": tenth(rate_w), "log.rate.b": tenth(rate_b),
    }  # fmt: skip
    return params | {k: torch.tensor(v, dtype=torch.float32) for k, v in found.items()}


def scalars(constants: list[Array]) -> list[float]:
    """Those of the constants that are one number."""
    return [float(x) for x in constants if x.shape == () and x.dtype == np.float32]


def tenth(value: Array | float, unit: float = 1.0) -> Array:
    """A tenth of the logarithm of `value` over a unit."""
    return np.asarray(np.log(np.float64(value) / unit) / TENTHS, np.float32)


def write(
    manifest: Manifest, old: Path, place: Path, bound: float | None, test: LabelledSet
) -> Manifest:
    """The package with the bound in the folder `place`, not measured: one graph is another."""
    learner = learner_of(manifest, bound)
    training = {k: v for k, v in manifest.training.items() if k not in ("added", "note")}
    if bound is not None:
        training |= {"added": {"learner": {"clip": bound}}, "note": NOTE.format(bound=bound)}
    source = Source(
        learner=learner,
        params=parameters(old, learner),
        test=test,
        training=training,
        licence=manifest.licence,
        seen=manifest.input.seen,
    )
    made = build(source, place, name=NAME).graphs[STEP]
    content = as_trained(place / made.file, old / made.file)
    for spec in manifest.graphs.values():
        shutil.copyfile(old / spec.file, place / spec.file)
    (place / made.file).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    step = replace(made, sha256=digest, bytes=len(content))
    graphs = {**manifest.graphs, STEP: step}
    return with_evaluation(place, replace(manifest, graphs=graphs, training=training), ())


def as_trained(new: Path, old: Path) -> bytes:
    """The graph with the constants of the old one, which a logarithm rounded in the last bit."""
    model = onnx.load(new)
    before = [numpy_helper.to_array(t) for t in onnx.load(old).graph.initializer]
    for constant in model.graph.initializer:
        value = numpy_helper.to_array(constant)
        near = (x for x in before if x.shape == value.shape and x.dtype == value.dtype)
        same = [x for x in near if np.allclose(x, value, rtol=1e-6, atol=0)]
        if same:
            constant.CopyFrom(numpy_helper.from_array(same[0], constant.name))
    held = [(x.shape, x.tobytes()) for x in map(numpy_helper.to_array, model.graph.initializer)]
    lost = [x for x in before if x.dtype == np.float32 and (x.shape, x.tobytes()) not in held]
    if lost:
        raise SystemExit(f"{len(lost)} numbers of {old} are not in the new graph")
    return bytes(model.SerializeToString(deterministic=True))


def choose(
    folder: Path, manifest: Manifest, recorded: RecordedData, episodes: int, pool: Workers
) -> str:
    """A line for each size: class means, then how far each bound is ahead of them."""
    validation, test = (
        recorded.pictures(part, package=manifest.input) for part in ("meta_val", "meta_test")
    )
    shipped = MeasuredPackage.load_for(folder, validation.input)
    h = embed_shared(shipped, validation.x.numpy(), pool)
    rows: dict[TaskSize, list[str]] = {}
    with tempfile.TemporaryDirectory() as room:
        for bound in BOUNDS:
            place = Path(room) / str(bound)
            place.mkdir()
            write(manifest, folder, place, bound, test)
            loaded = MeasuredPackage.load_for(place, validation.input)
            for way, shot in product(WAYS, SHOTS):
                size = TaskSize(way, shot, min(QUERIES, int(validation.counts.min()) - shot))
                drawn = rows_of(validation, size, episodes=episodes * 5 // way, seed=SEED)
                values = package_accuracies(
                    loaded,
                    h,
                    as_episodes(drawn),
                    every_step=False,
                    tick=lambda: None,
                    workers=pool,
                )
                rivals = {SQUARED: on_tasks(nearest_mean, flat(h), size, drawn)}
                result = summarise(values[:, -1], size, against=rivals)
                (rival,) = result.compared
                of_size = rows.setdefault(
                    size, [f"{way}-way {shot}-shot", f"{100 * (rival.accuracy or 0):.2f}"]
                )
                of_size.append(difference(rival))
                print(bound, of_size, flush=True)
    head = ("task", SQUARED, *(f"clip = {b}" if b else "unbounded" for b in BOUNDS))
    return markdown_table(head, rows.values())


def measure(folder: Path, manifest: Manifest, recorded: RecordedData, pool: Workers) -> None:
    """Accuracy at the sizes of its card, and confidence, in the manifest and card of a package."""
    loaded = MeasuredPackage.load_for(folder, recorded.pictures("meta_test").input)
    test, sample = (
        recorded.pictures("meta_test"),
        meta_training_sample(recorded.pictures("meta_train")),
    )
    x, of_sample = (flat(embed_shared(loaded, t.numpy(), pool)) for t in (test.x, sample))
    old = read_manifest(find(manifest.name)).evaluation
    plan = Plan(ways=unique(e.way for e in old), shots=unique(e.shot for e in old))
    results = evaluate_package(
        folder,
        plan,
        pool,
        features=Features(test, x, of_sample.mean(dim=0), "the features"),
        count=counted,
        recorded=recorded,
    )
    evaluation = [
        replace(old[0], way=r.way, shot=r.shot, episodes=r.episodes, accuracy=r.accuracy,
                interval=r.interval, compared=r.compared)
        for r in results
    ]  # fmt: skip
    confidence = package_confidence(
        folder, recorded, episodes=plan.episodes, workers=pool, count=counted
    )
    with_evaluation(folder, manifest, evaluation, confidence)


def unique(values: Iterable[int]) -> list[int]:
    """Each once, in their order."""
    return list(dict.fromkeys(values))


def counted(what: str, of: int) -> Callable[[], None]:
    """No bar, a line."""
    print(f"{what}, {of}", flush=True)
    return lambda: None


def main() -> None:
    """Choose, write, or measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("choose", "write", "measure"))
    parser.add_argument("package", metavar="PACKAGE=DATA")
    parser.add_argument("bound", nargs="?", type=float)
    parser.add_argument("--episodes", type=int, default=400, help="at 5-way, a quarter at 20-way")
    asked = parser.parse_args()
    name, _, moved = asked.package.partition("=")
    folder = find(name)
    manifest = read_manifest(folder)
    recorded = RecordedData.of_package(manifest.training, moved or None)
    with workers(Shape(1, threads=1)) as pool:
        if asked.what == "choose":
            found = choose(folder, manifest, recorded, asked.episodes, pool)
            command = (
                f"python benchmarks/bound.py choose {NAME}=pen.npz --episodes {asked.episodes}"
            )
            write_table("bound", TITLE, command, found)
        else:
            with in_place(folder, name, force=True) as place:
                if asked.what == "write":
                    test = recorded.pictures("meta_test", package=manifest.input)
                    made = write(manifest, folder, place, asked.bound, test)
                else:
                    shutil.copytree(folder, place, dirs_exist_ok=True)
                    made = manifest
                measure(place, made, recorded, pool)


if __name__ == "__main__":
    main()
