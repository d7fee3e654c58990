"""Spoken keywords and pen strokes as .npz files with a split: what the recipes for both read.

`HANDFUL_DATA=FOLDER python benchmarks/words_and_strokes_data.py OUT` reads FOLDER's
arabic_speech_commands and pen_strokes and writes words.npz, keywords.npz, strokes.npz, pen.npz and
a split of the same name, .json, for each.

Words: log-mel energies [49, 40, 1], natural logarithms, as (x + 5) / 4: about zero mean and unit
deviation, by two constants that a device applies as well. The split by keyword is combined with the
official one by speaker, so the meta-test words are new and their speakers too; recordings of a word
of one part by a speaker of another are left out.
Keywords: the same with each meta-training word backwards as a class of its own, since 25 words are
few to learn from.
Strokes: [64, 3]. x and y less the trace's own mean, over the root mean square of both; the pen as 1
(down) or −1. New alphabets are meta-test.
Pen: the same traces as they are, [64, 3]: x and y in pixels, the pen 1 (down) or 0. The network
"trace" centres and scales them itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

BACKWARDS = " backwards"
PARTS = {"meta_train": "train", "meta_val": "val", "meta_test": "test"}


def words(folder: Path, out: Path) -> None:
    """The recordings of the words and the speakers of each part."""
    arrays = np.load(folder / "asc_logmel.npz")
    index = json.loads((folder / "asc_index.json").read_text(encoding="utf-8"))
    label = np.array(index["keywords"])[arrays["keyword"]]
    kept = np.zeros(len(label), dtype=bool)
    for part in PARTS.values():
        words_of_part = np.isin(label, index["keyword_split"][part])
        speakers = np.isin(arrays["speaker"], index["speaker_split_official"][part])
        kept |= words_of_part & speakers
    energy = arrays["logmel"][kept].astype(np.float32) / 10 - 14  # as its README defines them
    x, label = ((energy + 5) / 4)[..., None], label[kept]
    np.savez(out / "words.npz", x=x, label=label)
    split = {part: index["keyword_split"][short] for part, short in PARTS.items()}
    (out / "words.json").write_text(json.dumps(split), encoding="utf-8")
    trained = np.isin(label, split["meta_train"])
    backwards = np.char.add(label[trained], BACKWARDS)
    x, label = np.concatenate([x, x[trained, ::-1]]), np.concatenate([label, backwards])
    np.savez(out / "keywords.npz", x=x, label=label)
    split["meta_train"] += [word + BACKWARDS for word in split["meta_train"]]
    (out / "keywords.json").write_text(json.dumps(split), encoding="utf-8")


def strokes(folder: Path, out: Path) -> None:
    """The traces, each centred and scaled by itself."""
    arrays = np.load(folder / "pen_strokes.npz")
    index = json.loads((folder / "pen_strokes_index.json").read_text(encoding="utf-8"))
    traces = arrays["x"].astype(np.float32)
    place = traces[..., :2] - traces[..., :2].mean(axis=1, keepdims=True)
    place /= np.sqrt((place**2).mean(axis=(1, 2), keepdims=True) + 1e-6)
    x = np.concatenate([place, 2 * traces[..., 2:] - 1], axis=2)
    names = np.array(index["classes"])
    split = {part: names[index["class_split"][part]].tolist() for part in PARTS}
    for name, examples in (("strokes", x), ("pen", traces)):
        np.savez(out / f"{name}.npz", x=examples, label=names[arrays["label"]])
        (out / f"{name}.json").write_text(json.dumps(split), encoding="utf-8")


def main() -> None:
    """Write both."""
    folder, out = Path(os.environ["HANDFUL_DATA"]), Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    words(folder / "arabic_speech_commands", out)
    strokes(folder / "pen_strokes", out)


if __name__ == "__main__":
    main()
