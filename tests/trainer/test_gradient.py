"""The meta-gradient: tasks together by vmap, or one by one, to the second order, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Normalisation
from handful.trainer.training.gradient import choose_chunk, meta_gradient

from ..each import each
from .small import double, double_episode, generator

SPEC = InputSpec(kind="image", shape=(16, 16, 1))
NETWORKS: dict[str, NetworkConfig] = {
    "conv4-max": NetworkConfig(filters=8, halving="max"),
    "conv4-stride-mean": NetworkConfig(filters=8, halving="stride", readout="mean"),
    "resnet12": NetworkConfig(kind="resnet12", filters=8),
    "mlp": NetworkConfig(kind="mlp", hidden=(16, 8)),
}
NORMALISATIONS: list[Normalisation] = ["support", "task", "group", "layer", "none", "transductive"]
# every normalisation in the network that takes a tenth of the time; in each other network, one
# whose moments are of the set and one whose moments are of each example
PAIRS = [("mlp", kind) for kind in NORMALISATIONS] + [
    (network, kind) for network in NETWORKS if network != "mlp" for kind in ("support", "layer")
]


def episodes(tasks: int) -> Episode:
    draw = generator(1)
    y = torch.eye(3).expand(tasks, 3, 3)
    support, query = (torch.rand(tasks, 3, *SPEC.shape, generator=draw) for _ in range(2))
    return double_episode(
        Episode(support, y, query, y, torch.arange(y.shape[-1]).expand(len(y), -1))
    )


@each("network, normalisation", PAIRS)
def test_tasks_together_have_the_gradient_of_tasks_one_by_one(
    network: str, normalisation: Normalisation
) -> None:
    config = replace(NETWORKS[network], normalisation=normalisation)
    learner = MAML(MAMLConfig(network=config, inner_steps=2, inner_lr=0.1), SPEC, 3)
    params = double(learner.init(generator()))
    batch = episodes(3)
    by_chunk = [
        meta_gradient(learner, params, tuple(params), batch, {}, progress=1.0, chunk=chunk)
        for chunk in (1, 2, 3)[: 3 if network == "mlp" else 2]  # 2: and one that is left over
    ]
    for gradient, loss, _ in by_chunk[1:]:
        torch.testing.assert_close(loss, by_chunk[0][1], rtol=1e-6, atol=1e-6)  # summed in float32
        for name, one_by_one in by_chunk[0][0].items():
            largest = float(one_by_one.abs().max())
            assert float((gradient[name] - one_by_one).abs().max()) <= 1e-10 * largest + 1e-14, name


@each(
    ("batching", "chunk", "tasks", "expected"),
    [("loop", 8, 4, 1), ("vmap", 8, 4, 4), ("vmap", 8, 16, 8), ("auto", 1, 16, 1)],
)
def test_a_chunk_that_is_asked_for_is_not_timed(
    batching: str, chunk: int, tasks: int, expected: int
) -> None:
    def never(size: int) -> None:
        raise AssertionError(f"timed {size}")

    assert choose_chunk(batching, chunk, tasks, never) == expected  # type: ignore[arg-type]


def test_auto_takes_the_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("handful.trainer.training.gradient.time.perf_counter", lambda: clock[0])

    def gradient(chunk: int) -> None:
        clock[0] += {1: 2.0, 4: 1.0}[chunk]

    assert choose_chunk("auto", 4, 16, gradient) == 4
