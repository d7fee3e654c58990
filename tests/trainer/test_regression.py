"""Regression: families of functions, what they are compared with, and the line to the runtime."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import handful
from handful.runtime.errors import HandfulError
from handful.runtime.package.decode import read_manifest
from handful.runtime.tools.verify import verify
from handful.trainer.commands.compare import compare
from handful.trainer.commands.evaluate import evaluate_package, evaluate_run
from handful.trainer.commands.export import Request, export_command
from handful.trainer.commands.subjects import Plan
from handful.trainer.data.functions import FUNCTIONS, Sensor, Sinusoid, load_functions
from handful.trainer.episodes import Asks, Episode, EpisodeSource, TaskSize
from handful.trainer.evaluation.yardsticks import least_squares, mean
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train
from handful.trainer.workers import Workers

from ..each import each
from .small import generator

SIZE = TaskSize(1, 5, 7)
FITS = ["mean of the support set", "least squares on the support set"]
SHORT = [
    "meta.steps=30", "meta.validate_every=15", "meta.validation_episodes=10",
    "learner.network.hidden=[8]", "meta.tasks=4",
]  # fmt: skip


def silent(name: str, total: int) -> object:
    return lambda: None


@each("name", FUNCTIONS)
def test_a_family_draws_other_functions_from_the_state_of_the_generator(name: str) -> None:
    source = FUNCTIONS[name]()
    episodes = source.episodes(SIZE, tasks=3, generator=generator(1))
    inputs = source.input.shape[0]
    assert [tuple(part.shape) for part in episodes] == [
        (3, 5, inputs), (3, 5, 1), (3, 7, inputs), (3, 7, 1), (3, 0),
    ]  # fmt: skip
    again = source.episodes(SIZE, tasks=3, generator=generator(1))
    assert all(torch.equal(a, b) for a, b in zip(episodes, again, strict=True))
    assert not torch.equal(episodes.support_x[0], episodes.support_x[1])
    x, y, _ = source.take_some(25, seed=0)
    assert (x.shape, y.shape) == ((25, inputs), (25, 1))


def test_sinusoids_are_those_of_the_paper() -> None:
    drawn = Sinusoid().episodes(TaskSize(1, 400, 1), tasks=50, generator=generator())
    x, y = drawn.support_x[..., 0].double(), drawn.support_y[..., 0].double()
    assert float(x.abs().max()) <= 5
    # a sinusoid is a sum of sin x and cos x: A cos φ and −A sin φ
    waves = torch.stack([x.sin(), x.cos()], dim=2)
    weights = torch.linalg.lstsq(waves, y[..., None]).solution[..., 0]
    torch.testing.assert_close((waves @ weights[..., None])[..., 0], y, atol=1e-5, rtol=1e-5)
    amplitude, phase = weights.norm(dim=1), torch.atan2(-weights[:, 1], weights[:, 0])
    assert 0.1 <= float(amplitude.min()) <= 0.8 <= 4.2 <= float(amplitude.max()) <= 5.0001
    assert 0 <= float(phase.min()) <= 0.4 <= 2.7 <= float(phase.max()) <= math.pi + 1e-5


def test_a_sensor_grows_with_the_true_value_and_saturates() -> None:
    drawn = Sensor().episodes(TaskSize(1, 300, 1), tasks=40, generator=generator())
    reading, value = drawn.support_x[..., 0], drawn.support_y[..., 0]
    assert float(reading.abs().max()) < 3.1
    order = value.argsort(dim=1)
    low, high = order[:, :30], order[:, -30:]
    grown = reading.gather(1, high).mean(dim=1) - reading.gather(1, low).mean(dim=1)
    assert float(grown.min()) > 0.5


def test_fits_by_hand() -> None:
    x, y, query = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]]), torch.tensor([[3.0]])
    torch.testing.assert_close(mean(x, y, query), torch.tensor([[3.0]]))
    torch.testing.assert_close(least_squares(x, y, query), torch.tensor([[7.0]]))  # 1 + 2 x
    # one reading: of all lines through (2, 5) the one with the smallest weights, 1 + 2 x
    torch.testing.assert_close(least_squares(x[1:], y[1:], query), torch.tensor([[7.0]]))


@each("normalisation", ["none", "layer"])
def test_biases_move_where_nothing_normalises(normalisation: str) -> None:
    network = NetworkConfig(kind="mlp", hidden=(8,), normalisation=normalisation)  # type: ignore[arg-type]
    learner = MAML(MAMLConfig(network=network), Sinusoid.input, 5, Asks(targets=1))
    assert learner.moves("dense0.weight")
    assert learner.moves("dense0.beta") == (normalisation == "none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regression") / "run"
    assert train(read_recipe("sensor-maml", SHORT), folder).finished
    return folder


@pytest.fixture(scope="module")
def package(run: Path) -> Path:
    folder = run.parent / "sensor"
    export_command(run, folder, Request(episodes=6), silent)  # type: ignore[arg-type]
    return folder


def test_a_run_logs_errors_and_keeps_the_smallest(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert list(lines[1]) == ["step", "loss", "mean_squared_error", "skipped", "seconds"]
    errors = {line["step"]: line["validation_error"] for line in lines if "interval" in line}
    assert list(errors) == [0, 15, 30]
    assert errors[30] < errors[0]
    (result,) = evaluate_run(
        run,
        Plan(episodes=20, seed=1),
        transductive=False,
        device="cpu",
        count=silent,  # type: ignore[arg-type]
    )
    assert result.accuracy is None
    assert (result.way, result.shot, result.size.queries) == (1, 1, 15)


def test_the_package_gives_what_the_run_gives(run: Path, package: Path, pool: Workers) -> None:
    manifest = read_manifest(package)
    assert verify(package).ok
    assert (manifest.task, manifest.limits.way.max) == ("regression", None)
    assert [(e.way, e.shot) for e in manifest.evaluation] == [(1, 5), (1, 10), (1, 20)]
    plan = Plan(shots=(3, 7), queries=9, episodes=6)
    of_package = evaluate_package(package, plan, count=silent)  # type: ignore[arg-type]
    shared = evaluate_package(package, plan, pool, count=silent)  # type: ignore[arg-type]
    assert shared == of_package
    of_run = evaluate_run(run, plan, transductive=False, device="cpu", count=silent)  # type: ignore[arg-type]
    for result, torch_result in zip(of_package, of_run, strict=True):
        names = [c.name for c in result.compared]
        assert names[:2] == FITS
        assert names[2:] == [f"{k} of 5 inner steps" for k in range(5)]
        assert result.value == pytest.approx(torch_result.value, rel=1e-4)
        assert [c.value for c in result.compared] == pytest.approx(
            [c.value for c in torch_result.compared], rel=1e-4
        )
        for other in result.compared:  # ahead is a smaller error
            assert other.difference == pytest.approx(other.value - result.value, abs=1e-9)
    paths = (str(run), str(package))
    found = compare(paths, plan, workers=1, count=silent)  # type: ignore[arg-type]
    assert found.task == "regression"
    for entry, results in zip(found.entries[:2], (of_run, of_package), strict=True):
        assert [r.value for r in entry.results] == [r.value for r in results]
        assert [r.interval for r in entry.results] == [r.interval for r in results]
    assert [entry.name for entry in found.entries[2:]] == FITS
    assert found.entries[1].cost is not None  # timed on 3 readings
    assert (found.entries[1].cost.bench.way, found.entries[1].cost.bench.shot) == (1, 3)
    card = (package / "README.md").read_text()
    assert "adapts it to a new function from a handful of readings" in card
    assert "examples [S, 2], targets [S, 1]" in card


def test_a_device_calibrates_from_readings_alone(package: Path) -> None:
    drawn = Sensor().episodes(SIZE, tasks=1, generator=generator(5))
    x, y, query = (part[0].numpy() for part in drawn[:3])
    task = handful.load(package).adapt(x, y[:, 0])
    assert task.outputs(query).shape == (7, 1)
    np.testing.assert_allclose(task.outputs(query[3]), task.outputs(query)[3], rtol=1e-4, atol=1e-5)


def test_a_learner_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HandfulError) as error:
        train(read_recipe("prototypical", ["data.source=sensor"]), tmp_path / "run")
    assert str(error.value) == "prototypical learns classification, sensor asks for regression"
    assert error.value.hint == "these learn regression: maml, meta-lstm, reptile"
    assert not (tmp_path / "run").exists()


def test_functions_cannot_pre_train(tmp_path: Path) -> None:
    with pytest.raises(HandfulError) as error:
        train(read_recipe("sensor-maml", [*SHORT, "pretrain.steps=5"]), tmp_path / "run")
    assert str(error.value) == "sensor has no classes to pre-train on"
    assert error.value.hint == "drop the section [pretrain]"


class Slope(EpisodeSource):
    """y = a x, the least that a source of one's own has to say."""

    input = Sinusoid.input
    targets = 1

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        slope = torch.rand(tasks, 1, 1, generator=generator)
        x = torch.rand(tasks, size.shot + size.queries, 1, generator=generator)
        parts = (x[:, : size.shot], x[:, size.shot :])
        (support, query), none = parts, torch.zeros(tasks, 0, dtype=torch.int64)
        return Episode(support, slope * support, query, slope * query, none)


SLOPE = f"{__name__}:Slope"


def test_a_source_of_ones_own_trains_and_is_not_imported_for_a_package(tmp_path: Path) -> None:
    assert isinstance(load_functions(SLOPE), Slope)
    train(read_recipe("sensor-maml", [*SHORT, f"data.source={SLOPE}"]), tmp_path / "run")
    export_command(tmp_path / "run", tmp_path / "slope", Request(episodes=5), silent)  # type: ignore[arg-type]
    assert read_manifest(tmp_path / "slope").evaluation[0].data == f"{SLOPE} (made here)"
    plan = Plan(shots=(5,), episodes=5, yardsticks=False)
    with pytest.raises(HandfulError) as error:
        evaluate_package(tmp_path / "slope", plan, count=silent)  # type: ignore[arg-type]
    assert str(error.value) == (
        f"the package was trained on functions of {SLOPE},"
        " which is not imported on a package's word"
    )
    assert error.value.hint == f"if you trust it, say so: --data {SLOPE}"
    assert evaluate_package(tmp_path / "slope", plan, count=silent, moved=SLOPE)  # type: ignore[arg-type]


@each(
    ("source", "message"),
    [
        (f"{__name__}:Missing", f"data.source: {__name__} has no episode source Missing"),
        ("no_such_module:X", "data.source: there is no module no_such_module"),
    ],
)
def test_a_source_that_is_not_there(source: str, message: str) -> None:
    with pytest.raises(HandfulError) as error:
        load_functions(source)
    assert str(error.value) == message
