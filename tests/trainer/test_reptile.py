"""Reptile: Adam's step by hand and against torch's, θ − θ′ exactly, moments that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from handful.runtime import load
from handful.runtime.tools.verify import relative_difference, verify
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import Asks, Episode, TaskSize, sample
from handful.trainer.export.package import export
from handful.trainer.form.learner import adapt, part
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.learners import reptile
from handful.trainer.learners.reptile import (
    MOMENT,
    POWER,
    Reptile,
    ReptileConfig,
    adam_at_once,
    adam_one_by_one,
)
from handful.trainer.networks import NetworkConfig
from handful.trainer.operations.normalise import Statistics
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import MetaConfig, from_toml
from handful.trainer.training.gradient import meta_gradient
from handful.trainer.training.loop import meta_train
from handful.trainer.training.optimiser import MetaOptimiser
from handful.trainer.training.state import Run

from ..each import each
from .cases import Case, case, source
from .small import VECTOR, double, double_episode, generator, uneven, vectors

NETWORK = NetworkConfig(kind="mlp", hidden=(12,), normalisation="none")


class Scalar(Reptile):
    """f_θ(x) = θ, a single number, whatever the example: everything else is Reptile's own."""

    def logits(
        self, theta: Tensors, x: Tensor, statistics: Statistics | None
    ) -> tuple[Tensor, Statistics]:
        return theta["head.bias"].expand(len(x), 1), {}


def test_two_steps_of_adam_by_hand() -> None:
    """A regression, L = (θ − 3)²."""
    network = NetworkConfig(kind="mlp", hidden=(), normalisation="none")
    config = ReptileConfig(network=network, inner_lr=0.5, second_moment=0.75, evaluation_steps=2)
    learner = Scalar(config, VECTOR, 5, Asks(targets=1))
    params = {**learner.init(generator()), "theta.head.bias": torch.tensor([1.0])}
    seen: list[list[float]] = []
    adapt(
        learner,
        params,
        Support(torch.zeros(1, 3), torch.tensor([[3.0]])),
        observe=lambda stage, i, t: seen.append(
            [t[name].item() for name in ("theta.head.bias", "moment.head.bias", POWER)]
        ),
    )
    # g = −4: v = ¼ · 16 = 4, the rate is ½ √(1 − ¾) = ¼, so θ = 1 + ¼ · 4 / √4
    # g = −3: v = ¾ · 4 + ¼ · 9 = 5.25, θ = 1.5 + ½ √(1 − 9/16) · 3 / √5.25
    by_hand = [[1.0, 0.0, 1.0], [1.5, 4.0, 0.75], [1.5 + 3**0.5 / 4, 5.25, 0.5625]]
    torch.testing.assert_close(torch.tensor(seen), torch.tensor(by_hand))


def small(**settings: Any) -> tuple[Reptile, Tensors, LabelledSet]:
    """A small network in float64 that has seen nothing, and its data."""
    data = vectors()
    config = ReptileConfig(**{"network": NETWORK, "inner_lr": 0.02, "batch": 4, **settings})
    learner = Reptile(config, data.input, 5)
    return learner, double(learner.init(generator(1))), data


def test_the_steps_are_torchs_adam_without_the_first_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # torch adds ε to the corrected √v, the authors' TensorFlow to √v as it is: here to neither
    monkeypatch.setattr(reptile, "EPSILON", 1e-30)
    learner, params, data = small(evaluation_steps=6, evaluation_batch=100)
    x, y, _ = (t.double() for t in uneven(data, [2, 1, 3, 1, 1]))
    state = adapt(learner, params, Support(x, y))
    leaves = {n: p.clone().requires_grad_() for n, p in part(params, "theta.").items()}
    adam = torch.optim.Adam(leaves.values(), lr=0.02, betas=(0.0, 0.999), eps=1e-30)
    for _ in range(6):
        hidden = torch.relu(x @ leaves["dense0.weight"] + leaves["dense0.beta"])
        logits = hidden @ leaves["head.weight"] + leaves["head.bias"]
        adam.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    for name, leaf in leaves.items():
        torch.testing.assert_close(state[f"theta.{name}"], leaf.detach(), rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(state[MOMENT + name], adam.state[leaf]["exp_avg_sq"])


def test_all_tensors_at_once_are_moved_as_one_by_one() -> None:
    draw = generator(3)
    shapes = {"a": (3, 4), "b": (5,), "c": ()}
    theta, moments, gradient = (
        {name: torch.rand(shape, generator=draw).double() for name, shape in shapes.items()}
        for _ in range(3)
    )
    before = {name: value.clone() for name, value in (theta | {"v": moments["a"]}).items()}
    rate = torch.tensor(0.03, dtype=torch.float64)
    results = [
        adam(theta, moments, gradient, rate, 0.9) for adam in (adam_one_by_one, adam_at_once)
    ]
    torch.testing.assert_close(*results, rtol=1e-14, atol=0)
    for name, value in before.items():
        assert torch.equal(value, moments["a"] if name == "v" else theta[name])


def episodes_of(data: LabelledSet, tasks: int, way: int = 5, shot: int = 3) -> Episode:
    return double_episode(
        sample(data, TaskSize(way, shot, 1), tasks=tasks, generator=generator(tasks))
    )


def ends(learner: Reptile, params: Tensors, episodes: Episode) -> list[Tensors]:
    """Where the inner steps of each task end."""
    sets = zip(episodes.support_x, episodes.support_y, strict=True)
    return [adapt(learner, params, Support(x, y), training=True) for x, y in sets]


@each("chunk", [1, 3])
@each("head", ["fixed", "shared"])
def test_the_gradient_is_the_mean_of_the_start_less_the_end(head: str, chunk: int) -> None:
    learner, params, data = small(head=head)
    episodes = episodes_of(data, 3)
    names = tuple(name for name in params if not learner.is_frozen(name))
    gradient, loss, outcome = meta_gradient(
        learner, params, names, episodes, {}, progress=0.0, chunk=chunk
    )
    states = ends(learner, params, episodes)
    squares = torch.zeros((), dtype=torch.float64)
    for name in names:
        away = torch.stack([params[name] - state[name] for state in states])
        shared = head == "shared" and name.startswith("theta.head.")
        away = away.mean(dim=-1, keepdim=True) if shared else away  # one column stands for all
        torch.testing.assert_close(gradient[name], away.mean(dim=0), rtol=0, atol=1e-14)
        squares = squares + 0.5 * (away * away).sum() / 3
        moment = torch.stack([state[name.replace("theta.", MOMENT)] for state in states])
        moment = moment.mean(dim=-1, keepdim=True) if shared else moment
        torch.testing.assert_close(
            outcome.buffers[name.replace("theta.", MOMENT)], moment.mean(dim=0)
        )
    if head == "fixed":
        torch.testing.assert_close(loss, squares, check_dtype=False)
    torch.testing.assert_close(outcome.buffers[POWER].double(), torch.tensor(0.999**5).double())


@each("tasks", [1, 4])
def test_a_meta_step_goes_to_the_mean_of_the_ends(tasks: int) -> None:
    """ε = 1, then ½: θ + ε · mean(θ′ − θ); with one task the first step ends on θ′ itself."""
    learner, params, data = small()
    names = tuple(name for name in params if not learner.is_frozen(name))
    config = MetaConfig(optimiser="sgd", lr=1.0, schedule="linear", steps=2)
    optimiser = MetaOptimiser({name: params[name] for name in names}, config)
    episodes = episodes_of(data, tasks)
    for step, rate in ((1, 1.0), (2, 0.5)):
        states, before = ends(learner, params, episodes), {n: params[n].clone() for n in names}
        gradient, _, _ = meta_gradient(
            learner, params, names, episodes, {}, progress=0.0, chunk=tasks
        )
        optimiser.step(gradient, step)
        for name in names:
            mean = torch.stack([state[name] for state in states]).mean(dim=0)
            wanted = before[name] + rate * (mean - before[name])
            torch.testing.assert_close(params[name], wanted, rtol=0, atol=1e-14)


def test_training_reads_the_first_batches_and_evaluation_its_own() -> None:
    learner, params, data = small(inner_steps=1, evaluation_steps=1, evaluation_batch=2)
    x, y, _ = (t.double() for t in uneven(data, [1] * 5))
    short = Support(x[:4], y[:4])  # the first batch of a training step, and all of it
    in_training, whole = (
        adapt(learner, params, support, training=True) for support in (Support(x, y), short)
    )
    assert torch.equal(in_training["theta.dense0.weight"], whole["theta.dense0.weight"])
    later, pair = (
        adapt(learner, params, support) for support in (Support(x, y), Support(x[:2], y[:2]))
    )
    assert torch.equal(later["theta.dense0.weight"], pair["theta.dense0.weight"])
    assert not torch.equal(later["theta.dense0.weight"], whole["theta.dense0.weight"])


def trained(folder: Path, *, steps: int, **meta: Any) -> tuple[Reptile, Tensors, LabelledSet]:
    data = vectors()
    config = ReptileConfig(network=NETWORK, inner_lr=0.01, batch=5, evaluation_steps=8)
    learner = Reptile(config, data.input, 5)
    settings = {"optimiser": "sgd", "schedule": "linear", "lr": 1.0, "shot": (4,), **meta}
    run = Run(
        learner=learner,
        params=learner.init(generator()),
        train=data.take(range(40)),
        validation=data.take(range(40, 60)),
        config=MetaConfig(
            steps=steps, queries=1, validation_episodes=20, validation_queries=3, **settings
        ),
        folder=folder,
    )
    meta_train(run)
    return learner, run.params, data


def test_the_moments_go_on_from_task_to_task(tmp_path: Path) -> None:
    """Serial training: v after two tasks is one Adam's over both, the weights are put back."""
    learner, params, data = trained(tmp_path, steps=2, tasks=1, lr=0.25, schedule="constant")
    draw = torch.Generator().manual_seed(0)
    wanted = learner.init(generator())
    for _ in range(2):
        torch.randint(1, (), generator=draw)  # the step's way and shot, of one each
        torch.randint(1, (), generator=draw)
        episode = sample(data.take(range(40)), TaskSize(5, 4, 1), tasks=1, generator=draw)
        state = ends(learner, wanted, episode)[0]
        for name in wanted:
            rate = 1.0 if learner.is_frozen(name) else 0.25
            wanted[name] = wanted[name] + rate * (state[name] - wanted[name])
    assert params[POWER].item() == pytest.approx(0.999**10)
    for name, value in params.items():
        torch.testing.assert_close(value, wanted[name])


def test_a_smaller_task_leaves_the_other_columns_moments() -> None:
    learner, params, data = small()
    params[MOMENT + "head.bias"] = torch.full((5,), 0.3).double()
    episodes = episodes_of(data, 1, way=3)
    state = ends(learner, params, episodes)[0]
    carried = learner.carry_moments(params, state)[MOMENT + "head.bias"]
    assert state[MOMENT + "head.bias"].shape == (3,)
    torch.testing.assert_close(carried[:3], state[MOMENT + "head.bias"])
    assert torch.equal(carried[3:], params[MOMENT + "head.bias"][3:])


def test_it_learns_to_learn_and_runs_on_a_device(tmp_path: Path) -> None:
    learner, params, data = trained(tmp_path / "run", steps=60, tasks=5)
    start = Case(learner, learner.init(generator()), data)
    subject = Case(learner, params, data)
    tasks = [uneven(data.take(range(40, 60)), [1] * 5, queries=4, seed=s) for s in range(20)]
    wanted = torch.arange(5).repeat_interleave(4)
    right = [
        torch.stack([(c.answer(*task).argmax(dim=1) == wanted).float().mean() for task in tasks])
        for c in (start, subject)
    ]
    assert right[1].mean() > right[0].mean() + 0.02  # 94 % against 90 %
    export(source(subject), tmp_path / "package")
    assert verify(tmp_path / "package").ok
    x, y, query = tasks[0]
    task = load(tmp_path / "package").adapt(x.numpy(), list("abcde"))
    logits = subject.answer(x, y, query)
    assert relative_difference(task.logits(query.numpy()), logits.numpy()) < 1e-4
    assert task.predict(list(query.numpy())) == ["abcde"[i] for i in logits.argmax(dim=1)]


def test_the_transductive_form_has_the_same_weights() -> None:
    subject = case("reptile")
    assert isinstance(subject.learner, Reptile)
    other = subject.learner.transductive_form()
    assert (other.name, other.transductive, other.max_way) == ("reptile", True, 5)
    x, y, query = uneven(subject.data, [1] * 5)
    answer = Case(other, subject.params, subject.data).answer(x, y, query)
    assert answer.shape == (10, 5)
    assert not torch.allclose(answer, subject.answer(x, y, query), rtol=1e-2)


@each(
    ("settings", "message", "hint"),
    [
        ("network.normalisation = 'running'",
         'mine.toml: learner.network.normalisation is "running", but every inner step changes the'
         " weights that the averages are of",
         "set learner.network.normalisation to support, task, group, layer or none"),
        ("second_moment = 1", "mine.toml: learner.second_moment is 1.0, wanted less than 1", None),
        ("evaluation_batch = 0", "mine.toml: learner.evaluation_batch is 0, wanted 1 or more",
         None),
    ],
)  # fmt: skip
def test_what_is_refused(settings: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        from_toml(f"[learner]\nname = 'reptile'\n{settings}", where="mine.toml")
    assert (str(caught.value), caught.value.hint) == (message, hint)
