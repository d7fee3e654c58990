"""A package that hears: its `embed` begins with the front end, and energies may stand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import handful
from handful.runtime.errors import PackageError
from handful.runtime.package.read import read_package
from handful.runtime.package.rules import sound_spec
from handful.runtime.tools.verify import verify
from handful.trainer.data.log_mel import LogMel
from handful.trainer.evaluation.packages import behind_front
from handful.trainer.export.parity import make_sounds

from ..commands.called import error, run, settings
from ..each import each
from ..runtime.small_sounds import tone, write_tone
from .data.test_sounds import FRONT, SMALL

PITCHES = tuple(range(150, 1050, 60))  # of the classes: nine to train on, three and three to test
NAMES = [f"tone-{pitch}" for pitch in PITCHES]
SPLIT = {"meta_train": NAMES[::2], "meta_val": NAMES[1:7:2], "meta_test": NAMES[7::2]}
LOG_MEL = ", ".join(f"{k}={v}" for k, v in vars(SMALL).items())
HEARS = (
    "data.rate=8000",
    "data.seconds=0.1",
    f"data.log_mel={{{LOG_MEL}}}",
    "data.rotations=false",
)
STEPS = (
    "meta.steps=3", "meta.tasks=1", "meta.way=[3]", "meta.queries=2", "meta.validate_every=3",
    "meta.validation_way=3", "meta.validation_queries=2", "meta.validation_episodes=5",
    "meta.hearing={gain=0.5, noise=0.3, shift=1.0}", "learner.length=3.0",
    "learner.network={kind='residual', filters=[4, 8], normalisation='running'}",
)  # fmt: skip


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its package of WAV files, and of the same sounds as energies; and a split."""
    folder = tmp_path_factory.mktemp("heard")
    (folder / "split.json").write_text(json.dumps(SPLIT))
    for name, pitch in zip(NAMES, PITCHES, strict=True):
        for i in range(6):
            write_tone(folder / "sounds" / name / f"{i}.wav", pitch + 4 * i, rate=16000)
    sounds = np.stack([tone(pitch + 4 * i) for pitch in PITCHES for i in range(6)])
    x = FRONT(torch.from_numpy(sounds)).numpy()
    np.savez(folder / "energies.npz", x=x, y=np.repeat(NAMES, 6))
    for data, source in (("sounds", folder / "sounds"), ("energies", folder / "energies.npz")):
        changes = settings(f"data.split='{folder / 'split.json'}'", *HEARS, *STEPS)
        done = run(
            "train", "prototypical", "--data", source, "--out", folder / f"run-{data}",
            "--workers", 1, *changes,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        done = run(
            "export", folder / f"run-{data}", folder / data / "package", "--episodes", 6,
            "--workers", 1, "--no-yardsticks",
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
    return folder


@each("data", ["sounds", "energies"])
def test_a_package_takes_sound_and_proves_itself(heard: Path, data: str) -> None:
    package = heard / data / "package"
    report = verify(package)
    assert report.ok
    assert report.sounds == {"sound/0/x": 0.0, "sound/1/x": 0.0}
    with np.load(package / "conformance.npz") as golden:  # in half the bytes of floats
        assert {golden[name].dtype.name for name in ("support_x", "query_x")} == {"int16"}
        assert np.abs(golden["support_x"]).max() > 1000
    learner = handful.load(package)
    assert learner.input == sound_spec(8000, 800)
    task = learner.adapt({name: heard / "sounds" / name / "0.wav" for name in NAMES[7::2]})
    new = [heard / "sounds" / name / "1.wav" for name in NAMES[7::2]]
    assert task.predict(new) == list(NAMES[7::2])


@each("data", ["sounds", "energies"])
def test_it_is_measured_again_as_when_it_was_exported(heard: Path, data: str) -> None:
    package = heard / data / "package"
    measured = json.loads((package / "manifest.json").read_text())["evaluation"][0]
    again = run(
        "evaluate", package, "--way", 4, "--shot", 1, "--queries", 1, "--episodes", 6, "--json",
        "--workers", 1, "--no-yardsticks",
    )  # fmt: skip
    assert again.exit_code == 0, again.stderr
    (found,) = json.loads(again.stdout)
    assert measured["way"] == 4
    name = "sounds (split.json)" if data == "sounds" else "energies.npz (split.json)"
    assert measured["data"] == name + (", log-mel energies" if data == "energies" else "")
    behind = "The energies of sounds enter it behind its front end."
    assert (behind in (package / "README.md").read_text()) == (data == "energies")
    assert found["accuracy"] == pytest.approx(measured["accuracy"], abs=1e-9)
    assert found["accuracy"] > 0.5


def test_energies_stand_in_for_sounds(heard: Path) -> None:
    """What is behind the front end, of its energies, is the package's own embedding of sounds."""
    package = read_package(heard / "sounds" / "package")
    sounds = make_sounds(8000, 800).x[:5]
    whole = handful.load(heard / "sounds" / "package")._engine.embed(sounds.numpy())
    spec = replace(package.manifest.input, kind="array", shape=FRONT.shape, range=None, rate=None)
    behind = behind_front(package, spec)
    of_energies = behind._engine.embed(FRONT(sounds).numpy())
    np.testing.assert_allclose(of_energies, whole, atol=1e-3)


def test_a_package_without_sound_has_nothing_in_front(package: Callable[[str], Path]) -> None:
    other = read_package(package("nearest"))
    with pytest.raises(PackageError) as refusal:
        behind_front(other, other.manifest.input)
    assert str(refusal.value) == "package nearest takes no sounds"


def test_the_card_and_inspect_say_what_is_heard(heard: Path) -> None:
    package = heard / "sounds" / "package"
    said = run("inspect", package).stdout.splitlines()
    assert "input   audio [800] at 8000 Hz: 0.1 s" in said
    card = (package / "README.md").read_text()
    assert "# WAV files, or samples [S, 800] at 8000 Hz\n" in card


def test_made_sounds_are_classes_of_their_own() -> None:
    made = make_sounds(8000, 800)
    assert made.x.shape == (24 * 8, 800)
    assert torch.equal(made.x, make_sounds(8000, 800).x)
    assert 0.05 < float(made.x.abs().max()) <= 1
    h = LogMel(SMALL, 8000, 800)(made.x).flatten(1).reshape(24, 8, -1)
    means = h[:, :4].mean(dim=1)
    nearest = torch.cdist(h[:, 4:].flatten(0, 1), means).argmin(dim=1)
    right = (nearest == torch.arange(24).repeat_interleave(4)).float().mean()
    assert float(right) > 0.5


def test_hearing_is_refused_without_sounds(heard: Path) -> None:
    done = run(
        "train", "nearest", "--data", heard / "energies.npz", "--out", heard / "none",
        *settings(f"data.split='{heard / 'split.json'}'", "meta.hearing={gain=1.0}",
                  "meta.validation_way=3", "meta.way=[3]", "meta.queries=2",
                  "meta.validation_queries=2", "data.rotations=false"),
    )  # fmt: skip
    assert error(done).startswith("error: only sounds can be misheard")


def test_made_sounds_of_named_classes_are_one_person_s() -> None:
    names = tuple(f"word {n}" for n in range(30))  # more than are made otherwise
    made = make_sounds(8000, 800, names)
    assert made.named == names
    x, y, queries = made.draw_uneven([1, 2, 0] * 10, queries=1, generator=torch.Generator())
    assert (len(x), y.sum(dim=0).tolist(), len(queries)) == (30, [1, 2, 0] * 10, 30)
