"""Words in a stream of sound: adapt to a folder of WAV files, then listen.

    python examples/hear_words.py words/ speech.wav
    arecord -q -t raw -f S16_LE -r 16000 | python examples/hear_words.py words/ -

`words/` has one sub-folder a word with a few WAV files each. The second argument is a WAV file, or
`-` for blocks of 16-bit samples of one channel at 16 kHz from the standard input. A line is printed
for each word as soon as it was heard: when it began, the word, its probability.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

import handful
from handful.runtime.tools.text import use_any_encoding

BLOCK = 1600  # samples: a tenth of a second
PACKAGE = os.environ.get("HANDFUL_PACKAGE", "keywords-proto-maml")


def blocks_of(source: str) -> tuple[Iterator[Any], int]:
    """Blocks of samples, and how many of them there are to a second."""
    if source == "-":
        return _from_standard_input(), 16000
    sound = handful.read_wav(source)
    return (sound.samples[i : i + BLOCK] for i in range(0, len(sound.samples), BLOCK)), sound.rate


def _from_standard_input() -> Iterator[Any]:
    while data := sys.stdin.buffer.read(2 * BLOCK):
        yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")


def main() -> None:
    """Adapt, then print words."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, source = sys.argv[1:]
    learner = handful.load(PACKAGE)
    task = learner.adapt(handful.read_folder(folder, learner.input))
    blocks, rate = blocks_of(source)
    for word in handful.words(task, blocks, rate):
        print(f"{word.start:7.2f} s  {word.label}  {word.score:.2f}", flush=True)


if __name__ == "__main__":
    use_any_encoding()  # labels may be in any script
    try:
        main()
    except handful.HandfulError as error:
        sys.exit(f"error: {error}" + (f"\n\nhint: {error.hint}" if error.hint else ""))
