"""A worker process: started, sent shares, asked for answers, ended; and what it does itself.

It computes what the first process sends, and ends when that one is gone. A message is a pickle, and
beside it the bytes of its tensors and arrays. Messages go through a pair of sockets and not through
shared memory, of which a container may have 64 MB and which outlives a process that is killed.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError

from .host import SIGNALS, keep_memory

Parts = Sequence[Any]  # buffers: the pickle, then what lies beside it
SIZE = struct.Struct("<Q")
# the kinds of messages: tensors to keep, what to do and where modules are, a share by its number
HOLD, JOB, SHARE = "hold", "job", "share"


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

    def give(self, job: PackedJob, number: int, share: Any) -> None:
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
class PackedJob:
    """What a worker is to do with each share, packed once for all of them."""

    number: int
    parts: Parts
    held: Held


class Answer(NamedTuple):
    """What a worker made of a share: a result, or the exception that it met."""

    share: int
    good: bool
    value: Any


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


def serve(first: socket.socket, threads: int) -> None:
    """Answer messages until the first process is gone; nothing is printed or written."""
    for number in SIGNALS:  # they are meant for the first process, which ends this one
        signal.signal(number, signal.SIG_IGN)
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    torch.set_num_threads(threads)
    keep_memory()
    inbox: SimpleQueue[Parts] = SimpleQueue()
    Thread(target=_read_messages, args=(first, inbox), daemon=True).start()
    try:
        send(first, pack(None))  # ready
        _answer(first, inbox)
    except OSError:  # the first process is gone
        os._exit(0)


def _read_messages(first: socket.socket, inbox: SimpleQueue[Parts]) -> None:
    """Read on while the other thread computes, so that the first process never waits to send."""
    try:
        while True:
            inbox.put(receive(first))
    except (EOFError, OSError):
        os._exit(0)  # at once, in the middle of a computation


def _answer(first: socket.socket, inbox: SimpleQueue[Parts]) -> None:
    held: dict[int, Tensor] = {}
    job: Any = None
    broken: Exception | None = None  # why the job cannot be done here
    while True:
        head, *content = inbox.get()
        kind, fact = pickle.loads(head)
        if kind == HOLD:
            held = unpack(content)
        elif kind == JOB:
            job = broken = None
            sys.path[:] = fact
            try:
                job = unpack(content, held)
            except Exception as error:
                broken = error
        else:
            try:
                if broken is not None:
                    raise broken
                answer = pack((fact, True, job(unpack(content))))
            except Exception as error:
                answer = pack((fact, False, make_portable(error)))
            send(first, answer)


def make_portable(error: Exception) -> Exception:
    """The error as another process can read it, with the worker's traceback as a note."""
    note = "in a worker process:\n" + "".join(traceback.format_exception(error))
    error = error.with_traceback(None)
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:  # an exception whose class asks for more than its arguments
        copy = None
    if type(copy) is not type(error):
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.__cause__ = error.__context__ = None
    error.add_note(note)
    return error


def pack(message: object, held: Mapping[int, int] | None = None) -> Parts:
    """What `send` takes; `held` has the number of each tensor, by its id, that is there already."""
    stream, beside = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(stream, held or {}, beside.append).dump(message)
    return [stream.getbuffer(), *(buffer.raw() for buffer in beside)]


def unpack(parts: Parts, held: Mapping[int, Tensor] | None = None) -> Any:
    """The message; `held` has the tensors that it names by a number."""
    return _Unpickler(parts, held or {}).load()


def send(to: socket.socket, parts: Parts) -> None:
    """Send it all; an OSError says that the other process is gone."""
    sizes = [memoryview(part).nbytes for part in parts]
    to.sendall(b"".join(map(SIZE.pack, [len(sizes), *sizes])))
    for part in parts:
        to.sendall(part)


def receive(source: socket.socket) -> Parts:
    """The next message, not yet unpacked; an EOFError or OSError: the other process is gone."""
    (count,) = SIZE.unpack(_read(source, SIZE.size))
    sizes = [SIZE.unpack(_read(source, SIZE.size))[0] for _ in range(count)]
    return [_read(source, size) for size in sizes]


def _read(source: socket.socket, size: int) -> Any:
    """So many bytes, in memory of torch's, which is aligned as kernels like it."""
    buffer: Any = torch.empty(size, dtype=torch.uint8).numpy()
    free = memoryview(buffer)
    while len(free):
        read = source.recv_into(free)
        if not read:
            raise EOFError
        free = free[read:]
    return buffer


class _Pickler(pickle.Pickler):
    """Tensors as their bytes, from whichever device; those that are held as their number."""

    def __init__(self, stream: io.BytesIO, held: Mapping[int, int], beside: Any) -> None:
        super().__init__(stream, protocol=5, buffer_callback=beside)
        self.held = held

    def persistent_id(self, value: object) -> int | None:
        return self.held.get(id(value)) if isinstance(value, Tensor) else None

    def reducer_override(self, value: object) -> Any:
        if not isinstance(value, Tensor):
            return NotImplemented
        flat = value.detach().cpu().contiguous().reshape(-1)
        content: Any = flat.view(torch.uint8).numpy()
        return _tensor, (pickle.PickleBuffer(content), value.dtype, tuple(value.shape))


class _Unpickler(pickle.Unpickler):
    def __init__(self, parts: Parts, held: Mapping[int, Tensor]) -> None:
        super().__init__(io.BytesIO(parts[0]), buffers=parts[1:])
        self.held = held

    def persistent_load(self, number: int) -> Tensor:
        return self.held[number]


def _tensor(content: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    if not memoryview(content).nbytes:  # which torch.frombuffer refuses
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(content, dtype=dtype).reshape(shape)
