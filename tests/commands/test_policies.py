"""The commands on a policy: from its start over files of rollouts to actions; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import handful

from ..each import each
from ..runtime.conftest import Packages
from .called import error, run

RNG = np.random.default_rng(0)
SEEN, DONE = RNG.standard_normal((3, 2, 2)), np.arange(6.0).reshape(3, 2, 1)
EARNED = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
HINT = (
    "numpy.savez(file, observations=…, actions=…, rewards=…): [rollouts, readings] first in each,"
    " advantages in place of rewards where you have them"
)


@pytest.fixture
def bandit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Packages(tmp_path_factory.mktemp("packages"))("bandit")


@pytest.fixture
def start(bandit: Path, tmp_path: Path) -> Path:
    """The task before any rollout."""
    written = run("adapt", bandit, "--out", tmp_path / "cart.task")
    assert written.exit_code == 0, written.stderr
    return tmp_path / "cart.task"


def saved(folder: Path, **arrays: Any) -> Path:
    file = folder / "rollout.npz"
    given = {"observations": SEEN, "actions": DONE, "rewards": EARNED} | arrays
    np.savez(file, **{name: array for name, array in given.items() if array is not None})
    return file


def test_a_policy_goes_on_from_file_to_file(bandit: Path, start: Path, tmp_path: Path) -> None:
    rollout = saved(tmp_path)
    added = run("add", start, rollout, "--out", tmp_path / "once.task")
    assert (added.exit_code, added.stdout) == (0, "")
    assert added.stderr == (
        f"wrote {tmp_path}/once.task: 6 readings\nnext: handful predict {tmp_path}/once.task FILE\n"
    )
    at_once = tmp_path / "at once.task"
    assert run("adapt", bandit, rollout, "--out", at_once).exit_code == 0
    assert at_once.read_bytes() == (tmp_path / "once.task").read_bytes()

    task = handful.load(bandit).start()
    gained = handful.advantages(EARNED, observations=SEEN)
    task = task.add(handful.Rollout(SEEN, DONE, gained))
    (mean,), (deviation,) = task.act([0, 0])
    printed = run("predict", at_once, rollout).stdout.splitlines()
    assert printed == [f"{mean:.4g}\t{deviation:.4g}\t{rollout}[{i}]" for i in range(6)]
    np.save(tmp_path / "one.npy", np.zeros(2, np.float32))
    (tmp_path / "two.csv").write_text("0.5,1\n-0.5,3\n0.25,0\n")
    files = [tmp_path / "one.npy", tmp_path / "two.csv"]
    found = json.loads(run("predict", at_once, *files, "--json").stdout)
    assert [one["file"] for one in found] == [
        str(files[0]),
        *(f"{files[1]}[{i}]" for i in range(3)),
    ]
    assert found[0]["mean"] == [pytest.approx(float(mean))]
    assert found[0]["deviation"] == [1.0]


def test_a_package_that_ships_is_found_for_its_task(tmp_path: Path) -> None:
    """Whose tasks keep no place; it acts before it has learnt anything."""
    file = tmp_path / "cart.npz"
    assert run("adapt", "cart-maml", "--out", file).exit_code == 0
    np.save(tmp_path / "place.npy", np.zeros(2, np.float32))
    mean, deviation, _ = run("predict", file, tmp_path / "place.npy").stdout.split("\t")
    assert 0 < float(deviation) < 1
    assert run("add", file, saved(tmp_path), "--force").exit_code == 0
    then = run("predict", file, tmp_path / "place.npy").stdout.split("\t")
    assert (mean, deviation) != (then[0], then[1])


def test_advantages_may_stand_in_the_file(start: Path, tmp_path: Path) -> None:
    """As float32 in Fortran's order, compressed: as numpy writes them."""
    gained = handful.advantages(EARNED, observations=SEEN)
    np.savez_compressed(
        tmp_path / "given.npz",
        observations=np.asfortranarray(SEEN.astype(np.float32)),
        actions=DONE,
        advantages=gained,
    )
    for file in (tmp_path / "given.npz", saved(tmp_path)):
        written = run("add", start, file, "--out", file.with_suffix(".task"))
        assert written.exit_code == 0, written.stderr
    ours, theirs = (tmp_path / f"{name}.task" for name in ("given", "rollout"))
    assert ours.read_bytes() == theirs.read_bytes()


Spoil = Callable[[Path], Path]
BAD: dict[str, tuple[Spoil, str]] = {
    "a missing array": (lambda at: saved(at, actions=None), "has no array `actions`"),
    "neither rewards nor advantages": (lambda at: saved(at, rewards=None), "no array `rewards`"),
    "both": (
        lambda at: saved(at, advantages=EARNED),
        "has an array `rewards`, wanted actions, advantages, observations alone",
    ),
    "trajectories of unequal length": (
        lambda at: saved(at, rewards=np.array([np.ones(2), np.ones(3)], object)),
        "rewards.npy holds object, wanted integers or floats",
    ),
    "a reading too many": (
        lambda at: saved(at, rewards=np.ones((3, 4))),
        "observations have the shape [3, 2, 2], wanted [3, 4] and then the numbers of one",
    ),
    "one rollout": (
        lambda at: saved(at, observations=SEEN[:1], actions=DONE[:1], rewards=EARNED[:1]),
        "rewards have the shape [1, 2], wanted [K, H] with 2 rollouts or more",
    ),
    "no reading": (
        lambda at: saved(at, observations=np.zeros((3, 0, 2))),
        "has the shape [3, 0, 2], wanted one reading at least",
    ),
    "a reward that is no number": (
        lambda at: saved(at, rewards=np.full((3, 2), np.nan)),
        "rewards are not all finite numbers",
    ),
    "an action that is no number": (
        lambda at: saved(at, actions=np.full((3, 2, 1), np.inf)),
        "actions of a rollout are not all finite numbers",
    ),
    "an observation that is no number": (
        lambda at: saved(at, observations=np.full((3, 2, 2), np.nan)),
        "finite",
    ),
    "two actions": (
        lambda at: saved(at, actions=np.zeros((3, 2, 2))),
        "a rollout of 6 readings and 2 actions, wanted 1 reading or more and 1",
    ),
    "three channels": (lambda at: saved(at, observations=np.zeros((3, 2, 3))), "shape [6, 3]"),
    "a folder": (lambda at: at, "is a policy: it learns from what it did, not from a folder"),
    "no file": (lambda at: at / "none.npz", "no file"),
    "another ending": (
        lambda at: saved(at).rename(at / "rollout.zip"),
        "is not named as an .npz file",
    ),
    "half an archive": (
        lambda at: cut(saved(at)),
        "rollout.npz is not a whole npz archive",
    ),
    "a pickle": (
        lambda at: saved(at, actions=np.array([[["up"]]], object)),
        "actions.npy holds object",
    ),
}


def cut(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[:-40])
    return file


@each("name", BAD)
def test_a_bad_rollout_is_refused_and_leaves_the_task(
    start: Path, tmp_path: Path, name: str
) -> None:
    spoil, words = BAD[name]
    before = start.read_bytes()
    said = error(run("add", start, spoil(tmp_path), "--force"))
    assert said.startswith("error: ")
    assert words in said
    assert start.read_bytes() == before


def test_what_a_policy_has_not_is_refused_in_a_sentence(
    bandit: Path, start: Path, tmp_path: Path
) -> None:
    rollout = saved(tmp_path)
    out = ("--out", tmp_path / "other.task")
    for words, wanted in (
        (("adapt", bandit, rollout, "--new", "cup", *out), "--new beside package bandit"),
        (("adapt", bandit, "--others", tmp_path, *out), "--others beside no files"),
        (("remove", start, "cup", *out), "remove on a policy task"),
        (("predict", start, rollout, "--windows"), "bandit is a policy: it acts on"),
        (("test", start, tmp_path), "policy"),
        (("report", start, "--out", tmp_path / "page.html"), "policy"),
        (("adapt", "omniglot-leo", *out), "package omniglot-leo names no classes"),
    ):  # fmt: skip
        said = error(run(*words))
        assert wanted in said, (words, said)
    assert not (tmp_path / "other.task").exists()


def test_a_file_that_cannot_be_acted_on_stops_no_other(start: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.zeros(3, np.float32))
    np.save(tmp_path / "good.npy", np.zeros(2, np.float32))
    found = run("predict", start, tmp_path / "bad.npy", tmp_path / "good.npy")
    assert found.exit_code == 1
    assert found.stdout == f"0\t1\t{tmp_path}/good.npy\n"
    assert f"{tmp_path}/bad.npy" in found.stderr
