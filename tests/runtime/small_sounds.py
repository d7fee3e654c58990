"""A small package that hears: class means of the power at four pitches; and WAV files for it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.package.manifest import Manifest, StageSpec
from handful.runtime.package.rules import sound_spec

from .small_packages import Floats, node, one_hot, prototypes, tensor, write_graph

RATE, LENGTH = 8000, 800  # hertz, samples: a tenth of a second
PITCHES = (200, 300, 400, 500)  # hertz


def waves() -> Floats:
    """Cosines and sines of the pitches, [L, 8]: x @ waves is a Fourier transform at four places."""
    turns = np.arange(LENGTH)[:, None] * np.array(PITCHES) / RATE
    both = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
    return (both * 2 / LENGTH).astype(np.float32)


def tones(folder: Path) -> Manifest:
    """Audio [800] at 8 kHz → the power at each pitch, and class means of these four numbers."""
    means = prototypes(folder)
    embed = write_graph(
        folder,
        "embed",
        [
            node("MatMul", ["x", "waves"], ["parts"]),
            node("Mul", ["parts", "parts"], ["squares"]),
            node("MatMul", ["squares", "pairs"], ["h"]),
        ],
        [tensor("x", "B", LENGTH)],
        [tensor("h", "B", 4)],
        {"waves": waves(), "pairs": np.tile(np.eye(4, dtype=np.float32), (2, 1))},
    )
    return Manifest(
        name="tones",
        learner="prototypical",
        task="classification",
        input=sound_spec(RATE, LENGTH),
        embed="embed",
        graphs={**means.graphs, "embed": embed},
        stages=(StageSpec(name="means", init="means", state=("c",)),),
        predict="predict",
        licence="Apache-2.0",
    )


def tone(pitch: float, seconds: float = 0.1, rate: int = RATE) -> Floats:
    """Half as loud as can be."""
    turns = pitch * np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * turns)).astype(np.float32)


def power(x: Floats) -> Floats:
    squares: Floats = (x @ waves()) ** 2
    return squares[:, :4] + squares[:, 4:]


def tones_golden() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    clean = np.stack([tone(pitch) for pitch in (200, 200, 300, 400, 200, 300, 400)])
    noise = rng.standard_normal(clean.shape).astype(np.float32)
    noisy: Floats = (clean + 0.01 * noise).astype(np.float32)
    x, q = noisy[:4], noisy[4:]
    y = one_hot([0, 0, 1, 2])
    c = (y.T @ power(x)) / y.sum(axis=0)[:, None]
    logits = -((power(q)[:, None] - c[None]) ** 2).sum(axis=-1)
    return {"support_x": x, "support_y": y, "query_x": q, "means/0/c": c, "logits": logits}


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def header(
    tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, block: int | None = None
) -> bytes:
    """The chunk `fmt ` of a WAV file."""
    block = channels * bits // 8 if block is None else block
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits))


def wav(samples: bytes, form: bytes | None = None, *, before: bytes = b"") -> bytes:
    """A whole WAV file; `before` are chunks before the samples."""
    body = b"WAVE" + (header() if form is None else form) + before + chunk(b"data", samples)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def write_tone(path: Path, pitch: float, *, seconds: float = 0.1, rate: int = RATE) -> Path:
    """A tone of 16 bits in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.round(tone(pitch, seconds, rate) * 32768).astype("<i2").tobytes()
    path.write_bytes(wav(samples, header(rate=rate)))
    return path
