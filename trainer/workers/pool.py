"""The first process's side: it shares work out, takes its own part of it, and puts it together.

    with workers(Shape(4, threads=1)) as pool:
        results = pool.map(job, shares)      # job(share) of each, in their order

A job is any picklable callable. It is sent once, a share as soon as a process is free to take it.
Each share is computed by itself, so the results are the same whichever process computed them.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

import torch
from torch import Tensor

from .host import Shape
from .worker import Answer, Held, PackedJob, Worker, WorkerError, pack

S = TypeVar("S")
R = TypeVar("R")
AHEAD = 2  # shares that a worker has at a time: the next one is there when it is done with one
PER_PROCESS, LARGEST = 8, 16  # blocks of episodes that each process gets, and the longest block


class Workers:
    """This process and those that it has started; alone by default."""

    def __init__(self, threads: int | None = None) -> None:
        """Nobody else yet; `threads` are those of each process while work is shared."""
        self.threads = threads
        self.dead: str | None = None  # what became of the first worker that died
        self._alive: list[Worker] = []
        self._numbers = itertools.count()
        self._held = Held(next(self._numbers))

    @property
    def size(self) -> int:
        """How many processes compute, this one included."""
        return 1 + len(self._alive)

    def map(
        self,
        job: Callable[[S], R],
        shares: Iterable[S],
        done: Callable[[R], None] = lambda result: None,
    ) -> list[R]:
        """job(share) of all of them, in their order; `done` is called with each as it comes.

        What the job raises in another process is raised here. The shares of a worker that dies
        are computed by the others; `check` then says that it died.
        """
        results: dict[int, R] = {}

        def note(number: int, result: R) -> None:
            results[number] = result
            done(result)

        if not self._alive:
            for number, share in enumerate(shares):
                note(number, job(share))
            return list(results.values())
        packed = PackedJob(next(self._numbers), pack(job, self._held.ids()), self._held)
        coming = ((next(self._numbers), share) for share in shares)
        lost: deque[tuple[int, Any]] = deque()  # shares of workers that have died

        def take() -> tuple[int, Any] | None:
            return lost.popleft() if lost else next(coming, None)

        with self.threading():
            while True:
                self._hand_out(packed, take, lost, ahead=1)
                mine = take()
                self._hand_out(packed, take, lost, ahead=AHEAD)
                if mine is not None:
                    note(mine[0], job(mine[1]))
                elif not any(worker.shares for worker in self._alive) and not lost:
                    return [results[number] for number in sorted(results)]
                for answer in self._answers(lost, block=mine is None and not lost):
                    if answer.share < packed.number:  # of a job that was broken off
                        continue
                    if not answer.good:
                        raise answer.value
                    note(answer.share, answer.value)

    def hold(self, tensors: Iterable[Tensor]) -> None:
        """Tensors that do not change: they are sent once, and jobs that have them without them.

        They take the place of those that were held before.
        """
        self._held = Held(next(self._numbers), tuple(tensors))

    def check(self, hint: str = "") -> None:
        """Raise a WorkerError if a worker has died; its hint begins with `hint`."""
        if self.dead is not None:
            memory = "if memory ran out, --workers 1 needs the least"
            raise WorkerError(self.dead, hint="; ".join(filter(None, [hint, memory])))

    @contextmanager
    def threading(self) -> Iterator[None]:
        """While work is shared, this process leaves the other cores to the others."""
        before = torch.get_num_threads()
        wanted = self.threads if self._alive and self.threads else before
        if wanted != before:
            torch.set_num_threads(wanted)
        try:
            yield
        finally:
            if wanted != before:
                torch.set_num_threads(before)

    @contextmanager
    def together(self) -> Iterator[None]:
        """For work that is shared again and again: all have started up, each with its threads."""
        while any(not worker.ready for worker in self._alive):
            list(self._answers(deque(), block=True))
        with self.threading():
            yield

    def start(self, count: int) -> None:
        """Start so many workers, which start up while this process goes on."""
        for _ in range(count):
            self._alive.append(Worker.start(self.threads or 1))

    def close(self) -> None:
        """End them."""
        for worker in self._alive:
            worker.end()
        self._alive = []

    def _hand_out(
        self,
        job: PackedJob,
        take: Callable[[], tuple[int, Any] | None],
        lost: deque[tuple[int, Any]],
        *,
        ahead: int,
    ) -> None:
        """Give each worker that has started up shares until it has `ahead` of them."""
        for worker in list(self._alive):
            while worker.ready and len(worker.shares) < ahead and (share := take()) is not None:
                try:
                    worker.give(job, *share)
                except OSError:
                    lost.append(share)
                    self._lose(worker, lost)
                    break

    def _answers(self, lost: deque[tuple[int, Any]], *, block: bool) -> Iterator[Answer]:
        """What has come from the workers; with `block` at least one message, if there is one."""
        if not self._alive:
            return
        for worker in wait(self._alive, None if block else 0):  # type: ignore[arg-type]
            try:
                answer = worker.answer()  # type: ignore[union-attr]
            except (EOFError, OSError):
                self._lose(worker, lost)  # type: ignore[arg-type]
            else:
                if answer is not None:
                    yield answer

    def _lose(self, worker: Worker, lost: deque[tuple[int, Any]]) -> None:
        self._alive.remove(worker)
        lost.extend(worker.shares.items())
        fate = worker.fate()
        self.dead = self.dead or fate


@contextmanager
def workers(shape: Shape) -> Iterator[Workers]:
    """This process and `shape.workers` − 1 others, which end with the context."""
    pool = Workers(shape.threads)
    try:
        pool.start(shape.workers - 1)
        yield pool
    finally:
        pool.close()


def blocks(count: int, parts: int) -> list[slice]:
    """0 to count in so many blocks, none empty, whose lengths differ by one at most."""
    parts = min(count, parts)
    return [slice(i * count // parts, (i + 1) * count // parts) for i in range(parts)]


def episode_blocks(pool: Workers, count: int) -> Sequence[slice]:
    """`count` episodes in blocks that are shared evenly; one by one where nothing is shared."""
    if pool.size == 1:
        return blocks(count, count)
    length = min(LARGEST, max(1, count // (PER_PROCESS * pool.size)))
    return blocks(count, -(-count // length))
