"""Tasks within groups: which group a class belongs to, and what is drawn from one or from few."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.data import DataError, LabelledSet
from handful.trainer.data.labelled import ONE_GROUP, Within, label_examples
from handful.trainer.episodes import TaskSize

SIZES = {"Greek": 5, "Latin": 3, "Ogham": 4}
PICTURE = InputSpec(
    kind="image", shape=(2, 2, 1), layout="HWC", range=(0.0, 1.0), colour="grey",
    scale=1 / 255, resize=2, interpolation="lanczos",
)  # fmt: skip


def letters() -> LabelledSet:
    """Three alphabets of 5, 3 and 4 letters, and two letters of none; two drawings of each."""
    names = [f"{group}/{n}" for group, size in SIZES.items() for n in range(size)]
    x = torch.zeros(2, 2, 2, 1, dtype=torch.uint8)
    return label_examples(dict.fromkeys([*names, "lone", "other"], x), PICTURE, where="here").group(
        "/"
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def groups_of(data: LabelledSet, way: int, seed: int, within: Within) -> Counter[str]:
    classes = data.with_drawing(within).draw_classes(way, generator(seed)).tolist()
    assert len(set(classes)) == way
    return Counter(data.groups[c] for c in classes)


def test_a_class_belongs_to_what_its_name_begins_with() -> None:
    data = letters()
    assert data.groups == ("Greek",) * 5 + ("Latin",) * 3 + ("Ogham",) * 4 + ("", "")
    assert {name: c.tolist() for name, c in data.members.items()} == {
        "Greek": [0, 1, 2, 3, 4], "Latin": [5, 6, 7], "Ogham": [8, 9, 10, 11],
    }  # fmt: skip
    assert data.take([12, 4, 9]).groups == ("", "Greek", "Ogham")
    named = label_examples({"a/b.c": data.x[:1], "a/d": data.x[:1]}, PICTURE, where="here")
    assert named.group(".").groups == ("a/b", "")
    assert named.group("::").groups == ()


def test_a_turned_group_is_a_group_of_its_own() -> None:
    turned = letters().take([0, 12]).rotate()
    assert turned.groups == ("Greek@0", "Greek@90", "Greek@180", "Greek@270", "", "", "", "")


def test_a_task_within_a_group_is_of_one_that_is_large_enough() -> None:
    data = letters()
    drawn = [groups_of(data, 4, seed, ONE_GROUP) for seed in range(60)]
    assert all(len(groups) == 1 for groups in drawn)
    often = Counter(next(iter(groups)) for groups in drawn)
    assert often.keys() == {"Greek", "Ogham"}  # Latin has three letters
    assert min(often.values()) > 15  # each as likely as the other, whatever their size


def test_a_task_of_several_groups_takes_as_many_from_each() -> None:
    data = letters()
    for seed in range(20):
        assert sorted(groups_of(data, 6, seed, Within(1.0, 2)).values()) == [3, 3]
        assert sorted(groups_of(data, 7, seed, Within(1.0, 2)).values()) == [3, 4]
        assert "Latin" not in groups_of(data, 7, seed, Within(1.0, 2))  # four may be asked for
        assert sorted(groups_of(data, 7, seed, Within(1.0, 3)).values()) == [2, 2, 3]


def test_a_share_of_the_tasks_is_within_groups() -> None:
    data = letters().with_drawing(Within(0.25))
    draw = generator()
    within = sum(
        len({data.groups[c] for c in data.draw_classes(4, draw).tolist()}) == 1 for _ in range(400)
    )
    assert 70 < within < 130  # four of all fourteen classes are of one group once in 150 times


def test_without_groups_the_generator_gives_what_it_gave_before() -> None:
    data, draw = letters(), generator(3)
    classes = data.draw_classes(5, draw)
    before = generator(3)
    assert classes.tolist() == torch.randperm(14, generator=before)[:5].tolist()
    assert torch.equal(draw.get_state(), before.get_state())


def refused(data: LabelledSet, way: int, groups: int) -> str:
    drawn = data.with_drawing(Within(1.0, groups))
    with pytest.raises(DataError) as caught:
        drawn.check(TaskSize(way, 1, 1), where="the test split", prefix="--")
    return f"{caught.value}\n\nhint: {caught.value.hint}"


def test_what_no_group_can_fill_is_refused() -> None:
    data = letters()
    for way, groups in ((5, 1), (9, 3), (7, 2)):  # seven of two groups: three and four
        data.with_drawing(Within(0.5, groups)).check(TaskSize(way, 1, 1), where="the test split")
    assert refused(data, 6, 1) == (
        "0 of 3 groups of the test split have 6 classes or more, a task needs 1;"
        " the largest has 5\n"
        "\n"
        "hint: lower --way, or draw from all classes"
    )
    assert refused(data, 9, 2).startswith("1 of 3 groups of the test split have 5 classes or more")
    assert refused(data.group("::"), 2, 1) == (
        "the classes of the test split belong to no groups, as class Greek/0\n"
        "\n"
        "hint: a group is what a class's name begins with, up to data.group_separator"
    )
