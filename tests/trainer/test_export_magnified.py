"""A learner that magnifies rounding on equal examples is exported, one that differs is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from handful.runtime.learner import load
from handful.trainer.errors import ExportError
from handful.trainer.export import parity
from handful.trainer.export.package import export
from handful.trainer.learners import Learner, Stage, Support, Tensors
from handful.trainer.learners.form import Noise

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


def begin(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
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
    monkeypatch.setattr(parity, "HEADROOM", 0.0)  # as if torch magnified nothing
    with pytest.raises(ExportError, match=r"means/0/scaled on ones differs by .*, allowed: 1e-04"):
        export(source(spread), tmp_path / "two")


def test_on_zeros_nothing_more_is_allowed(spread: Case) -> None:
    subject = source(spread)
    y = torch.eye(2)
    zeros, ones = torch.zeros(2, 10), torch.ones(2, 10)
    assert parity._magnified(subject, zeros, y, zeros) == 0.0
    assert parity._magnified(subject, ones, y, ones) > 1e-4
