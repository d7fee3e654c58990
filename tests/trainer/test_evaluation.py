"""Evaluation: the interval by hand, the same tasks for the same seed; what an episode is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handful.trainer.data.labelled import LabelledSet
from handful.trainer.episodes import TaskSize, draw, sample
from handful.trainer.evaluation import check_fits, embed_set, evaluate, summarise
from handful.trainer.evaluation.accuracy import earlier_steps
from handful.trainer.learners.leo import LEO, LEOConfig
from handful.trainer.settings.errors import ConfigError, DataError

from .cases import case
from .small import generator, vectors


def test_the_interval_by_hand() -> None:
    # mean 0.75, deviations ±0.25: s² = 4 · 0.0625 / 3, s / √4 = 0.1443, times Student's 3.182
    result = summarise(np.array([0.5, 1.0, 0.5, 1.0]), TaskSize(5, 1, 3))
    assert result.accuracy == 0.75
    assert result.interval == pytest.approx(0.45929, abs=1e-5)
    assert (result.episodes, result.way, result.shot, result.size.queries) == (4, 5, 1, 3)
    assert not result.transductive


def test_persons_count_alike_however_many_episodes_each_has() -> None:
    """Means of 0.5 and 0.54: were it over episodes, it would be 0.508 and its interval narrower."""
    persons = np.array([7, 7, 7, 7, 3])
    values, others = np.array([0.4, 0.6, 0.4, 0.6, 0.54]), np.array([0.4, 0.4, 0.4, 0.4, 0.5])
    result = summarise(values, TaskSize(5, 1, 3), persons=persons, against={"other": others})
    assert result.accuracy == pytest.approx(0.52)
    assert (result.episodes, result.persons) == (5, 2)
    assert result.interval == pytest.approx(12.706 * 0.02, rel=1e-4)  # s / √2 of two means
    assert result.compared[0].accuracy == pytest.approx(0.45)
    assert result.compared[0].difference == pytest.approx(0.07)


def test_an_interval_of_accuracies_is_at_most_one() -> None:
    """Two persons 0.5 apart: Student's interval of them would be 3.2."""
    result = summarise(np.array([0.5, 1.0]), TaskSize(5, 1, 3), persons=np.array([7, 3]))
    assert result.interval == 1.0


def test_one_episode_has_no_interval() -> None:
    assert summarise(np.array([0.5]), TaskSize(2, 1, 1), transductive=True).interval == 0.0


SIZE = TaskSize(5, 1, 3)


def test_the_same_seed_sees_the_same_tasks() -> None:
    subject = case("nearest")
    data = embed_set(subject.learner, subject.params, subject.data)
    one, two, other = (
        evaluate(subject.learner, subject.params, data, SIZE, episodes=20, seed=seed)
        for seed in (3, 3, 4)
    )
    assert one == two
    assert one != other
    assert one.value > 0.5


def test_tasks_are_drawn_from_the_seed_and_not_from_the_data() -> None:
    """Embedded or not: every learner and the exported package see the same tasks."""
    subject = case("nearest-network")
    raw, embedded = subject.data, embed_set(subject.learner, subject.params, subject.data)
    rows = [draw(data, TaskSize(5, 2, 3), generator(9)) for data in (raw, embedded)]
    assert all(torch.equal(*parts) for parts in zip(*rows, strict=True))


def test_an_episodes_rows_are_of_its_classes_and_never_twice(pictures: LabelledSet) -> None:
    for seed in range(20):
        drawn = draw(pictures, TaskSize(5, 3, 5), generator(seed))
        rows = torch.cat([drawn.support, drawn.query], dim=1)
        numbers = torch.cat([drawn.support_y, drawn.query_y], dim=1)
        assert rows.shape == (1, 40)
        assert len(set(rows.flatten().tolist())) == 40
        assert torch.equal(rows // 8, drawn.classes[0][numbers])
        assert len(set(drawn.classes[0].tolist())) == 5


def test_classes_of_uneven_size_give_their_own_rows_only() -> None:
    subject = case("nearest").data
    counts = torch.tensor([4, 9, 5, 30])
    data = LabelledSet(subject.x[:48], counts, ("a", "b", "c", "d"), subject.input)
    seen = set()
    for seed in range(200):
        drawn = draw(data, TaskSize(4, 2, 2), generator(seed))
        rows = torch.cat([drawn.support, drawn.query], dim=1)
        classes = torch.bucketize(rows, counts.cumsum(0), right=True)
        numbers = torch.cat([drawn.support_y, drawn.query_y], dim=1)
        assert torch.equal(classes, drawn.classes[0][numbers])
        seen |= set(rows.flatten().tolist())
    assert seen == set(range(48))


def test_a_batch_of_episodes_is_one_hot_and_between_zero_and_one(pictures: LabelledSet) -> None:
    episodes = sample(pictures, TaskSize(3, 2, 4), tasks=2, generator=generator())
    assert [tuple(t.shape) for t in episodes] == [
        (2, 6, 20, 20, 1), (2, 6, 3), (2, 12, 20, 20, 1), (2, 12, 3), (2, 3),
    ]  # fmt: skip
    assert episodes.support_x.dtype == torch.float32
    assert (float(episodes.support_x.min()), float(episodes.support_x.max())) == (0.0, 1.0)
    assert torch.equal(episodes.support_y[0], torch.eye(3).repeat_interleave(2, dim=0))
    assert torch.equal(episodes.query_y[1].argmax(dim=1), torch.arange(3).repeat_interleave(4))


def test_every_episode_ticks() -> None:
    subject = case("nearest")
    ticks: list[int] = []
    data = embed_set(subject.learner, subject.params, subject.data)
    evaluate(
        subject.learner,
        subject.params,
        data,
        SIZE,
        episodes=20,
        seed=0,
        tick=lambda: ticks.append(1),
    )
    assert len(ticks) == 20


def test_embedding_a_set_once_is_embedding_its_episodes() -> None:
    subject = case("prototypical")
    learner, params = subject.learner, subject.params
    embedded = embed_set(learner, params, subject.data)
    in_sevens = subject.data.map_batches(lambda x: learner.embed(params, x), 7)
    torch.testing.assert_close(embedded.x, in_sevens, rtol=1e-4, atol=1e-5)
    assert embedded.input.kind == "array"
    assert embedded.input.shape == (subject.learner.network.features,)  # type: ignore[attr-defined]
    wanted = subject.learner.embed(subject.params, subject.data.as_float(subject.data.x[100:110]))
    torch.testing.assert_close(embedded.x[100:110], wanted, rtol=1e-4, atol=1e-5)


def test_a_transductive_result_says_so() -> None:
    subject = case("maml-support-fixed")
    learner = subject.learner.transductive_form()
    result = evaluate(learner, subject.params, subject.data, SIZE, episodes=2, seed=0)
    assert result.transductive


def test_what_the_data_cannot_fill_is_refused() -> None:
    subject = case("nearest")
    with pytest.raises(DataError) as caught:
        evaluate(subject.learner, {}, subject.data, TaskSize(61, 1, 3), episodes=20, seed=0)
    assert str(caught.value) == "the set has 60 classes, a task needs 61"
    with pytest.raises(DataError) as caught:
        evaluate(subject.learner, {}, subject.data, TaskSize(5, 6, 3), episodes=20, seed=0)
    assert str(caught.value) == "class class 0 of the set has 8 examples, a task needs 6 + 3"


def test_more_classes_than_the_head_has_are_refused() -> None:
    subject = case("maml-support-fixed")
    with pytest.raises(ConfigError) as caught:
        evaluate(
            subject.learner, subject.params, subject.data, TaskSize(20, 1, 3), episodes=20, seed=0
        )
    assert str(caught.value) == "maml has a head of 5 classes, a task of 20 was asked for"
    assert caught.value.hint == (
        'lower way, or train with a larger meta.way or with learner.head = "shared"'
    )


def test_a_task_of_more_examples_than_the_learner_takes_is_refused() -> None:
    """LEO's memory grows with the square of the support set: see PAIRS_BYTES in its file."""
    learner = LEO(LEOConfig(latent_dim=64), case("leo").data.input, 60)
    assert learner.max_support == 484  # ⌊√(240 MB / (2 tensors · 2 L · 4 bytes))⌋
    data = vectors(each=10)
    check_fits(learner, data, TaskSize(60, 8, 1), where="the set")
    with pytest.raises(ConfigError) as caught:
        check_fits(learner, data, TaskSize(60, 9, 1), where="the set")
    assert str(caught.value) == (
        "leo takes at most 484 examples in all, a task of 540 was asked for"
    )
    assert caught.value.hint == "lower way or shot"


def test_of_many_inner_steps_some_are_reported() -> None:
    after = np.arange(2 * 101.0).reshape(2, 101)
    reported = earlier_steps(after)
    assert list(reported) == [f"{k} of 100 inner steps" for k in (0, 1, 2, 5, 10, 20, 50)]
    assert reported["20 of 100 inner steps"].tolist() == [20.0, 121.0]
    assert len(earlier_steps(after[:, :11])) == 10  # each of ten
    assert list(earlier_steps(after[:, :1])) == []
