"""What the tests of worker processes let them do: a worker imports this file by its name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.trainer.settings.errors import SettingError
from handful.trainer.workers import Shape, workers


def process(_: object) -> int:
    return os.getpid()


def doubled(x: Tensor) -> Tensor:
    return 2 * x


def times(factor: Tensor, x: int) -> float:
    return float(factor.sum()) * x


@dataclass(frozen=True)
class Elsewhere:
    """Does something in every process but the one that is named."""

    first: int
    what: str

    def __call__(self, share: Any) -> Any:
        if os.getpid() != self.first:
            DEEDS[self.what]()
        return share


def _print() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to descriptor 1")
    os.write(2, b"to descriptor 2")


def _refuse() -> None:
    raise HandfulError("it is wrong", hint="put it right")


def _setting() -> None:
    raise SettingError("size", "is 0, wanted 1")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


DEEDS: dict[str, Callable[[], None]] = {
    "print": _print,
    "refuse": _refuse,
    "setting": _setting,
    "die": _die,
    "sleep": lambda: time.sleep(600),
}


def asleep(folder: str) -> None:
    """Start a worker, leave its number in `folder`, and have it sleep."""
    with workers(Shape(2, 1)) as pool, pool.together():
        number = pool.map(process, [0, 1])
        found = next(n for n in number if n != os.getpid())
        (Path(folder) / "new").write_text(str(found))
        (Path(folder) / "new").rename(Path(folder) / "worker")
        pool.map(Elsewhere(os.getpid(), "sleep"), [0, 1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    asleep(sys.argv[1])
