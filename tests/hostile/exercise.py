"""A child process that does all that handful does with files from anybody, and says how it went.

Reads one folder a line from standard input. For each it prints a line that it began and a line of
JSON with what came of it, so that the parent knows which folder ended the process.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import handful
from handful.runtime.errors import HandfulError, PackageError, escape_controls
from handful.runtime.package.files import read_regular
from handful.runtime.package.npz import read_npz
from handful.runtime.tools.golden import FILE, MAX_BYTES, Golden, take_pictures, take_sounds
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.text import format_description, format_verification
from handful.runtime.tools.verify import verify

ADDRESS_SPACE = 6 * 2**30  # what a case may ask the system for: beyond it is a typed error, too
SECONDS = 60  # of processor time for one case, after which the system ends the process
MOST_VALUES = 2**18  # of an example that is adapted to


def inspected(folder: Path) -> None:
    """What `handful inspect` shows, and what `verify` reads before a graph runs."""
    package = describe(folder)
    shown = format_description(package) + json.dumps(package.as_json(), ensure_ascii=False)
    escape_controls(shown).encode()
    if (folder / FILE).exists():
        data = read_regular(folder / FILE, limit=MAX_BYTES)
        arrays = read_npz(data, limit=MAX_BYTES, name=FILE, error=PackageError, deflated=True)
        take_pictures(arrays, package.manifest, FILE)
        take_sounds(arrays, package.manifest, FILE)
        Golden(package.manifest, arrays)


def replayed(folder: Path) -> None:
    """What `handful verify` shows."""
    escape_controls(format_verification(verify(folder))).encode()


def adapted(folder: Path) -> None:
    """Adapt to two classes, ask, and load a saved task where there is one."""
    learner = handful.load(folder)
    shape = learner.input.shape
    if np.prod(shape, dtype=np.float64) <= MOST_VALUES and learner.manifest.task != "regression":
        low, high = learner.input.range or (0.0, 1.0)
        x = np.linspace(low, high, 4 * int(np.prod(shape)), dtype=np.float32).reshape(4, *shape)
        x = np.clip(x, np.float32(low), np.float32(high))
        learner.adapt(x, list("abab")).predict_proba(x)
    if (folder / "task.npz").exists():
        learner.load_task(folder / "task.npz")


def outcome(action: Callable[[Path], None], folder: Path) -> str:
    """`ok`, a typed error, or a raw one with its place."""
    try:
        action(folder)
    except HandfulError as error:
        str(error).encode(errors="backslashreplace")
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"raw: {traceback.format_exc(limit=-3)}"
    return "ok"


def peak() -> int:
    """The largest resident memory since `forget`, in MiB."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def forget() -> None:
    """Measure the peak anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measured(folder: Path) -> dict[str, Any]:
    """Each action's outcome; the bar on time and memory is that of reading."""
    forget()
    before, began = peak(), time.process_time()
    read = outcome(inspected, folder)
    seconds, grown = time.process_time() - began, peak() - before
    return {
        "read": read,
        "seconds": round(seconds, 3),
        "mib": grown,
        "verify": outcome(replayed, folder),
        "adapt": outcome(adapted, folder),
    }


def main() -> None:
    """Work until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)  # which nobody may raise again
    for line in sys.stdin:
        folder = Path(line.strip())
        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS, most))
        print(json.dumps({"began": str(folder)}), flush=True)
        print(json.dumps(measured(folder)), flush=True)


if __name__ == "__main__":
    main()
