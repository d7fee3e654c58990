"""Named classes, and tasks without an example, are the same in JavaScript as in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from handful.runtime.learner import Learner
from handful.runtime.package.npz import pack_npz

from ..each import each
from ..trainer.test_named import NAMES, learner, of_one_person, run
from .node import needs_node
from .node import run as run_node
from .test_same_answers import agree, python_answers

__all__ = ["learner", "run"]

CASES: dict[str, dict[str, Any]] = {
    "everybody's": {"start": True, "given": []},
    "some classes": {"given": [(2, 3), (0, 1)]},
    "all classes": {"given": [(i, i + 1) for i in range(len(NAMES))]},
}


@needs_node
def test_it_conforms_there_as_well(learner: Learner) -> None:
    (found,) = run_node("refuse.js", "--verify", text=str(learner.path))
    assert (found["read"], found["verify"]) == ("ok", "ok")


@needs_node
@each("name", CASES)
def test_both_runtimes_answer_alike(
    learner: Learner,
    run: Path,
    tmp_path: Path,
    name: str,
) -> None:
    own = of_one_person(run)
    case = CASES[name]
    names = [str(label) for label in NAMES]
    support = [own[names[i]][k] for i, shot in case["given"] for k in range(shot)]
    labels = [names[i] for i, shot in case["given"] for _ in range(shot)]
    queries = [x for label in names for x in own[label][-3:]]
    task = learner.adapt(support, labels) if support else learner.start()
    task.save(tmp_path / "python.npz")
    groups = {"support": support, "queries": queries}
    arrays = {f"{key}/{i}": x for key, few in groups.items() for i, x in enumerate(few)}
    (tmp_path / "in.npz").write_bytes(pack_npz(arrays))
    keys = {key: [f"{key}/{i}" for i in range(len(few))] for key, few in groups.items()}
    ask = {**keys, "negatives": [], "labels": labels, "start": case.get("start", False)}
    (tmp_path / "in.json").write_text(json.dumps({**ask, "rates": [0.05], "coverages": [0.95]}))
    (found,) = run_node("agree.js", str(learner.path), str(tmp_path))
    wanted = python_answers(task, queries, [0.05], [0.95])
    agree(wanted, found["adapted"], f"{name}: adapted there")
    agree(wanted, found["loaded"], f"{name}: saved here, read there")
    read = learner.load_task(tmp_path / "node.npz")
    agree(found["adapted"], python_answers(read, queries, [0.05], [0.95]), f"{name}: read here")
    if "changed" in found:
        changed = task.remove(task.classes[0]).add(support, labels)
        agree(
            python_answers(changed, queries, [0.05], [0.95]), found["changed"], f"{name}: changed"
        )
