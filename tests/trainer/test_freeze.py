"""A frozen task is one ordinary ONNX file that answers as the task does, without this project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import handful
from handful.runtime.inputs.examples import find_empty
from handful.runtime.package.read import list_shipped
from handful.runtime.tools.golden import read_golden
from handful.trainer.export import freeze as freezing
from handful.trainer.export.freeze import NONE, build, freeze
from handful.trainer.settings.errors import ExportError


def golden_examples(learner: handful.Learner) -> tuple[Any, Any, Any]:
    """Examples as an application gives them: pixels of pictures, else the floats themselves."""
    golden, spec = read_golden(learner.files, learner.manifest).vectors, learner.input
    support, query = golden.support_x, golden.query_x
    if spec.kind == "image":
        support, query = (
            np.rint((x - spec.offset) / spec.scale).clip(0, 255).astype(np.uint8)
            for x in (support, query)
        )
    return support, golden.support_y, query


def adapted(name: str) -> tuple[handful.Task, Any]:
    learner = handful.load(name)
    support, y, query = golden_examples(learner)
    if learner.manifest.task == "policy":
        return learner.adapt(handful.Rollout(support, y[:, :-1], y[:, -1])), query
    names = learner.classes or [f"class {n}" for n in range(y.shape[1])]
    labels = y if learner.manifest.task == "regression" else [names[n] for n in y.argmax(1)]
    return learner.adapt(list(support), labels), query


def run(file: Path, x: Any) -> dict[str, Any]:
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": x}), strict=True))


@pytest.mark.parametrize("name", list_shipped())
def test_every_shipped_package_can_be_frozen(name: str, tmp_path: Path) -> None:
    task, query = adapted(name)
    freeze(task, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (
        8,
        [("", 18)],
    )
    found = run(tmp_path / "model.onnx", query)
    used = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used
    if task.learner.manifest.task == "policy":
        wanted = np.concatenate(task.act(list(query)), axis=1)
        np.testing.assert_allclose(found["outputs"], wanted, atol=1e-5)
        return
    if task.learner.manifest.task == "regression":
        np.testing.assert_allclose(found["outputs"], task.outputs(query), atol=1e-5)
        return
    np.testing.assert_allclose(found["probabilities"], task.predict_proba(query), atol=1e-5)
    assert [task.classes[i] for i in found["index"]] == task.predict(list(query))


def test_it_says_what_it_is() -> None:
    task, _ = adapted("omniglot-leo")
    known = {entry.key: entry.value for entry in build(task, 0.05).metadata_props}
    assert known["labels"].split("\n") == list(task.classes)
    assert json.loads(known["input"])["shape"] == [28, 28, 1]
    assert known["licence"] == task.learner.manifest.licence
    assert known["unknown"] == "0.05"


@pytest.mark.parametrize("negatives", [0, 6])
def test_it_answers_none_of_these_where_the_task_does(negatives: int, tmp_path: Path) -> None:
    task, query = adapted("omniglot-leo")
    rng = np.random.default_rng(1)
    other = rng.integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    if negatives:
        task = task.with_negatives(list(other[:negatives]))
    freeze(task, tmp_path / "model.onnx", unknown=0.05)
    asked = np.concatenate([query, other, np.full((1, 28, 28, 1), 9, np.uint8)])
    with pytest.warns(handful.InputWarning):  # noise, and a blank one
        labels = task.predict(list(asked), unknown=0.05)
    wanted = [NONE if label is None else task.classes.index(label) for label in labels]
    assert run(tmp_path / "model.onnx", asked)["index"].tolist() == wanted
    assert {NONE} < {*wanted}


def test_samples_are_averaged(tmp_path: Path) -> None:
    learner = handful.load("omniglot-leo")
    support, y, query = golden_examples(learner)
    labels = [f"{n}" for n in y.argmax(1)]
    task = learner.adapt(list(support), labels, samples=3, rng=np.random.default_rng(0))
    freeze(task, tmp_path / "model.onnx")
    found = run(tmp_path / "model.onnx", query)["probabilities"]
    np.testing.assert_allclose(found, task.predict_proba(query), atol=1e-5)


def test_what_has_nothing_in_it_is_seen_in_the_graph() -> None:
    """The rules of three kinds of input, beside those of the runtime."""
    for name in ("omniglot-leo", "keywords-proto-maml", "pen-proto-maml"):
        task, query = adapted(name)
        spec = task.learner.input
        flat = np.full((1, *spec.shape), 7 if spec.kind == "image" else 0.25, query.dtype)
        x = np.concatenate([query[:2], flat])
        body = freezing._Body(task.learner.manifest, {})
        found = body.empty(body.example())
        assert found is not None
        body.op("Identity", found, out="empty")
        body.named.append(freezing._port("empty", onnx.TensorProto.BOOL, ("Q",)))
        session = ort.InferenceSession(body.model(task, None).SerializeToString())
        scaled = x * np.float32(spec.scale) + np.float32(spec.offset) if x.dtype == np.uint8 else x
        assert (
            np.asarray(session.run(None, {"input": x})[0]).tolist()
            == find_empty(scaled, spec).tolist()
        )
        assert find_empty(scaled, spec).tolist() == [False, False, True]


def test_a_file_that_answers_otherwise_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = adapted("omniglot-leo")
    wrong = build(task)
    next(node for node in wrong.graph.node if node.op_type == "Div").input[1] = "twice"
    wrong.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(2 * task._temperature, np.float32), "twice")
    )
    monkeypatch.setattr(freezing, "build", lambda *_: wrong)
    with pytest.raises(ExportError, match="otherwise than the task: probabilities"):
        freeze(task, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_unknown_needs_thresholds() -> None:
    task, _ = adapted("sensor-maml")
    with pytest.raises(handful.AdaptError):
        build(task, 0.05)
