"""`handful report`: a page that loads nothing and says what is true."""

from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw

import handful
from handful.runtime.inputs import pictures
from handful.runtime.inputs.resize import Upright
from handful.runtime.package.manifest import Channel, ChannelKind, InputSpec
from handful.runtime.task import Task
from handful.runtime.tools.report import Pictures, drawing_of, html_text

from .called import error, run

LABEL = "<img src=http:x onerror=alert(1)>".replace("/", "")


class Reader(HTMLParser):
    """The tags with their attributes, and the text of each cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.titles: list[str] = []  # of pictures
        self.inside = self.titled = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.titled = tag == "title" and ("svg", {"class": "picture", "role": "img"}) in self.tags
        if tag in ("td", "li"):
            self.cells.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.titled = False
        self.inside = self.inside and tag not in ("td", "li")

    def handle_data(self, data: str) -> None:
        if self.titled:
            self.titles.append(data)
        elif self.inside:
            self.cells[-1] += data


def drawn(pictures: Path, corners: tuple[int, int, int, int]) -> None:
    pictures.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (28, 28), 255)
    ImageDraw.Draw(picture).rectangle(corners, fill=0)
    picture.save(pictures)


@pytest.fixture
def task(photos: Path, tmp_path: Path) -> Path:
    """Bars, dashes, and a class whose name is a trap."""
    drawn(photos / LABEL / "1.png", (3, 3, 24, 24))
    adapted = run("adapt", "omniglot-leo", photos, "--out", tmp_path / "task.npz")
    assert adapted.exit_code == 0, adapted.stderr
    return tmp_path / "task.npz"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A bar, a dash, and a bar that lies with the dashes."""
    for name, corners in (
        ("bar/1", (11, 3, 16, 24)),
        ("dash/1", (3, 11, 24, 16)),
        ("dash/2", (11, 3, 16, 24)),
    ):
        drawn(tmp_path / "others" / f"{name}.png", corners)
    return tmp_path / "others"


def page(task: Path, *options: object) -> Reader:
    out = task.with_suffix(".html")
    done = run("report", task, "-o", out, "--force", *options)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {out}\n")
    return Reader(out.read_text(encoding="utf-8"))


def test_the_task_alone(task: Path) -> None:
    found = page(task)
    assert [tag for tag, _ in found.tags if tag == "svg"] == []
    assert "Add examples of bar: it has 1." in found.cells
    assert "Test the task on other files: --test FOLDER shows its answers." in found.cells
    row = found.cells.index("bar")
    assert found.cells[row : row + 4] == ["bar", "1", "not tested", ""]


def test_examples_and_answers(task: Path, photos: Path, others: Path) -> None:
    found = page(task, "--examples", photos, "--test", others)
    shown = [str(attributes["href"]) for tag, attributes in found.tags if tag == "use"]
    assert len(shown) == 3 + 2 * 3  # the support set, each answer and what is nearest to it
    titles = [cell for cell in found.titles if cell]
    assert titles[3:5] == [str(others / "dash" / "2.png"), str(photos / "bar" / "1.png")]
    # two of the three answers are of the same picture, which is in the page once as the others are
    drawn = [str(attributes["id"]) for tag, attributes in found.tags if tag == "symbol"]
    assert {f"#{name}" for name in drawn} == set(shown)
    assert len(drawn) == len(set(drawn)) == 3 + 2
    assert (
        "Add examples of dash and bar that show the difference: 1 of its 2 answers were bar."
        in found.cells
    )
    rows = [attributes for tag, attributes in found.tags if tag == "tr"]
    assert sum(row == {"class": "wrong"} for row in rows) == 1


def test_every_file_is_read_once(
    task: Path, photos: Path, others: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    decoded = pictures.decode

    def decode(path: Path, spec: InputSpec) -> Upright:
        read.append(path)
        return decoded(path, spec)

    monkeypatch.setattr(pictures, "decode", decode)
    page(task, "--examples", photos, "--test", others)
    assert sorted(read) == sorted([*photos.glob("*/*.png"), *others.glob("*/*.png")])


def test_it_loads_nothing_and_runs_nothing(task: Path, photos: Path, others: Path) -> None:
    found = page(task, "--examples", photos, "--test", others)
    assert {tag for tag, _ in found.tags} <= set(
        "html head meta title style body h1 h2 p ul li table tr th td code"
        " svg symbol image use".split()
    )
    for tag, attributes in found.tags:
        assert not attributes.keys() - {"lang", "charset", "http-equiv", "name", "content", "class",
                                        "id", "role", "viewbox", "width", "height",
                                        "href"}, tag  # fmt: skip
        assert (attributes.get("href") or "#").startswith("data:" if tag == "image" else "#")
    assert LABEL in found.cells


def test_pictures_are_what_the_package_sees(task: Path, photos: Path) -> None:
    source = (task.with_suffix(".html"), page(task, "--examples", photos))[0].read_text()
    data = re.findall(r"data:image/jpeg;base64,([^\"]+)", source)
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as picture:
        shown = np.asarray(picture, float)
    with Image.open(photos / "bar" / "1.png") as picture:
        np.testing.assert_allclose(shown, np.asarray(picture, float), atol=40)  # by JPEG


def test_photographs_are_small_each_once() -> None:
    """121 of 224 × 224 pixels, twice each: 18.5 MB when each was a PNG wherever it was shown."""
    coarse = np.random.default_rng(0).integers(0, 256, (121, 14, 14, 3)).astype(np.uint8)
    spec = InputSpec(kind="image", shape=(224, 224, 3), layout="HWC", colour="rgb", range=(0, 255))
    learner = SimpleNamespace(input=spec)
    pictures = Pictures()
    for _ in range(2):
        for i, colours in enumerate(coarse):
            photo = Image.fromarray(colours).resize((224, 224), Image.Resampling.BICUBIC)
            noise = np.random.default_rng(i).normal(0, 8, (224, 224, 3))
            example = (np.asarray(photo, np.float32) + noise).clip(0, 255).astype(np.float32)
            pictures.add(cast(Task, SimpleNamespace(learner=learner)), example, f"{i}.jpg")
    page = pictures.symbols()
    assert page.count("data:image/jpeg") == 121
    assert len(page) < 1e6
    with Image.open(io.BytesIO(base64.b64decode(page.split("base64,")[1].split('"')[0]))) as first:
        assert (first.format, first.size) == ("JPEG", (96, 96))


def test_strokes_and_sounds_are_drawn() -> None:
    """A pen: two strokes, the first to the right, the second upwards, and nothing between them."""
    pen = np.array([[1, 0, 0], [1, 2, 0], [0, 1, 0], [1, 1, 1], [1, 1, 2]], np.float32)
    kinds: dict[str, ChannelKind] = {"pen": "state", "x": "place", "y": "place"}
    named = tuple(Channel(name=name, kind=kind, text="") for name, kind in kinds.items())
    series = InputSpec(kind="array", shape=(5, 3))
    told = replace(series, channels=named)
    first, second = re.findall(r'points="([^"]+)"', drawing_of(pen, told))
    assert first == "6.0,90.0 90.0,90.0"
    assert second == "48.0,90.0 48.0,48.0 48.0,6.0"
    # what is not said to be a pen is none: two accelerations and a button
    assert drawing_of(pen, series).count("<polyline") == 3
    channels = drawing_of(np.arange(20, dtype=np.float32).reshape(5, 4), series)
    assert channels.count("<polyline") == 4
    silent_then_loud = np.r_[np.zeros(480), 0.5 * np.cos(np.arange(480))].astype(np.float32)
    sound = InputSpec(kind="audio", shape=(960,), rate=16000)
    (points,) = re.findall(r'points="([^"]+)"', drawing_of(silent_then_loud, sound))
    heights = np.array([float(point.split(",")[1]) for point in points.split()])
    np.testing.assert_allclose(heights[:96], 48, atol=1)
    assert abs(heights[96:].min() - 6) < 1
    assert heights[96:].max() > 85
    assert drawing_of(np.zeros(7, np.float32), InputSpec(kind="array", shape=(7,))) == ""


def test_text_is_escaped() -> None:
    assert html_text("a<b>&\"'\u202e\x1b\n") == "a&lt;b&gt;&amp;&quot;&#x27;\\u202e\\x1b\\n"


def test_examples_of_two_classes_that_are_nearly_the_same(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "bar" / "1.png", photos / "dash" / "wrong.png")
    assert run("adapt", "omniglot-leo", photos, "--out", tmp_path / "task.npz").exit_code == 0
    found = page(tmp_path / "task.npz", "--examples", photos)
    named = f"{photos}/bar/1.png (bar) and {photos}/dash/1.png (dash)"
    assert named not in " ".join(found.cells)
    first = found.cells[0]
    assert first.startswith(f"Look at {photos}/bar/1.png (bar) and {photos}/dash/wrong.png (dash)")


def test_a_regression_has_no_report(tmp_path: Path) -> None:
    learner = handful.load("sensor-maml")
    x = np.zeros((4, *learner.input.shape), np.float32)
    learner.adapt(x, np.zeros((4, 1), np.float32)).save(tmp_path / "task.npz")
    assert error(run("report", tmp_path / "task.npz", "-o", tmp_path / "a.html")) == (
        "error: report on a regression task\n\nhint: predict gives a regression task's outputs\n"
    )
    assert not (tmp_path / "a.html").exists()


def test_what_cannot_be_written_says_so(task: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.html"
    out.write_text("mine")
    assert error(run("report", task, "-o", out)) == (
        f"error: {out} exists\n\nhint: name another file, or replace it with --force\n"
    )
    assert out.read_text() == "mine"
    assert error(run("report", task, "-o", tmp_path / "none" / "a.html")) == (
        f"error: cannot write {tmp_path}/none/a.html: No such file or directory\n"
    )
