"""A worker process: it computes what the first process sends, and ends when that one is gone."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import traceback
from queue import SimpleQueue
from threading import Thread
from typing import Any

import torch
from torch import Tensor

from handful.trainer.workers.host import SIGNALS, keep_memory

from .messages import Parts, pack, receive, send, unpack

# the kinds of messages: tensors to keep, what to do and where modules are, a share by its number
HOLD, JOB, SHARE = "hold", "job", "share"


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
    Thread(target=_read, args=(first, inbox), daemon=True).start()
    try:
        send(first, pack(None))  # ready
        _answer(first, inbox)
    except OSError:  # the first process is gone
        os._exit(0)


def _read(first: socket.socket, inbox: SimpleQueue[Parts]) -> None:
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
                answer = pack((fact, False, portable(error)))
            send(first, answer)


def portable(error: Exception) -> Exception:
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
