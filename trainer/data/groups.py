"""Tasks within groups: their classes come from one alphabet, or from a few, and not from all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Within:
    """Which tasks take their classes from few groups, as from one alphabet, and from how many."""

    share: float = 0.0  # of the tasks; the others draw from all classes
    groups: int = 1  # of such a task, which takes as many classes from each, or one less

    def least(self, way: int) -> int:
        """The classes that a group must have, to be drawn for a task of so many."""
        return -(-way // self.groups)


EVERYWHERE, ONE_GROUP = Within(), Within(share=1.0)


def draw_classes(
    count: int,
    large_groups: Callable[[int], Sequence[Tensor]],
    way: int,
    generator: torch.Generator,
    within: Within,
) -> Tensor:
    """The classes of a task [N], of all `count` or of few groups.

    `large_groups` gives the classes of each group that has at least so many. Each of them is as
    likely as any other; smaller ones are never drawn.
    """
    # a share of 0 or 1 decides nothing by chance: 0 draws what was drawn before there were groups
    chance = 0 < within.share < 1
    if not within.share or (chance and float(torch.rand((), generator=generator)) >= within.share):
        return torch.randperm(count, generator=generator)[:way]
    groups = large_groups(within.least(way))
    picked = torch.randperm(len(groups), generator=generator)[: within.groups].tolist()
    classes = []
    for n, group in enumerate(picked):
        members, wanted = groups[group], (way + n) // within.groups
        classes.append(members[torch.randperm(len(members), generator=generator)[:wanted]])
    return torch.cat(classes)
