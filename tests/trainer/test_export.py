"""The exported package: the same as torch at every state, its gradients against its own graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from handful.runtime import load
from handful.runtime.engine import Engine
from handful.runtime.learner import open_package
from handful.runtime.manifest import Evaluation, Manifest, read_manifest
from handful.runtime.verify import relative_difference, verify
from handful.trainer.export import parity
from handful.trainer.export.package import Source, export, with_evaluation
from handful.trainer.export.parity import ExportError
from handful.trainer.learners import Support, adapt
from handful.trainer.learners.leo import LEO
from handful.trainer.learners.leo import Config as LEOConfig
from handful.trainer.learners.maml import MAML
from handful.trainer.learners.maml import Config as MAMLConfig
from handful.trainer.networks import NetworkConfig

from .small import CASES, IMAGE, Case, case, generator, leo, on_pictures, uneven, vectors

Floats = NDArray[np.float32]
EXPORTED = [
    "leo",
    "maml-support-fixed",
    "mlp-support-shared-coordinate",
    "mlp-task-shared-step",
    "mlp-group-fixed-coordinate",
    "anil",
    "prototypical",
    "nearest",
]
# ways and shots, all other sizes than those traced with (S = 11, N = 5)
TASKS: list[list[int]] = [[1, 1], [1, 3], [2, 1, 4], [1] * 5, [5] * 5, [3, 1, 2, 1, 5, 1, 1], [1] * 50]


def source(found: Case) -> Source:
    return Source(
        learner=found.learner, params=found.params, test=found.data, training={"seed": 3}
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The exported package of a case, made once."""
    place = tmp_path_factory.mktemp("exported")

    def of(name: str) -> Path:
        if not (place / name).exists():
            export(source(case(name)), place / name)
        return place / name

    return of


def engine_of(path: Path) -> Engine:
    return open_package(path)._engine


def fitting(found: Case) -> Iterator[list[int]]:
    return (shots for shots in TASKS if len(shots) <= (found.learner.max_way or len(shots)))


@pytest.mark.parametrize("name", EXPORTED)
@torch.no_grad()
def test_every_state_is_torchs_at_other_sizes_than_traced(
    name: str, package: Callable[[str], Path]
) -> None:
    found, engine = case(name), engine_of(package(name))
    learner, params = found.learner, found.params
    for seed, shots in enumerate(fitting(found)):
        x, y, query = uneven(found.data, shots, seed=seed)
        wanted: dict[str, Any] = {}
        h = learner.embed(params, x)
        state = adapt(
            learner,
            params,
            Support(h, y),
            observe=lambda stage, i, t: wanted.update({f"{stage}/{i}/{n}": v for n, v in t.items()}),  # noqa: B023
        )
        seen: dict[str, Any] = {}
        given = engine.embed(x.numpy())
        assert relative_difference(given, h.numpy()) < 1e-4
        adapted = engine.adapt(
            given,
            y.numpy(),
            observe=lambda stage, i, t: seen.update({f"{stage}/{i}/{n}": v for n, v in t.items()}),  # noqa: B023
        )
        assert seen.keys() == wanted.keys()
        for key, value in wanted.items():
            assert relative_difference(seen[key], value.numpy()) < 1e-4, (shots, key)
        logits = learner.predict(params, state, learner.embed(params, query))
        answer = engine.predict(adapted, engine.embed(query.numpy()))
        assert answer.shape == (2 * len(shots), len(shots))
        assert relative_difference(answer, logits.numpy()) < 1e-4, shots


def cross_entropy(logits: Floats, y: Floats) -> float:
    """In float64, so that only the graphs round."""
    a = logits.astype(np.float64)
    a = a - a.max(axis=1, keepdims=True)
    return float(-(y * (a - np.log(np.exp(a).sum(axis=1, keepdims=True)))).sum(axis=1).mean())


def gradient_holds(
    loss: Callable[[Floats], float], at: Floats, found: Floats, *, step: float
) -> None:
    """`found` against central differences of `loss`: along random directions, and all entries."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        # half along the gradient, so that there is a slope to measure against rounding
        direction = rng.standard_normal(at.shape)
        direction = direction / np.linalg.norm(direction) + found / np.linalg.norm(found)
        direction = (direction / np.linalg.norm(direction)).astype(np.float32)
        measured = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
        expected = float((found * direction).sum())
        assert abs(measured - expected) < 2e-2 * abs(expected)
    entries = rng.permutation(at.size)[:200]
    slopes = []
    for i in entries:
        bump = np.zeros(at.size, np.float32)
        bump[i] = step
        bump = bump.reshape(at.shape)
        slopes.append((loss(at + bump) - loss(at - bump)) / (2 * step))
    wanted, measured_all = found.reshape(-1)[entries], np.array(slopes)
    cosine = wanted @ measured_all / np.linalg.norm(wanted) / np.linalg.norm(measured_all)
    assert cosine > 0.999
    assert np.linalg.norm(measured_all) == pytest.approx(np.linalg.norm(wanted), rel=2e-2)


def leo_task(package: Callable[[str], Path]) -> tuple[Engine, dict[str, Floats]]:
    found, engine = case("leo"), engine_of(package("leo"))
    x, y, _ = uneven(found.data, [2, 1, 3, 1])
    known = {"support_x": engine.embed(x.numpy()), "support_y": y.numpy()}
    return engine, {**known, **engine.noise(y.numpy())}


def test_the_exported_latent_step_descends_its_own_decoder(package: Callable[[str], Path]) -> None:
    """z − z′ = α N ∇_z L(predict(decoder(z))), with no torch in between."""
    engine, known = leo_task(package)
    graphs = engine.graphs

    def loss(z: Floats) -> float:
        w = graphs["decoder"].run({**known, "z": z})["w"]
        logits = graphs["predict"].run({"w": w, "query_x": known["support_x"]})["logits"]
        return cross_entropy(logits, known["support_y"])

    z = graphs["encoder"].run(known)["z"]
    after = graphs["latent_step"].run({**known, "z": z})
    rate = case("leo").params["latent_lr"].numpy() * 4
    gradient_holds(loss, z, (z - after["z"]) / rate, step=1e-2)
    assert float(after["loss"]) == pytest.approx(loss(z), rel=1e-5)


def test_the_exported_finetuning_step_descends_its_own_predict(
    package: Callable[[str], Path],
) -> None:
    engine, known = leo_task(package)
    graphs = engine.graphs

    def loss(w: Floats) -> float:
        logits = graphs["predict"].run({"w": w, "query_x": known["support_x"]})["logits"]
        return cross_entropy(logits, known["support_y"])

    z = graphs["encoder"].run(known)["z"]
    w = graphs["decoder"].run({**known, "z": z})["w"]
    after = graphs["finetune_step"].run({**known, "w": w})
    rate = case("leo").params["finetuning_lr"].numpy() * 4
    gradient_holds(loss, w, (w - after["w"]) / rate, step=1e-2)
    assert float(after["loss"]) == pytest.approx(loss(w), rel=1e-5)


@pytest.mark.parametrize(
    "name", ["mlp-support-shared-coordinate", "mlp-group-fixed-coordinate", "anil"]
)
def test_the_exported_inner_step_descends_its_own_predict(
    name: str, package: Callable[[str], Path]
) -> None:
    """Each tensor of θ in turn; under `support` the statistics graph stands in between."""
    found, engine = case(name), engine_of(package(name))
    graphs = engine.graphs
    x, y, _ = uneven(found.data, [2, 1, 2, 1])
    known = {"support_x": engine.embed(x.numpy()), "support_y": y.numpy()}
    start = graphs["start"].run(known)
    start = {**known, **start}

    def loss(theta: dict[str, Floats]) -> float:
        state = {**start, **theta}
        if "statistics" in graphs:
            state |= graphs["statistics"].run(state)
        logits = graphs["predict"].run({**state, "query_x": known["support_x"]})["logits"]
        return cross_entropy(logits, known["support_y"])

    # one step away from the start, where the head and its symmetry no longer hide anything
    first = {**start, **graphs["inner_step"].run(start)}
    after = graphs["inner_step"].run(first)
    names = [n for n in after if n.startswith("theta.")]
    assert names
    for tensor in names:
        at = first[tensor]
        rate: Any = found.params.get(tensor.replace("theta.", "rate."), torch.tensor(0.2)).numpy()
        slope = (at - after[tensor]) / rate
        others = {n: first[n] for n in names if n != tensor}
        gradient_holds(lambda t: loss({**others, tensor: t}), at, slope, step=2e-3)  # noqa: B023
    assert float(after["loss"]) == pytest.approx(loss({n: first[n] for n in names}), rel=1e-4)


@pytest.mark.parametrize("name", EXPORTED)
def test_only_standard_operators_of_one_opset(name: str, package: Callable[[str], Path]) -> None:
    folder = package(name)
    files = sorted(folder.glob("*.onnx"))
    assert {file.stem for file in files} == read_manifest(folder).graphs.keys()
    for file in files:
        model = onnx.load(str(file))
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
        assert model.ir_version == 8
        assert not model.functions
        assert {node.domain for node in model.graph.node} <= {""}
        operators = {node.op_type for node in model.graph.node}
        assert not operators & {"Loop", "If", "Scan", "SequenceMap", "RandomNormal", "Dropout"}
        assert not any(a.HasField("g") for node in model.graph.node for a in node.attribute)
        assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
        assert (model.producer_name, model.producer_version) == ("handful", "")
        assert not model.metadata_props
        assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("name", EXPORTED)
def test_nothing_of_our_machine_is_in_the_files(
    name: str, package: Callable[[str], Path], tmp_path: Path
) -> None:
    words = [rb"\.py\b", rb"site-packages", rb"Traceback", rb'File "', rb"stack_trace", rb"torch",
             rb"/home/", rb"/tmp/", rb"/usr/", str(Path(__file__).parents[2]).encode()]  # fmt: skip
    for file in package(name).iterdir():
        content = file.read_bytes()
        for word in words:
            assert not re.search(word, content), (file.name, word)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_golden_vectors_are_replayed(name: str, package: Callable[[str], Path]) -> None:
    report = verify(package(name))
    assert report.ok, report.failed
    assert report.worst < 1e-4
    assert {"support_x", "logits"} - set(report.differences) == {"support_x"}


@pytest.mark.parametrize("name", EXPORTED)
def test_the_manifest_comes_back_and_names_the_stages(
    name: str, package: Callable[[str], Path]
) -> None:
    found, manifest = case(name), read_manifest(package(name))
    assert manifest.learner == found.learner.name
    assert manifest.name == name
    assert manifest.input == found.data.input
    assert manifest.limits.way.max == found.learner.max_way
    assert (manifest.limits.way.min, manifest.limits.shot.min) == (2, 1)
    assert manifest.training == {"seed": 3}
    assert manifest.licence == "Apache-2.0"
    stages = [(s.name, s.init, s.step, s.steps) for s in manifest.stages]
    wanted = [
        (s.name, s.init_name, s.step_name if s.step else None, s.steps if s.step else 0)
        for s in found.learner.stages()
    ]
    assert stages == wanted


def test_what_export_returns_is_what_it_wrote(tmp_path: Path) -> None:
    assert export(source(case("nearest")), tmp_path / "one") == read_manifest(tmp_path / "one")


def test_exporting_twice_writes_the_same_bytes(
    package: Callable[[str], Path], tmp_path: Path
) -> None:
    first = package("prototypical")
    export(source(case("prototypical")), tmp_path / "prototypical")
    for file in first.iterdir():
        assert (tmp_path / "prototypical" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_package_adapts_through_the_runtime(package: Callable[[str], Path]) -> None:
    found = case("prototypical")
    x, y, query = uneven(found.data, [2, 1, 1], queries=1)
    task = load(package("prototypical")).adapt(x.numpy(), ["a", "a", "b", "c"])
    logits = found.answer(x, y, query)
    assert task.predict(query.numpy()) == ["abc"[i] for i in logits.argmax(dim=1)]
    assert relative_difference(task.logits(query.numpy()), logits.detach().numpy()) < 1e-4


@pytest.mark.parametrize(
    "size", [2, pytest.param(5, id="5, the classes traced with"), pytest.param(11, id="11, the S")]
)
def test_sizes_of_the_learner_may_be_those_of_a_task(size: int, tmp_path: Path) -> None:
    """A feature count equal to a way or a number of examples is no way and no number of examples."""
    data = vectors(size=size)
    learner = LEO(LEOConfig(latent_dim=size, latent_steps=1, finetuning_steps=0), data.input, 5)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.x))
    manifest = export(source(Case(learner, params, data)), tmp_path / "leo")
    spec = manifest.graphs["latent_step"].outputs[0]
    assert (spec.name, spec.shape) == ("z", ("N", size))
    assert verify(tmp_path / "leo").ok


@pytest.mark.parametrize("way", [2, 3])
def test_a_fixed_head_of_few_classes(way: int, tmp_path: Path) -> None:
    data = vectors()
    network = NetworkConfig(kind="mlp", hidden=(6,), normalisation="layer")
    config = MAMLConfig(network=network, inner_steps=1, inner_lr=0.1, rates="coordinate")
    learner = MAML(config, data.input, way)
    manifest = export(source(Case(learner, learner.init(generator()), data)), tmp_path / "maml")
    assert (manifest.limits.way.min, manifest.limits.way.max) == (2, way)
    assert verify(tmp_path / "maml").ok


def refused(found: Case, folder: Path, **options: Any) -> ExportError:
    with pytest.raises(ExportError) as caught:
        export(source(found), folder, **options)
    return caught.value


def test_predictions_that_depend_on_other_queries_are_refused(tmp_path: Path) -> None:
    config = MAMLConfig(network=NetworkConfig(normalisation="transductive"))
    error = refused(on_pictures(MAML(config, IMAGE, 5)), tmp_path / "one")
    assert str(error) == (
        "maml with transductive normalisation cannot be exported:"
        " its predictions depend on the other queries"
    )
    assert error.hint == "train with network.normalisation = support, task, group or layer"
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    error = refused(case("nearest"), folder)
    assert str(error) == f"{folder} exists"
    assert error.hint == "choose another folder, or replace it with --force"


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    error = refused(case("nearest"), folder, force=True)
    assert str(error) == f"{folder} is not an exported package, it is not replaced"
    assert (folder / "letter.txt").read_text() == "dear"


def test_a_package_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    export(source(case("nearest")), folder)
    (folder / "old.onnx").write_text("left over")
    export(source(case("nearest")), folder, force=True)
    assert not (folder / "old.onnx").exists()
    assert verify(folder).ok
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_disagreement_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    error = refused(case("nearest"), tmp_path / "one")
    assert re.fullmatch(
        r"the exported graphs do not agree with torch: [a-z/0-9_ ]+ differs by \d\.\de[+-]\d\d,"
        r" allowed: -1e\+00",
        str(error),
    )
    assert error.hint == (
        "the package was not written; a diverging inner step magnifies rounding,"
        " lower its learning rate"
    )
    assert not list(tmp_path.iterdir())


def test_a_disagreement_leaves_the_old_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(source(case("nearest")), tmp_path / "one")
    before = (tmp_path / "one" / "manifest.json").read_bytes()
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    refused(case("nearest"), tmp_path / "one", force=True)
    assert (tmp_path / "one" / "manifest.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_graphs_that_differ_are_found_at_the_tensor_that_differs(tmp_path: Path) -> None:
    """A learner whose answers in torch are not those it was traced with."""

    class Fickle(LEO):
        asked = 0

        def predict(self, params: Any, state: Any, query_x: torch.Tensor) -> torch.Tensor:
            Fickle.asked += 1
            return super().predict(params, state, query_x) * (1.0 + 0.01 * (Fickle.asked > 4))

    made = leo()
    fickle = Fickle(made.learner.config, made.data.input, 5)
    error = refused(Case(fickle, made.params, made.data), tmp_path / "one")
    assert re.match(
        r"the exported graphs do not agree with torch: (logits|one by one) differs by 9\.9e-03",
        str(error),
    )


def test_too_few_examples_to_check_on_are_refused(tmp_path: Path) -> None:
    data = vectors(each=1)
    error = refused(Case(case("nearest").learner, {}, data), tmp_path / "one")
    assert str(error) == (
        "0 of 60 test classes have 4 examples or more, wanted 2 to check a package on"
    )
    assert error.hint == "give the meta_test split more classes, or its classes more examples"
    assert not list(tmp_path.iterdir())


def test_the_card_names_the_accuracy(package: Callable[[str], Path], tmp_path: Path) -> None:
    manifest = export(source(case("nearest")), tmp_path / "one")
    card = (tmp_path / "one" / "README.md").read_text()
    assert "## Accuracy\n\nNot measured.\n" in card
    result = Evaluation(
        data="omniglot vinyals",
        split="meta_test",
        way=5,
        shot=1,
        episodes=1000,
        accuracy=0.98456,
        interval=0.00123,
    )
    with_evaluation(tmp_path / "one", manifest, [result])
    card = (tmp_path / "one" / "README.md").read_text()
    assert "| omniglot vinyals | meta_test | 5 | 1 | 1000 | 98.46 ± 0.12 |" in card
    assert "| embed.onnx |" in card
    assert "Classes in a task: 2 to any number; examples a class: 1 to any number." in card
    assert read_manifest(tmp_path / "one").evaluation == (result,)
    assert verify(tmp_path / "one").ok


def test_the_manifest_is_plain_json_of_format_1(package: Callable[[str], Path]) -> None:
    found = json.loads((package("leo") / "manifest.json").read_text())
    assert found["format"] == 1
    assert [s["noise"] for s in found["stages"]] == [["z_noise"], ["w_noise"]]
    assert found["graphs"]["latent_step"]["outputs"] == [
        {"name": "z", "dtype": "float32", "shape": ["N", 6]},
        {"name": "loss", "dtype": "float32", "shape": []},
    ]


def test_large_golden_tensors_are_thinned_and_still_replayed(tmp_path: Path) -> None:
    from handful.trainer.export import package as module

    before = module.THIN_ABOVE
    module.THIN_ABOVE = 16
    try:
        export(source(case("nearest")), tmp_path / "one")
    finally:
        module.THIN_ABOVE = before
    assert verify(tmp_path / "one").ok
    with np.load(tmp_path / "one" / "conformance.npz") as golden:
        thinned = [name for name in golden.files if "[::" in name]
    assert thinned == ["memory/0/memory_x[::6]", "memory/0/memory_y[::3]"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(EXPORTED)))
def test_every_other_case_exports_too(name: str, tmp_path: Path) -> None:
    manifest: Manifest = export(source(case(name)), tmp_path / "one")
    assert manifest.learner == case(name).learner.name
    assert verify(tmp_path / "one").ok
