"""One WAV file, read with care: every size in its header is checked before it is used."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.errors import InputError
from handful.runtime.package.files import read_regular
from handful.runtime.pictures.folders import shown

MAX_BYTES = 2**27  # of a file
MIN_RATE, MAX_RATE = 4000, 192_000  # samples a second
MAX_CHANNELS = 16
MAX_CHUNKS = 1000  # before the samples: each is a few bytes of the file, and a pass of a loop
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
STREAMED = 0xFFFFFFFF  # the size that a program writes which does not know it yet
# the subtype of EXTENSIBLE begins with the format; this is the rest of it
GUID = bytes.fromhex("000000001000800000aa00389b71")
NAMES = {2: "ADPCM", 6: "A-law", 7: "μ-law", 0x11: "ADPCM", 0x55: "MP3"}
WANTED = "a WAV file of 8, 16, 24 or 32 bits, or of floats: ffmpeg -i FILE -c:a pcm_s16le OUT.wav"


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples as they were recorded, and how many of them there are to a second.

    `samples` are [n], or [n, C] of C channels: floats from −1 to 1, int16, int32 or uint8.
    """

    samples: Array
    rate: int


def read_wav(path: Path) -> Sound:
    """The samples of a WAV file, [n, C]: uint8, int16, int32 or float32; InputError otherwise."""
    if not os.path.exists(path):
        raise InputError(f"no file {shown(path)}")
    real = Path(os.path.realpath(path))  # links are followed, as those to pictures are
    data = read_regular(real, limit=MAX_BYTES, error=InputError, absent="look at its name")
    try:
        return parse(data)
    except InputError as error:
        raise InputError(f"{shown(path)} {error}", hint=error.hint) from None


def parse(data: bytes) -> Sound:
    """The samples in the bytes of a WAV file."""
    if data[:4] in (b"RIFX", b"RF64", b"BW64"):
        raise InputError(f"is {data[:4].decode()}, a form of WAV that is not read", hint=WANTED)
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise InputError("is not a WAV file", hint=WANTED)
    form, at = None, 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            raise InputError("has no samples: it ends before them", hint="record it again")
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if form is None:
                raise InputError("has samples before their format", hint="record it again")
            return _samples(data, at, size, form)
        if size > len(data) - at:
            raise InputError("is cut off in its header", hint="copy it again, as a whole")
        if name == b"fmt ":
            form = _form(data[at : at + size])
        at += size + size % 2  # chunks begin at even places
    raise InputError(f"has more than {MAX_CHUNKS} parts before its samples", hint=WANTED)


@dataclass(frozen=True)
class _Form:
    """The format of the samples."""

    floats: bool
    channels: int
    rate: int
    size: int  # bytes of a sample


def _form(chunk: bytes) -> _Form:
    if len(chunk) < 16:
        raise InputError("is cut off in its header", hint="copy it again, as a whole")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE and len(chunk) >= 40 and chunk[26:40] == GUID:
        tag = int.from_bytes(chunk[24:26], "little")
    if tag not in (PCM, FLOAT):
        name = NAMES.get(tag, f"format {tag}")
        raise InputError(f"holds {name}, wanted plain samples", hint=WANTED)
    if bits not in ((32, 64) if tag == FLOAT else (8, 16, 24, 32)):
        kind = "floats" if tag == FLOAT else "samples"
        raise InputError(f"has {kind} of {bits} bits", hint=WANTED)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(f"has {rate} samples a second, wanted {MIN_RATE} to {MAX_RATE}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"has {channels} channels, wanted 1 to {MAX_CHANNELS}")
    if block != channels * bits // 8:
        raise InputError(
            f"says {block} bytes for {channels} × {bits} bits, which is {channels * bits // 8}",
            hint="record it again",
        )
    return _Form(tag == FLOAT, channels, rate, bits // 8)


def _samples(data: bytes, at: int, size: int, form: _Form) -> Sound:
    left = len(data) - at
    size = left if size == STREAMED else size
    if size > left:
        raise InputError(
            f"is cut off: {left} bytes of samples, its header says {size}",
            hint="copy it again, as a whole",
        )
    frame = form.size * form.channels
    raw = data[at : at + size - size % frame]
    if not raw:
        raise InputError("has no samples", hint="record it again")
    if form.size == 3:  # in the upper three bytes of 32 bits
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        samples: Array = wide.view("<i4").reshape(-1)
    else:
        kinds = {4: "<f4", 8: "<f8"} if form.floats else {1: "u1", 2: "<i2", 4: "<i4"}
        samples = np.frombuffer(raw, kinds[form.size])
    return Sound(samples.reshape(-1, form.channels), form.rate)
