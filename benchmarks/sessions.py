"""How the runtime's sessions use threads, memory and batches, on shipped packages.

Threads inside a session against threads over one package, and a support set in one run. No data are
needed: the examples are those of each package's conformance file, in turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from leo_adaptation import export_leo
from tables import write_table
from timing import medians

import handful
from handful.runtime.learner import Learner
from handful.runtime.ort import onnxruntime
from handful.runtime.package.read import find
from handful.runtime.sessions import FATAL

PACKAGES = ("omniglot-leo", "omniglot-maml", "keywords-proto-maml", "pen-proto-maml")
WAY, SHOTS = 5, 5
THREADS = max(2, os.cpu_count() or 1)
TASKS = 4 * THREADS
LEO = "LEO on 640-d"


def make_fitting(package: str | Path) -> np.ndarray:
    """Examples [25, ...] like those that the package was trained on, so that it does not warn."""
    with np.load(find(package) / "conformance.npz") as golden:
        x = np.concatenate([golden["support_x"], golden["query_x"]])
    if x.dtype == np.int16:  # samples of a sound
        x = x.astype(np.float32) / np.float32(2**15)
    return np.resize(x, (WAY * SHOTS, *x.shape[1:]))


def load_spinning(package: str) -> Learner:
    """The package with threads that wait for work without letting go of their cores."""
    options = onnxruntime.SessionOptions()  # whose threads spin unless they are told not to
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    options.log_severity_level = FATAL
    return handful.load(package, session_options=options)


def in_a_session(rounds: int) -> list[str]:
    """Threads inside each session."""
    rows = [
        "| package | threads | embedding 25, ms | adapting, 1 shot, ms | 5 shots, ms"
        " | predicting one, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in PACKAGES:
        x = make_fitting(name)
        learners = {
            "1": handful.load(name),
            f"{THREADS}": handful.load(name, threads=THREADS),
            f"{THREADS}, spinning": load_spinning(name),
        }
        # not in turns: threads that spin would take the next learner's core for a while
        times = [
            np.multiply(1e3, medians(_adaptations(each, x), rounds)) for each in learners.values()
        ]
        rows += [
            f"| {name} | {how} | {' | '.join(f'{ms:.2f}' for ms in row)} |"
            for how, row in zip(learners, times, strict=True)
        ]
    return rows


def _adaptations(learner: Learner, x: np.ndarray) -> list[Callable[[], object]]:
    engine = learner._engine
    h, y = engine.embed(x, chunk=1), np.eye(WAY, dtype=np.float32).repeat(SHOTS, axis=0)
    state = engine.adapt(h, y)
    return [
        lambda: engine.embed(x, chunk=1),
        lambda: engine.adapt(h[::SHOTS], y[::SHOTS]),
        lambda: engine.adapt(h, y),
        lambda: engine.predict(state, engine.embed(x[:1])),
    ]


def in_one_run(rounds: int) -> list[str]:
    """A support set embedded one by one, in eights, and whole."""
    rows = [
        "| package | threads | one by one, ms | in eights, ms | in one run, ms | gain, at best"
        " | largest difference |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (name for name in PACKAGES if handful.load(name).manifest.embed):
        x = make_fitting(name)
        for threads in (1, THREADS):
            embed = handful.load(name, threads=threads)._engine.embed
            times = np.multiply(
                1e3,
                medians(
                    [
                        partial(embed, x, chunk=1),
                        partial(embed, x, chunk=8),
                        partial(embed, x, chunk=len(x)),
                    ],
                    rounds,
                ),
            )
            alone = embed(x, chunk=1)
            most = max(np.abs(embed(x, chunk=chunk) - alone).max() for chunk in (8, len(x)))
            rows.append(
                f"| {name} | {threads} | {' | '.join(f'{ms:.2f}' for ms in times)}"
                f" | {times[0] / times[1:].min():.2f} | {most / np.abs(alone).max():.0e} |"
            )
    return rows


def adapt_in_turn(learner: Learner, sets: Sequence[np.ndarray], given: Sequence[str]) -> None:
    """To one support set after the other."""
    for x in sets:
        learner.adapt(x, given)


def adapt_over(
    pool: ThreadPoolExecutor, learner: Learner, sets: Sequence[np.ndarray], given: Sequence[str]
) -> None:
    """To one support set on each thread of the pool."""
    list(pool.map(lambda x: learner.adapt(x, given), sets))


def many_tasks(leo: Path, rounds: int) -> list[str]:
    """Tasks one after the other, by threads over one package, and by threads in its sessions."""
    rows = [
        f"| package | shot | in turn, ms a task | {THREADS} threads over one package, ms a task"
        f" | gain | sessions of {THREADS} threads, ms a task | gain |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        for name, package in {LEO: str(leo), **{name: name for name in PACKAGES}}.items():
            one, several = (handful.load(package, threads=n) for n in (1, THREADS))
            for shot in (1, SHOTS):
                sets = [
                    np.roll(make_fitting(package), t, axis=0)[: WAY * shot] for t in range(TASKS)
                ]
                given = labels(shot)
                ways: list[Callable[[], object]] = [
                    partial(adapt_in_turn, one, sets, given),
                    partial(adapt_over, pool, one, sets, given),
                    partial(adapt_in_turn, several, sets, given),
                ]
                turn, over, inside = (1e3 * s / TASKS for s in medians(ways, rounds))
                rows.append(
                    f"| {name} | {shot} | {turn:.2f} | {over:.2f} | {turn / over:.2f}"
                    f" | {inside:.2f} | {turn / inside:.2f} |"
                )
    return rows


def labels(shot: int) -> list[str]:
    """The label of each of so many examples a class."""
    return [str(n) for n in range(WAY) for _ in range(shot)]


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds = options.rounds
    with tempfile.TemporaryDirectory() as folder:
        leo = Path(folder) / "leo"
        export_leo(leo)
        parts = [
            f"**Threads in a session**, 5-way; adapting is after embedding. {THREADS} cores.",
            *in_a_session(rounds),
            f"\n**Many tasks**, {TASKS} of them, 5-way, raw examples given.",
            *many_tasks(leo, rounds),
            "\n**A support set of 25**, embedded. Difference: relative to the largest value.",
            *in_one_run(rounds),
        ]
    text = "\n".join(parts).replace(".\n|", ".\n\n|")
    print(text)
    note = f"Medians of {rounds} rounds in turns in one process."
    if not options.dry:
        title = "The runtime's sessions: threads, many tasks, whole support sets"
        write_table("sessions", title, "python benchmarks/sessions.py", f"{note}\n\n{text}")


if __name__ == "__main__":
    main()
