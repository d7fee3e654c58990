"""Recognise movements in a stream of readings, window by window; no torch needed.

`python examples/gesture_stream.py FOLDER < readings.csv`

FOLDER has a sub-folder for each movement, with one recording of it or a few (.csv or .npy): a line
x, y, pen for each reading, the pen 1 where it touches. The same lines come in on standard input, as
a pen, a touch pad or a tracker gives them. The package takes a recording whole, however many
readings it has; a stream has no end and is cut into windows, which is as long a movement as can be
told. After each half of a window, what the last WINDOW readings show is printed: the place of the
first of them, the movement, its probability.
"""

from __future__ import annotations

import sys

import handful
from handful.runtime.inputs.examples import files_of
from handful.runtime.tools.text import use_any_encoding

WINDOW = 64  # readings that the package takes at a time


def main() -> None:
    """Adapt to the folder, then answer as readings come in."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    learner = handful.load("pen-proto-maml")
    task = learner.adapt(files_of(sys.argv[1], learner.input))
    stream = handful.Windows(WINDOW)
    first = 0
    for line in sys.stdin:
        reading = [float(field) for field in line.split(",")]
        for window in stream.feed([reading]):
            scores = task.predict_proba(window)
            print(first, task.classes[scores.argmax()], f"{scores.max():.3f}", flush=True)
            first += stream.hop


if __name__ == "__main__":
    use_any_encoding()  # labels may be in any script
    main()
