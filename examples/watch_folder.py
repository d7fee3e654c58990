"""Watch a folder for photos: learn the classes of one folder, label what appears in another.

`python examples/watch_folder.py exported/photos CLASSES INBOX`, where CLASSES has a sub-folder of
pictures for each class, and INBOX is where a camera, a scanner or a phone puts its files. A package
for photographs is written by `handful photos exported/photos`. Needs Pillow: `handful[images]`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import handful
from handful.runtime.inputs.folders import is_left_behind
from handful.runtime.tools.text import use_any_encoding


def arrivals(inbox: Path, pause: float) -> Iterator[Path]:
    """Each new file, once nothing has been written to it for a pause."""
    sizes: dict[Path, int] = {}
    done: set[Path] = set()
    while True:
        for file in sorted(inbox.iterdir()):
            if file in done or is_left_behind(file.name) or not file.is_file():
                continue
            size = file.stat().st_size
            if size and sizes.get(file) == size:
                done.add(file)
                yield file
            sizes[file] = size
        time.sleep(pause)


def main() -> None:
    """Adapt, then answer for each file that arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="a folder, or the name of a shipped package")
    parser.add_argument("classes", type=Path, help="a sub-folder of pictures for each class")
    parser.add_argument("inbox", type=Path, help="the folder to watch")
    parser.add_argument("--count", type=int, help="end after so many files")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two looks")
    asked = parser.parse_args()
    learner = handful.load(asked.package)
    task = learner.adapt(handful.files_of(asked.classes, learner.input))
    print("learned", *(f"{label} ({count})" for label, count in task.counts.items()), flush=True)
    for number, file in enumerate(arrivals(asked.inbox, asked.pause), start=1):
        try:
            scores = task.predict_proba(file)
        except handful.InputError as error:  # no picture, or a broken one: say so and go on
            print(file.name, "→", error, flush=True)
        else:
            print(file.name, "→", task.classes[scores.argmax()], f"{scores.max():.2f}", flush=True)
        if number == asked.count:
            return


if __name__ == "__main__":
    use_any_encoding()  # labels may be in any script
    main()
