"""Running hostile folders in child processes, so that a crash is an outcome as any other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EXERCISE = Path(__file__).with_name("exercise.py")
MOST_SECONDS, MOST_MIB = 2.0, 256  # of reading one case, over the baseline


@dataclass(frozen=True)
class Outcome:
    """What came of one folder."""

    folder: Path
    read: str
    verify: str = ""
    adapt: str = ""
    seconds: float = 0.0  # of processor time, for reading
    mib: int = 0  # over the baseline, for reading

    @property
    def wrong(self) -> str:
        """Why this is not a typed error or a right answer within the bar; empty where it is."""
        for part in (self.read, self.verify, self.adapt):
            if part.startswith(("raw: ", "crash: ")):
                return part
        if self.seconds > MOST_SECONDS:
            return f"reading took {self.seconds} s, at most {MOST_SECONDS}"
        if self.mib > MOST_MIB:
            return f"reading took {self.mib} MiB, at most {MOST_MIB}"
        return ""

    @property
    def kind(self) -> str:
        """How far it came, in a word or three."""
        if self.wrong:
            return "wrong"
        if self.read != "ok":
            return "refused when read"
        return "ok" if self.verify == self.adapt == "ok" else "refused when run"


def run(folders: Sequence[Path]) -> list[Outcome]:
    """The outcome of each folder; one process for all until one ends it, then another."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(folders):
        outcomes += _one_process(folders[len(outcomes) :])
    return outcomes


def _one_process(folders: Sequence[Path]) -> list[Outcome]:
    done = subprocess.run(
        [sys.executable, str(EXERCISE)],
        input="".join(f"{folder}\n" for folder in folders),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    began = [Path(line["began"]) for line in lines if "began" in line]
    results = [line for line in lines if "began" not in line]
    outcomes = [Outcome(folder, **result) for folder, result in zip(began, results, strict=False)]
    if len(began) > len(results):
        outcomes.append(
            Outcome(began[-1], f"crash: {_reason(done.returncode)} {done.stderr[-500:]}")
        )
    if not outcomes:
        raise RuntimeError(f"the child did not begin: {done.stderr[-2000:]}")
    return outcomes


def _reason(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
