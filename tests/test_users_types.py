"""pyright at its strictest on a user's program: the right one passes, a wrong type is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import handful

PROGRAM = """
from pathlib import Path

import numpy as np

import handful

learner: handful.Learner = handful.load("omniglot-leo", threads=2)
frame = np.zeros((480, 640, 3), np.uint8)
task = learner.adapt({"cup": ["a.jpg", Path("b.jpg")], "plate": [frame]})
task = learner.adapt(["a.jpg", frame], ["cup", "plate"], samples=4, rng=np.random.default_rng(0))
task = task.add({"spoon": [frame]}, progress=lambda share: print(f"{share:.0%}"))
task = task.remove("plate").with_negatives(["table.jpg"])
one: str | None = task.predict("new.jpg")
several: list[str | None] = task.predict([frame, Path("new.jpg")], unknown=0.05)
sets: list[tuple[str, ...]] = task.predict_set([frame], coverage=0.9)
likely: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = task.predict_proba([frame])
names: tuple[str, ...] = task.classes
task.save("kitchen.npz")
again: handful.Task = learner.load_task("kitchen.npz")
try:
    print(one, several, sets, likely.shape, names, again.counts)
except handful.HandfulError as error:
    print(error.hint)
"""
WRONG = (  # a line for each wrong use, and a word of what is said
    ("learner.adapt('a.jpg')", "adapt"),
    ("learner.adapt({'cup': ['a.jpg']}, ['cup'])", "adapt"),
    ("learner.adapt(['a.jpg'], [1])", "adapt"),
    ("label: str = task.predict('new.jpg')", "None"),
    ("pair: str | None = task.predict(['new.jpg'])", "list"),
    ("task.predict('new.jpg', unknown='5%')", "predict"),
    ("sets = task.predict_set('new.jpg')[0].append('x')", "append"),
    ("task.classes = ('cup',)", "classes"),
    ("task.remove(1)", "remove"),
    ("task.add({'cup': [frame]}, progress=True)", "add"),
    ("handful.load(3)", "load"),
    ("handful.adapt", "adapt"),
    ("learner.fit({'cup': ['a.jpg']})", "fit"),
    ("handful.windows([1.0], 64, step=8)", "step"),
)


def found(program: str, folder: Path) -> dict[int, str]:
    """What pyright says of the program, by line from 1 on."""
    (folder / "program.py").write_text(program, "utf-8")
    paths = [str(Path(handful.__file__).parents[1])]
    settings = {"typeCheckingMode": "strict", "extraPaths": paths, "include": ["program.py"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = ["-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    said = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in said}


@pytest.mark.contract
def test_a_users_program_is_right_and_each_wrong_use_is_found(tmp_path: Path) -> None:
    first = len(PROGRAM.splitlines()) + 1
    wrong = found(PROGRAM + "\n".join(line for line, _ in WRONG), tmp_path)
    # and nothing of what stands before them
    assert list(wrong) == [first + at for at in range(len(WRONG))]
    for (line, word), message in zip(WRONG, wrong.values(), strict=True):
        assert word in message, line
