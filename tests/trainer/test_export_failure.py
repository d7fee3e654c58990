"""What torch cannot trace is told by its innermost cause, and where in the learner's own file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.export.package import export
from handful.trainer.form.stage import Tensors
from handful.trainer.learners.nearest import Nearest, NearestConfig
from handful.trainer.settings.errors import ExportError

from ..each import each
from .cases import Case, source
from .small import vectors


def with_number(logits: Tensor) -> Tensor:
    return logits * float(logits.sum())


def with_branch(logits: Tensor) -> Tensor:
    return logits if bool(logits.sum() > 0) else -logits


def with_every_second(logits: Tensor) -> Tensor:
    return Tensor(torch.func.grad(lambda x: (x[:, ::2] ** 2).sum())(logits))


def with_operator_that_onnx_lacks(logits: Tensor) -> Tensor:
    return logits.i0() + logits


def place(function: Callable[..., Any]) -> str:
    return f" (test_export_failure.py, line {function.__code__.co_firstlineno + 1})"


GUARD = "Could not guard on data-dependent expression"
# the first words of torch's own messages, which change from release to release
REASONS: list[tuple[Callable[[Tensor], Tensor], str]] = [
    (with_number, rf"{GUARD} .*{re.escape(place(with_number))}"),
    (with_branch, rf"{GUARD} .*{re.escape(place(with_branch))}"),
    (
        with_every_second,
        "a slice with step 2 is not traced: reshape into phases instead"
        + re.escape(place(with_every_second)),
    ),
    (with_operator_that_onnx_lacks, r"No ONNX function found for .*bessel_i0.*"),
]


@each(("change", "words"), REASONS)
def test_the_innermost_cause_is_shown(
    change: Callable[[Tensor], Tensor], words: str, tmp_path: Path
) -> None:
    class Own(Nearest):
        def __init__(self, config: NearestConfig, spec: InputSpec, way: int) -> None:
            super().__init__(config, spec, way)
            self.embedding = None

        def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
            return change(super().predict(params, state, query_x))

    data = vectors()
    with pytest.raises(ExportError) as caught:
        export(source(Case(Own(NearestConfig(), data.input, 5), {}, data)), tmp_path / "one")
    message = str(caught.value)
    assert re.fullmatch(rf"torch cannot trace `predict` of nearest: {words}", message), message
    assert isinstance(caught.value.__cause__, Exception)
    assert not list(tmp_path.iterdir())
    assert caught.value.hint == (
        "no `if` on a tensor's value, no sizes as numbers: see docs/own-learner.md"
    )
