"""Messages between processes: a pickle, and beside it the bytes of its tensors and arrays.

They go through a pair of sockets and not through shared memory, of which a container may have 64 MB
and which outlives a process that is killed.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Parts = Sequence[Any]  # buffers: the pickle, then what lies beside it
SIZE = struct.Struct("<Q")


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
