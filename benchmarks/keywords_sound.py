"""keywords-proto-maml on sounds themselves, beside the stored energies of the same recordings.

`HANDFUL_DATA=FOLDER python benchmarks/keywords_sound.py [PACKAGE]` takes the meta-test words by
meta-test speakers of FOLDER/arabic_speech_commands, one take of each: 10 words × 6 speakers, 8-bit
μ-law. All examples of a task are by different speakers, so a query is never by the speaker of its
class's support example, which is harder than the ten takes that `handful evaluate` draws from. The
sounds go through the whole package; the energies, which were computed from the 16-bit recordings,
through what is behind its front end. Prints a table.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from handful.runtime.arrays import Array
from handful.runtime.learner import load
from handful.runtime.package.read import find, read_package
from handful.runtime.tools.evaluate import Episodes, evaluate
from handful.trainer.evaluation.packages import behind_front

WAY, EPISODES, SEED = 5, 1000, 0
SHOTS = (1, 5)


def test_recordings(folder: Path) -> tuple[Array, Array, Array]:
    """Sounds [M, 16000] from −1 to 1, energies [M, 49, 40, 1], words [M]."""
    index = json.loads((folder / "asc_index.json").read_text(encoding="utf-8"))
    sounds = np.load(folder / "asc_audio_1take_mulaw16k.npz")
    words = np.array(index["keywords"])[sounds["keyword"]]
    wanted = np.isin(words, index["keyword_split"]["test"])
    wanted &= np.isin(sounds["speaker"], index["speaker_split_official"]["test"])
    level = 2 * sounds["mulaw"][wanted].astype(np.float64) / 255 - 1
    x = np.sign(level) * (256 ** np.abs(level) - 1) / 255
    stored = np.load(folder / "asc_logmel.npz")["logmel"][sounds["source_row"][wanted]]
    energy = stored.astype(np.float32) / 10 - 14
    return x.astype(np.float32), ((energy + 5) / 4)[..., None], words[wanted]


def episodes(words: Array, shot: int) -> Episodes:
    """Tasks of WAY words; the recordings of a word are by one speaker each."""
    rng = np.random.default_rng(SEED)
    rows = [np.flatnonzero(words == word) for word in np.unique(words)]
    support, query = [], []
    queries = min(map(len, rows)) - shot
    for _ in range(EPISODES):
        order = [rng.permutation(rows[c]) for c in rng.choice(len(rows), WAY, replace=False)]
        support.append(np.concatenate([row[:shot] for row in order]))
        query.append(np.concatenate([row[shot : shot + queries] for row in order]))

    def labels(each: int) -> Array:
        return np.tile(np.repeat(np.arange(WAY), each), (EPISODES, 1))

    return Episodes(np.stack(support), labels(shot), np.stack(query), labels(queries))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="?", default="keywords-proto-maml")
    options = parser.parse_args()
    folder = Path(os.environ["HANDFUL_DATA"]) / "arabic_speech_commands"
    place = find(options.package)
    sounds, energies, words = test_recordings(folder)
    package = read_package(place)
    spec = replace(
        package.manifest.input, kind="array", shape=energies.shape[1:], range=None, rate=None
    )
    measured: tuple[tuple[str, Any, Array], ...] = (
        ("sounds, 8-bit μ-law", load(place), sounds),
        ("stored energies, of 16 bits", behind_front(package, spec), energies),
    )
    print(f"| accuracy % | {' | '.join(f'{WAY}-way {shot}-shot' for shot in SHOTS)} |")
    print(f"| --- |{' --- |' * len(SHOTS)}")
    for name, learner, x in measured:
        found = [evaluate(learner, x, episodes(words, shot)) for shot in SHOTS]
        cells = [f"{100 * f.accuracy:.2f} ± {100 * f.interval:.2f}" for f in found]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
