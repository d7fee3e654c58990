"""How many processes share the work of a machine, and how many threads each of them has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from handful.trainer.errors import ConfigError

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Shape:
    """Processes, this one included, and the threads of each while they share work."""

    workers: int = 1
    threads: int = 1

    @property
    def cores(self) -> int:
        """What they use together, and one of them alone where work cannot be shared."""
        return self.workers * self.threads


ALONE = Shape()


def shape_of(workers: int | None, threads: int | None, *, most: int, device: str = "cpu") -> Shape:
    """As asked for; None: a process a core, and what is left of the cores as threads.

    `most` is the number of pieces that the work falls into. On a GPU, and under torchrun, which
    has shared the work out already, None is one process.
    """
    if torch.device(device).type != "cpu":
        if (workers or 1) > 1:
            raise ConfigError(
                f"{workers} workers on {device}",
                hint="leave --workers out: a GPU computes for one process; several GPUs are"
                " shared out by torchrun",
            )
        workers = 1
    if workers is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        workers = 1
    cores = usable_cores()
    count = max(1, min(workers or cores // (threads or 1), most))
    if threads is None:
        # alone, torch decides as it always has
        threads = max(1, cores // count) if count > 1 else torch.get_num_threads()
    return Shape(count, threads)


def usable_cores(cgroup: Path | None = None) -> int:
    """torch's number of threads, which heeds OMP_NUM_THREADS, within what a container may use."""
    return max(1, min(torch.get_num_threads(), int(_quota(cgroup or CGROUP))))


def _quota(cgroup: Path) -> float:
    """The share of processor time that the control group allows, in cores; infinite if all."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else 1e9
    except (OSError, ValueError):  # no such group, or "max"
        return 1e9
