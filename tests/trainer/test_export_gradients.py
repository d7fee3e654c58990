"""The exported gradient steps against central differences of the exported graphs themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from handful.runtime.engine import Engine
from handful.runtime.learner import load

from ..each import each
from .cases import case
from .small import uneven

Floats = NDArray[np.float32]


def engine_of(path: Path) -> Engine:
    return load(path)._engine


def cross_entropy(logits: Floats, y: Floats) -> float:
    """In float64, so that only the graphs round."""
    a = logits.astype(np.float64)
    a = a - a.max(axis=1, keepdims=True)
    return float(-(y * (a - np.log(np.exp(a).sum(axis=1, keepdims=True)))).sum(axis=1).mean())


def gradient_holds(
    loss: Callable[[Any], float], at: Floats, gradient: Floats, *, step: float
) -> None:
    """`gradient` against central differences: along random directions, and in all entries."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        # half along the gradient, so that there is a slope to measure against rounding
        direction = rng.standard_normal(at.shape)
        direction = direction / np.linalg.norm(direction) + gradient / np.linalg.norm(gradient)
        direction = (direction / np.linalg.norm(direction)).astype(np.float32)
        measured = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
        expected = float((gradient * direction).sum())
        assert abs(measured - expected) < 2e-2 * abs(expected)
    entries = rng.permutation(at.size)[:200]
    slopes = []
    for i in entries:
        bump = np.zeros(at.shape, np.float32)
        bump.flat[i] = step
        slopes.append((loss(at + bump) - loss(at - bump)) / (2 * step))
    wanted, measured_all = gradient.reshape(-1)[entries], np.array(slopes)
    cosine = wanted @ measured_all / np.linalg.norm(wanted) / np.linalg.norm(measured_all)
    assert cosine > 0.999
    assert np.linalg.norm(measured_all) == pytest.approx(np.linalg.norm(wanted), rel=2e-2)


def leo_task(package: Callable[[str], Path]) -> tuple[Engine, dict[str, Floats]]:
    subject, engine = case("leo"), engine_of(package("leo"))
    x, y, _ = uneven(subject.data, [2, 1, 3, 1])
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


@each("name", ["mlp-support-shared-coordinate", "mlp-group-fixed-coordinate", "anil"])
def test_the_exported_inner_step_descends_its_own_predict(
    name: str, package: Callable[[str], Path]
) -> None:
    """Each tensor of θ in turn; under `support` the statistics graph stands in between."""
    subject, engine = case(name), engine_of(package(name))
    graphs = engine.graphs
    x, y, _ = uneven(subject.data, [2, 1, 2, 1])
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
        rate: Any = subject.params.get(
            tensor.replace("theta.", "rate."), torch.tensor(0.05)
        ).numpy()
        if rate.ndim and rate.shape[-1] > 1:  # a fixed head has more columns than the task
            rate = rate[..., : at.shape[-1]]
        slope = (at - after[tensor]) / (4 * rate)  # α N, of four classes
        others = {n: first[n] for n in names if n != tensor}
        gradient_holds(lambda t: loss({**others, tensor: t}), at, slope, step=2e-4)  # noqa: B023
    assert float(after["loss"]) == pytest.approx(loss({n: first[n] for n in names}), rel=1e-4)
