"""Mutations: of JSON as a tree, of protobuf as nested fields, of archives, and of plain bytes."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator
from typing import Any

from handful.runtime.vetting.operators import CONTROL_FLOW, OPERATORS, RANDOM

NUMBERS = (
    0, 1, -1, 2, 7, 8, 9, 64, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1,
    -(2**63),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    *NUMBERS, 0.5, -0.0, 1e30, 1e308, None, True, False, "", "x", "N", "B", "S", "Q", "__proto__",
    "../x", "\x1b[2J", "a" * 300, "loss", [], {}, [0] * 20, {"a": 1}, ["w"], "float32", "int64",
)  # fmt: skip
# Which fields of which message hold a message: enough of onnx.proto to go down into it.
INNER = {
    "model": {7: "graph", 8: "opset"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor"},
    "value": {2: "type"},
    "type": {1: "tensor type"},
    "tensor type": {2: "shape"},
    "shape": {1: "dimension"},
}
NAMES = [name.encode() for name in (*OPERATORS, *CONTROL_FLOW, *RANDOM, "w", "support_x", "")]
Field = tuple[int, int, bytes]  # number, wire type, payload (of a varint: its bytes)


def bits(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out or put in."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at : at + rng.randrange(8)] = b""
        elif kind == 2:
            content[at:at] = rng.randbytes(rng.randrange(8))
        else:
            content[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(content)


def tree(content: Any, rng: random.Random) -> Any:
    """JSON with one to three of its values replaced, removed, doubled or renamed."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice((1, 1, 2, 3))):
        holders = list(_holders(content))
        holder = rng.choice(holders)
        if isinstance(holder, dict):
            key = rng.choice(list(holder))
            kind = rng.randrange(5)
            if kind == 0:
                del holder[key]
            elif kind == 1:
                holder[rng.choice(("x", "__proto__", "w", key + "x"))] = holder[key]
            else:
                holder[key] = _value(content, rng)
        else:
            at = rng.randrange(len(holder))
            kind = rng.randrange(5)
            if kind == 0:
                del holder[at]
            elif kind == 1:
                holder += [holder[at]] * rng.choice((1, 2, 100))
            else:
                holder[at] = _value(content, rng)
    return content


def _holders(content: Any) -> Iterator[Any]:
    if content and isinstance(content, dict | list):
        yield content
        for value in content.values() if isinstance(content, dict) else content:
            yield from _holders(value)


def _value(content: Any, rng: random.Random) -> Any:
    if rng.random() < 0.3:  # something from elsewhere in the same file
        return json.loads(json.dumps(rng.choice(list(_holders(content)))))
    return rng.choice(VALUES)


def split(data: bytes) -> list[Field]:
    """The fields of one message of well-formed protobuf."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire, start = key & 7, at
        if wire == 0:
            _, at = _varint(data, at)
        elif wire == 2:
            size, start = _varint(data, at)
            at = start + size
        else:
            at += 4 if wire == 5 else 8
        fields.append((key >> 3, wire, data[start:at]))
    return fields


def join(fields: list[Field]) -> bytes:
    """The bytes of a message of these fields."""
    parts = []
    for number, wire, payload in fields:
        size = varint(len(payload)) if wire == 2 else b""
        parts.append(varint(number << 3 | wire) + size + payload)
    return b"".join(parts)


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    value &= 2**64 - 1
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


def protobuf(data: bytes, rng: random.Random, kind: str = "model") -> bytes:
    """An ONNX model with one field, anywhere in it, changed, removed, doubled or moved."""
    fields = split(data)
    inner = [
        i
        for i, (number, wire, _) in enumerate(fields)
        if wire == 2 and number in INNER.get(kind, {})
    ]
    if inner and rng.random() < 0.85:
        (i,) = rng.choices(inner, [1 + len(fields[i][2]) for i in inner])
        number, wire, payload = fields[i]
        fields[i] = number, wire, protobuf(payload, rng, INNER[kind][number])
        return join(fields)
    if not fields:
        return join([(rng.randrange(1, 26), 0, varint(rng.choice(NUMBERS)))])
    i = rng.randrange(len(fields))
    number, wire, payload = fields[i]
    action = rng.randrange(7)
    if action == 0:
        del fields[i]
    elif action == 1:
        fields.insert(rng.randrange(len(fields) + 1), fields[i])
    elif action == 2:
        fields[i] = rng.randrange(1, 26), wire, payload
    elif action == 3 and wire == 2:
        others = [p for _, w, p in fields if w == 2]
        fields[i] = number, wire, rng.choice([*others, rng.choice(NAMES)])
    elif wire == 0:
        fields[i] = number, wire, varint(rng.choice((*NUMBERS, *range(12))))
    else:
        fields[i] = number, wire, bits(payload, rng)[: None if wire == 2 else len(payload)]
    return join(fields)


def archive(data: bytes, rng: random.Random) -> bytes:
    """An npz with one member altered, renamed, removed or put in; or with other bytes."""
    if rng.random() < 0.3:
        return bits(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    i = rng.randrange(len(members))
    name, content = members[i]
    action = rng.randrange(5)
    if action == 0:
        del members[i]
    elif action == 1:
        members[i] = rng.choice((name + "x", "x.npy", name.replace("/", "//"), "../x.npy")), content
    elif action == 2:
        members[i] = name, rng.choice(members)[1]
    else:
        head = bits(content[:128], rng) if rng.random() < 0.7 else content[:128]
        body = content[128:] if rng.random() < 0.7 else bits(content[128:] or b"0", rng)
        members[i] = name, head + body
    stream = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", method) as new:
        for name, content in members:
            new.writestr(name, content)
    return stream.getvalue()
