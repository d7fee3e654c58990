"""WAV files: every form that is read, and every way in which one can be wrong."""

import struct
from pathlib import Path

import numpy as np

from handful.runtime.errors import InputError
from handful.runtime.inputs.sounds import Sound, parse, read_wav, to_float

from ..each import each
from .refusal import refusal, refusal_in
from .small_sounds import chunk, header, wav

HINT = "a WAV file of 8, 16, 24 or 32 bits, or of floats: ffmpeg -i FILE -c:a pcm_s16le OUT.wav"
SUBTYPE = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
EXTENSIBLE = chunk(
    b"fmt ", struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 24000, 3, 24, 22, 24, 4) + SUBTYPE
)
# minus one half, zero and one quarter in each form
FORMS = {
    "8 bits": (header(bits=8), bytes([64, 128, 160])),
    "16 bits": (header(), struct.pack("<3h", -(2**14), 0, 2**13)),
    "24 bits": (header(bits=24), bytes.fromhex("0000c0 000000 000020")),
    "24 bits, extensible": (EXTENSIBLE, bytes.fromhex("0000c0 000000 000020")),
    "32 bits": (header(bits=32), struct.pack("<3i", -(2**30), 0, 2**29)),
    "floats": (header(3, bits=32), struct.pack("<3f", -0.5, 0, 0.25)),
    "doubles": (header(3, bits=64), struct.pack("<3d", -0.5, 0, 0.25)),
}


def values(sound: Sound) -> list[list[float]]:
    return [[float(v) for v in row] for row in to_float(sound.samples, "it")]


@each("form", FORMS)
def test_the_same_values_in_every_form(form: str) -> None:
    fmt, samples = FORMS[form]
    sound = parse(wav(samples, fmt))
    assert sound.rate == 8000
    assert values(sound) == [[-0.5], [0.0], [0.25]]


def test_channels_lie_side_by_side() -> None:
    samples = struct.pack("<4h", 2**14, 0, -(2**14), 2**13)
    assert values(parse(wav(samples, header(channels=2)))) == [[0.5, 0.0], [-0.5, 0.25]]


def test_other_parts_are_passed_over_and_odd_ones_padded() -> None:
    before = chunk(b"LIST", b"odd") + chunk(b"bext", b"even")
    assert values(parse(wav(FORMS["16 bits"][1], before=before))) == [[-0.5], [0.0], [0.25]]
    unpadded = chunk(b"LIST", b"odd").removesuffix(b"\0")
    assert values(parse(wav(FORMS["16 bits"][1], before=unpadded))) == [[-0.5], [0.0], [0.25]]


SIZES = [0, 7, 1000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF]


@each("size", SIZES)
def test_a_recording_of_unknown_length_is_read_to_its_end(size: int) -> None:
    data = wav(FORMS["16 bits"][1])
    at = data.index(b"data") + 4
    unknown = data[:at] + struct.pack("<I", size) + data[at + 4 :]
    for whole in (unknown, unknown[:4] + struct.pack("<I", (size + 36) % 2**32) + unknown[8:]):
        assert values(parse(whole)) == [[-0.5], [0.0], [0.25]]
        assert len(parse(whole + b"\0").samples) == 3  # of a frame that is not whole nothing


def test_no_samples_before_other_parts_are_none() -> None:
    empty = wav(b"") + chunk(b"LIST", b"odd") + chunk(b"id3 ", b"even")
    assert refusal(lambda: parse(empty), InputError)[0] == "has no samples"


@each("name", [b"RF64", b"BW64"])
@each("more", [b"", chunk(b"LIST", b"odd")])
def test_a_long_recordings_size_stands_in_a_part_of_its_own(name: bytes, more: bytes) -> None:
    form, samples = FORMS["16 bits"]
    sizes = chunk(b"ds64", struct.pack("<QQQI", 0, len(samples), 3, 0))
    unknown = b"\xff" * 4
    body = sizes + (form or header()) + b"data" + unknown + samples + more
    assert values(parse(name + unknown + b"WAVE" + body)) == [[-0.5], [0.0], [0.25]]
    short = body.removeprefix(sizes)  # without it the samples go on to the end
    assert len(parse(name + unknown + b"WAVE" + short).samples) >= 3


def test_half_a_sample_at_the_end_is_left_out() -> None:
    assert len(parse(wav(FORMS["16 bits"][1][:5])).samples) == 2


WHOLE = wav(FORMS["16 bits"][1])
BAD = {
    "nothing": (b"", "is not a WAV file", HINT),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(40), "is not a WAV file", HINT),
    "big-endian": (b"RIFX" + WHOLE[4:], "is RIFX, a form of WAV that is not read", HINT),
    "only a head": (WHOLE[:12], "has no samples: it ends before them", "record it again"),
    "cut in its header": (
        WHOLE[:30], "is cut off in its header", "copy it again, as a whole"),
    "a short format": (
        wav(b"ab", chunk(b"fmt ", b"short")), "is cut off in its header",
        "copy it again, as a whole"),
    "samples first": (
        b"RIFF\0\0\0\0WAVE" + chunk(b"data", b"ab"), "has samples before their format",
        "record it again"),
    "no samples": (wav(b""), "has no samples", "record it again"),
    "μ-law": (wav(b"ab", header(7, bits=8)), "holds μ-law, wanted plain samples", HINT),
    "unknown": (wav(b"ab", header(999)), "holds format 999, wanted plain samples", HINT),
    "12 bits": (wav(b"ab", header(bits=12)), "has samples of 12 bits", HINT),
    "half floats": (wav(b"ab", header(3, bits=16)), "has floats of 16 bits", HINT),
    "too slow": (
        wav(b"ab", header(rate=10)), "has 10 samples a second, wanted 4000 to 192000", None),
    "no channels": (wav(b"ab", header(channels=0)), "has 0 channels, wanted 1 to 16", None),
    "odd blocks": (
        wav(b"abc", header(block=3)), "says 3 bytes for 1 × 16 bits, which is 2",
        "record it again"),
    "endless parts": (
        b"RIFF\0\0\0\0WAVE" + chunk(b"junk", b"") * 1001,
        "has more than 1000 parts before its samples", HINT),
}  # fmt: skip


@each("name", BAD)
def test_a_bad_file_is_refused_in_words(name: str, tmp_path: Path) -> None:
    data, words, hint = BAD[name]
    assert refusal(lambda: parse(data), InputError) == (words, hint)
    (tmp_path / "a.wav").write_bytes(data)
    read = refusal_in(tmp_path, lambda: read_wav(tmp_path / "a.wav"), InputError)
    assert read == (f"…/a.wav {words}", hint)


def test_every_shortened_and_flipped_file_is_read_or_refused() -> None:
    rng = np.random.default_rng(0)
    outcomes: set[type] = set()
    for form, samples in FORMS.values():
        whole = wav(samples, form)
        for at in range(len(whole)):
            flipped = bytearray(whole)
            flipped[at] ^= int(rng.integers(1, 256))
            for data in (whole[:at], bytes(flipped)):
                try:
                    outcomes.add(type(parse(data)))
                except InputError as error:
                    outcomes.add(type(error))
    assert outcomes == {Sound, InputError}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    def words(path: Path) -> str:
        return refusal_in(tmp_path, lambda: read_wav(path), InputError)[0]

    assert words(tmp_path / "none.wav") == "no file …/none.wav"
    assert words(tmp_path / ("n" * 5000)).startswith("no file ")
    assert words(Path("a\0b")) == "no file a\\x00b"
    assert words(tmp_path) == "… is a folder, wanted a regular file"


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(WHOLE)
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    assert values(read_wav(tmp_path / "b.wav")) == [[-0.5], [0.0], [0.25]]


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.wav").open("wb") as file:
        file.truncate(2**27 + 1)
    words, _ = refusal_in(tmp_path, lambda: read_wav(tmp_path / "a.wav"), InputError)
    assert words == "…/a.wav has 134217729 bytes, at most 134217728 are read"
