"""Models of worlds to act in, as families of functions: what an action changes, and what it earns.

Meta-trained, exported and adapted as every other regression is:

    cd benchmarks
    PYTHONPATH=. handful train dynamics.toml --out ../runs/cart-model
    PYTHONPATH=. handful export ../runs/cart-model ../runs/cart-model-package --trust

and for navigation with `--set data.source=dynamics:NavigationModel`. A task is a world; its
readings are those of one rollout of actions drawn at random, one after the other, as a device has
them of its last second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.environments import Cart, Environment, Navigation
from handful.trainer.episodes import Episode, EpisodeSource, TaskSize

CHANGE = 0.1  # of an observation in a reading, of the order of 1 in the targets
ONWARD = 40  # readings at most before those that are learnt from


class Model(EpisodeSource):
    """What an environment does next: (x, a) → ((next x − x) / CHANGE, reward)."""

    environment: type[Environment]
    places: tuple[float, ...]  # queries lie within ± these, wherever a plan may lead

    def __init__(self) -> None:
        """The environment, and the sizes that follow from it."""
        self.world = self.environment()
        seen = self.world.input.shape[0]
        self.input = InputSpec(kind="array", shape=(seen + self.world.actions,))
        self.targets = seen + 1

    def episodes(self, size: TaskSize, *, tasks: int, generator: torch.Generator) -> Episode:
        """`size.shot` readings of one rollout of each of T worlds, and queries anywhere in them."""
        worlds = self.world.draw(tasks, generator)
        at = self.world.begin(worlds, 1, generator)
        before = int(torch.randint(ONWARD, (), generator=generator))
        support = []
        for _ in range(before + size.shot):
            action = 0.5 * torch.randn(tasks, 1, self.world.actions, generator=generator)
            x, y, at = self.step(worlds, at, action.clamp(-1, 1))
            support.append((x, y))
        (x, y) = (torch.cat(part, dim=1) for part in zip(*support[before:], strict=True))
        box = torch.tensor(self.places)
        shape = (tasks, size.queries, len(self.places))
        anywhere = box * (2 * torch.rand(shape, generator=generator) - 1)
        action = 2 * torch.rand(tasks, size.queries, self.world.actions, generator=generator) - 1
        query_x, query_y, _ = self.step(worlds, anywhere, action)
        return Episode(x, y, query_x, query_y, torch.zeros(tasks, 0, dtype=torch.int64))

    def step(self, worlds: Tensor, at: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs and targets of the model at states [T, K, …] under actions; the next states."""
        seen = self.world.observe(worlds, at)
        then, reward = self.world.advance(worlds, at, action)
        change = (self.world.observe(worlds, then) - seen) / CHANGE
        x = torch.cat([seen, action], dim=-1)
        return x, torch.cat([change, reward[..., None]], dim=-1), then


class NavigationModel(Model):
    """Of navigation: every goal is another reward."""

    environment, places = Navigation, (1.0, 1.0)


class CartModel(Model):
    """Of carts: gain and friction differ. The ends of the rail are not in its readings."""

    environment, places = Cart, (1.8, 2.0)
