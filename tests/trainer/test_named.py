"""Named classes from a run to a device: trained, exported, adapted to another person."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from handful.runtime.errors import SupportSetError, TaskFileError
from handful.runtime.learner import Learner, load
from handful.runtime.package.manifest import InputSpec
from handful.runtime.tools.bench import bench
from handful.runtime.tools.verify import verify
from handful.trainer.commands.export import Request, export_command
from handful.trainer.commands.subjects import Plan, RunSubject
from handful.trainer.episodes import Asks
from handful.trainer.form.stage import Support
from handful.trainer.learners.prior_means import (
    PriorMeans,
    PriorMeansConfig,
    fit_factors,
    shrunken_means,
    start_fitting,
)
from handful.trainer.training.config import from_dict
from handful.trainer.training.run import train

from ..commands.called import run as command
from ..each import each
from .small import VECTOR

NAMES = np.array(["rest", "fist", "wave", "point"])
PERSONS, BOUTS, EACH = 16, 4, 3


def write_persons(path: Path) -> None:
    """Vectors of four classes; a person's are all moved one way, and each a little of its own."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((4, 6))
    person, c, bout, _ = np.indices((PERSONS, 4, BOUTS, EACH)).reshape(4, -1)
    moved = 2 * rng.standard_normal((PERSONS, 1, 6)) + 0.5 * rng.standard_normal((PERSONS, 4, 6))
    x = means[c] + moved[person, c] + 0.5 * rng.standard_normal((len(c), 6))
    np.savez(path, x=x.astype(np.float32), y=NAMES[c], person=person, bout=bout)


RUN = {
    "learner": {
        "name": "prior-means",
        "network": {"kind": "mlp", "hidden": [8], "normalisation": "layer"},
    },
    "meta": {
        "steps": 60,
        "tasks": 4,
        "shot": [1, 2, 5],
        "partial": 0.4,
        "empty": 0.1,
        "queries": 3,
        "validate_every": 60,
        "validation_episodes": 30,
        "validation_queries": 5,
    },
    "pretrain": {
        "objective": "softmax",
        "steps": 100,
        "tasks": 1,
        "shot": [8],
        "queries": 8,
        "lr": 0.01,
        "validate_every": 100,
        "validation_episodes": 30,
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    write_persons(folder / "persons.npz")
    data = {
        "source": str(folder / "persons.npz"),
        "domain": ["person"],
        "recording": "bout",
        "split": "random",
        "classes": NAMES.tolist(),
    }
    train(from_dict({**RUN, "data": data}, where="test"), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def learner(run: Path) -> Learner:
    place = run.parent / "package"
    export_command(run, place, Request(episodes=20, workers=1), lambda *_: lambda: None)
    return load(place)


def of_one_person(run: Path, person: int = 3) -> dict[str, np.ndarray]:
    with np.load(run.parent / "persons.npz") as data:
        own = data["person"] == person
        return {str(name): data["x"][own & (data["y"] == name)] for name in NAMES}


def test_adapting_to_a_person_gains_and_is_measured_by_person(run: Path) -> None:
    plan = Plan(shots=(0, 1, 5), queries=5, episodes=60)
    none, one, five, half = RunSubject.of(run, plan).measure(plan, count=lambda *_: lambda: None)
    assert none.persons == 3  # 20 % of 16
    assert len(none.values) == 3
    assert none.value < one.value - 0.1
    assert one.value <= five.value
    assert half.size.given == 2
    compared = {other.name: other for other in half.compared}
    assert {"no examples", "everybody's classifier, no examples"} <= set(compared)
    means = compared["class means of the features, squared distance"]
    assert means.difference > 0.1  # which cannot answer with a class that has no example


def test_the_package_holds_its_classes_and_golden_vectors_of_no_example(learner: Learner) -> None:
    assert learner.classes == tuple(NAMES)
    assert learner.path is not None
    assert verify(learner.path).ok
    with np.load(learner.path / "conformance.npz") as golden:
        assert {"start/means/0/c", "start/logits", "means/0/c", "logits"} <= set(golden.files)
        assert golden["support_y"].sum(0).tolist() == [1, 2, 3, 0]
    manifest = learner.manifest
    assert [(e.shot, e.given) for e in manifest.evaluation] == [
        (1, None),
        (2, None),
        (5, None),
        (5, 2),
    ]
    assert all(e.persons == 3 for e in manifest.evaluation)
    assert [entry.shot for entry in manifest.confidence] == [0, 1, 2, 5]


def test_a_task_begins_as_everybodys_classifier(run: Path, learner: Learner) -> None:
    own = of_one_person(run)
    start = learner.start()
    assert start.classes == tuple(NAMES)
    assert start.counts == dict.fromkeys(NAMES, 0)
    queries = [x for name in NAMES for x in own[name][6:]]
    wanted = [name for name in NAMES for _ in own[name][6:]]

    def right(task: object) -> float:
        return float(np.mean([a == b for a, b in zip(task.predict(queries), wanted, strict=True)]))  # type: ignore[attr-defined]

    adapted = learner.adapt({name: list(own[name][:3]) for name in NAMES})
    assert right(adapted) > right(start)
    by_steps = start.add({name: list(own[name][:3]) for name in NAMES})
    np.testing.assert_array_equal(by_steps.logits(queries), adapted.logits(queries))
    for task in (start, adapted):
        assert task.predict_proba(queries).shape == (len(queries), 4)
        assert all(task.predict_set(queries))
        assert task.predict(queries, unknown=0.05)


def test_any_of_the_classes_may_have_examples_in_any_number_and_order(
    run: Path, learner: Learner
) -> None:
    own = of_one_person(run)
    task = learner.adapt({"point": list(own["point"][:3]), "fist": [own["fist"][0]]})
    assert task.classes == tuple(NAMES)
    assert task.counts == {"rest": 0, "fist": 1, "wave": 0, "point": 3}
    again = learner.adapt({"fist": [own["fist"][0]], "point": list(own["point"][:3])})
    np.testing.assert_allclose(again.logits(own["wave"][0]), task.logits(own["wave"][0]), rtol=1e-5)
    assert learner.adapt({"fist": []}).counts == learner.start().counts
    assert task.remove("fist").counts == {"rest": 0, "fist": 0, "wave": 0, "point": 3}


@pytest.mark.filterwarnings("ignore::handful.runtime.errors.InputWarning")  # of the new class
def test_a_name_that_is_none_of_the_classes_is_refused_or_said_to_be_new(
    run: Path, learner: Learner
) -> None:
    own = of_one_person(run)
    with pytest.raises(SupportSetError) as caught:
        learner.adapt({"fits": list(own["fist"])})
    assert str(caught.value) == "package package has no class 'fits'"
    assert caught.value.hint == (
        "did you mean fist? Its classes: rest, fist, wave, point; for a class beyond them say so:"
        " new=['fits'], or --new"
    )
    far = own["fist"] + 6 * np.array([1, -1, 1, -1, 1, -1], np.float32)
    task = learner.adapt({"fist": [own["fist"][0]], "spread": list(far[:2])}, new=["spread"])
    assert task.classes == (*NAMES, "spread")
    assert task.predict(far[5]) == "spread"
    assert task.add({"spread": [far[2]]}).counts["spread"] == 3  # the task knows it now
    assert task.remove("spread").classes == tuple(NAMES)


@each("how", ["start", "half", "new"])
def test_a_saved_task_comes_back(how: str, run: Path, learner: Learner, tmp_path: Path) -> None:
    own = of_one_person(run)
    examples = {"start": {}, "half": {"fist": own["fist"][:2]}, "new": {"spread": own["fist"][:2]}}
    task = learner.adapt(examples[how], new=["spread"] if how == "new" else [])
    task.save(tmp_path / "task.npz")
    back = learner.load_task(tmp_path / "task.npz")
    assert (back.classes, back.counts) == (task.classes, task.counts)
    assert np.array_equal(back.logits(own["rest"]), task.logits(own["rest"]))


def test_a_saved_task_with_other_classes_is_refused(
    run: Path, learner: Learner, tmp_path: Path
) -> None:
    learner.start().save(tmp_path / "task.npz")
    path = tmp_path / "task.npz"
    path.write_bytes(path.read_bytes().replace(b'"rest", "fist"', b'"fist", "rest"'))
    with pytest.raises(TaskFileError):
        learner.load_task(path)


def test_shrunken_means_by_hand() -> None:
    learner = PriorMeans(PriorMeansConfig(network=None), VECTOR, 2, Asks(named_way=2))
    params = learner.init(torch.Generator())
    params |= {
        "prior.means": torch.tensor([[0.0, 0, 0], [4.0, 0, 0]]),
        "prior.worth": torch.tensor([2.0, 2.0, 8.0]).log(),
        "prior.shift": torch.tensor(0.5),
    }
    # two examples of class 0, mean (2, 0, 0): it moved by 2, so every prior by 0.5 · 2
    x = torch.tensor([[1.0, 0, 0], [3.0, 0, 0], [9.0, 9, 9]])
    y = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])  # and one of a class beyond them
    state = shrunken_means(params, {}, Support(x, y), {})
    wanted = [[(2 * 1 + 4) / 4, 0, 0], [4 + 1, 0, 0], [9, 9, 9]]
    torch.testing.assert_close(state["c"], torch.tensor(wanted, dtype=torch.float32))
    # the more examples, and the more the prior is worth, the narrower
    wide = [[1 + 1 / 4, 1 + 1 / 4, 1 + 1 / 10], [1 + 1 / 2, 1 + 1 / 2, 1 + 1 / 8], [2, 2, 2]]
    torch.testing.assert_close(state["v"], torch.tensor(wide))


def test_what_a_person_does_to_all_classes_is_the_posterior_of_one_normal_distribution() -> None:
    rng = np.random.default_rng(5)
    way, size, count = 3, 2, 2
    p, m = rng.standard_normal((way, size)), rng.uniform(0.5, 2, size)
    w = rng.standard_normal((way, count, size))
    settings = PriorMeansConfig(network=None, shift=0.0, factors=count)
    spec = InputSpec(kind="array", shape=(size,))
    learner = PriorMeans(settings, spec, way, Asks(named_way=way))
    params = learner.init(torch.Generator()) | {
        "prior.means": torch.tensor(p).float(),
        "prior.worth": torch.tensor(m).log().float(),
        "prior.factors": torch.tensor(w).float(),
    }
    x, of = rng.standard_normal((5, size)), [0, 0, 1, 0, 1]  # of class 2 there is none
    y = np.eye(way)[of]
    state = shrunken_means(params, {}, Support(*map(torch.Tensor, (x, y))), {})

    # class means and examples are normal together; the classes' directions side by side
    flat = w.transpose(1, 0, 2).reshape(count, -1)
    prior = flat.T @ flat + np.diag(np.tile(1 / m, way))
    read = np.kron(y, np.eye(size))
    gain = prior @ read.T @ np.linalg.inv(read @ prior @ read.T + np.eye(len(read)))
    means = p.flatten() + gain @ (x.flatten() - read @ p.flatten())
    doubt = np.diag(prior - gain @ read @ prior)
    np.testing.assert_allclose(state["c"].numpy(), means.reshape(way, size), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state["v"].numpy(), 1 + doubt.reshape(way, size), rtol=1e-4)


def test_a_step_descends_the_support_loss_by_its_rate_and_no_further_than_the_bound() -> None:
    settings = PriorMeansConfig(network=None, steps=2, step_rate=0.5)
    learner = PriorMeans(settings, VECTOR, 2, Asks(named_way=2))
    params = learner.init(torch.Generator().manual_seed(0)) | {
        "prior.means": torch.tensor([[0.0, 0, 0], [4.0, 0, 0]]),
        "count.offset": torch.tensor(2.0).log(),
    }
    support = Support(torch.tensor([[3.0, 1, 0]]), torch.tensor([[1.0, 0]]))
    state = shrunken_means(params, {}, support, {})
    state |= start_fitting(params, state, support, {})
    moved, loss = learner.fit(params, state, support)

    c, b = (state[name].clone().requires_grad_() for name in ("c", "b"))
    wanted = -learner.predict(
        params, {**state, "fitted_c": c, "fitted_b": b}, support.x
    ).log_softmax(dim=1)[0, 0]
    slopes = torch.autograd.grad(wanted, [c, b])
    torch.testing.assert_close(loss, wanted)
    length = torch.cat([slope.flatten() for slope in slopes]).norm().clamp(min=1)
    rates = (1, 0.25)
    for name, start, slope, rate in zip(
        ("fitted_c", "fitted_b"), (c, b), slopes, rates, strict=True
    ):
        torch.testing.assert_close(moved[name], (start - rate * slope / length).detach())
    assert int(moved["fitted_count"]) == 1


def test_the_start_finds_how_persons_move_all_classes() -> None:
    rng = np.random.default_rng(1)
    persons, classes, size, each = 300, 3, 4, 20
    w = rng.standard_normal((classes, size)) * 2
    away = rng.standard_normal((persons, 1, 1)) * w
    away = away + rng.standard_normal((persons, classes, size)) * 0.5
    x = away[:, :, None] + rng.standard_normal((persons, classes, each, size))
    person, c, _ = np.indices(x.shape[:3]).reshape(3, -1)
    rows, p = torch.tensor(x.reshape(-1, size)), torch.zeros(classes, size).double()
    found, between = fit_factors(rows, torch.tensor(c), torch.tensor(person), p, 1)
    sign = np.sign((found[:, 0].numpy() * w).sum())
    np.testing.assert_allclose(sign * found[:, 0].numpy(), w, atol=0.4)
    np.testing.assert_allclose(between.numpy(), 0.25 + 1 / each, atol=0.1)


def test_answers_are_densities_under_the_posterior() -> None:
    rng = np.random.default_rng(3)
    learner = PriorMeans(
        PriorMeansConfig(network=None, sharpness=0.5), VECTOR, 2, Asks(named_way=2)
    )
    params = learner.init(torch.Generator())
    c, v = rng.standard_normal((2, 3)), rng.uniform(1, 3, (2, 3))
    query, bias = rng.standard_normal((5, 3)), np.array([0.25, -1.0])
    density = -((query[:, None] - c) ** 2 / v + np.log(v)).sum(axis=2) / 2
    state = {"c": torch.tensor(c), "v": torch.tensor(v), "b": torch.tensor(bias)}
    found = learner.predict(params, state, torch.tensor(query))
    np.testing.assert_allclose(found.numpy(), 0.5 * density + bias, rtol=1e-6)


def test_the_start_finds_what_varies_within_a_person_and_what_between_persons() -> None:
    # made with a covariance within a person's class and one between persons that share no axes
    rng = np.random.default_rng(0)
    persons, classes, each = 400, 2, 10
    within = np.array([[2.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 0.5]])
    between = np.diag([0.2, 1.0, 3.0])
    means = np.array([[0.0, 0, 0], [5.0, -3, 1]])
    own = means + rng.multivariate_normal(np.zeros(3), between, (persons, classes))
    x = own[:, :, None] + rng.multivariate_normal(np.zeros(3), within, (persons, classes, each))
    person, c, _ = np.indices(x.shape[:3]).reshape(3, -1)

    learner = PriorMeans(PriorMeansConfig(network=None), VECTOR, 2, Asks(named_way=2))
    rows = torch.tensor(x.reshape(-1, 3), dtype=torch.float32)
    params = learner.prepare(
        learner.init(torch.Generator()), rows, torch.tensor(c), torch.tensor(person)
    )
    a, m = params["whiten.matrix"].double().numpy(), params["prior.worth"].exp().double().numpy()
    np.testing.assert_allclose(a.T @ within @ a, np.eye(3), atol=0.15)
    found = a.T @ (between + within / each) @ a  # of the mean of so many examples
    np.testing.assert_allclose(found * np.sqrt(np.outer(m, m)), np.eye(3), atol=0.2)
    p = (means - x.reshape(-1, 3).mean(axis=0)) @ a
    np.testing.assert_allclose(params["prior.means"].numpy(), p, atol=0.3)


def test_a_named_package_is_timed_with_its_own_classes(learner: Learner) -> None:
    assert learner.path is not None
    measured = bench(learner.path, shot=1, runs=1, cold_runs=1)
    assert measured.way == 4
    assert measured.adapt_ms > 0


@pytest.fixture
def folders(run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Of one person files to adapt to, of two classes, and others of all classes to test on."""
    for name, x in of_one_person(run).items():
        own = x[: 3 if name in ("rest", "fist") else 0]
        for place, rows in (("own", own), ("other", x[6:])):
            for n, row in enumerate(rows):
                (tmp_path / place / name).mkdir(parents=True, exist_ok=True)
                np.save(tmp_path / place / name / f"{n}.npy", row)
    return tmp_path / "own", tmp_path / "other"


def test_commands_on_files_know_the_classes_without_examples(
    learner: Learner, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    own, other = folders
    saved = tmp_path / "task.npz"
    adapted = command("adapt", learner.path, own, "--out", saved)
    assert adapted.exit_code == 0, adapted.stderr

    tested = json.loads(command("test", saved, other, "--json").stdout)
    assert tested["classes"] == NAMES.tolist()
    assert set(tested["per_class"]) == set(NAMES.tolist())
    assert sum(map(sum, tested["confusion"])) == 4 * 6
    task = learner.load_task(saved)
    answers = [task.predict(np.load(file)) for file in sorted(other.glob("*/*.npy"))]
    wanted = [file.parent.name for file in sorted(other.glob("*/*.npy"))]
    assert tested["right"] == sum(a == b for a, b in zip(answers, wanted, strict=True))

    (other / "rest").rename(other / "rset")
    refused = command("test", saved, other)
    assert refused.exit_code == 1
    assert "rset" in refused.stderr
    (other / "rset").rename(other / "rest")

    page = tmp_path / "report.html"
    reported = command("report", saved, "--out", page, "--test", other)
    assert reported.exit_code == 0, reported.stderr
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in NAMES)


def test_a_run_and_its_package_are_compared_by_person(run: Path, learner: Learner) -> None:
    compared = command(
        *("compare", run, learner.path, "--shot", "1", "--episodes", "12", "--queries", "3"),
        *("--json", "--workers", "1"),
    )
    assert compared.exit_code == 0, compared.stderr
    in_torch, in_runtime, *rules = json.loads(compared.stdout)["entries"]
    assert [(r["shot"], r["given"]) for r in in_torch["results"]] == [(1, None), (1, 2)]
    assert all(r["persons"] == 3 for r in in_runtime["results"])
    for one, other in zip(in_torch["results"], in_runtime["results"], strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=1e-6)
    assert "everybody's classifier, no examples" in [rule["name"] for rule in rules]
