"""Fuzzing what handful reads from anybody: every case a typed error or a right answer, no crash.

`python -m tests.hostile.fuzz --seconds 600 --seed 1` in the root of the repository runs as long as
it is told, and keeps the folder of every case that went wrong; a part of CI runs a few of each.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import handful
from handful.runtime.package.decode import to_json
from handful.runtime.package.npz import pack_npz
from handful.runtime.package.rules import sound_spec
from handful.runtime.tools.golden import draw_sounds

from ..runtime import edit
from ..runtime.small_packages import head, head_golden, prototypes, prototypes_golden
from ..runtime.small_sounds import LENGTH, RATE, tones, tones_golden
from . import kernels, mutate
from .children import Outcome, run

TASK = "saved task"
BATCH = 100  # cases of one child process


def heard() -> dict[str, Any]:
    """The golden vectors of `tones` with golden sounds."""
    return tones_golden() | draw_sounds(sound_spec(RATE, LENGTH))


def bases(folder: Path) -> dict[str, Path]:
    """The good packages that are spoilt, each with a saved task."""
    folders: dict[str, Path] = {}
    for name, build, golden, shape in (
        ("head", head, head_golden, (6, 6, 1)),
        ("prototypes", prototypes, prototypes_golden, (4,)),
        ("tones", tones, heard, (LENGTH,)),
    ):
        folders[name] = folder / name
        folders[name].mkdir()
        (folders[name] / "manifest.json").write_text(to_json(build(folders[name])))
        (folders[name] / "conformance.npz").write_bytes(pack_npz(golden()))
        x = np.linspace(0, 1, 4 * int(np.prod(shape)), dtype=np.float32).reshape(4, *shape)
        handful.load(folders[name]).adapt(x, list("abab")).save(folders[name] / "task.npz")
    return folders


def manifest_tree(folder: Path, rng: random.Random) -> None:
    """Other values and fields in the manifest."""
    file = folder / "manifest.json"
    file.write_text(json.dumps(mutate.tree(json.loads(file.read_text()), rng)))


def manifest_bytes(folder: Path, rng: random.Random) -> None:
    """Other bytes in the manifest."""
    file = folder / "manifest.json"
    file.write_bytes(mutate.bits(file.read_bytes(), rng))


def graph_fields(folder: Path, rng: random.Random) -> None:
    """Other fields of protobuf in one graph, once or several times."""
    file = rng.choice(sorted(folder.glob("*.onnx")))
    data = file.read_bytes()
    for _ in range(rng.choice((1, 1, 2, 3))):
        try:
            data = mutate.protobuf(data, rng)
        except IndexError:  # not protobuf any more
            break
    edit.put(folder, file.stem, data)


def graph_bytes(folder: Path, rng: random.Random) -> None:
    """Other bytes in one graph."""
    file = rng.choice(sorted(folder.glob("*.onnx")))
    edit.put(folder, file.stem, mutate.bits(file.read_bytes(), rng))


def random_nodes(folder: Path, rng: random.Random) -> None:
    """Random nodes of allowed operators, in the package of class means."""
    edit.model(folder, "means", lambda model: kernels.spoil(model, rng))


def eight_bit_groups(folder: Path, rng: random.Random) -> None:
    """Random groups of 8-bit tensors in the same place."""
    edit.model(folder, "means", lambda model: kernels.spoil(model, rng, groups=True))


def archive(name: str) -> Callable[[Path, random.Random], None]:
    """Other members or bytes in an archive."""

    def spoil(folder: Path, rng: random.Random) -> None:
        file = folder / name
        file.write_bytes(mutate.archive(file.read_bytes(), rng))

    return spoil


WAYS: dict[str, tuple[tuple[str, ...], Callable[[Path, random.Random], None]]] = {
    "manifest tree": (("head", "prototypes"), manifest_tree),
    "manifest bytes": (("head", "prototypes"), manifest_bytes),
    "graph fields": (("head", "prototypes"), graph_fields),
    "graph bytes": (("head", "prototypes"), graph_bytes),
    "random nodes": (("prototypes",), random_nodes),
    "8-bit groups": (("prototypes",), eight_bit_groups),
    "golden vectors": (("head", "prototypes", "tones"), archive("conformance.npz")),
    TASK: (("head", "prototypes"), archive("task.npz")),
}


def cases(
    good: dict[str, Path], seed: int, ways: Sequence[str]
) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Endless cases: the way's name with the case's seed, and what makes its folder."""
    for number in range(sys.maxsize):
        way = ways[number % len(ways)]
        yield f"{way} {seed}/{number}", partial(_make, good, way, f"{seed}/{number}")


def _make(good: dict[str, Path], way: str, seed: str, folder: Path) -> None:
    """One spoilt package."""
    rng = random.Random(seed)
    packages, spoil = WAYS[way]
    shutil.copytree(good[rng.choice(packages)], folder)
    if way != TASK:  # it belongs to the very manifest that made it
        (folder / "task.npz").unlink()
    spoil(folder, rng)


def fuzz(
    work: Path,
    *,
    seed: int,
    seconds: float = 1e9,
    most: int = sys.maxsize,
    ways: Sequence[str] = tuple(WAYS),
) -> tuple[Counter[str], list[tuple[str, Outcome]]]:
    """Outcomes counted by way, and the cases that went wrong, whose folders stay in `work`."""
    ends, counts, wrong = time.monotonic() + seconds, Counter[str](), []
    source = cases(bases(work), seed, ways)
    done = 0
    while done < most and time.monotonic() < ends:
        batch: dict[Path, str] = {}
        for _ in range(min(BATCH, most - done)):
            name, make = next(source)
            folder = work / f"case-{done}"
            make(folder)
            batch[folder] = name
            done += 1
        for outcome in run(list(batch)):
            name = batch[outcome.folder]
            way = name.rsplit(" ", 1)[0]
            counts[f"{way}: {outcome.kind}"] += 1
            if outcome.wrong:
                wrong.append((name, outcome))
            else:
                shutil.rmtree(outcome.folder)
    return counts, wrong


def main() -> int:
    """Run by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(WAYS), help="one way to spoil a package")
    options = parser.parse_args()
    ways = (options.only,) if options.only else tuple(WAYS)
    work = Path(tempfile.mkdtemp(prefix="handful-fuzz-"))
    counts, wrong = fuzz(work, seed=options.seed, seconds=options.seconds, ways=ways)
    for name, count in sorted(counts.items()):
        print(f"{count:7} {name}")
    for name, outcome in wrong:
        print(f"\n{name}: {outcome.folder}\n{outcome.wrong}")
    if not wrong:
        shutil.rmtree(work)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
