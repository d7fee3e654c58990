"""Every Python block of the README, the pages and the cards runs, in the order of its page.

A page speaks of things that its reader has: pictures, a microphone. GIVEN has them, by page. Names
of packages and paths below exported/ are the shipped packages, and one for characters stands where
`handful photos` would have made one. `…` in a list is for more of the same. Where a block's comment
begins with a value, the line in front of it gives that value.
"""

from __future__ import annotations

import ast
import math
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import handful
from handful.runtime.arrays import Array
from handful.runtime.package.decode import to_json
from handful.runtime.package.read import SHIPPED, list_shipped
from handful.runtime.tools.golden import read_golden

from .runtime.small_policy import bandit
from .runtime.small_sounds import wav

ROOT = Path(__file__).parents[1]
SHAPES = ("ka", "ga", "ta")


def picture(shape: str, seed: int = 0) -> Image.Image:
    """A circle, a cross or a bar, dark on light."""
    image, at = Image.new("RGB", (60, 60), "white"), 4 * seed
    draw = ImageDraw.Draw(image)
    if shape == "ka":
        draw.ellipse((10 + at, 10, 44 + at, 44), outline="black", width=4)
    elif shape == "ga":
        draw.line((10 + at, 10, 44 + at, 44), fill="black", width=4)
        draw.line((44 + at, 10, 10 + at, 44), fill="black", width=4)
    else:
        draw.line((28 + at, 8, 28 + at, 50), fill="black", width=4)
    return image


def pictures(*shapes: str) -> list[Image.Image]:
    return [picture(shape, seed) for seed, shape in enumerate(shapes)]


def sound(pitch: float, seconds: float = 1.0) -> Array:
    """A tone that swells and fades, 16 bits at 16 kHz."""
    time = np.arange(int(16000 * seconds)) / 16000
    return (9000 * np.sin(np.pi * time / seconds) * np.sin(math.tau * pitch * time)).astype("<i2")


def strokes(turns: float, seed: int = 0) -> Array:
    """A spiral of so many turns: x, y and the pen, which is down."""
    angle = np.linspace(0, math.tau * turns, 90 + 10 * seed)
    x, y = (1 + angle) * (np.cos(angle), np.sin(angle))
    return np.stack([x, y, np.ones_like(x)], axis=1)


def readings() -> dict[str, Any]:
    task = handful.load("pen-proto-maml").adapt({"bow": [strokes(0.5)], "snail": [strokes(2)]})
    sensor = np.array_split(strokes(3), 7)
    microphone = np.array_split(np.concatenate([sound(300), 0 * sound(300), sound(900)]), 30)
    files = {"l1.wav": 300.0, "l2.wav": 320.0, "m1.wav": 900.0, "new.wav": 310.0}
    for name, pitch in files.items():
        Path(name).write_bytes(wav(sound(pitch).tobytes()))
    return {
        "recording": strokes(3), "task": task, "sensor": sensor, "microphone": microphone
    }  # fmt: skip


def characters() -> dict[str, Any]:
    picture("ga", 3).save("cup.jpg")
    a, b, c = pictures("ka", "ka", "ga")
    sets = [{"ka": [a], "ga": [c]}, {"ka": [a, b], "ta": pictures("ta")}]
    given = {"images": pictures("ka", "ka", "ga"), "image": picture("ga", 1), "support_sets": sets}
    return given | {"a": a, "b": b, "c": c, "others": pictures("ta", "ta")}


def photographs() -> dict[str, Any]:
    for name, shape in {"cup 1": "ka", "cup 2": "ka", "plate": "ga", "new": "ka"}.items():
        picture(shape).save(f"{name}.jpg")
    return {"frame": np.asarray(picture("ta"))}


def certainty() -> dict[str, Any]:
    examples, labels = pictures("ka", "ka", "ga"), ["ka", "ka", "ga"]
    given = {"examples": examples, "labels": labels, "x": picture("ka", 2)}
    return given | {"other_things": pictures("ta", "ta")}


def of_card(name: str) -> dict[str, Any]:
    spec = handful.load(name).manifest.input
    if handful.load(name).classes:
        one, other = np.random.default_rng(3).normal(size=(2, *spec.shape)).astype(np.float32)
        if spec.kind == "audio":
            one, other = (sound(hertz) / 2**15 for hertz in (300, 900))
        return {"one": one, "two": other, "example": other}
    kind = spec.kind
    if name == "cart-maml":
        rng = np.random.default_rng(0)
        seen, done = rng.standard_normal((2, 5, 2)), rng.standard_normal((2, 5, 1))
        given = {"observations": seen, "actions": done, "rewards": seen[..., 0]}
        return given | {"observation": seen[0, 0], "rng": rng}
    if name == "sensor-maml":
        examples = np.linspace(-1, 1, 10).reshape(5, 2)
        return {"examples": examples, "targets": examples[:, :1], "example": examples[0]}
    two: list[Any] = pictures("ka", "ga")
    if kind != "image":
        two = [sound(300) / 2**15, sound(900) / 2**15] if kind == "audio" else []
        two = two or [strokes(0.5), strokes(2)]
    return {"examples": two, "labels": ["one", "two"], "example": two[0]}


def windows_of_a_person() -> dict[str, Any]:
    """Muscle signals of a second each, as docs/personal.md calls them."""
    learner = handful.load("myo-personal")
    rows = read_golden(learner.files, learner.manifest).vectors.query_x
    return dict(zip(("window", *"abcdef"), rows[:7], strict=True))


class Machine:
    """What a policy of one action moves: its reward is that action."""

    def read(self) -> list[float]:
        return [0.0, 1.0]

    def move(self, action: Array) -> float:
        return float(action[0])


def machines() -> dict[str, Any]:
    """A policy in the folder `cart`, and what it moves."""
    folder = Path("cart")
    folder.mkdir()
    (folder / "manifest.json").write_text(to_json(bandit(folder)), encoding="utf-8")
    return {"machine": Machine()}


GIVEN: dict[str, Callable[[], dict[str, Any]]] = {
    "README.md": dict,
    "docs/architecture.md": characters,
    "docs/confidence.md": certainty,
    "docs/data.md": readings,
    "docs/frozen.md": dict,
    "docs/own-learner.md": dict,
    "docs/personal.md": windows_of_a_person,
    "docs/photos.md": photographs,
    "docs/policies.md": machines,
} | {f"exported/{name}/README.md": lambda name=name: of_card(name) for name in list_shipped()}


def blocks(page: Path) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with its first line's number."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, m.start(1)), m[1].replace(", …]", "]")) for m in found]


def promised(code: str) -> Iterator[tuple[str, object]]:
    """Each line that is an expression, and the value that its comment begins with."""
    for line in code.splitlines():
        expression, _, comment = line.partition("  # ")
        if expression.startswith("print("):  # test_readme compares what is printed
            continue
        try:
            ast.parse(expression, mode="eval")
            yield expression, ast.literal_eval(comment.partition(";")[0].strip())
        except (SyntaxError, ValueError):
            continue


def test_every_page_with_python_is_run() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("exported/*/README.md")]
    with_python = {page.relative_to(ROOT).as_posix() for page in pages if blocks(page)}
    assert with_python == set(GIVEN)


@pytest.mark.filterwarnings("ignore::handful.InputWarning")  # drawings here are as they come
@pytest.mark.parametrize("name", GIVEN)
def test_the_python_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exported").mkdir()
    for package in list_shipped():
        (tmp_path / "exported" / package).symlink_to(SHIPPED / package)
    (tmp_path / "exported" / "photos").symlink_to(SHIPPED / "omniglot-prototypical")
    monkeypatch.chdir(tmp_path)
    code = blocks(ROOT / name)
    given = GIVEN[name]()
    assert [one for one in given if not re.search(rf"\b{one}\b", str(code))] == []
    page = types.ModuleType("page")
    page.__dict__.update(given)
    monkeypatch.setitem(sys.modules, "page", page)
    for line, block in code:
        tree = compile("\n" * line + block, str(ROOT / name), "exec")
        exec(tree, page.__dict__)
        for expression, value in promised(block):
            assert eval(expression, page.__dict__) == value, expression
