"""Recognise movements in a stream of readings, window by window; no torch needed.

`python examples/gesture_stream.py FOLDER < readings.csv`

FOLDER has a sub-folder for each movement, with one recording of it or a few (.csv or .npy): a line
x, y, pen for each reading, the pen 1 where it touches. The same lines come in on standard input, as
a pen, a touch pad or a tracker gives them. After each half of a window, what the last WINDOW
readings show is printed: the place of the first of them, the movement, its probability.
"""

from __future__ import annotations

import sys
from pathlib import Path

import handful

WINDOW = 64  # readings that the package takes at a time


def main() -> None:
    """Adapt to the folder, then answer as readings come in."""
    folder = Path(sys.argv[1])
    examples = {
        movement.name: sorted(movement.iterdir())
        for movement in folder.iterdir()
        if movement.is_dir()
    }
    task = handful.load("pen-proto-maml").adapt(examples)
    stream = handful.Windows(WINDOW)
    first = 0
    for line in sys.stdin:
        reading = [float(field) for field in line.split(",")]
        for window in stream.feed([reading]):
            scores = task.predict_proba(window)
            print(first, task.classes[scores.argmax()], f"{scores.max():.3f}", flush=True)
            first += stream.hop


if __name__ == "__main__":
    main()
