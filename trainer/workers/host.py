"""What a process asks of its machine: cores, a device, memory that is kept, and signals to stop."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from handful.trainer.settings.errors import ConfigError

CGROUP = Path("/sys/fs/cgroup")
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # from a person, and from a system that shuts down
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt's numbers, malloc.h
MOST_KEPT = 2**31 - 1


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


def device_of(name: str) -> torch.device:
    """The device of that name, if this machine has it; under torchrun a GPU for each process."""
    try:
        device = torch.device(name)
        if device.type == "cuda":
            if not torch.cuda.is_available():  # a build without CUDA fails in its own ways
                raise _no_device(name)
            index = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
            device = torch.device("cuda", index)
            torch.cuda.set_device(device)
        float(torch.ones(1, device=device) + 1)  # a device that cannot compute fails here
    except (RuntimeError, AssertionError, AttributeError, NotImplementedError, ValueError) as cause:
        raise _no_device(name) from cause
    return device


def _no_device(name: str) -> ConfigError:
    return ConfigError(
        f"no device {name} on this machine", hint="cpu, or cuda with a CUDA build of torch"
    )


def keep_memory() -> bool:
    """Tell glibc not to hand large blocks back to the system; whether it was told.

    Each meta-step makes tensors of up to a hundred megabytes anew, and a block fetched from the
    system is cleared page by page at its first use: half of the time of a step on a CPU.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    return bool(mallopt(TRIM_THRESHOLD, MOST_KEPT)) and bool(mallopt(MMAP_MAX, 0))


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """A signal asks the run to save and stop; a second one ends it at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        previous = {number: signal.signal(number, ask) for number in SIGNALS}
    except ValueError:  # not the main thread: no signal comes here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
