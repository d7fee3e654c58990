"""A worker process as the first process sees it: started, given shares, asked, ended."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.trainer.workers.host import SIGNALS

from .messages import Parts, pack, receive, send, unpack
from .process import HOLD, JOB, SHARE, serve


class WorkerError(HandfulError):
    """A worker process cannot be started, or has died."""


@dataclass(frozen=True)
class Held:
    """Tensors that a worker keeps from job to job."""

    number: int
    tensors: tuple[Tensor, ...] = ()

    def ids(self) -> dict[int, int]:
        """The place of each, by its identity."""
        return {id(tensor): place for place, tensor in enumerate(self.tensors)}


@dataclass(frozen=True)
class Job:
    """What a worker is to do with each share, packed once for all of them."""

    number: int
    parts: Parts
    held: Held


class Answer(NamedTuple):
    """What a worker made of a share: a result, or the exception that it met."""

    share: int
    good: bool
    value: Any


@dataclass(eq=False)
class Worker:
    """One process. An OSError or EOFError of any method says that it is gone."""

    process: Any  # multiprocessing's SpawnProcess
    pipe: socket.socket
    ready: bool = False
    shares: dict[int, Any] = field(default_factory=dict)  # given, not yet answered
    _job: int = -1
    _held: int = -1

    @classmethod
    def start(cls, threads: int) -> Worker:
        """A new process, which starts up while this one goes on."""
        here, there = socket.socketpair()
        spawn = multiprocessing.get_context("spawn")
        # a thread of torch's may hold a lock in a process that is forked, so it is spawned
        process = spawn.Process(target=serve, args=(there, threads), daemon=True)
        try:
            with there, signals_blocked():
                process.start()
        except OSError as cause:
            here.close()
            raise WorkerError(
                f"a worker process cannot be started: {cause.strerror or cause}",
                hint="--workers 1 starts none",
            ) from cause
        return cls(process, here)

    def fileno(self) -> int:
        """For `multiprocessing.connection.wait`."""
        return self.pipe.fileno()

    def give(self, job: Job, number: int, share: Any) -> None:
        """Send a share, and before it of the job what is not there yet."""
        if job.held.number != self._held:
            self._send(HOLD, None, pack(dict(enumerate(job.held.tensors))))
            self._held = job.held.number
        if job.number != self._job:
            # a module of the user's own may have been found since the process was started
            self._send(JOB, tuple(sys.path), job.parts)
            self._job = job.number
        self._send(SHARE, number, pack(share))
        self.shares[number] = share

    def answer(self) -> Answer | None:
        """The next message, waited for; None when it says that the process has started up."""
        message = unpack(receive(self.pipe))
        if message is None:
            self.ready = True
            return None
        answer = Answer(*message)
        del self.shares[answer.share]
        return answer

    def end(self) -> None:
        """End it, whatever it is doing: it holds nothing that could be lost."""
        self.process.kill()
        self.pipe.close()
        self.process.join()

    def fate(self) -> str:
        """How a process that is gone has ended."""
        self.process.join(timeout=5)
        code = self.process.exitcode
        self.end()
        name = f"worker process {self.process.pid}"
        if code is None:
            return f"{name} does not answer"
        return f"{name} was ended by {_signal(-code)}" if code < 0 else f"{name} ended: {code}"

    def _send(self, kind: str, fact: Any, parts: Parts) -> None:
        send(self.pipe, [*pack((kind, fact)), *parts])


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


@contextmanager
def signals_blocked() -> Iterator[None]:
    """A process that is started meanwhile never gets the signals; this one gets them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # now, since to start it unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
