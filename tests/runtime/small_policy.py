"""A small policy, built with onnx by hand: its one action has the same mean whatever it sees.

step     m ← m + ½ mean(advantage · (action − m))     the deviation is 1 and stays
predict  (m, 1) at every observation [2]
"""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from handful.runtime.package.manifest import Bounds, InputSpec, Limits, Manifest, StageSpec

from .small_packages import tensor, write_graph

node = helper.make_node


def bandit(folder: Path) -> Manifest:
    """`moves` counts the steps, and `predict` does not read it."""
    support = tensor("support_y", "S", 2)
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    start = write_graph(
        folder,
        "start",
        [node("Constant", [], [name], value=zero) for name in ("m", "moves")],
        [],
        [tensor("m", 1), tensor("moves", 1)],
    )
    step = write_graph(
        folder,
        "step",
        [
            node("Slice", ["support_y", "at0", "at1", "axis"], ["action"]),
            node("Slice", ["support_y", "at1", "at2", "axis"], ["advantage"]),
            node("Sub", ["action", "m"], ["away"]),
            node("Mul", ["advantage", "away"], ["gains"]),
            node("ReduceMean", ["gains", "rows"], ["gain"], keepdims=0),
            node("Mul", ["gain", "rate"], ["change"]),
            node("Add", ["m", "change"], ["m.next"]),
            node("Add", ["moves", "one"], ["moves.next"]),
            node("ReduceMean", ["advantage"], ["loss"], keepdims=0),
        ],
        [tensor("m", 1), tensor("moves", 1), support],
        [tensor("m", 1), tensor("moves", 1), tensor("loss")],
        {
            "at0": np.array([0]), "at1": np.array([1]), "at2": np.array([2]),
            "axis": np.array([1]), "rows": np.array([0]),
            "rate": np.float32(0.5), "one": np.ones(1, np.float32),
        },
    )  # fmt: skip
    predict = write_graph(
        folder,
        "predict",
        [
            node("Concat", ["m", "one"], ["both"], axis=0),
            node("MatMul", ["query_x", "nothing"], ["zeros"]),
            node("Add", ["zeros", "both"], ["outputs"]),
        ],
        [tensor("m", 1), tensor("query_x", "Q", 2)],
        [tensor("outputs", "Q", 2)],
        {"one": np.ones(1, np.float32), "nothing": np.zeros((2, 2), np.float32)},
    )
    return Manifest(
        name="bandit",
        learner="policy_gradient",
        task="policy",
        input=InputSpec(kind="array", shape=(2,)),
        embed=None,
        graphs={"start": start, "step": step, "predict": predict},
        stages=(StageSpec(name="inner", init="start", step="step", steps=2, state=("m", "moves")),),
        predict="predict",
        limits=Limits(shot=Bounds(0), support=Bounds(0)),
        licence="Apache-2.0",
    )


def climb(m: float, actions: Any, advantages: Any) -> float:
    """The mean after a step."""
    return m + 0.5 * float(np.mean(np.asarray(advantages) * (np.asarray(actions) - m)))


def bandit_golden() -> dict[str, Any]:
    actions, advantages = [1.0, 2.0, -1.0], [0.5, 1.0, -1.5]
    golden: dict[str, Any] = {
        "support_x": np.zeros((3, 2)),
        "support_y": np.stack([actions, advantages], axis=1),
        "query_x": np.ones((2, 2)),
        "inner/0/m": [0.0],
        "inner/0/moves": [0.0],
    }
    m = 0.0
    for place, prefix in enumerate(("", "again/")):
        for i in (1, 2):
            m = climb(m, actions, advantages)
            golden[f"{prefix}inner/{i}/m"] = [m]
            golden[f"{prefix}inner/{i}/moves"] = [2 * place + i]
            golden[f"{prefix}inner/{i}/loss"] = np.mean(advantages)
        golden[f"{prefix}outputs"] = [[m, 1.0]] * 2
    return {name: np.asarray(value, np.float32) for name, value in golden.items()}
