"""Packages in lower precision are the same in JavaScript as in Python: in Node and in Chromium."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handful.runtime.learner import load
from handful.runtime.ort import onnxruntime as ort
from handful.runtime.package.manifest import Precision
from handful.runtime.package.npz import pack_npz
from handful.trainer.export.package import export

from ..each import each
from ..trainer.cases import case, source
from .node import WEB, needs_node, run
from .test_same_answers import agree, python_answers

PRECISIONS: tuple[Precision, ...] = ("float16", "int8")
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A prototypical network on pictures in each precision."""
    subject = source(case("prototypical"))
    examples = subject.test.take_some(64, seed=1)[0]
    folders: dict[str, Path] = {}
    for precision in PRECISIONS:
        folder = tmp_path_factory.mktemp(precision) / "package"
        calibration = examples if precision == "int8" else None
        export(replace(subject, precision=precision, calibration=calibration), folder)
        folders[precision] = folder
    return folders


@needs_node
@each("precision", PRECISIONS)
def test_it_conforms_in_node(packages: dict[str, Path], precision: str) -> None:
    (found,) = run("refuse.js", "--verify", text=str(packages[precision]))
    assert (found["read"], found["verify"]) == ("ok", "ok")


@needs_node
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}")
@pytest.mark.skipif(
    not (WEB / "node_modules/playwright-core").is_dir(), reason="no playwright-core in web"
)
def test_chromium_computes_the_graphs_as_they_are_written(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """onnxruntime-web has no kernels of 8 bits for these: it rounds to levels, in float32."""
    monkeypatch.setenv("HANDFUL_PYTHON", sys.executable)
    x = list(case("prototypical").data.take_some(12, seed=4)[0].numpy())
    labels = ["a", "b"] * 3
    support, queries = ([one.tolist() for one in few] for few in (x[:6], x[6:]))
    file = tmp_path / "ask.json"
    file.write_text(json.dumps({"support": support, "labels": labels, "queries": queries}))
    answers = run("browser/answers.js", str(file), *map(str, packages.values()))
    for found, folder in zip(answers, packages.values(), strict=True):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        wanted = load(folder, session_options=options).adapt(x[:6], labels).logits(x[6:])
        size = float(np.abs(wanted).max())
        np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=1e-4 * size)


@needs_node
@each("precision", PRECISIONS)
def test_both_runtimes_answer_alike(
    packages: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    x = list(case("prototypical").data.take_some(12, seed=4)[0].numpy())
    labels = ["a", "b"] * 3
    arrays = {f"{'support' if i < 6 else 'queries'}/{i}": one for i, one in enumerate(x)}
    (tmp_path / "in.npz").write_bytes(pack_npz(arrays))
    names = {key: [n for n in arrays if n.startswith(key)] for key in ("support", "queries")}
    learner = load(packages[precision])
    assert not learner.manifest.confidence  # it was not measured: nothing to ask by it
    ask = {**names, "negatives": [], "labels": labels, "rates": [], "coverages": []}
    (tmp_path / "in.json").write_text(json.dumps(ask))
    task = learner.adapt(x[:6], labels)
    task.save(tmp_path / "python.npz")
    (found,) = run("agree.js", str(packages[precision]), str(tmp_path))
    agree(python_answers(task, x[6:], [], []), found["adapted"], precision)
