"""Policies in the runtime: what they did, how they act, and how they go on learning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful
from handful.runtime.errors import (
    AdaptError,
    HandfulError,
    InputError,
    ManifestError,
    SupportSetError,
)
from handful.runtime.package.npz import pack_npz
from handful.runtime.tools.bench import bench
from handful.runtime.tools.inspect import describe
from handful.runtime.tools.text import format_description
from handful.runtime.tools.verify import verify

from ..each import each
from . import edit
from .conftest import Packages
from .policy_manifests import CASES, measured
from .small_policy import bandit_golden, climb

FIRST, SECOND = ([1.0, 2.0], [1.0, 0.5]), ([-3.0, 1.0], [-1.0, 2.0])  # actions, advantages


def rollout(actions: Any, advantages: Any) -> handful.Rollout:
    return handful.Rollout(np.zeros((len(actions), 2)), np.array(actions)[:, None], advantages)


@pytest.fixture
def policy(packages: Packages) -> handful.Learner:
    return handful.load(packages("bandit"))


def test_a_policy_acts_before_it_has_learnt_anything(policy: handful.Learner) -> None:
    task = policy.start()
    mean, deviation = task.act([0.0, 1.0])
    assert (mean.tolist(), deviation.tolist()) == ([0.0], [1.0])
    assert task.act(np.zeros((3, 2)), np.full((3, 1), 0.5)).tolist() == [[0.5]] * 3
    assert repr(policy) == "Learner(bandit: array [2] → actions)"
    assert repr(task) == "Task(bandit: 0 readings)"


def test_a_rollout_moves_it_and_the_next_one_goes_on_from_there(policy: handful.Learner) -> None:
    m = climb(climb(0.0, *FIRST), *FIRST)
    task = policy.adapt(rollout(*FIRST))
    np.testing.assert_allclose(task.act([0, 0]).mean, [m], rtol=1e-6)
    m = climb(climb(m, *SECOND), *SECOND)
    task = task.add(rollout(*SECOND))
    np.testing.assert_allclose(task.act([0, 0]).mean, [m], rtol=1e-6)
    assert repr(task) == "Task(bandit: 2 readings)"  # of the last rollout alone


def test_adapting_is_adding_to_the_start(policy: handful.Learner) -> None:
    adapted, added = policy.adapt(rollout(*FIRST)), policy.start().add(rollout(*FIRST))
    np.testing.assert_array_equal(adapted.act([0, 0]).mean, added.act([0, 0]).mean)


def test_a_saved_policy_goes_on_as_the_one_that_was_saved(
    policy: handful.Learner, tmp_path: Path
) -> None:
    """`moves`, which only the step reads, is kept as well."""
    for task in (policy.start(), policy.adapt(rollout(*FIRST))):
        task.save(tmp_path / "task")
        again = policy.load_task(tmp_path / "task").add(rollout(*SECOND))
        wanted = task.add(rollout(*SECOND))
        again.save(tmp_path / "again")
        wanted.save(tmp_path / "wanted")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "wanted").read_bytes()


def test_rollouts_may_keep_their_axes(policy: handful.Learner) -> None:
    x, actions = np.zeros((2, 3, 2)), np.arange(6.0).reshape(2, 3, 1)
    gained = np.linspace(-1, 1, 6).reshape(2, 3)
    apart = policy.adapt(handful.Rollout(x, actions, gained)).act([0, 0]).mean
    flat = handful.Rollout(x.reshape(6, 2), actions.reshape(6, 1), gained.ravel())
    np.testing.assert_array_equal(apart, policy.adapt(flat).act([0, 0]).mean)


def test_advantages_by_hand() -> None:
    """Returns to go of (1, 2) and (3, 0) at ½ are (2, 2) and (3, 0), their means (2.5, 1)."""
    found = handful.advantages([[1, 2], [3, 0]], discount=0.5)
    ahead = np.array([[-0.5, 1], [0.5, -1]])
    np.testing.assert_allclose(found, ahead, rtol=1e-6)  # a deviation of 0.79 is below the unit
    found = handful.advantages([[1, 2], [3, 0]], discount=0.5, unit=0.1)
    np.testing.assert_allclose(found, ahead / np.sqrt(0.625), rtol=1e-6)
    assert handful.advantages(np.ones((4, 3))).tolist() == [[0.0] * 3] * 4


def test_advantages_beside_what_the_place_lets_expect() -> None:
    """Rollouts that begin apart and do the same earn nothing by what they did."""
    rng = np.random.default_rng(0)
    place = rng.uniform(-1, 1, (20, 1)) * 0.95 ** np.arange(50)
    observations = np.stack([place, rng.standard_normal((20, 50))], axis=-1)
    rewards = -20 * place**2
    alone = handful.advantages(rewards)
    beside = handful.advantages(rewards, observations=observations)
    assert np.abs(alone).mean() > 0.5
    assert np.abs(beside).mean() < np.abs(alone).mean() / 3
    lucky = rewards + (np.arange(20) == 7)[:, None]  # what no place lets expect stays
    found = handful.advantages(lucky, observations=observations)
    assert found[7, :40].min() > 2 * np.abs(np.delete(found, 7, axis=0)).max()
    still = np.zeros((20, 50, 2))
    np.testing.assert_allclose(handful.advantages(lucky, observations=still),
                               handful.advantages(lucky), atol=1e-6)  # fmt: skip


def test_golden_vectors_hold_that_it_goes_on(packages: Packages, tmp_path: Path) -> None:
    report = verify(packages("bandit"))
    assert report.ok
    assert "again/inner/2/moves" in report.differences

    folder = packages.copy("bandit", tmp_path / "copy")
    golden = bandit_golden() | {"again/outputs": np.zeros((2, 2), np.float32)}
    (folder / "conformance.npz").write_bytes(pack_npz(golden))
    assert verify(folder).failed == ("again/outputs",)
    del golden["again/outputs"]
    (folder / "conformance.npz").write_bytes(pack_npz(golden))
    with pytest.raises(handful.PackageError, match="has no `again/outputs`"):
        verify(folder)


def test_inspect_and_bench(packages: Packages) -> None:
    assert "readings 0 or more" in format_description(describe(packages("bandit")))
    found = bench(packages("bandit"), shot=7, runs=2, cold_runs=1)
    assert (found.way, found.shot) == (1, 7)
    assert found.cold_start_ms > found.adapt_ms > 0


Refused = tuple[Callable[[handful.Learner], object], type[HandfulError], str]
REFUSED: dict[str, Refused] = {
    "labelled examples": (
        lambda policy: policy.adapt([[0, 0]], ["up"]),
        SupportSetError,
        "it learns from what it did, not from labelled examples",
    ),
    "another number of actions": (
        lambda policy: policy.adapt(handful.Rollout([[0, 0]], [[1, 2]], [1])),
        SupportSetError,
        "a rollout of 1 readings and 2 actions",
    ),
    "other leading axes": (
        lambda policy: policy.adapt(handful.Rollout([[0, 0]], [[1]], [1, 2])),
        InputError,
        r"a rollout has shapes \[1, 2\], \[1, 1\] and \[2\]",
    ),
    "an observation of another shape": (
        lambda policy: policy.adapt(handful.Rollout([[0, 0, 0]], [[1]], [1])),
        InputError,
        "observation",
    ),
    "advantages that are not finite": (
        lambda policy: policy.adapt(handful.Rollout([[0, 0]], [[1]], [np.nan])),
        InputError,
        "advantages of a rollout are not all finite",
    ),
    "nothing": (
        lambda policy: policy.adapt(handful.Rollout(np.zeros((0, 2)), np.zeros((0, 1)), [])),
        SupportSetError,
        "a rollout of 0 readings",
    ),
    "predict": (lambda policy: policy.start().predict([0, 0]), AdaptError, "predict on a policy"),
    "predict_proba": (
        lambda policy: policy.start().predict_proba([0, 0]),
        AdaptError,
        "predict_proba on a policy",
    ),
    "noise of another shape": (
        lambda policy: policy.start().act([0, 0], np.zeros(2)),
        AdaptError,
        r"noise is float64 \[2\], wanted floats of the shape \[1\]",
    ),
    "one rollout has no advantage": (
        lambda policy: handful.advantages([[1, 2]]),
        InputError,
        r"rewards have the shape \[1, 2\]",
    ),
    "observations of other rollouts": (
        lambda policy: handful.advantages(np.ones((2, 2)), observations=np.ones((2, 3, 2))),
        InputError,
        r"observations have the shape \[2, 3, 2\], wanted \[2, 2\] and then",
    ),
    "a unit of 0": (lambda policy: handful.advantages(np.ones((2, 2)), unit=0), InputError, "unit"),
}


@each("name", REFUSED)
def test_what_no_policy_does_is_refused(policy: handful.Learner, name: str) -> None:
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        call(policy)


def test_a_rollout_is_for_policies(packages: Packages) -> None:
    with pytest.raises(SupportSetError, match="a rollout, but package line is no policy"):
        handful.load(packages("line")).adapt(rollout(*FIRST))
    with pytest.raises(AdaptError, match="act on a regression task"):
        handful.load(packages("line")).adapt([[0, 0], [1, 1]], [[0.0], [1.0]]).act([0, 0])


@each("name", CASES)
def test_a_manifest_that_is_no_policys_is_refused(
    packages: Packages, tmp_path: Path, name: str
) -> None:
    change, words = CASES[name]
    folder = packages.copy("bandit", tmp_path)
    edit.manifest(folder, change)
    with pytest.raises(ManifestError) as error:
        handful.load(folder)
    assert words in str(error.value)


def test_a_measured_policy_is_read(packages: Packages, tmp_path: Path) -> None:
    folder = packages.copy("bandit", tmp_path)
    edit.manifest(folder, measured())
    assert handful.load(folder).manifest.evaluation[0].mean_return == -3
