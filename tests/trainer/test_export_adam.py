"""A learner with Adam's moments: equal outputs, a dict in any order, 1e-8, noise over S.

Its first step is slope / |slope|, which magnifies the rounding of a slope near zero: what CPUs get
differs by more than the default tolerance, and by less than its conditioning says.

The export is also tried with the library's inexact rules, which must be found by its own check.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxscript.rewriter.rules.common import add_0_rule
from torch import Tensor
from torch.func import grad_and_value

from handful.runtime import load
from handful.runtime.package.npz import pack_npz
from handful.runtime.tools.verify import TOLERANCE, relative_difference, verify
from handful.trainer.export import parity, simplify
from handful.trainer.export.conditioning import run_in_torch, tolerances
from handful.trainer.export.package import describe_magnified, export
from handful.trainer.export.source import Source
from handful.trainer.form.learner import Learner, adapt
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.form.task import cross_entropy
from handful.trainer.settings.errors import ExportError

from .cases import Case, case, source
from .small import generator, uneven, vectors

FLOOR = 1e-8  # of Adam's denominator


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


class Adam(Learner):
    """A linear head by Adam's steps; the support set is jittered by noise, one draw an example."""

    name = "adam"
    Config = Config

    def init(self, generator: torch.Generator) -> Tensors:
        return {}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        return (
            Stage(name="jitter", init=jitter, init_name="jitter", noise={"draw": ("S", 10)}),
            Stage(name="head", init=begin, init_name="begin", step=step, steps=3),
        )

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return query_x @ state["w"].T


def jitter(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    return {"near": support.x + 0.1 * noise["draw"]}


def begin(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    zeros = support.y.T @ support.x * 0.0
    return {"w": zeros, "first": zeros * 1.0, "second": torch.zeros_like(zeros)}


def step(params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
    slope, loss = grad_and_value(lambda w: cross_entropy(state["near"] @ w.T, support.y))(
        state["w"]
    )
    first = 0.9 * state["first"] + 0.1 * slope
    second = 0.99 * state["second"] + 0.01 * slope * slope
    w = state["w"] - 0.01 * first / (torch.sqrt(second) + FLOOR)
    return {"second": second, "w": w, "first": first}, loss


@pytest.fixture(scope="module")
def adam() -> Case:
    data = vectors()
    return Case(Adam(Config(), data.input, 5), {}, data)


@pytest.fixture(scope="module")
def exported(adam: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "adam"
    export(source(adam), folder)
    return folder


def test_the_state_goes_by_name(exported: Path) -> None:
    manifest = load(exported).manifest
    assert manifest.stages[1].state == ("w", "first", "second")
    outputs = [tensor.name for tensor in manifest.graphs["step"].outputs]
    assert outputs == ["w", "first", "second", "loss"]
    assert verify(exported).ok


def test_a_step_that_magnifies_rounding_has_a_tolerance_of_its_own(
    adam: Case, exported: Path
) -> None:
    report = verify(exported)
    # its slopes near zero, as altered inputs reveal
    assert 1e-3 < report.allowed("head/1/w") < 0.05
    assert {"head/1/w", "head/2/w"} <= report.tolerances.keys()
    assert report.allowed("logits") < 1e-3  # which the answers do not pass on
    assert report.allowed("head/1/first") == report.tolerance == TOLERANCE
    with np.load(exported / "conformance.npz") as file:
        note = describe_magnified(dict(file))
    assert re.fullmatch(
        r"rounding is magnified in [2-4] golden vectors: another CPU may differ by \de-0[123] of"
        r" the largest value in head/1/w",
        str(note),
    )


@pytest.mark.parametrize(
    ("name", "share", "failed"),
    [
        ("head/1/w", 0.5, False),
        ("head/1/w", 1.5, True),
        ("head/1/first", 0.5, False),  # nothing is magnified here
        ("head/1/first", 1.5, True),
    ],
)
def test_another_cpu_may_differ_as_far_as_rounding_is_magnified_and_no_farther(
    name: str,
    share: float,
    failed: bool,
    adam: Case,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Golden vectors, and torch at export, as a CPU would have them that differs by a share."""
    with np.load(exported / "conformance.npz") as file:
        golden = dict(file)
    allowed = float(golden.get(f"{name}/tolerance", TOLERANCE))
    golden[name] = golden[name] + np.float32(share * allowed) * np.abs(golden[name]).max()
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    (copy / "conformance.npz").write_bytes(pack_npz(golden))
    assert verify(copy).failed == ((name,) if failed else ())

    def elsewhere(subject: Source, *task: Tensor) -> Tensors:
        here = run_in_torch(subject, *task)
        allowed = max(tolerances(subject, *task)[name], TOLERANCE)
        there = here[name] + share * allowed * here[name].abs().max()
        return {**here, name: there}

    monkeypatch.setattr(parity, "run_in_torch", elsewhere)
    if failed:
        with pytest.raises(
            ExportError, match=rf"agree with torch: {name}.* differs by .*, allowed"
        ):
            parity.check_parity(source(adam), exported)
    else:
        parity.check_parity(source(adam), exported)


def test_an_adam_step_on_zeros_is_finite(adam: Case, exported: Path) -> None:
    x, y = torch.zeros(4, 10), torch.eye(2).repeat(2, 1)
    state = adapt(adam.learner, {}, Support(x, y))
    adapted = load(exported)._engine.adapt(x.numpy(), y.numpy())
    np.testing.assert_array_equal(adapted.tensors["w"], np.zeros((2, 10)))
    np.testing.assert_array_equal(adapted.tensors["w"], state["w"].numpy())


def test_noise_over_the_examples_is_drawn_alike(adam: Case, exported: Path) -> None:
    x, y, query = uneven(adam.data, [2, 3, 1])
    draw = torch.randn(6, 10, generator=generator(1))
    state = adapt(adam.learner, {}, Support(x, y), noise={"draw": draw})
    engine = load(exported)._engine
    adapted = engine.adapt(x.numpy(), y.numpy(), noise={"draw": draw.numpy()})
    assert relative_difference(adapted.tensors["w"], state["w"].numpy()) < 1e-4
    assert not torch.equal(state["w"], adapt(adam.learner, {}, Support(x, y))["w"])
    answer = engine.predict(adapted, query.numpy())
    wanted = adam.learner.predict({}, state, query).numpy()
    assert relative_difference(answer, wanted) < 1e-4


def test_a_zero_vector_has_no_nearest_neighbour(package: Callable[[str], Path]) -> None:
    """Its cosine with everything is 0, not NaN: as a query, and as an example."""
    subject = case("nearest")
    x, y, _ = uneven(subject.data, [1, 2, 1])
    x[0] = 0
    zero = torch.zeros(1, 10)
    task = load(package("nearest")).adapt(x.numpy(), list("abbc"))
    np.testing.assert_array_equal(task.logits(zero.numpy()), np.zeros((1, 3)))
    np.testing.assert_array_equal(subject.answer(x, y, zero).numpy(), np.zeros((1, 3)))
    logits = task.logits(x[1:].numpy())
    assert relative_difference(logits, subject.answer(x, y, x[1:]).numpy()) < 1e-4


@pytest.mark.parametrize("name", ["adam", "nearest"])
def test_a_lost_constant_is_found(
    name: str, adam: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simplify, "RULES", (*simplify.RULES, *add_0_rule.commute()))
    subject = adam if name == "adam" else case(name)
    where = {"adam": "stage head gave", "nearest": "graph embed gave"}[name]
    with pytest.raises(ExportError) as caught:
        export(source(subject), tmp_path / "one")
    assert str(caught.value).startswith(
        f"the exported graphs do not agree with torch: on zeros {where}"
    )
    assert not list(tmp_path.iterdir())
