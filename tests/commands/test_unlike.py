"""What a run's examples were like: in its record, in its package, and in a line of the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.package.decode import read_manifest
from handful.runtime.package.manifest import Seen
from handful.runtime.package.read import SHIPPED
from handful.trainer.data import DataError
from handful.trainer.data.record import from_json, to_json
from handful.trainer.training.data import RecordedData
from handful.trainer.training.folder import read_record

from .called import run


def test_a_run_records_it_and_its_package_says_it(trained: Path, package: Path) -> None:
    x = RecordedData.of_run(trained).load("meta_train").x.double().numpy()
    means, deviations = (
        np.percentile(x.mean(axis=1), [1, 99]),
        np.percentile(x.std(axis=1), [1, 99]),
    )
    seen = read_manifest(package).input.seen
    assert seen is not None
    np.testing.assert_allclose(seen.mean, means, rtol=1e-5)
    np.testing.assert_allclose(seen.deviation, deviations, rtol=1e-5)
    record = read_record(trained)
    assert record is not None
    assert record.seen == seen
    content = json.loads((trained / "data.json").read_text())
    assert content["seen"] == {"mean": list(seen.mean), "deviation": list(seen.deviation)}


def test_a_record_without_it_is_read_and_a_broken_one_refused(trained: Path) -> None:
    content = json.loads((trained / "data.json").read_text()) | {"seen": None}
    assert from_json(content, "data.json").seen is None
    for broken in ({"mean": [0, 1]}, {"mean": [0], "deviation": [0, 1]}, [1, 2], {"mean": "ab"}):
        with pytest.raises(DataError):
            from_json(content | {"seen": broken}, "data.json")
    record = from_json(content, "data.json")
    assert from_json(to_json(record), "data.json") == record


@pytest.fixture
def characters(tmp_path: Path) -> Path:
    """omniglot-leo, which says what its characters were like."""
    folder = shutil.copytree(SHIPPED / "omniglot-leo", tmp_path / "characters")
    content = json.loads((folder / "manifest.json").read_text())
    content["input"]["seen"] = {"mean": [0.008, 0.156], "deviation": [0.069, 0.312]}
    (folder / "manifest.json").write_text(json.dumps(content))
    assert handful.load(folder).input.seen == Seen(mean=(0.008, 0.156), deviation=(0.069, 0.312))
    return folder


def test_photographs_for_characters_get_one_line_and_an_answer(
    characters: Path, photos: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("cup", 40), ("plate", 90)):
        (tmp_path / "kitchen" / name).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(level, level + 60, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "kitchen" / name / f"{i}.png")
    task = tmp_path / "task.npz"
    adapted = run("adapt", characters, tmp_path / "kitchen", "--out", task)
    assert adapted.exit_code == 0
    first, *others = adapted.stderr.splitlines()
    assert first.startswith(
        f"warning: the examples are unlike what package {handful.load(characters).name} was"
        " trained on: values with mean 0."
    )
    assert f"wrote {task}: cup (2), plate (2)" in others
    picture = tmp_path / "kitchen" / "cup" / "0.png"
    predicted = run("predict", "--package", characters, task, picture, picture)
    assert predicted.stdout.count("cup") >= 2
    assert predicted.stderr.count("warning: the query is unlike") == 1
    drawn = run("adapt", characters, photos, "--out", tmp_path / "drawn.npz")
    assert (drawn.exit_code, "warning" in drawn.stderr) == (0, False)
