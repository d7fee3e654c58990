"""Pictures unlike a backbone's own: seven collections, each a folder of classes, from shared data.

    caltech       the 20 test classes of Caltech-101 at 84 pixels: at home, what ImageNet looks like
    edges         their edges: the root of the squared slopes of grey, scaled to its 99th percentile
    negatives     255 less each pixel
    waste         360 photographs of six kinds of waste on a white board, 112 pixels
    spectrograms  ten spoken words by six speakers: log-mel energies as grey, time to the right
    omniglot      100 characters of the evaluation alphabets, black on white, 105 pixels
    strokes       57 characters as pen traces, drawn black on white with a pen 2.5 pixels wide

Words, speakers and characters are the test classes of their collections. `pictures` writes them
once, and everything else reads them as it reads a user's folder.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
Labelled = Iterator[tuple[str, Pixels]]  # the class of each picture, grey [H, W] or [H, W, 3]

CHARACTERS = 100
SQUARE = 64  # pixels of a spectrogram, 49 frames and 40 bands before
SIDE, PEN, MARGIN = 160, 2.5, 16  # of a drawn trace, in pixels


def pictures(data: Path, name: str, to: Path, *, split: str = "test") -> Path:
    """The folder `to`/NAME with a sub-folder for each class, made from `data` unless it is there.

    `split` chooses the classes of Caltech-101, its edges and negatives: train, val or test.
    """
    folder = to / (name if split == "test" else f"{name}-{split}")
    if folder.exists():
        return folder
    part = folder.with_suffix(".part")
    counts: dict[str, int] = {}
    for label, pixels in COLLECTIONS[name](data, split):
        counts[label] = counts.get(label, 0) + 1
        place = part / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{counts[label]:04}.png")
    part.rename(folder)
    return folder


def _caltech(data: Path, split: str) -> Labelled:
    folder = data / "caltech101"
    index = json.loads((folder / "caltech101_index.json").read_text("utf-8"))
    chosen = {c if isinstance(c, str) else index["classes"][c] for c in index["class_split"][split]}
    with zipfile.ZipFile(folder / "caltech101_84.zip") as archive:
        for name in index["files"]:
            label = name.split("/")[-2]
            if label in chosen:
                yield label, _decode(archive.read(name))


def _edges(data: Path, split: str) -> Labelled:
    for label, pixels in _caltech(data, split):
        grey = pixels.astype(np.float64).mean(axis=2)
        slopes = np.hypot(*np.gradient(grey))
        scale = max(float(np.percentile(slopes, 99)), 1.0)
        yield label, np.round(255 * np.clip(slopes / scale, 0, 1)).astype(np.uint8)


def _negatives(data: Path, split: str) -> Labelled:
    for label, pixels in _caltech(data, split):
        yield label, 255 - pixels


def _waste(data: Path, split: str) -> Labelled:
    with zipfile.ZipFile(data / "shift" / "waste_112.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".jpg"):
                yield name.split("/")[-2], _decode(archive.read(name))


def _spectrograms(data: Path, split: str) -> Labelled:
    folder = data / "arabic_speech_commands"
    index = json.loads((folder / "asc_index.json").read_text("utf-8"))
    words = index["keyword_split"][split]
    words = {w if isinstance(w, str) else index["keywords"][w] for w in words}
    speakers = index["speaker_split_official"][split]
    with np.load(folder / "asc_logmel.npz", allow_pickle=False) as arrays:
        energies, spoken, by = (arrays[name] for name in ("logmel", "keyword", "speaker"))
    for frames, word, speaker in zip(energies, spoken, by, strict=True):
        label = index["keywords"][word]
        if label in words and speaker in speakers:
            tall = Image.fromarray(np.ascontiguousarray(frames.T[::-1]))  # high tones above
            square = tall.resize((SQUARE, SQUARE), Image.Resampling.BILINEAR)
            yield label, np.asarray(square)


def _omniglot(data: Path, split: str) -> Labelled:
    folder = data / "omniglot"
    index = json.loads((folder / "omniglot_index.json").read_text("utf-8"))
    wanted = [i for i, c in enumerate(index["classes"]) if c[0] == "evaluation"]
    with np.load(folder / "omniglot_105_bits.npz", allow_pickle=False) as arrays:
        bits = arrays["images"]
    for i in np.random.default_rng(0).choice(wanted, CHARACTERS, replace=False):
        ink = np.unpackbits(bits[i], axis=-1, count=105)
        for drawing in ink:
            yield " ".join(index["classes"][i][1:]), (255 * (1 - drawing)).astype(np.uint8)


def _strokes(data: Path, split: str) -> Labelled:
    folder = data / "pen_strokes"
    index = json.loads((folder / "pen_strokes_index.json").read_text("utf-8"))
    chosen = set(index["class_split"][f"meta_{split}"])
    with np.load(folder / "pen_strokes.npz", allow_pickle=False) as arrays:
        traces, labels = arrays["x"].astype(np.float64), arrays["label"]
    for trace, label in zip(traces, labels, strict=True):
        if int(label) in chosen:
            yield index["classes"][label].replace("/", " "), _draw(trace)


def _draw(trace: NDArray[np.float64]) -> Pixels:
    """A trace [T, 3] as large as the picture allows, drawn at four times its size and reduced."""
    places = trace[:, :2] * [1, -1]
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-6)
    places = 4 * ((places - (low + high) / 2) * scale + SIDE / 2)
    image = Image.new("L", (4 * SIDE, 4 * SIDE), 255)
    draw = ImageDraw.Draw(image)
    for i in range(1, len(trace)):
        if trace[i, 2] > 0:
            line = [(float(x), float(y)) for x, y in places[i - 1 : i + 1]]
            draw.line(line, fill=0, width=round(4 * PEN))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def _decode(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


Collection = Callable[[Path, str], Any]
COLLECTIONS: dict[str, Collection] = {
    "caltech": _caltech,
    "edges": _edges,
    "negatives": _negatives,
    "waste": _waste,
    "spectrograms": _spectrograms,
    "omniglot": _omniglot,
    "strokes": _strokes,
}
