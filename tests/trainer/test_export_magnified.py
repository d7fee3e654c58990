"""A learner that magnifies rounding on equal examples is exported, one that differs is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from handful.runtime.learner import load
from handful.trainer.export import conditioning
from handful.trainer.export.conditioning import tolerances
from handful.trainer.export.package import export, golden_vectors
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Noise as Draws
from handful.trainer.form.stage import Stage, Support, Tensors
from handful.trainer.settings.errors import ExportError

from .cases import Case, source
from .small import vectors


@dataclass(frozen=True, kw_only=True)
class Config:
    """Nothing to choose."""


class Spread(Learner):
    """Class means, and what the examples lie apart by, in units of how far they lie apart."""

    name = "spread"
    Config = Config

    def init(self, generator: torch.Generator) -> Tensors:
        return {"w": torch.rand(10, 64, generator=generator) + 0.5}

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        return (Stage(name="means", init=begin, init_name="begin"),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        return query_x @ state["means"].T


def begin(params: Tensors, state: Tensors, support: Support, noise: Draws) -> Tensors:
    projected = support.x @ params["w"]
    # the same sums in another order: their difference is rounding, and so is what divides it
    again = (support.x.flip(1)[:, :, None] * params["w"].flip(0)[None]).sum(dim=1)
    spread = (projected - projected.mean(dim=0)).square().mean(dim=0)
    means = support.y.T @ support.x / support.y.sum(dim=0)[:, None]
    return {"means": means, "scaled": 1e-6 * (projected - again) / (spread + 1e-11)}


@pytest.fixture
def spread() -> Case:
    data = vectors()
    learner = Spread(Config(), data.input, 5)
    return Case(learner, learner.init(torch.Generator().manual_seed(0)), data)


def test_rounding_that_torch_magnifies_as_well_is_no_difference(
    spread: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(source(spread), tmp_path / "one")
    assert load(tmp_path / "one").manifest.name == "one"
    monkeypatch.setattr(conditioning, "HEADROOM", 0.0)  # as if torch magnified nothing
    with pytest.raises(ExportError, match=r"means/0/scaled on ones differs by .*, allowed: 1e-04"):
        export(source(spread), tmp_path / "two")


def test_on_zeros_nothing_more_is_allowed(spread: Case) -> None:
    subject = source(spread)
    y = torch.eye(2)
    zeros, ones = torch.zeros(2, 10), torch.ones(2, 10)
    on_zeros, on_ones = (tolerances(subject, x, y, x) for x in (zeros, ones))
    assert set(on_zeros.values()) == {0.0}
    assert on_ones["means/0/scaled"] > 1e-3
    assert on_ones["logits"] < 1e-4  # a tensor that magnifies rounding does not excuse another


def test_answers_that_are_rounding_are_refused(spread: Case) -> None:
    class Noise(Spread):
        def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
            return torch.sin(1e7 * super().predict(params, state, query_x))

    noise = Noise(Config(), spread.data.input, 5)
    with pytest.raises(ExportError) as caught:
        golden_vectors(source(Case(noise, spread.params, spread.data)))
    assert re.fullmatch(
        r"the answers of spread are rounding: they move by [12]\.\de\+00 of the largest when each"
        r" number moves by 1e-06 of itself, at most 2\.5e-02 can be exported",
        str(caught.value),
    )
    assert "lower its learning rate" in str(caught.value.hint)
