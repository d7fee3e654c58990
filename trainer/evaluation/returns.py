"""Policies measured in their environments: the mean return after each round of rollouts.

A round is what the policy does as it is, and one adaptation to that; the next round is played by
the policy that came of it, as in Finn et al. 2017 (arXiv:1703.03400), section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from handful.runtime.arrays import Array
from handful.trainer.data.environments import Environment, Player
from handful.trainer.episodes import EpisodeSource, OnDevice, TaskSize
from handful.trainer.workers import Workers

ROUNDS = 3  # of rollouts, after each of which a policy is measured
TOGETHER = 20  # tasks that are played side by side
OF_ROLLOUTS = "rounds of rollouts"  # how the comparisons with more or fewer of them end


class Worlds(NamedTuple):
    """Tasks of one seed: the same worlds, and the same noise in each, for every policy."""

    worlds: Tensor  # [E, P]
    seeds: list[int]  # [E], of what else is drawn

    def generators(self) -> list[torch.Generator]:
        """One for each task."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds]


def environment_of(source: EpisodeSource) -> Environment | None:
    """The environment that tasks come from, wherever they are computed; None of other tasks."""
    source = source.source if isinstance(source, OnDevice) else source
    return source if isinstance(source, Environment) else None


def measure_returns(
    player: Player,
    environment: Environment,
    size: TaskSize,
    *,
    episodes: int,
    seed: int,
    rounds: int,
    by_place: bool = True,
    tick: Callable[[], None] = lambda: None,
    workers: Workers | None = None,
) -> Array:
    """The mean return of `size.shot` rollouts after 0 to `rounds` rounds: [E, rounds + 1].

    Advantages are as `Played.supports` makes them, `by_place` or not.
    """
    workers = workers or Workers()
    tasks = draw_worlds(environment, episodes, seed)
    shares = (
        Worlds(tasks.worlds[at : at + TOGETHER], tasks.seeds[at : at + TOGETHER])
        for at in range(0, episodes, TOGETHER)
    )
    measure = partial(_play_rounds, player, environment, size.shot, rounds, by_place)

    def done(returns: Array) -> None:
        for _ in returns:
            tick()

    return np.concatenate(workers.map(measure, shares, done))


def beside(
    after: Array, environment: Environment, size: TaskSize, *, seed: int
) -> dict[str, Array]:
    """What `measure_returns` is compared with, [E] each: other rounds, and who knows the world."""
    rounds = (0, *range(2, after.shape[1]))
    others = {f"{count} {OF_ROLLOUTS}": after[:, count] for count in rounds}
    tasks = draw_worlds(environment, len(after), seed)
    rewards = environment.play_expert(tasks.worlds, size.shot, tasks.generators())
    return {**others, f"an expert who is told {environment.told}": _returns(rewards)}


def draw_worlds(environment: Environment, episodes: int, seed: int) -> Worlds:
    """The tasks of this seed, each by itself: more of them begin with the same."""
    generator = torch.Generator().manual_seed(seed)
    seeds = [int(torch.randint(2**62, (), generator=generator)) for _ in range(episodes)]
    worlds = [environment.draw(1, torch.Generator().manual_seed(seed)) for seed in seeds]
    return Worlds(torch.cat(worlds), [seed + 1 for seed in seeds])


def _play_rounds(
    player: Player,
    environment: Environment,
    rollouts: int,
    rounds: int,
    by_place: bool,
    tasks: Worlds,
) -> Array:
    generators = tasks.generators()
    states = [player.start()] * len(tasks.worlds)
    played = environment.play(player, states, tasks.worlds, rollouts, generators)
    after = [_returns(played.rewards)]
    for _ in range(rounds):
        pairs = zip(states, played.supports(by_place=by_place), strict=True)
        states = [player.learn(state, *support) for state, support in pairs]
        played = environment.play(player, states, tasks.worlds, rollouts, generators)
        after.append(_returns(played.rewards))
    return np.stack(after, axis=1)


def _returns(rewards: Tensor) -> Array:
    """The mean return of each task, [T], of rewards [T, K, H]."""
    found: Array = rewards.double().sum(dim=2).mean(dim=1).numpy()
    return found
