"""Policies in training: their loss, its gradient through an environment, their way to a device."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import handful
from handful.runtime.arrays import Array
from handful.runtime.tools.verify import verify
from handful.trainer.commands.evaluate import evaluate_command
from handful.trainer.commands.export import Request, export_command
from handful.trainer.commands.subjects import Plan
from handful.trainer.data.environments import (
    ENVIRONMENTS,
    Cart,
    Chance,
    Environment,
    LearnerPlayer,
    Navigation,
    Rollouts,
)
from handful.trainer.data.functions import load_functions
from handful.trainer.episodes import Asks
from handful.trainer.evaluation.packages import MeasuredPackage, PackagePlayer
from handful.trainer.evaluation.returns import measure_returns
from handful.trainer.export.freeze import freeze
from handful.trainer.export.package import export
from handful.trainer.export.source import Source
from handful.trainer.form.task import policy_loss
from handful.trainer.learners.maml import MAML, MAMLConfig
from handful.trainer.networks import NetworkConfig
from handful.trainer.settings.errors import ConfigError, SettingError
from handful.trainer.training.folder import RunError, build_learner, load_run
from handful.trainer.training.recipes import read_recipe
from handful.trainer.training.run import train

from ..each import each

NETWORK = NetworkConfig(kind="mlp", hidden=(16,), normalisation="none")
SHORT = [
    "meta.steps=3", "meta.tasks=2", "meta.shot=[3]", "meta.queries=2", "meta.batching=loop",
    "meta.validation_episodes=2", "meta.validation_shot=3", "learner.network.hidden=[16, 16]",
]  # fmt: skip
SIZE = Rollouts(1, 3, 2)


def silent(name: str, total: int) -> Any:
    return lambda: None


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def maml(environment: Environment, **settings: Any) -> MAML:
    config = MAMLConfig(inner_steps=1, network=NETWORK, **settings)
    return MAML(config, environment.input, 5, environment.asks)


def test_the_loss_by_hand() -> None:
    """log N(2; 1, ½) = −½ (1 / ½)² − log ½ = −2 + log 2, but for a constant."""
    outputs = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    y = torch.tensor([[2.0, 3.0], [1.0, -1.0]])
    wanted = -(3 * (-2 + np.log(2)) + -1 * -0.5) / 2
    torch.testing.assert_close(policy_loss(outputs, y), torch.tensor(wanted, dtype=torch.float32))


def test_what_had_no_advantage_moves_nothing() -> None:
    learner = maml(Navigation())
    params = learner.init(generator())
    player = LearnerPlayer(learner, params)
    start = player.start()
    same = player.learn(start, torch.randn(5, 2), torch.tensor([[1.0, -1.0, 0.0]] * 5))
    for name, value in start.items():
        torch.testing.assert_close(same[name], value, rtol=0, atol=0)
    moved = player.learn(start, torch.randn(5, 2), torch.tensor([[1.0, -1.0, 0.5]] * 5))
    assert float((moved["theta.log_deviation"] - start["theta.log_deviation"]).abs().min()) > 0


@each("name", ENVIRONMENTS)
def test_the_gradient_is_that_through_the_environment(name: str) -> None:
    """A rollout unrolled with the parameters in it, and what is stored of one, agree."""
    environment = load_functions(name)
    assert isinstance(environment, Environment)
    environment.horizon = 7
    learner = maml(environment)
    params = {name: p.requires_grad_() for name, p in learner.init(generator()).items()}
    player = LearnerPlayer(learner, params)
    worlds = environment.draw(2, generator())
    draws = [generator(1), generator(2)]
    state = {name.replace("rate.", ""): p for name, p in params.items()}
    played = environment.play(player, [state, state], worlds, 4, draws, slopes=True)
    x, y = (part.flatten(0, 1) for part in played.queries())
    loss = learner.task.query_loss(learner.predict(params, state, x), y)

    at = environment._begin(worlds, 4, [generator(1), generator(2)])
    total: Tensor = torch.zeros(())
    for time in range(environment.horizon):
        mean, deviation = player.act([state, state], environment.observe(worlds, at)).chunk(2, -1)
        at, reward = environment.advance(worlds, at, mean + deviation * played.noise[:, :, time])
        total = total - reward.sum() / 8
    torch.testing.assert_close(loss, total)
    names = ["theta.head.weight", "theta.dense0.weight", "theta.log_deviation"]
    leaves = [params[name] for name in names]
    for ours, direct in zip(
        torch.autograd.grad(loss, leaves), torch.autograd.grad(total, leaves), strict=True
    ):
        assert float(direct.abs().max()) > 1e-4
        torch.testing.assert_close(ours, direct, rtol=1e-4, atol=1e-6)


@each("name", ENVIRONMENTS)
def test_who_knows_the_world_is_far_ahead_of_chance(name: str) -> None:
    environment = load_functions(name)
    assert isinstance(environment, Environment)
    worlds = environment.draw(20, generator())
    draws = [generator(seed) for seed in range(20)]
    chance = environment.play(Chance(environment.actions), [None] * 20, worlds, 3, draws)
    expert = environment.play_expert(worlds, 3, [generator(seed) for seed in range(20)])
    gained, lost = (x.sum(dim=2).mean(dim=1) for x in (expert, chance.rewards))
    assert bool((gained > lost).all())
    assert float(gained.mean()) > 0.3 * float(lost.mean())


def test_a_move_by_hand() -> None:
    goal, at = torch.tensor([[0.3, 0.0]]), torch.zeros(1, 1, 2)
    at, reward = Navigation().advance(goal, at, torch.tensor([[[5.0, -0.5]]]))
    torch.testing.assert_close(at, torch.tensor([[[0.1, -0.05]]]))
    torch.testing.assert_close(reward, torch.tensor([[-(0.2**2 + 0.05**2)]]))
    cart = torch.tensor([[-2.0, 1.0]])  # gain / mass, friction / mass
    state, reward = Cart().advance(cart, torch.tensor([[[1.0, 0.4]]]), torch.tensor([[[0.5]]]))
    velocity = 0.4 + 0.05 * (-2 * 0.5 - 0.4)
    torch.testing.assert_close(state, torch.tensor([[[1 + 0.05 * velocity, velocity]]]))
    torch.testing.assert_close(reward, torch.tensor([[-((1 + 0.05 * velocity) ** 2)]]))
    state, reward = Cart().advance(cart, torch.tensor([[[1.99, 3.0]]]), torch.tensor([[[0.0]]]))
    assert (state.tolist(), reward.tolist()) == ([[[2.0, 0.0]]], [[-4.0]])  # the rail's end


def test_meta_training_leaves_the_place_out() -> None:
    """Its advantages are beside the mean of their time alone, those of a device beside both."""
    environment = Cart()
    worlds = environment.draw(1, generator())
    played = environment.play(Chance(1), [None], worlds, 5, [generator(1)])
    (alone,), (beside,) = (
        played.supports(by_place=by_place)[0][1].T[-1:] for by_place in (False, True)
    )
    rewards, seen = played.rewards[0].numpy(), played.observations[0].numpy()
    np.testing.assert_array_equal(alone, handful.advantages(rewards).ravel())
    wanted = handful.advantages(rewards, observations=seen)
    np.testing.assert_array_equal(beside, wanted.ravel())


def test_episodes_are_the_policys_own() -> None:
    """Its support set is what θ did, its queries what θ′ did: noise and advantages say so."""
    environment = Navigation()
    learner = maml(environment, inner_lr=0.5)
    params = learner.init(generator())
    played = environment.played_by(learner, params, rounds=3)
    drawn = played.episodes(SIZE, tasks=2, generator=generator())
    rounds = drawn.support_x.shape[1]
    assert [tuple(part.shape) for part in drawn] == [
        (2, rounds, 300, 2), (2, rounds, 300, 3), (2, 200, 2), (2, 200, 5), (2, 0),
    ]  # fmt: skip
    player = LearnerPlayer(learner, params)
    state = player.start()
    for support in zip(drawn.support_x[0], drawn.support_y[0], strict=True):
        state = player.learn(state, *support)
    mean, deviation = learner.predict(params, state, drawn.query_x[0]).chunk(2, dim=-1)
    noise = drawn.query_y[0, :, :2]
    first = drawn.query_x[0].reshape(2, 100, 2)
    actions = (mean + deviation * noise).reshape(2, 100, 2)
    moved = first[:, :-1] + 0.1 * actions[:, :-1].clamp(-1, 1)
    torch.testing.assert_close(first[:, 1:], moved, rtol=1e-4, atol=1e-5)
    again = played.episodes(SIZE, tasks=2, generator=generator())
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "run"
    assert train(read_recipe("navigation-maml", SHORT), folder).finished
    return folder


@pytest.fixture(scope="module")
def package(run: Path) -> Path:
    folder = run.parent / "navigation"
    export_command(run, folder, Request(episodes=3, workers=1), silent)
    return folder


def returns_of(player: Any) -> Array:
    return measure_returns(player, Navigation(), SIZE, episodes=3, seed=5, rounds=2)


def test_the_package_plays_as_torch_does(run: Path, package: Path) -> None:
    assert verify(package).ok
    trained = load_run(run, Navigation())
    in_torch = returns_of(LearnerPlayer(trained.learner, trained.params))
    on_device = returns_of(PackagePlayer(MeasuredPackage(package)))
    np.testing.assert_allclose(on_device, in_torch, rtol=1e-3)
    assert in_torch.shape == (3, 3)
    assert (np.abs(np.diff(in_torch, axis=1)) > 1e-3).all()  # each round changes what it does


def test_a_run_and_its_package_are_measured_alike(run: Path, package: Path) -> None:
    plan = Plan(shots=(3,), episodes=2)
    ours, theirs = (
        evaluate_command(
            str(path), plan, transductive=False, device="cpu", workers=1, count=silent
        )[0]
        for path in (run, package)
    )
    np.testing.assert_allclose(theirs.values, ours.values, rtol=1e-3)
    assert [c.name for c in theirs.compared] == [
        "0 rounds of rollouts",
        "2 rounds of rollouts",
        "3 rounds of rollouts",
        "an expert who is told the goal",
    ]
    assert (theirs.accuracy, theirs.mean_squared_error) == (None, None)
    card = (package / "README.md").read_text(encoding="utf-8")
    assert "| data | split | way | rollouts | episodes | mean return (95 % interval) |" in card


FORMS: dict[str, tuple[NetworkConfig, dict[str, Any]]] = {
    "first order, more steps than it was trained for, odd widths": (
        NetworkConfig(kind="mlp", hidden=(5, 3), normalisation="none"),
        {"first_order": True, "inner_steps": 2, "evaluation_steps": 3, "rates": "step"},
    ),
    "a rate for each weight": (NETWORK, {"rates": "coordinate"}),
    "fixed rates, normalised layers": (
        NetworkConfig(kind="mlp", hidden=(8,), normalisation="layer"),
        {"inner_steps": 2},
    ),
}


@each("name", FORMS)
def test_other_forms_of_a_policy_conform(name: str, tmp_path: Path) -> None:
    network, settings = FORMS[name]
    environment = Cart()
    config = MAMLConfig(network=network, clip=1.0, **{"inner_steps": 1, **settings})
    learner = MAML(config, environment.input, 5, environment.asks)
    params = learner.init(generator())
    export(Source(learner=learner, params=params, test=environment, training={}), tmp_path / "p")
    assert verify(tmp_path / "p").ok


def test_a_policy_is_frozen_to_one_file(package: Path, tmp_path: Path) -> None:
    model = freeze(handful.load(package).start(), tmp_path / "policy.onnx")
    assert [output.name for output in model.graph.output] == ["outputs"]


def test_tasks_do_not_depend_on_how_many_there_are() -> None:
    environment = Navigation()
    few, many = (
        measure_returns(Chance(2), environment, SIZE, episodes=count, seed=0, rounds=1)
        for count in (3, 25)
    )
    np.testing.assert_array_equal(few, many[:3])


def test_what_cannot_be_a_policy_is_refused() -> None:
    environment = Navigation()
    config = MAMLConfig(network=NetworkConfig(kind="mlp", normalisation="support"))
    with pytest.raises(SettingError, match="a policy acts before it has seen a set"):
        MAML(config, environment.input, 5, Asks(actions=2))
    with pytest.raises(SettingError, match="a policy moves as a whole here"):
        maml(environment, adapt_only="head")
    with pytest.raises(SettingError, match="the queries of a policy are what it did"):
        maml(environment, multi_step_loss=0.5)
    with pytest.raises(ConfigError, match="a task of 1 rollout was asked for"):
        environment.check(Rollouts(1, 1, 1), where="the set")
    with pytest.raises(RunError, match="asks for policy"):
        build_learner(read_recipe("omniglot-reptile", []), environment)
