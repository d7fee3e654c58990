"""The exported package: the same as torch at every state, its gradients against its own graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from handful.runtime.engine import Engine
from handful.runtime.learner import load
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Evaluation, Manifest
from handful.runtime.tools.verify import relative_difference, verify
from handful.trainer.export.package import export, with_evaluation
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.leo import LEO, LEOConfig
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig

from ..each import each
from .cases import CASES, Case, case, source
from .small import generator, uneven, vectors

# One of each form that is traced. The others, slow, are of the same form on another network, or are
# exported elsewhere: siamese as nearest, baseline as baseline-pp, reptile in test_reptile.py and
# test_regression_kin.py, one learned rate a step in test_steps.py.
EXPORTED = [
    "leo",
    "maml-support-fixed",
    "mlp-support-shared-coordinate",
    "mlp-group-fixed-coordinate",
    "anil",
    "prior-means",
    "prior-means-steps",
    "classifier-named",
    "maml-named",
    "prototypical",
    "matching-context",
    "relation",
    "means-within",
    "logistic",
    "ridge-learned",
    "baseline-pp",
    "nearest",
    "meta-lstm-shared",
]
# ways and shots, all other sizes than those traced with (S = 11, N = 5)
TASKS: list[list[int]] = [
    [1, 1],
    [1, 3],
    [2, 1, 4],
    [1] * 5,
    [5] * 5,
    [3, 1, 2, 1, 5, 1, 1],
    [1] * 50,
]


@dataclass(frozen=True)
class Record:
    """Every tensor on the way, as stage/step/name."""

    states: dict[str, Any]

    def __call__(self, stage: str, i: int, tensors: Mapping[str, Any]) -> None:
        self.states.update({f"{stage}/{i}/{name}": value for name, value in tensors.items()})


def engine_of(path: Path) -> Engine:
    return load(path)._engine


def fitting(subject: Case) -> Iterator[list[int]]:
    return (shots for shots in TASKS if len(shots) <= (subject.learner.max_way or len(shots)))


@torch.no_grad()
def every_state_is_torchs_at_other_sizes_than_traced(name: str, folder: Path) -> None:
    subject, engine = case(name), engine_of(folder)
    learner, params = subject.learner, subject.params
    for seed, shots in enumerate(fitting(subject)):
        x, y, query = uneven(subject.data, shots, seed=seed)
        wanted, seen = Record({}), Record({})
        h = learner.embed(params, x)
        state = adapt(learner, params, Support(h, y), observe=wanted)
        embedded = engine.embed(x.numpy())
        assert relative_difference(embedded, h.numpy()) < 1e-4
        adapted = engine.adapt(embedded, y.numpy(), observe=seen)
        assert seen.states.keys() == wanted.states.keys()
        for key, value in wanted.states.items():
            assert relative_difference(seen.states[key], value.numpy()) < 1e-4, (shots, key)
        logits = learner.predict(params, state, learner.embed(params, query))
        answer = engine.predict(adapted, engine.embed(query.numpy()))
        assert answer.shape == (len(query), subject.learner.named_way or len(shots))
        assert relative_difference(answer, logits.numpy()) < 1e-4, shots


def only_standard_operators_of_one_opset(name: str, folder: Path) -> None:
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


def nothing_of_our_machine_is_in_the_files(name: str, folder: Path) -> None:
    words = [rb"\.py\b", rb"site-packages", rb"Traceback", rb'File "', rb"stack_trace", rb"torch",
             rb"/home/", rb"/tmp/", rb"/usr/", str(Path(__file__).parents[2]).encode()]  # fmt: skip
    for file in folder.iterdir():
        content = file.read_bytes()
        for word in words:
            assert not re.search(word, content), (file.name, word)


def the_golden_vectors_are_replayed(name: str, folder: Path) -> None:
    report = verify(folder)
    assert report.ok, report.failed
    assert report.worst < 1e-4
    assert {"support_x", "logits"} - set(report.differences) == {"support_x"}


def the_manifest_comes_back_and_names_the_stages(name: str, folder: Path) -> None:
    subject, manifest = case(name), read_manifest(folder)
    assert manifest.learner == subject.learner.name
    assert manifest.name == name
    assert manifest.input == subject.data.input
    assert manifest.limits.way.max == subject.learner.max_way
    least = (manifest.limits.way.min, manifest.limits.shot.min, manifest.limits.support.min)
    named = case(name).learner.named_way
    assert least == ((named, 0, 0) if named else (2, 1, 1))
    assert manifest.classes == (case(name).data.classes if named else None)
    assert manifest.limits.support.max == subject.learner.max_support
    assert manifest.training == {"seed": 3}
    assert manifest.licence == "LicenseRef-unstated"
    stages = [(s.name, s.init, s.step, s.steps) for s in manifest.stages]
    wanted = [
        (s.name, s.init_name, s.step_name if s.step else None, s.steps if s.step else 0)
        for s in subject.learner.stages()
    ]
    assert stages == wanted


@pytest.mark.parametrize("name", EXPORTED)
@each(
    "check",
    [
        every_state_is_torchs_at_other_sizes_than_traced,
        only_standard_operators_of_one_opset,
        nothing_of_our_machine_is_in_the_files,
        the_golden_vectors_are_replayed,
        the_manifest_comes_back_and_names_the_stages,
    ],
)
def test_a_package_is_its_learner(
    check: Callable[[str, Path], None], name: str, package: Callable[[str], Path]
) -> None:
    check(name, package(name))


def test_a_package_adapts_through_the_runtime(package: Callable[[str], Path]) -> None:
    subject = case("prototypical")
    x, y, query = uneven(subject.data, [2, 1, 1], queries=1)
    task = load(package("prototypical")).adapt(x.numpy(), ["a", "a", "b", "c"])
    logits = subject.answer(x, y, query)
    assert task.predict(list(query.numpy())) == ["abc"[i] for i in logits.argmax(dim=1)]
    assert relative_difference(task.logits(query.numpy()), logits.detach().numpy()) < 1e-4


@each("features, size", [(11, 5), (5, 2)])
def test_sizes_of_the_learner_may_be_those_of_a_task(
    features: int, size: int, tmp_path: Path
) -> None:
    """A feature count that equals a way or a number of examples stays a feature count.

    5 and 11 are those that another learner is traced with.
    """
    data = vectors(size=features)
    learner = LEO(LEOConfig(latent_dim=size, latent_steps=1, finetuning_steps=0), data.input, 5)
    params = learner.init(generator())
    params = learner.prepare(params, learner.embed(params, data.x), data.labels, data.of_domain)
    manifest = export(source(Case(learner, params, data)), tmp_path / "leo")
    spec = manifest.graphs["latent_step"].outputs[0]
    assert (spec.name, spec.shape) == ("z", ("N", size))
    assert verify(tmp_path / "leo").ok


@each("way", [2, 3])
def test_a_fixed_head_of_few_classes(way: int, tmp_path: Path) -> None:
    data = vectors()
    network = NetworkConfig(kind="mlp", hidden=(6,), normalisation="layer")
    config = MAMLConfig(network=network, inner_steps=1, inner_lr=0.1, rates="coordinate")
    learner = MAML(config, data.input, way)
    manifest = export(source(Case(learner, learner.init(generator()), data)), tmp_path / "maml")
    assert (manifest.limits.way.min, manifest.limits.way.max) == (2, way)
    assert verify(tmp_path / "maml").ok


def test_what_export_returns_it_has_written_and_the_card_names_the_accuracy(tmp_path: Path) -> None:
    manifest = export(source(case("nearest")), tmp_path / "one")
    assert manifest == read_manifest(tmp_path / "one")
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


def test_the_card_names_the_limit_on_all_examples(package: Callable[[str], Path]) -> None:
    card = (package("leo") / "README.md").read_text()
    assert "examples a class: 1 to any number, at most 1581 in all." in card


def test_the_manifest_is_plain_json_of_format_1(package: Callable[[str], Path]) -> None:
    content = json.loads((package("leo") / "manifest.json").read_text())
    assert content["format"] == 1
    assert [s["noise"] for s in content["stages"]] == [["z_noise"], ["w_noise"]]
    assert content["graphs"]["latent_step"]["outputs"] == [
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
