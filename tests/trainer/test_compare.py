"""`handful compare`: what may be compared, pairing, the tables and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.legend import Legend

from handful.runtime.errors import HandfulError
from handful.runtime.package.manifest import TaskName
from handful.runtime.tools.tested import PictureError
from handful.trainer.commands.compare import name_in_errors, same_tasks
from handful.trainer.commands.compared import Compared, entries_of
from handful.trainer.commands.pictures import check_plot, draw_over_shots, write_plot
from handful.trainer.data.functions import Sensor
from handful.trainer.data.labelled import ONE_GROUP, ClassFacts
from handful.trainer.episodes import TaskSize
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .small import vectors

A = "class 0"


def subject(data: Any, source: str = "here") -> Any:
    return SimpleNamespace(
        data=data, recorded=SimpleNamespace(config=SimpleNamespace(source=source))
    )


def remarks(a: Any, b: Any) -> list[str]:
    return same_tasks(("one", a), ("two", b))


@each(
    ("other", "words", "hint"),
    [
        (
            subject(vectors(3)),
            "one and two are tested on other classes: only the first has class 3",
            "compare what was trained on the same split of the same data",
        ),
        (
            subject(vectors(5)),
            "one and two are tested on other classes: only the second has class 4",
            "compare what was trained on the same split of the same data",
        ),
        (
            subject(vectors(4).take([0, 2, 1, 3])),
            "one and two list the same test classes in another order:"
            " class 1 is class 1 in the first, class 2 in the second",
            "compare what was trained on the same split of the same data",
        ),
        (
            subject(vectors(4, each=6)),
            "one and two have other numbers of examples: class 0 has 8 and 6, class 1 has 8 and 6,"
            " class 2 has 8 and 6, class 3 has 8 and 6",
            "compare what was trained on the same split of the same data",
        ),
        (
            subject(Sensor(), "sensor"),
            "one classifies, two is a regression: they have no tasks in common",
            "compare accuracies with accuracies, errors with errors",
        ),
    ],
)
def test_what_has_no_tasks_in_common_is_refused(other: Any, words: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        remarks(subject(vectors(4)), other)
    assert (str(refused.value), refused.value.hint) == (words, hint)


def test_other_groups_are_refused_where_tasks_are_within_them() -> None:
    one, two = (replace(vectors(4), groups=groups) for groups in (("a", "a", "b", "b"), ("a",) * 4))
    assert remarks(subject(one), subject(two)) == []
    with pytest.raises(ConfigError) as refused:
        remarks(subject(one.with_drawing(ONE_GROUP)), subject(two.with_drawing(ONE_GROUP)))
    assert str(refused.value) == "one and two have the same classes in other groups"
    assert refused.value.hint == (
        "compare without --within, or what was trained with one data.group_separator"
    )


def test_functions_of_two_families_are_refused() -> None:
    with pytest.raises(ConfigError) as refused:
        remarks(subject(Sensor(), "sensor"), subject(Sensor(), "mine:Sensor"))
    assert str(refused.value) == (
        "one is measured on sensor, two on mine:Sensor: they have no tasks in common"
    )
    assert refused.value.hint == "compare what was trained on the same functions"
    assert remarks(subject(Sensor(), "sensor"), subject(Sensor(), "sensor")) == []


def test_other_examples_of_the_same_classes_are_said() -> None:
    """As embeddings by another backbone: the fingerprints differ, the tasks do not."""
    a, b = (
        subject(replace(vectors(4), facts={A: ClassFacts(8, mark), "class 1": ClassFacts(8, "x")}))
        for mark in ("before", "after")
    )
    assert remarks(a, a) == []
    assert remarks(a, b) == [
        "two reads other examples of the same classes than one, as other embeddings of the same"
        " pictures would be: class 0; the tasks have the same classes and rows"
    ]


def test_an_error_says_which_of_several_it_is_about() -> None:
    with (
        pytest.raises(ConfigError, match=r"^runs/a: too many classes$") as named,
        name_in_errors("runs/a"),
    ):
        raise HandfulError("too many classes", hint="lower --way")
    assert named.value.hint == "lower --way"
    with pytest.raises(HandfulError, match=r"^no config.json in runs/a$"), name_in_errors("runs/a"):
        raise HandfulError("no config.json in runs/a")


def of(
    task: TaskName = "classification", *, ways: Sequence[int] = (5,), shots: Sequence[int] = (1, 5)
) -> Compared:
    """Two packages and a yardstick on four episodes."""
    by_name = {
        "mine": np.array([0.5, 0.7, 0.9, 0.7]),
        "a package of quite some name": np.array([0.4, 0.6, 0.9, 0.5]),
        "class means": np.array([0.6, 0.8, 1.0, 0.8]),
    }
    measures = [(TaskSize(way, shot, 3), by_name) for way in ways for shot in shots]
    kinds: Any = dict(zip(by_name, ("package", "run", "yardstick"), strict=True))
    references = ("mine", "class means")
    entries = entries_of(measures, kinds, references, task=task)
    return Compared(
        task=task,
        seed=3,
        references=references,
        entries=entries,
        notes=("read | well",),
    )


def test_differences_are_paired_and_signed() -> None:
    """By hand: 0.7 − 0.6 = 0.1; the differences 0.1, 0.1, 0, 0.2 have the deviation 0.0816.

    Of four episodes Student's t is 3.182.
    """
    mine, other, means = (entry.results[0] for entry in of().entries)
    assert [c.name for c in other.compared] == ["mine", "class means"]
    to_mine, to_means = other.compared
    assert to_mine.difference == pytest.approx(-0.1)
    assert to_mine.interval == pytest.approx(3.182 * np.sqrt(0.02 / 3) / 2)
    assert other.interval == pytest.approx(3.182 * np.std([0.4, 0.6, 0.9, 0.5], ddof=1) / 2)
    assert to_means.difference == pytest.approx(-0.2)
    # the same 0.1 in every episode: no interval at all
    assert [(c.name, round(c.difference, 9), round(c.interval, 9)) for c in mine.compared] == [
        ("class means", -0.1, 0.0)
    ]
    assert [c.name for c in means.compared] == ["mine"]
    errors = of("regression", ways=(1,)).entries[1].results[0]
    assert errors.accuracy is None
    assert errors.compared[0].difference == pytest.approx(0.1)  # an error smaller by so much


def test_text_and_markdown_have_the_same_cells() -> None:
    text, markdown = of(shots=(1,)).as_text(), of(shots=(1,)).as_markdown()
    assert text == (
        "5-way 1-shot, 3 queries a class, 4 episodes, seed 3:\n"
        "\n"
        "   measured                                 accuracy %     above 1 by      above 3 by\n"
        "1  mine                          package    70.00 ± 25.98                  "
        "−10.00 ± 0.00\n"
        "2  a package of quite some name  run        60.00 ± 34.37  −10.00 ± 12.99  "
        "−20.00 ± 12.99\n"
        "3  class means                   yardstick  80.00 ± 25.98  +10.00 ± 0.00\n"
        "\n"
        "note: read | well"
    )
    lines = markdown.splitlines()
    assert lines[2:5] == [
        "|  | measured |  | accuracy % | above 1 by | above 3 by |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 | mine | package | 70.00 ± 25.98 |  | −10.00 ± 0.00 |",
    ]
    assert lines[-1] == "- read | well"
    errors = of("regression", ways=(1,), shots=(5,)).as_text().splitlines()
    assert errors[0] == "5 examples, 3 queries, 4 episodes, seed 3:"
    assert errors[2].split() == ("measured mean squared error below 1 by below 3 by".split())
    other = [cell for cell in errors[4].split("  ") if cell]
    assert [cell.strip() for cell in other[-3:]] == [
        "0.60000 ± 0.34370", "+0.10000 ± 0.12990", "+0.20000 ± 0.12990",
    ]  # fmt: skip


@each("ways", [(5,), (5, 20)])
def test_the_legend_names_every_line_and_hides_none(ways: tuple[int, ...]) -> None:
    compared = of(ways=ways)
    figure = draw_over_shots(compared)
    figure.draw_without_rendering()
    (legend,) = (child for child in figure.get_children() if isinstance(child, Legend))
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [entry.name for entry in compared.entries]
    place = legend.get_window_extent()
    assert 0 <= place.xmin
    assert place.xmax <= figure.bbox.xmax
    for axes, way in zip(figure.axes, ways, strict=True):
        panel = axes.get_tightbbox()
        assert panel is not None
        assert not place.overlaps(panel)
        assert axes.get_title() == f"{way}-way"
        lines = [line for line in axes.containers if isinstance(line, ErrorbarContainer)]
        for line, entry in zip(lines, compared.entries, strict=True):
            wanted = [100 * result.value for result in entry.results[:2]]
            assert list(line[0].get_ydata()) == pytest.approx(wanted)
        starts = [line[0].get_xdata()[0] for line in lines]
        assert len(set(starts)) == len(starts)  # no interval lies on another


def test_a_picture_is_written_where_one_may_be(tmp_path: Path) -> None:
    file = tmp_path / "compared.png"
    check_plot(file, force=False)
    write_plot(of(shots=(1,)), file)
    assert file.read_bytes().startswith(b"\x89PNG")
    check_plot(file, force=True)
    for place, words, hint in (
        (file, f"{file} exists", "name another file, or replace it with --force"),
        (tmp_path / "a.pdf", f"--plot {tmp_path}/a.pdf is not a .png file", "name it so: compared.png"),  # noqa: E501
        (tmp_path / "b" / "a.png", f"--plot: no folder {tmp_path}/b", "make it first"),
    ):  # fmt: skip
        with pytest.raises(PictureError) as refused:
            check_plot(place, force=False)
        assert (str(refused.value), refused.value.hint) == (words, hint)
