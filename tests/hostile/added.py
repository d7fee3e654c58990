"""More hostile manifests: of sound, of what the examples were like, of confidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .manifests import WRONG, Case, changed

AUDIO = {
    "kind": "audio", "shape": [16000], "layout": None, "colour": None, "resize": None,
    "rate": 16000, "interpolation": None, "invert": False, "range": [-1, 1],
    "scale": 1 / 128, "offset": -1,
}  # fmt: skip


def seen(**values: Any) -> Callable[[Path], object]:
    """`input.seen` with other values."""
    fields = {"mean": [0.0, 1.0], "deviation": [0.0, 1.0], **values}
    return changed(lambda content: content["input"].update(seen=fields))


def sure(**values: Any) -> Callable[[Path], object]:
    """A manifest with one entry of `confidence`, which is in order but for these values."""
    entry = {
        "way": 5, "shot": 1, "classes": 9, "queries": 9, "others": 0.0, "temperature": 1.0,
        "calibration_error": 0.0,
        "thresholds": [{"false_accepts": 0.05, "score": 0.0, "known_kept": 1.0}],
        "sets": [{"coverage": 0.9, "probability": 0.5, "size": 1.0}],
    }  # fmt: skip
    return changed(lambda content: content.update(confidence=[{**entry, **values}]))


CASES: dict[str, Case] = {
    "a temperature of 0": (
        sure(temperature=0.0),
        WRONG + "`confidence[0].temperature` is 0.0, wanted 1e-09 to 1e+09",
    ),
    "a temperature below 0": (sure(temperature=-1), WRONG + "`confidence[0].temperature` is -1.0"),
    "more ways than integers": (sure(way=2**53), WRONG + "`confidence[0].classes` is 9, wanted"),
    "a threshold beyond float32": (
        sure(thresholds=[{"false_accepts": 0.05, "score": 1e39, "known_kept": 1.0}]),
        WRONG + "`confidence[0].thresholds[0].score` is 1e+39, wanted -1e+30 to 1e+30",
    ),
    "no thresholds": (sure(thresholds=[]), WRONG + "`confidence[0].thresholds` has 0 entries"),
    "5000 thresholds": (
        sure(thresholds=[{"false_accepts": 0.05, "score": 0, "known_kept": 1}] * 5000),
        WRONG + "`confidence[0].thresholds` has 5000 entries, wanted 1 to 32",
    ),
    "300 000 sizes": (
        changed(lambda content: content.update(confidence=[0] * 300_000)),
        WRONG + "`confidence[0]` is 0, wanted an object",
    ),
    "a rate of everything": (
        sure(sets=[{"coverage": 1.0, "probability": 0.5, "size": 1.0}]),
        WRONG + "`confidence[0].sets` has a `coverage` of 1.0, wanted between 0 and 1",
    ),
    "a picture with a rate": (
        changed(lambda c: c["input"].update(rate=16000)),
        WRONG + "`input.rate` is given, wanted null: the input is an image",
    ),
    "audio without a rate": (
        changed(lambda c: c["input"].update(AUDIO, rate=None)),
        WRONG + "`input.rate` is None, wanted 1000 to 192000 hertz",
    ),
    "audio of 1 hertz": (
        changed(lambda c: c["input"].update(AUDIO, rate=1)),
        WRONG + "`input.rate` is 1, wanted 1000 to 192000 hertz",
    ),
    "audio in stereo": (
        changed(lambda c: c["input"].update(AUDIO, shape=[16000, 2])),
        WRONG + "`input.shape` is [16000, 2], wanted one number of samples, up to 16777216",
    ),
    "audio of an hour": (
        changed(lambda c: c["input"].update(AUDIO, shape=[57_600_000])),
        WRONG + "`input.shape` is [57600000], wanted one number of samples, up to 16777216",
    ),
    "audio of 16 bits": (
        changed(lambda c: c["input"].update(AUDIO, range=[-32768, 32767])),
        WRONG + "`input.range` is [-32768.0, 32767.0], wanted [-1, 1]: the input is audio",
    ),
    "audio of another scale": (
        changed(lambda c: c["input"].update(AUDIO, scale=1)),
        WRONG + "`input.scale` and `offset` are 1 and -1, wanted 0.0078125 and -1: the input is",
    ),
    "audio with a layout": (
        changed(lambda c: c["input"].update(AUDIO, layout="HWC")),
        WRONG + "`input.layout` is given, wanted null: the input is audio",
    ),
    "what was seen, turned round": (
        seen(mean=[0.5, 0.25]),
        WRONG + "`input.seen.mean` is [0.5, 0.25], wanted low before high",
    ),
    "a negative deviation": (
        seen(deviation=[-0.5, 0.5]),
        WRONG + "`input.seen.deviation` is [-0.5, 0.5], wanted 0 or",
    ),
    "a mean beyond float32": (
        seen(mean=[0, 1e39]),
        WRONG + "`input.seen.mean[1]` is 1e+39, wanted a number within",
    ),
    "what was seen, three times": (
        seen(mean=[0, 1, 2]),
        WRONG + "`input.seen.mean` is a list, wanted a list of 2",
    ),
    "what was seen of the median": (
        seen(median=[0, 1]),
        WRONG + "unknown field in manifest: `input.seen.median`",
    ),
}
