"""Policies that adapt, beside one policy for all worlds, who knows the world, and a fitted model.

`python benchmarks/control.py navigation PACKAGE RUN-OF-ONE-FOR-ALL MODEL`, the same for cart: the
package is played through the runtime, round by round; the rival is a policy of the same network
trained by the same number of meta-steps without any inner step (`learner.inner_lr=0
learner.rates=fixed`). A model of the dynamics, fitted to the last readings of one rollout, plans by
shooting: what practice prefers. It is least squares, or MODEL, a package of dynamics.py that is
adapted and asked through the runtime as every other regression is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from dynamics import CHANGE
from tables import write_table
from torch import Tensor

import handful
from handful.runtime.arrays import Array
from handful.runtime.package.read import find
from handful.runtime.tools.text import difference, mean
from handful.trainer.data.environments import Environment, LearnerPlayer, Player, Rollouts
from handful.trainer.data.functions import load_functions
from handful.trainer.evaluation import summarise
from handful.trainer.evaluation.packages import MeasuredPackage, PackagePlayer
from handful.trainer.evaluation.returns import beside, draw_worlds, measure_returns
from handful.trainer.export.card import markdown_table
from handful.trainer.training.folder import load_run

EPISODES, SEED, ROUNDS = 100, 0, 3
SIZE = Rollouts(1, 20, 1)
Imagine = Callable[
    [Tensor, Tensor], tuple[Tensor, Tensor]
]  # what comes of an action, and is earned


def main() -> None:
    """Measure one package and its rivals, and write their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", choices=["navigation", "cart"])
    parser.add_argument("package")
    parser.add_argument("one_for_all", type=Path)
    parser.add_argument("model")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    asked = parser.parse_args()
    environment = load_functions(asked.environment)
    assert isinstance(environment, Environment)
    package = PackagePlayer(MeasuredPackage(find(asked.package)))
    rival = load_run(asked.one_for_all, environment)
    rows = compared(
        environment,
        package,
        LearnerPlayer(rival.learner, rival.params),
        handful.load(find(asked.model)),
        asked.episodes,
    )
    write_table(
        f"control-{asked.environment}",
        f"A policy in {asked.environment}, adapted by its own rollouts",
        f"python benchmarks/control.py {asked.environment} PACKAGE RUN MODEL",
        rows,
    )


def compared(
    environment: Environment,
    package: Player,
    rival: Player,
    learner: handful.Learner,
    episodes: int,
) -> str:
    """The table: mean returns, and how far the package after one round is ahead of each."""
    after = returns_of(environment, package, episodes, ROUNDS)
    others = beside(after, environment, SIZE, seed=SEED)
    others["the same, an advantage beside the mean of its time alone"] = returns_of(
        environment, package, episodes, 1, by_place=False
    )[:, 1]
    others["one policy for all worlds, as many meta-steps"] = returns_of(
        environment, rival, episodes, 0
    )[:, 0]
    model = f"of the last {LAST} readings of one rollout, and planning with it"
    others[f"least squares {model}"] = planned(environment, package, episodes, squares)
    others[f"an adapted network {model}"] = planned(
        environment, package, episodes, lambda *seen: adapted(learner, *seen)
    )
    result = summarise(after[:, 1], SIZE, task="policy", against=others)
    rows = [("**the package, after one round**", f"**{mean(result)}**", "")]
    for other, values in zip(result.compared, others.values(), strict=True):
        alone = mean(summarise(values, SIZE, task="policy"))
        rows.append((other.name, alone, difference(other)))
    expert = next(values for name, values in others.items() if name.startswith("an expert"))
    gap = (expert - after[:, 1]).mean() / (expert - after[:, 0]).mean()
    return "\n\n".join(
        [
            f"Mean return of a rollout over {episodes} worlds, {SIZE.shot} rollouts a round.",
            markdown_table(("", "return", "the package after one round is ahead by"), rows),
            f"After one round {100 * gap:.0f} % of the distance to the expert are left.",
        ]
    )


def returns_of(
    environment: Environment, player: Player, episodes: int, rounds: int, *, by_place: bool = True
) -> Array:
    """The mean return after each round, [E, rounds + 1]."""
    return measure_returns(
        player,
        environment,
        SIZE,
        episodes=episodes,
        seed=SEED,
        rounds=rounds,
        by_place=by_place,
    )


LAST = 20  # readings that a model is fitted to: a second of the cart's
AHEAD, HELD = 6, 5  # actions of a plan, readings that each is held
DRAWN, KEPT, SEARCHES = 48, 6, 3  # plans, the best of them, rounds of the search
PLANNED = 4  # rollouts of each world, without noise but for where they begin
RIDGE = 1e-8


Fit = Callable[[Tensor, Tensor, Tensor], Imagine]  # of observations, actions, rewards [E, LAST, …]


def planned(environment: Environment, explorer: Player, episodes: int, fit: Fit) -> Array:
    """The mean return [E] of planning with a model of what `explorer` did last.

    Plans are searched for by the cross-entropy method, anew at each reading, and the first action
    of the best is done.
    """
    tasks = draw_worlds(environment, episodes, SEED)
    generators = tasks.generators()
    seen = environment.play(explorer, [explorer.start()] * episodes, tasks.worlds, 1, generators)
    x, actions, rewards = (part[:, 0, -LAST:] for part in seen[:3])
    imagine = fit(x, actions.clamp(-1, 1), rewards)
    at = environment._begin(tasks.worlds, PLANNED, generators)
    total = torch.zeros(episodes, PLANNED)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(environment.horizon):
        action = _plan(imagine, environment.observe(tasks.worlds, at), generator, environment)
        at, reward = environment.advance(tasks.worlds, at, action)
        total = total + reward
    returns: Array = total.double().mean(dim=1).numpy()
    return returns


def squares(x: Tensor, actions: Tensor, rewards: Tensor) -> Imagine:
    """Least squares: the next observation by [x, a, 1], the reward by that and its squares."""
    way = _fit(_linear(x[:, :-1], actions[:, :-1]), x[:, 1:])
    # a reward is that of where the action led
    gain = _fit(_quadratic(x[:, 1:]), rewards[:, :-1, None])

    def imagine(at: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        at = _linear(at, action) @ way
        return at, (_quadratic(at) @ gain)[..., 0]

    return imagine


def adapted(learner: handful.Learner, x: Tensor, actions: Tensor, rewards: Tensor) -> Imagine:
    """A package of dynamics.py, adapted to each world's readings on its own."""
    given = torch.cat([x[:, :-1], actions[:, :-1]], dim=-1)
    y = torch.cat([(x[:, 1:] - x[:, :-1]) / CHANGE, rewards[:, :-1, None]], dim=-1)
    tasks = [learner.adapt(*world) for world in zip(given.numpy(), y.numpy(), strict=True)]

    def imagine(at: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        given = torch.cat([at, action], dim=-1).transpose(0, 1)  # [E, D, K, …]
        flat = given.flatten(1, 2).contiguous().numpy()
        found = [
            torch.from_numpy(task.outputs(rows)) for task, rows in zip(tasks, flat, strict=True)
        ]
        answers = torch.stack(found).reshape(*given.shape[:-1], -1).transpose(0, 1)
        return at + CHANGE * answers[..., :-1], answers[..., -1]

    return imagine


def _plan(
    imagine: Imagine, x: Tensor, generator: torch.Generator, environment: Environment
) -> Tensor:
    """The first action [E, K, A] of the best plan at observations [E, K, O]."""
    shape = (*x.shape[:2], AHEAD, environment.actions)
    middle, spread = torch.zeros(shape), torch.ones(shape)
    for _ in range(SEARCHES):
        draws = torch.randn(DRAWN, *shape, generator=generator)
        plans = (middle + spread * draws).clamp(-1, 1)
        at = x.expand(DRAWN, *x.shape)
        value = torch.zeros(DRAWN, *x.shape[:2])
        for time in range(AHEAD * HELD):
            at, reward = imagine(at, plans[..., time // HELD, :])
            value = value + reward
        best = value.topk(KEPT, dim=0).indices[..., None, None].expand(KEPT, *shape)
        kept = plans.gather(0, best)
        middle, spread = kept.mean(dim=0), kept.std(dim=0)
    return middle[..., 0, :]


def _fit(x: Tensor, y: Tensor) -> Tensor:
    """Weights [E, D, O] with x w ≈ y, of as few readings as there are."""
    gram = x.mT.double() @ x.double() + RIDGE * torch.eye(x.shape[-1], dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(gram, x.mT.double() @ y.double())
    return weights.float()


def _linear(x: Tensor, actions: Tensor) -> Tensor:
    return torch.cat([x, actions, torch.ones_like(x[..., :1])], dim=-1)


def _quadratic(x: Tensor) -> Tensor:
    return torch.cat([x, x * x, torch.ones_like(x[..., :1])], dim=-1)


if __name__ == "__main__":
    main()
