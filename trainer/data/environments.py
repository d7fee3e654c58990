"""Environments to act in, each with a world of its own for every task; and policies that play them.

They are written for T worlds with K rollouts each, in torch, and can be differentiated: a meta-loss
may follow a return back to the actions that it came from.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.func import vmap

from handful.runtime.package.manifest import InputSpec
from handful.runtime.rollout import advantages
from handful.trainer.episodes import Episode, EpisodeSource, TaskSize
from handful.trainer.form.learner import Learner, adapt
from handful.trainer.form.stage import Support, Tensors
from handful.trainer.form.steps import after_each_step
from handful.trainer.settings.errors import ConfigError


class Player(Protocol):
    """A policy that acts and learns: in torch, or through the runtime."""

    def start(self) -> Any:
        """The state before any rollout."""
        ...

    def learn(self, state: Any, observations: Tensor, y: Tensor) -> Any:
        """The state after rollouts of this state: observations [S, O], y [S, A + 1]."""
        ...

    def act(self, states: Sequence[Any], observations: Tensor) -> Tensor:
        """Means, then deviations, [T, K, 2 A] at observations [T, K, O], of a state for each T."""
        ...


class Played(NamedTuple):
    """Rollouts of T tasks; T, K and H are tasks, rollouts of each, readings of each."""

    observations: Tensor  # [T, K, H, O]
    actions: Tensor  # [T, K, H, A]
    rewards: Tensor  # [T, K, H]
    noise: Tensor  # [T, K, H, A]
    slopes: Tensor | None  # [T, K, H, A], of each rollout's return by each action, where asked for

    def supports(self, *, by_place: bool = True) -> list[tuple[Tensor, Tensor]]:
        """Of each task the observations [S, O] and targets [S, A + 1] that a policy learns from.

        With `by_place` an advantage is beside what the place lets expect, as on a device.
        """
        found = []
        for x, actions, rewards in zip(*self[:3], strict=True):
            seen = x.numpy() if by_place else None
            gained = torch.from_numpy(advantages(rewards.detach().numpy(), observations=seen))
            y = torch.cat([actions, gained[..., None]], dim=-1)
            found.append((x.flatten(0, 1), y.flatten(0, 1)))
        return found

    def queries(self) -> tuple[Tensor, Tensor]:
        """Observations [T, Q, O], and [T, Q, 2 A + 1] what the meta-loss reads of them."""
        assert self.slopes is not None
        horizon = self.rewards.shape[-1]
        returns = self.rewards.sum(dim=-1, keepdim=True).expand_as(self.rewards)
        y = torch.cat([self.noise, horizon * self.slopes, returns[..., None]], dim=-1)
        return self.observations.flatten(1, 2), y.flatten(1, 2)


class Rollouts(TaskSize):
    """The size of a task of a policy: `shot` rollouts to learn from, `queries` to be judged by."""

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.shot} rollouts"


class Environment(EpisodeSource):
    """A family of worlds: a task is to act well in one of them, which is drawn.

    `targets` are what a policy's support set holds of each reading: its actions and an advantage.
    Without a policy that plays (`played_by`) actions are standard normal draws.
    """

    actions: int  # A; they are cut to ±1 by the world
    horizon: int  # H, readings of a rollout
    told: str  # what the expert knows, for tables
    rounds: int = 1  # of rollouts at most, which a policy is trained for
    player: Player | None = None

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self.targets = self.actions + 1

    @abstractmethod
    def draw(self, tasks: int, generator: torch.Generator) -> Tensor:
        """What differs from world to world, [T, P]."""

    @abstractmethod
    def begin(self, worlds: Tensor, rollouts: int, generator: torch.Generator) -> Tensor:
        """States to begin with, [T, K, …], each drawn by itself."""

    @abstractmethod
    def observe(self, worlds: Tensor, state: Tensor) -> Tensor:
        """What a policy sees of a state: [T, K, O]."""

    @abstractmethod
    def advance(self, worlds: Tensor, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The next states, and the rewards [T, K], of actions [T, K, A]."""

    @abstractmethod
    def expert(self, worlds: Tensor, state: Tensor) -> Tensor:
        """The actions [T, K, A] of who knows the world."""

    def played_by(self, learner: Learner, params: Mapping[str, Tensor], *, rounds: int = 1) -> Self:
        """The same worlds, whose episodes this policy plays as it is now, in one to `rounds`."""
        other = copy(self)
        other.rounds = rounds
        other.player = LearnerPlayer(learner, dict(params))
        return other

    def size(self, way: int, shot: int, queries: int) -> TaskSize:
        """So many rollouts; a policy has no ways."""
        return Rollouts(1, shot, queries)

    def check(self, size: TaskSize, *, where: str, prefix: str = "") -> None:
        """Refuse a single rollout: it is not better or worse than any other."""
        if size.shot < 2:
            raise ConfigError(
                f"a task of {size.shot} rollout was asked for, a policy learns from 2 or more",
                hint=f"raise {prefix}shot",
            )

    def embed_with(self, embed: Any) -> Self:
        """The same: whoever plays embeds what it sees."""
        return self

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """What the policy does at T tasks, before and after it has learnt from what it did.

        `support_x` [T, R, S, O] and `support_y` [T, R, S, A + 1] are `size.shot` rollouts of the
        policy as it is, then of the policy adapted to these, and so on for R rounds, which are
        drawn from one to `rounds`; `query_x` [T, Q, O] and `query_y` [T, Q, 2 A + 1] are
        `size.queries` of the policy adapted to the last. A policy that was trained for one round
        alone may run away in its second.
        """
        player = self.player or Chance(self.actions)
        worlds = self.draw(tasks, generator)
        states = [player.start()] * tasks
        draws = [generator] * tasks
        rounds = []
        for _ in range(1 + int(torch.randint(self.rounds, (), generator=generator))):
            # by place a step is twice as long, and the cart's meta-training runs away with it
            played = self.play(player, states, worlds, size.shot, draws).supports(by_place=False)
            states = [player.learn(s, *seen) for s, seen in zip(states, played, strict=True)]
            rounds.append([torch.stack(part) for part in zip(*played, strict=True)])
        then = self.play(player, states, worlds, size.queries, draws, slopes=True)
        support_x, support_y = (torch.stack(part, dim=1) for part in zip(*rounds, strict=True))
        none = torch.zeros(tasks, 0, dtype=torch.int64)
        return Episode(support_x, support_y, *then.queries(), none)

    def draw_uneven(
        self, shots: Sequence[int], *, queries: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As many readings of two rollouts as there are shots, READINGS times; and queries."""
        drawn = self.episodes(Rollouts(1, 2, 1), tasks=1, generator=generator)
        x, y = drawn.support_x[0, 0], drawn.support_y[0, 0]
        order = torch.randperm(len(x), generator=generator)
        some, asked = order[: READINGS * sum(shots)], order[: queries * len(shots)]
        return x[some], y[some], x[asked]

    def take_some(self, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Observations [M, O] and targets [M, A + 1] of a few rollouts; all of one domain."""
        generator = torch.Generator().manual_seed(seed)
        tasks = -(-count // (2 * self.horizon))
        drawn = self.episodes(Rollouts(1, 2, 1), tasks=tasks, generator=generator)
        x, y = (part[:, 0].flatten(0, 1)[:count] for part in drawn[:2])
        return x, y, torch.zeros(len(x), dtype=torch.int64)

    def play(
        self,
        player: Player,
        states: Sequence[Any],
        worlds: Tensor,
        rollouts: int,
        generators: Sequence[torch.Generator],
        *,
        slopes: bool = False,
    ) -> Played:
        """So many rollouts of each task [T, P], by the policy in a state for each.

        Each task draws from its generator. The slopes are total: an action changes what is seen
        afterwards, and so what is done.
        """
        at = self._begin(worlds, rollouts, generators)
        shape = (rollouts, self.horizon, self.actions)
        noise = torch.stack([torch.randn(shape, generator=draws) for draws in generators])
        moved = torch.zeros_like(noise, requires_grad=slopes)  # what the slopes are by
        seen, done, rewards = [], [], []
        with torch.set_grad_enabled(slopes):
            for time in range(self.horizon):
                seen.append(self.observe(worlds, at))
                mean, deviation = player.act(states, seen[-1]).chunk(2, dim=-1)
                action = mean + deviation * noise[:, :, time] + moved[:, :, time]
                at, reward = self.advance(worlds, at, action)
                done.append(action)
                rewards.append(reward)
            total = torch.stack(rewards, dim=2)
            by_action = torch.autograd.grad(total.sum(), moved)[0] if slopes else None
        observations, actions = (torch.stack(parts, dim=2).detach() for parts in (seen, done))
        return Played(observations, actions, total.detach(), noise, by_action)

    def play_expert(
        self, worlds: Tensor, rollouts: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Rewards [T, K, H] of who knows each world, and acts without noise."""
        at = self._begin(worlds, rollouts, generators)
        rewards = []
        for _ in range(self.horizon):
            at, reward = self.advance(worlds, at, self.expert(worlds, at))
            rewards.append(reward)
        return torch.stack(rewards, dim=2)

    def _begin(
        self, worlds: Tensor, rollouts: int, generators: Sequence[torch.Generator]
    ) -> Tensor:
        pairs = zip(worlds[:, None], generators, strict=True)
        return torch.cat([self.begin(world, rollouts, draws) for world, draws in pairs])


READINGS = 10  # of each shot, where a package is checked


@dataclass(frozen=True)
class Chance:
    """Actions that are nothing but noise, of deviation 1: what is played where no policy is."""

    actions: int

    def start(self) -> None:
        """It has no state."""

    def learn(self, state: None, observations: Tensor, y: Tensor) -> None:
        """It does not learn."""

    def act(self, states: Sequence[None], observations: Tensor) -> Tensor:
        """Means of 0, deviations of 1."""
        mean = observations.new_zeros(*observations.shape[:-1], self.actions)
        return torch.cat([mean, torch.ones_like(mean)], dim=-1)


@dataclass(frozen=True)
class LearnerPlayer:
    """A learner at its meta-parameters, in torch; a state is that of one task."""

    learner: Learner
    params: Tensors

    @torch.no_grad()
    def start(self) -> Tensors:
        """The state before any step."""
        x = self.learner.embed(self.params, torch.zeros(1, *self.learner.spec.shape))[:0]
        empty = Support(x, torch.zeros(0, self.learner.targets or 0))
        return next(after_each_step(self.learner, self.params, empty))

    @torch.no_grad()
    def learn(self, state: Tensors, observations: Tensor, y: Tensor) -> Tensors:
        """It goes on from the state."""
        support = Support(self.learner.embed(self.params, observations), y)
        return adapt(self.learner, self.params, support, begun=state)

    def act(self, states: Sequence[Tensors], observations: Tensor) -> Tensor:
        """All tasks at once: as one batch where they are in one state."""
        learner, params = self.learner, self.params

        def answers(state: Tensors, x: Tensor) -> Tensor:
            return learner.predict(params, state, learner.embed(params, x))

        first = states[0]
        if all(state is first for state in states):
            alone = answers(first, observations.flatten(0, 1))
            return alone.reshape(*observations.shape[:2], -1)
        stacked = {name: torch.stack([state[name] for state in states]) for name in first}
        together: Tensor = vmap(answers)(stacked, observations)
        return together


SQUARE, STRIDE = 0.5, 0.1  # goals lie within ±SQUARE; the longest way in a reading, on each axis


class Navigation(Environment):
    """A point that looks for a place it is not told, by how far it was from it.

    2-D navigation of Finn et al. 2017 (arXiv:1703.03400), section 5.3: a goal in the unit square
    around the start, velocities cut to ±0.1, which is 1 here, a reward of −|position − goal|² after
    every move, 100 moves. Their rollouts end within 0.01 of the goal, these go on.
    """

    input = InputSpec(kind="array", shape=(2,))  # the position
    actions = 2  # the velocity, in tenths
    horizon = 100
    told = "the goal"

    def draw(self, tasks: int, generator: torch.Generator) -> Tensor:
        """Goals [T, 2]."""
        return SQUARE * (2 * torch.rand(tasks, 2, generator=generator) - 1)

    def begin(self, worlds: Tensor, rollouts: int, generator: torch.Generator) -> Tensor:
        """The middle of the square."""
        return torch.zeros(len(worlds), rollouts, 2)

    def observe(self, worlds: Tensor, state: Tensor) -> Tensor:
        """Where the point is."""
        return state

    def advance(self, worlds: Tensor, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """A move, and how far from the goal it ends."""
        state = state + STRIDE * actions.clamp(-1, 1)
        return state, -((state - worlds[:, None]) ** 2).sum(dim=-1)

    def expert(self, worlds: Tensor, state: Tensor) -> Tensor:
        """Straight to the goal."""
        return ((worlds[:, None] - state) / STRIDE).clamp(-1, 1)


TICK = 0.05  # seconds between readings
RAIL = 2.0  # the cart's: it goes from −RAIL to RAIL
MASS, GAIN, FRICTION = (0.5, 2.0), (0.5, 2.0), (0.0, 1.0)
BRAKE, STIFF = 0.8, 6.0  # the expert's: share of the force that brakes, 1 / s near the set-point


class Cart(Environment):
    """A cart on a rail to be brought to its mark, of unknown mass, motor and friction.

        mass · acceleration = gain · force − friction · velocity      force cut to ±1

    The motor may be wired the wrong way round: the gain is of either sign. It sees its place and
    its velocity twenty times a second for five seconds, starts at rest up to 1 away from the mark,
    and is rewarded −place² at each reading. The rail ends 2 away from the mark, where the cart
    stops: without an end one cart that runs away earns what a thousand others do, and neither the
    advantages of a rollout nor a meta-gradient say anything of these.
    """

    input = InputSpec(kind="array", shape=(2,))  # place, velocity
    actions = 1  # the force
    horizon = 100
    told = "mass, gain and friction"

    def draw(self, tasks: int, generator: torch.Generator) -> Tensor:
        """Gain / mass and friction / mass, [T, 2]."""
        mass, gain = (_even_in_logarithm(bounds, tasks, generator) for bounds in (MASS, GAIN))
        sign = 2.0 * torch.randint(2, (tasks,), generator=generator) - 1
        friction = FRICTION[0] + (FRICTION[1] - FRICTION[0]) * torch.rand(
            tasks, generator=generator
        )
        return torch.stack([sign * gain / mass, friction / mass], dim=1)

    def begin(self, worlds: Tensor, rollouts: int, generator: torch.Generator) -> Tensor:
        """Places from −1 to 1, at rest."""
        place = 2 * torch.rand(len(worlds), rollouts, generator=generator) - 1
        return torch.stack([place, torch.zeros_like(place)], dim=-1)

    def observe(self, worlds: Tensor, state: Tensor) -> Tensor:
        """All of it: place and velocity."""
        return state

    def advance(self, worlds: Tensor, state: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity first, then the place by it; nothing is left of it at the rail's end."""
        gain, friction = worlds[:, None, :1], worlds[:, None, 1:]
        place, velocity = state.chunk(2, dim=-1)
        velocity = velocity + TICK * (gain * actions.clamp(-1, 1) - friction * velocity)
        place = place + TICK * velocity
        velocity = torch.where(place.abs() > RAIL, 0 * velocity, velocity)
        place = place.clamp(-RAIL, RAIL)
        return torch.cat([place, velocity], dim=-1), -(place**2).squeeze(-1)

    def expert(self, worlds: Tensor, state: Tensor) -> Tensor:
        """As fast as it can still brake, the force that keeps to this velocity."""
        gain, friction = worlds[:, None, :1], worlds[:, None, 1:]
        place, velocity = state.chunk(2, dim=-1)
        fastest = torch.sqrt(2 * BRAKE * gain.abs() * place.abs())
        wanted = -place.sign() * torch.minimum(fastest, STIFF * place.abs())
        force = ((wanted - velocity) / TICK + friction * velocity) / gain
        return force.clamp(-1, 1)


def _even_in_logarithm(
    bounds: tuple[float, float], count: int, generator: torch.Generator
) -> Tensor:
    low, high = (math.log(bound) for bound in bounds)
    return torch.exp(low + (high - low) * torch.rand(count, generator=generator))


ENVIRONMENTS: dict[str, type[EpisodeSource]] = {"navigation": Navigation, "cart": Cart}
