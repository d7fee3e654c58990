"""A policy learns and acts in JavaScript as in Python, and each reads the other's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import handful
from handful.runtime.package.npz import pack_npz

from ..runtime import edit
from ..runtime.conftest import Packages
from ..runtime.policy_manifests import CASES
from .node import needs_node, run
from .test_same_answers import SAME

REFUSED = {
    "labelled examples": "it learns from what it did, not from labelled examples",
    "both of rewards and advantages": "it learns from what it did",
    "other leading axes": "a rollout has shapes [8,9,2], [8,9,1] and [2]",
    "two actions": "a rollout of 1 readings and 3 actions",
    "no reading": "a rollout of 0 readings",
    "a reward that is no number": "rewards are not all finite numbers",
    "an action that is no number": "actions of a rollout are not all finite numbers",
    "an observation that is no number": "not finite",
    "one rollout": "rewards have the shape [1,1], wanted [K, H] with 2 rollouts or more",
    "predict": "predict on a policy task",
    "remove": "remove on a policy task",
    "noise of another shape": "noise has the shape [3], wanted [1]",
}


def acted(task: handful.Task, seen: Any) -> Any:
    return np.concatenate(task.act(seen), axis=1)


@needs_node
def test_both_runtimes_learn_and_act_alike(tmp_path: Path) -> None:
    folder = Packages(tmp_path)("bandit")
    rng = np.random.default_rng(0)
    drawn = {
        "observations": rng.standard_normal((8, 9, 2)),
        "actions": rng.standard_normal((8, 9, 1)),
        "rewards": 9 * rng.standard_normal((8, 9)),
        "seen": rng.standard_normal((5, 2)),
        "noise": rng.standard_normal((5, 1)),
    }
    arrays = {name: array.astype(np.float32) for name, array in drawn.items()}
    (tmp_path / "in.npz").write_bytes(pack_npz(arrays))
    learner = handful.load(folder)
    gained = handful.advantages(arrays["rewards"], observations=arrays["observations"])
    rollout = handful.Rollout(arrays["observations"], arrays["actions"], gained)
    adapted = learner.adapt(rollout)
    again = adapted.add(rollout)
    adapted.save(tmp_path / "python.npz")

    (found,) = run("act.js", str(folder), str(tmp_path))
    seen = arrays["seen"]
    wanted = {
        "start": acted(learner.start(), seen),
        "adapted": acted(adapted, seen),
        "again": acted(again, seen),
        "loaded": acted(again, seen),
        "advantages": gained.ravel(),
        "alone": handful.advantages(arrays["rewards"]).ravel(),
        "actions": adapted.act(seen, arrays["noise"]),
        "one": acted(adapted, seen)[0],
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=SAME, err_msg=name)
    read = learner.load_task(tmp_path / "node.npz")
    np.testing.assert_allclose(acted(read, seen), wanted["again"], rtol=0, atol=SAME)
    assert found["refused"].keys() == REFUSED.keys()
    for name, words in REFUSED.items():
        assert words in found["refused"][name], (name, found["refused"][name])


@needs_node
def test_a_policy_conforms_there_as_well(tmp_path: Path) -> None:
    folder = Packages(tmp_path)("bandit")
    (found,) = run("refuse.js", "--verify", text=str(folder))
    assert (found["read"], found["verify"]) == ("ok", "ok")
    with np.load(folder / "conformance.npz") as golden:
        changed = {**golden, "again/outputs": golden["again/outputs"] + 1}
    (folder / "conformance.npz").write_bytes(pack_npz(changed))
    (found,) = run("refuse.js", "--verify", text=str(folder))
    assert "again/outputs" in found["verify"], found


@needs_node
def test_what_makes_no_policy_is_refused_there_too(tmp_path: Path) -> None:
    packages = Packages(tmp_path)
    folders = [packages.copy("bandit", tmp_path / str(i)) for i in range(len(CASES))]
    for folder, (change, _) in zip(folders, CASES.values(), strict=True):
        edit.manifest(folder, change)
    found = run("refuse.js", text="\n".join(map(str, folders)))
    read = {name: one["read"] for name, one in zip(CASES, found, strict=True)}
    assert {name: said for name, said in read.items() if "ManifestError" not in said} == {}
