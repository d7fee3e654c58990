"""Named classes: tasks of one domain, recordings kept apart, persons split, shots mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handful.trainer.data import DataConfig, DataError, load_data
from handful.trainer.data.domains import (
    DomainSet,
    Mix,
    describe_domains,
    list_doubts,
    person_of,
)
from handful.trainer.data.splits import PARTS, Part
from handful.trainer.episodes import TaskSize, rows_of

from ...each import each
from ..small import generator

CLASSES, PERSONS, SESSIONS, BOUTS, EACH = 3, 10, 2, 4, 2


def written(folder: Path, **arrays: Any) -> DataConfig:
    """Every person has two sessions, in each four bouts with two windows of each class."""
    grid = np.indices((CLASSES, PERSONS, SESSIONS, BOUTS, EACH)).reshape(5, -1)
    y, person, session, bout, window = grid
    x = np.stack([y, person, session, bout, window], axis=1).astype(np.float32)
    columns = {"x": x, "y": y, "person": person, "session": session, "bout": bout}
    np.savez(folder / "data.npz", **{**columns, **arrays})
    return DataConfig(
        source=str(folder / "data.npz"),
        split="random",
        domain=("person", "session"),
        recording="bout",
    )


def loaded(folder: Path, part: Part = "meta_train", **arrays: Any) -> DomainSet:
    data = load_data(written(folder, **arrays), part)
    assert isinstance(data, DomainSet)
    return data


def test_a_task_is_one_domain_with_all_classes_in_their_order(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    assert data.named == ("0", "1", "2")
    for seed in range(10):
        (task,) = (data.episodes(data.size(7, 3, 4), tasks=1, generator=generator(seed)),)
        support, y, query, query_y = (t[0] for t in task[:4])
        assert torch.equal(support[:, 0].long(), y.argmax(1))  # the class is the first column
        assert torch.equal(query[:, 0].long(), query_y.argmax(1))
        assert y.sum(0).tolist() == [3, 3, 3]
        assert query_y.sum(0).tolist() == [4, 4, 4]
        both = torch.cat([support, query])
        assert len(torch.unique(both[:, 1:3], dim=0)) == 1  # of one person's session
        assert not set(support[:, 3].tolist()) & set(query[:, 3].tolist())  # no bout on both sides


def test_persons_are_split_and_no_session_parts_from_its_person(tmp_path: Path) -> None:
    parts = [loaded(tmp_path, part) for part in PARTS]
    persons = [{person_of(name) for name in data.domains} for data in parts]
    assert [len(each) for each in persons] == [6, 2, 2]
    assert len(set.union(*persons)) == PERSONS
    assert all(len(data.domains) == 2 * len(own) for data, own in zip(parts, persons, strict=True))
    assert all(set(data.facts) == set(data.domains) for data in parts)


def test_results_are_told_by_person(tmp_path: Path) -> None:
    data = loaded(tmp_path, "meta_test")
    size = data.size(0, 2, 3)
    rows = rows_of(data, size, episodes=20, seed=4)
    whose = data.persons(size, episodes=20, seed=4)
    of_row = data.x[rows.query[:, 0]][:, 1]
    assert len(set(whose.tolist())) == 2
    for number in set(whose.tolist()):
        assert len(set(of_row[torch.from_numpy(whose == number)].tolist())) == 1


def test_half_of_the_classes_or_none_may_have_examples(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    half = rows_of(data, TaskSize(3, 2, 1, given=1), episodes=5, seed=0)
    assert half.support.shape == (5, 2)
    assert {len(set(y)) for y in half.support_y.tolist()} == {1}
    assert rows_of(data, TaskSize(3, 0, 1), episodes=5, seed=0).support.shape == (5, 0)


def test_a_class_with_fewer_examples_than_asked_gives_those_it_has(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    rows = rows_of(data, data.size(0, 5, 1), episodes=3, seed=0)  # two bouts of two: four
    assert rows.support.shape == (3, 15)
    assert ((rows.support < 0).sum(1) == 3).all()
    task = data.episodes(data.size(0, 5, 1), tasks=1, generator=generator())
    assert task.support_y[0].sum(0).tolist() == [4, 4, 4]


def test_a_mix_gives_each_class_its_number_and_each_task_as_many_in_all() -> None:
    mix = Mix(shots=(1, 2, 5), partial=0.4, empty=0.1)
    draw = generator(0)
    drawn = [mix.draw(6, 3, draw) for _ in range(600)]
    assert all(len(set(shots.sum(1).tolist())) == 1 for shots in drawn)
    first = torch.stack([shots[0] for shots in drawn])
    empty, partial = ((first == 0).sum(1) == count for count in (6, 3))
    assert 0.06 < float(empty.double().mean()) < 0.14
    assert 0.33 < float(partial.double().mean()) < 0.47
    assert set(first.flatten().tolist()) == {0, 1, 2, 5}


def test_tasks_of_a_mix_stack(tmp_path: Path) -> None:
    data = loaded(tmp_path)
    data = data.with_drawing(data.within, mix=Mix(shots=(1, 7), partial=0.5))
    for seed in range(5):
        tasks = data.episodes(data.size(0, 1, 2), tasks=4, generator=generator(seed))
        assert tasks.support_y.shape[:1] == tasks.query_y.shape[:1] == (4,)
        assert torch.equal(tasks.support_x[..., 0].long(), tasks.support_y.argmax(2))


def test_all_domains_together_are_for_a_classifier(tmp_path: Path) -> None:
    data = loaded(tmp_path).mix_domains()
    assert data.named is None
    task = data.episodes(data.size(60, 4, 4), tasks=1, generator=generator())
    assert task.support_y.shape == (1, 12, 3)
    assert len(set(task.query_x[0][:, 1].tolist())) > 1


def test_without_recordings_each_example_is_its_own(tmp_path: Path) -> None:
    config = written(tmp_path)
    data = load_data(DataConfig(**{**vars(config), "recording": None}), "meta_train")
    assert isinstance(data, DomainSet)
    assert len(set(data.recording.tolist())) == len(data.x)


def test_the_classes_may_be_chosen_and_put_in_order(tmp_path: Path) -> None:
    config = DataConfig(**{**vars(written(tmp_path)), "classes": ("2", "0")})
    data = load_data(config, "meta_train")
    assert data.named == data.classes == ("2", "0")
    assert set(data.x[: int(data.counts[0]), 0].tolist()) == {2}
    with pytest.raises(DataError, match=r"data\.classes has 7, which the data have not"):
        load_data(DataConfig(**{**vars(config), "classes": ("7",)}), "meta_train")


def test_a_domain_that_lacks_a_class_or_a_second_recording_is_not_drawn_from(
    tmp_path: Path,
) -> None:
    config = written(tmp_path)
    whole = loaded(tmp_path)
    lost = int(person_of(whole.domains[0]))
    with np.load(tmp_path / "data.npz") as found:
        arrays = dict(found)
    arrays["bout"] = np.where(arrays["person"] == lost, 0, arrays["bout"])
    np.savez(tmp_path / "data.npz", **arrays)
    data = load_data(config, "meta_train")
    assert isinstance(data, DomainSet)
    assert len(data.usable) == len(data.domains) - 2
    arrays["bout"][:] = 0
    np.savez(tmp_path / "data.npz", **arrays)
    data = load_data(config, "meta_train")
    with pytest.raises(DataError, match="none of the 12 domains of the set has every class in two"):
        data.check(data.size(0, 1, 1), where="the set")


@each(
    ("column", "words"),
    [
        (np.zeros(5, np.int64), "is int64 \\[5\\], wanted integers or text \\[480\\]"),
        (np.zeros(480), "is float64 \\[480\\], wanted integers or text \\[480\\]"),
    ],
)
def test_a_domain_is_a_name_or_a_number_for_each_example(
    column: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        loaded(tmp_path, session=column)


def test_what_is_said_of_domains(tmp_path: Path) -> None:
    config = written(tmp_path)
    data = loaded(tmp_path)
    assert describe_domains(data) == (
        "6 persons, 12 domains, 48 recordings; of a class in a domain 4 to 4 recordings, 8 to 8"
        " examples"
    )
    assert list_doubts({"meta_train": data}) == []
    alone = load_data(DataConfig(**{**vars(config), "recording": None}), "meta_train")
    assert isinstance(alone, DomainSet)
    (doubt,) = list_doubts({"meta_train": alone, "meta_val": alone})
    assert doubt.startswith("meta_train, meta_val: every example is a recording of its own")
