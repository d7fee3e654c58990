"""`handful photos`: a package from a backbone alone, and what may be doubtful about it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handful
from handful.runtime.package.decode import read_manifest
from handful.runtime.tools.verify import verify
from handful.trainer.commands import photos

from ..trainer.data.test_backbone import CHW, means
from ..trainer.data.test_backbone_layers import separable
from ..trainer.data.test_embeddings import clipped
from .called import error, run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package on the mean of each channel, of pictures from −1 to 1."""
    folder = tmp_path_factory.mktemp("photos")
    backbone, package = means(folder / "means.onnx", CHW), folder / "package"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        result = run("photos", package, "--backbone", backbone, "--licence", "MIT")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith(f"next: handful adapt {package} PICTURES --out task.npz\n")
    note, wrote, _ = result.stderr.splitlines()
    assert note.endswith(": the package compares pooled features alone")
    assert wrote.startswith(f"wrote {package}: ")
    return package


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A folder of pictures in four colours, each a little different."""
    rng = np.random.default_rng(0)
    for name, colour in (("red", 0), ("green", 1), ("blue", 2), ("grey", slice(None))):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 40, (12, 16, 3))
            pixels[..., colour] += 190
            file = tmp_path / "colours" / name / f"{i}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    return tmp_path / "colours"


def test_it_adapts_to_photographs_with_nothing_trained(package: Path, colours: Path) -> None:
    assert verify(package).ok
    manifest = read_manifest(package)
    assert (manifest.licence, manifest.learner) == ("MIT", "ridge")
    learner = manifest.training["config"]["learner"]
    assert (learner["name"], learner["metric"]) == ("ridge", "power")
    assert (learner["centre_support"], learner["class_means"]) == (True, 0.5)
    card = (package / "README.md").read_text()
    assert "examples [S, 3, 4, 4], or pictures: paths, PIL images, frames" in card
    assert "\nNothing was trained beside it: every class is new to the package.\n" in card
    files = {folder.name: sorted(folder.iterdir()) for folder in sorted(colours.iterdir())}
    task = handful.load(package).adapt({name: few[:2] for name, few in files.items()})
    assert task.predict([few[-1] for few in files.values()]) == list(files)
    without = task.remove("grey").add({"grey again": files["grey"][:1]})
    assert without.predict(files["grey"][5]) == "grey again"


def test_where_a_backbone_has_maps_they_are_compared_too(tmp_path: Path, colours: Path) -> None:
    backbone, _ = separable(tmp_path / "backbone.onnx")
    for features, learner, sizes in (("places", "places", [8, 128, 96]), ("mean", "ridge", None)):
        package = tmp_path / features
        result = run("photos", package, "--backbone", backbone, "--features", features)
        assert result.exit_code == 0, result.stderr
        assert verify(package).ok
        config = read_manifest(package).training["config"]["learner"]
        assert (config["name"], config.get("parts")) == (learner, sizes)
    files = {folder.name: sorted(folder.iterdir()) for folder in sorted(colours.iterdir())}
    task = handful.load(tmp_path / "places").adapt({n: few[:3] for n, few in files.items()})
    task.save(tmp_path / "task.npz")
    again = handful.load(tmp_path / "places").load_task(tmp_path / "task.npz")
    assert again.predict([few[-1] for few in files.values()]) == list(files)


def test_maps_that_are_asked_for_have_to_be_there(tmp_path: Path) -> None:
    backbone = means(tmp_path / "means.onnx", CHW)
    message = error(run("photos", tmp_path / "p", "--backbone", backbone, "--features", "places"))
    assert message.startswith(f"error: the layers of backbone {backbone} cannot be read: ")
    assert not (tmp_path / "p").exists()


def test_it_is_tested_on_any_classes(package: Path, colours: Path) -> None:
    sizes = ("--way", 4, "--shot", 2, "--queries", 2, "--episodes", 5, "--workers", 1)
    assert error(run("evaluate", package, *sizes)) == (
        "error: the package was trained on no data\n\n"
        "hint: name the data to test it on: --data FOLDER\n"
    )
    result = run("evaluate", package, "--data", colours, *sizes)
    assert result.exit_code == 0, result.stderr
    assert "100.0" in result.stdout


def test_a_wrong_scale_is_doubted(tmp_path: Path) -> None:
    backbone = clipped(tmp_path / "clipped.onnx")
    wrong = ("--set", "data.backbone_scale=0.05", "--set", "data.backbone_offset=0.0")
    result = run("photos", tmp_path / "package", "--backbone", backbone, *wrong)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith(
        "note: the embeddings of all classes are nearly the same (from 0"
    )
    assert "the backbone reads values from 0 to 12.75: is that what it was trained with?" in (
        result.stderr
    )


def test_a_backbone_that_is_neither_file_nor_name_says_so(tmp_path: Path) -> None:
    assert error(run("photos", tmp_path / "package", "--backbone", "resnet")) == (
        "error: no backbone resnet\n\n"
        "hint: data.backbone is an ONNX file, or one of efficientnet-lite0\n"
    )


def test_the_backbone_in_a_lower_precision(tmp_path: Path) -> None:
    backbone = means(tmp_path / "means.onnx", CHW)
    options = ("--backbone", backbone, "--precision", "float16")
    result = run("photos", tmp_path / "package", *options)
    assert result.exit_code == 0, result.stderr
    assert ", as torch at every state behind `embed` in float16\n" in result.stderr
    assert read_manifest(tmp_path / "package").precision == "float16"
    assert verify(tmp_path / "package").ok
    assert "\nembed   float16\n" in run("inspect", tmp_path / "package").stdout


def test_a_folder_of_other_things_tells_what_is_none_of_the_classes(
    package: Path, colours: Path, tmp_path: Path
) -> None:
    others, classes, task = tmp_path / "others", tmp_path / "classes", tmp_path / "task.npz"
    classes.mkdir()
    for name in ("red", "blue"):
        (colours / name).rename(classes / name)
    new = sorted((colours / "green").iterdir())
    (others / "deep").mkdir(parents=True)
    for i, file in enumerate([*(colours / "grey").iterdir(), *new[:4]]):
        file.rename((others / "deep" if i % 2 else others) / f"{file.parent.name}{file.name}")
    result = run("adapt", package, classes, "--out", task, "--others", others)
    assert result.exit_code == 0, result.stderr
    red = classes / "red" / "0.png"
    result = run("predict", "--package", package, task, red, new[5], "--unknown", "10%")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == ["red", "-"]
    assert float(lines[0][1]) > 0.5
    assert lines[1][1] == "-"  # a probability says which of the classes, and it is none of them
    options = ("--unknown", "10%", "--json")
    answers = json.loads(run("predict", "--package", package, task, red, new[5], *options).stdout)
    assert answers[0]["probabilities"]["red"] == answers[0]["score"]
    assert (answers[1]["label"], answers[1]["score"], answers[1]["probabilities"]) == (None,) * 3
    (tmp_path / "few").mkdir()
    result = run("adapt", package, classes, "--out", tmp_path / "b", "--others", tmp_path / "few")
    assert error(result).startswith(f"error: no pictures in {tmp_path / 'few'}\n")
    assert not (tmp_path / "b").exists()


def test_whole_pictures_and_thresholds_of_other_classes(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "EPISODES", 50)
    backbone, package = means(tmp_path / "means.onnx", CHW), tmp_path / "package"
    options = ("--backbone", backbone, "--fit", "whole", "--others", colours)
    result = run("photos", package, *options)
    assert result.exit_code == 0, result.stderr
    manifest = read_manifest(package)
    assert manifest.input.fit == "whole"
    assert [(entry.way, entry.shot) for entry in manifest.confidence] == [
        (way, shot) for way in (2, 3) for shot in (1, 2, 5)
    ]
    assert verify(package).ok
    for name in ("blue", "green"):
        for file in (colours / name).iterdir():
            file.unlink()
        (colours / name).rmdir()
    result = run("photos", tmp_path / "second", *options)
    assert error(result) == (
        f"error: {colours} has 2 classes, the smallest of 6,"
        " thresholds are measured on 3 classes of 2\n\n"
        "hint: a sub-folder a class; `handful adapt --others` takes pictures without classes\n"
    )
    assert not (tmp_path / "second").exists()
