"""Several processes under `torchrun`: each takes its share of the tasks, gradients are averaged."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome
from handful.trainer.form.stage import Tensors
from handful.trainer.settings.errors import ConfigError
from handful.trainer.workers import blocks

from .gradient import Mean, Tasks, some_tasks


@dataclass(frozen=True)
class World:
    """This process among `size`; alone by default."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The group that torchrun's environment describes, or this process alone."""
        if "WORLD_SIZE" not in os.environ:
            return cls()
        if not dist.is_initialized():
            cuda = device.type == "cuda"
            if cuda:
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            # flags and numbers stay on the CPU, which nccl does not serve
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, episodes: Episode, noise: Tensors) -> Tasks:
        """This process's tasks; all processes drew the same ones from the same generator."""
        tasks = len(episodes.query_y)
        if tasks < self.size:
            raise ConfigError(
                f"{tasks} tasks a step cannot be shared by {self.size} processes",
                hint="set meta.tasks to their number at least, or start fewer of them",
            )
        return some_tasks(episodes, noise, blocks(tasks, self.size)[self.rank])

    def average(self, gradient: Tensors, loss: Tensor, outcome: Outcome, *, share: float) -> Mean:
        """The mean over all tasks of all three, in one message.

        They are means over this process's tasks, which are `share` of the whole.
        """
        if self.size == 1:
            return gradient, loss, outcome
        parts = [*gradient.values(), loss, *outcome.metrics.values(), *outcome.buffers.values()]
        flat = share * torch.cat([t.reshape(-1) for t in parts])
        dist.all_reduce(flat)
        pieces = iter(
            piece.reshape(t.shape)
            for piece, t in zip(torch.split(flat, [t.numel() for t in parts]), parts, strict=True)
        )
        return (
            {name: next(pieces) for name in gradient},
            next(pieces),
            Outcome(
                {name: next(pieces) for name in outcome.metrics},
                {name: next(pieces) for name in outcome.buffers},
            ),
        )

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.size == 1:
            return flag
        largest = torch.tensor(float(flag))
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return bool(largest)

    def wait(self) -> None:
        """Until the first process is here too: what it wrote can be read."""
        self.agree(0)

    def agree(self, number: int) -> int:
        """The first process's number."""
        if self.size == 1:
            return number
        agreed = torch.tensor(number)
        dist.broadcast(agreed, 0)
        return int(agreed)
