"""The runtimes in JavaScript and in Python answer alike, and read each other's tasks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.arrays import Array
from handful.runtime.package.npz import pack_npz

from ..each import each
from .node import ROOT, needs_node, run

EXPORTED = ROOT / "exported"
RATES, COVERAGES = [0.05, 0.1], [0.9, 0.95]
SAME = 1e-5  # of probabilities; logits are compared relative to the largest

Case = dict[str, Any]


def drawn(seed: int, count: int, shape: tuple[int, ...]) -> list[Array]:
    """Drawings of four classes in turn: strokes on a dark ground, each a little otherwise."""
    rng = np.random.default_rng(seed)
    examples = []
    for i in range(count):
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        turn = (i % 4) * np.pi / 4
        wave = np.cos(turn) * rows / shape[0] + np.sin(turn) * columns / shape[1]
        drawing = np.abs(np.sin(9 * wave + 0.2 * rng.standard_normal())) > 0.985
        examples.append(drawing.astype(np.float32).reshape(shape))
    return examples


def labels_of(count: int, way: int) -> list[str]:
    return ["vierzig ", "7", "ö", "Ω 4"][:way] * (count // way) + ["7"] * (count % way)


def pictures(name: str, way: int, count: int) -> Case:
    x = drawn(0, count + 6, (28, 28, 1))
    return {
        "package": name,
        "support": x[:count],
        "labels": labels_of(count, way),
        "queries": x[count:],
    }


def given_pixels() -> Case:
    """Pictures of odd sizes, as a camera or a canvas gives them."""
    rng = np.random.default_rng(1)
    sizes = [(28, 28), (31, 190), (400, 29), (57, 63), (1, 9), (333, 334)]
    x = []
    for i, (height, width) in enumerate(sizes * 2):
        y, along = np.mgrid[:height, :width]
        ink = np.sin((y * (i % 3) + along * (1 + i % 2)) / (3 + i)) > 0.6
        paper = rng.integers(180, 256, (height, width, 3))
        x.append(np.where(ink[..., None], rng.integers(0, 60, 3), paper).astype(np.uint8))
    return {
        "package": "omniglot-leo",
        "support": x[:7],
        "labels": labels_of(7, 3),
        "queries": x[7:],
        "as": "picture",
    }


def given_sounds() -> Case:
    """Two channels at a sound card's rate, shorter and longer than an example, with an offset."""
    rng = np.random.default_rng(2)
    x = []
    for i in range(9):
        count = [9000, 44100, 70001][i % 3]
        t = np.arange(count) / 44100
        tone = np.sin(2 * np.pi * (200 + 150 * (i % 3)) * t * (1 + 0.3 * t)) * np.exp(-3 * t)
        both = np.stack([tone, 0.5 * tone], 1) + 0.02 * rng.standard_normal((count, 2)) + 0.03
        x.append(both.astype(np.float32))
    return {
        "package": "keywords-proto-maml",
        "support": x[:6],
        "labels": labels_of(6, 3),
        "queries": x[6:],
        "as": "sound",
        "rate": 44100,
    }


def recordings(name: str) -> Case:
    """Strokes of other lengths than an example, each whole."""
    rng = np.random.default_rng(3)
    x = []
    for i in range(12):
        t = np.linspace(0, 1, 20 + 13 * i)
        path = [np.sin(3 * t * (1 + i % 3)), np.cos(5 * t + i % 3), (t > 0.3).astype(float)]
        noise = 0.01 * rng.standard_normal((len(t), 2))
        trace = np.stack(path, 1).astype(np.float32)
        trace[:, :2] += noise.astype(np.float32)
        x.append(trace)
    return {"package": name, "support": x[:7], "labels": labels_of(7, 3), "queries": x[7:]}


def sines() -> Case:
    rng = np.random.default_rng(4)
    x = [rng.standard_normal(2).astype(np.float32) for _ in range(14)]
    targets = [[float(np.sin(row[0]))] for row in x[:9]]
    return {"package": "sensor-maml", "support": x[:9], "targets": targets, "queries": x[9:]}


def with_others(case: Case, count: int) -> Case:
    return {**case, "negatives": drawn(9, count, (28, 28, 1))[-count:]}


CASES: dict[str, Callable[[], Case]] = {
    "omniglot-leo, uneven shots": lambda: pictures("omniglot-leo", 3, 8),
    "omniglot-leo, two classes": lambda: pictures("omniglot-leo", 2, 2),
    "omniglot-lake": lambda: pictures("omniglot-lake", 4, 9),
    "omniglot-maml": lambda: pictures("omniglot-maml", 3, 5),
    "omniglot-prototypical": lambda: pictures("omniglot-prototypical", 4, 4),
    "pictures of odd sizes": given_pixels,
    "sounds of another rate": given_sounds,
    "strokes-leo, recordings": lambda: recordings("strokes-leo"),
    "pen-proto-maml, recordings": lambda: recordings("pen-proto-maml"),
    "sensor-maml": sines,
    "negatives": lambda: with_others(pictures("omniglot-leo", 3, 8), 7),
    "one negative": lambda: with_others(pictures("omniglot-prototypical", 3, 6), 1),
}


def python_answers(
    task: handful.Task,
    queries: list[Any],
    rates: Sequence[float] = RATES,
    coverages: Sequence[float] = COVERAGES,
) -> dict[str, Any]:
    if task.learner.manifest.task == "regression":
        return {"outputs": task.outputs(queries)}
    return {
        "labels": task.predict(queries),
        "logits": task.logits(queries),
        "probabilities": task.predict_proba(queries),
        "unknown": [task.predict(queries, unknown=rate) for rate in rates],
        "sets": [[list(s) for s in task.predict_set(queries, coverage=c)] for c in coverages],
    }


def agree(here: dict[str, Any], there: dict[str, Any], where: str) -> None:
    assert here.keys() == there.keys(), where
    for key, value in here.items():
        if key in ("labels", "unknown", "sets"):
            assert there[key] == value, f"{where}: {key}"
            continue
        a, b = np.asarray(there[key]), np.asarray(value)
        most = 1.0 if key == "probabilities" else max(1.0, float(np.abs(b).max()))
        assert np.abs(a - b).max() <= SAME * most, f"{where}: {key}"


def as_python_takes_it(case: Case, x: Array) -> Any:
    return handful.Sound(x, case["rate"]) if case.get("as") == "sound" else x


@needs_node
@each("name", CASES)
def test_both_runtimes_answer_alike(tmp_path: Path, name: str) -> None:
    case = CASES[name]()
    package = EXPORTED / case["package"]
    groups = {key: case.get(key, []) for key in ("support", "queries", "negatives")}
    arrays = {f"{key}/{i}": x for key, few in groups.items() for i, x in enumerate(few)}
    (tmp_path / "in.npz").write_bytes(pack_npz(arrays))
    ask = {key: [f"{key}/{i}" for i in range(len(few))] for key, few in groups.items()}
    rest = {key: case.get(key) for key in ("labels", "targets", "as", "rate")}
    ask_all = {**ask, **rest, "rates": RATES, "coverages": COVERAGES}
    (tmp_path / "in.json").write_text(json.dumps(ask_all))

    support, queries, negatives = (
        [as_python_takes_it(case, x) for x in groups[key]] for key in groups
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", handful.InputWarning)
        learner = handful.load(package)
        task = learner.adapt(support, case.get("targets") or case["labels"])
        if negatives:
            task = task.with_negatives(negatives)
        task.save(tmp_path / "python.npz")
        (found,) = run("agree.js", str(package), str(tmp_path))
        wanted = python_answers(task, queries)
        agree(wanted, found["adapted"], "adapted there")
        agree(wanted, found["loaded"], "saved here, read there")
        read = learner.load_task(tmp_path / "node.npz")
        agree(found["adapted"], python_answers(read, queries), "saved there, read here")
        if "changed" in found:
            changed = task.remove(task.classes[0]).add(support, case["labels"])
            agree(python_answers(changed, queries), found["changed"], "removed and added")


@needs_node
@pytest.mark.parametrize("samples", [3])
def test_a_task_of_samples_keeps_its_states(tmp_path: Path, samples: int) -> None:
    case = pictures("omniglot-leo", 3, 6)
    learner = handful.load(EXPORTED / "omniglot-leo")
    rng = np.random.default_rng(0)
    task = learner.adapt(case["support"], case["labels"], samples=samples, rng=rng)
    task.save(tmp_path / "python.npz")
    arrays = {f"support/{i}": x for i, x in enumerate(case["support"])}
    arrays |= {f"queries/{i}": x for i, x in enumerate(case["queries"])}
    (tmp_path / "in.npz").write_bytes(pack_npz(arrays))
    names = {key: [n for n in arrays if n.startswith(key)] for key in ("support", "queries")}
    ask = {**names, "negatives": [], "labels": case["labels"], "rates": RATES, "coverages": []}
    (tmp_path / "in.json").write_text(json.dumps(ask))
    (found,) = run("agree.js", str(EXPORTED / "omniglot-leo"), str(tmp_path))
    wanted = python_answers(task, case["queries"])
    wanted["sets"] = []
    agree(wanted, found["loaded"], "samples")
