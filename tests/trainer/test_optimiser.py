"""The meta-optimiser by hand: its rate, clipping, Adam, SGD; and which batching is chosen."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from handful.trainer.training.config import MetaConfig
from handful.trainer.training.gradient import choose_chunk
from handful.trainer.training.optimiser import MetaOptimiser, learning_rate

from ..each import each


@each(
    ("settings", "rates"),
    [
        ({"schedule": "constant"}, [0.8] * 6),
        ({"schedule": "halve"}, [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]),
        ({"schedule": "linear", "lr": 1.2}, [1.2, 1.0, 0.8, 0.6, 0.4, 0.2]),
        # ½ (1 + cos πt): t = 0, 1/6, 2/6, …
        (
            {"schedule": "cosine"},
            [0.8, 0.4 * (1 + math.sqrt(3) / 2), 0.6, 0.4, 0.2, 0.4 * (1 - math.sqrt(3) / 2)],
        ),
    ],
)
def test_the_course_of_the_rate_by_hand(
    settings: dict[str, Any], rates: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handful.trainer.training.optimiser.HALVE_EVERY", 2)
    config = MetaConfig(**{"steps": 6, "lr": 0.8, **settings})
    assert [learning_rate(config, step) for step in range(1, 7)] == pytest.approx(rates)


def used_gradient(gradient: list[float], **settings: Any) -> list[float]:
    """What Adam is given, read back from its first moment (a tenth of it after one step)."""
    leaves = {"a": torch.zeros(2), "b": torch.zeros(1)}
    optimiser = MetaOptimiser(leaves, MetaConfig(**settings))
    optimiser.step({"a": torch.tensor(gradient[:2]), "b": torch.tensor(gradient[2:])}, 1)
    moments = optimiser.tensors()
    return [10 * value for name in ("a", "b") for value in moments[f"exp_avg/{name}"].tolist()]


def test_clipping_by_hand() -> None:
    gradient = [3.0, -0.5, 4.0]
    assert used_gradient(gradient) == pytest.approx(gradient)
    assert used_gradient(gradient, clip_value=1.0) == pytest.approx([1.0, -0.5, 1.0])
    # the norm of (3, 0, 4) is 5
    assert used_gradient([3.0, 0.0, 4.0], clip_norm=1.0) == pytest.approx([0.6, 0, 0.8], rel=1e-4)
    # values first: (1, 0, 1), of norm √2
    both = used_gradient([3.0, 0.0, 4.0], clip_value=1.0, clip_norm=1.0)
    assert both == pytest.approx([0.5**0.5, 0.0, 0.5**0.5], rel=1e-4)


def test_adams_first_step_by_hand() -> None:
    leaves = {"a": torch.tensor([1.0, 1.0])}
    optimiser = MetaOptimiser(leaves, MetaConfig(lr=0.1))
    optimiser.step({"a": torch.tensor([5.0, -0.01])}, 1)
    torch.testing.assert_close(leaves["a"], torch.tensor([0.9, 1.1]), rtol=1e-5, atol=1e-5)


def test_sgd_by_hand() -> None:
    """Two steps of θ − lr · g under the linear schedule; it keeps nothing between them."""
    leaves = {"a": torch.tensor([1.0, 1.0])}
    config = MetaConfig(optimiser="sgd", lr=0.5, schedule="linear", steps=2, clip_value=2.0)
    optimiser = MetaOptimiser(leaves, config)
    optimiser.step({"a": torch.tensor([4.0, -1.0])}, 1)
    torch.testing.assert_close(leaves["a"], torch.tensor([0.0, 1.5]))  # 4 is clipped to 2
    optimiser.step({"a": torch.tensor([1.0, 1.0])}, 2)  # at half the rate
    torch.testing.assert_close(leaves["a"], torch.tensor([-0.25, 1.25]))
    assert optimiser.tensors() == {}


def test_the_faster_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    cost = {1: 2.0, 8: 3.0, 4: 1.0}
    monkeypatch.setattr("time.perf_counter", lambda: clock["now"])
    calls: list[int] = []

    def gradient(chunk: int) -> None:
        calls.append(chunk)
        clock["now"] += cost[chunk]

    assert choose_chunk("auto", 8, 8, gradient) == 1
    assert choose_chunk("auto", 8, 4, gradient) == 4  # no more than there are tasks
    assert calls == [1, 1, 8, 8, 1, 1, 4, 4]
    assert choose_chunk("loop", 8, 8, gradient) == 1
    assert choose_chunk("vmap", 8, 8, gradient) == 8
    assert len(calls) == 8
