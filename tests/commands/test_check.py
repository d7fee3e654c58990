"""`handful check`: what it prints, what it refuses, and that its commands do train."""

from __future__ import annotations

import json
import shlex
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from handful.trainer.data import backbone

from ..each import each
from ..trainer.data.drawings import folders, png
from ..trainer.data.test_backbone import means
from .called import error, run, settings

TABLE = """\
part        classes  examples  least  median  most  largest task
meta_train        9        36      4  4          4  9-way, 4 for shot + queries
meta_val          2         8      4  4          4  2-way, 4 for shot + queries
meta_test         3        12      4  4          4  3-way, 4 for shot + queries

sizes  20 × 24 (55), 30 × 24 (1)
modes  L (55), RGB (1)

the same bytes more than once: 3 times
  in two parts: c00/3.png (meta_test) = c01/2.png (meta_train)
  in two classes: c02/3.png (meta_train) = c03/2.png (meta_train)
  within a class: c04/2.png (meta_train) = c04/3.png (meta_train)

"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Fourteen classes of four pictures; the random split tests on the first."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "own"
    for label in range(14):
        (folder / f"c{label:02d}").mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (24, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"c{label:02d}" / f"{i}.png")
    Image.fromarray(rng.integers(0, 256, (24, 30, 3), np.uint8)).save(folder / "c05" / "0.png")
    return folder


@pytest.fixture
def doubled(pictures: Path) -> Path:
    """The same with three pictures twice, the worse the later."""
    for one, other in (("c04/2", "c04/3"), ("c03/2", "c02/3"), ("c01/2", "c00/3")):
        shutil.copy(pictures / f"{one}.png", pictures / f"{other}.png")
    return pictures


def checked(*arguments: object, status: int = 0) -> Any:
    result = run("check", *arguments, "--json")
    assert result.exit_code == status, result.stderr
    return json.loads(result.stdout)


def test_what_is_printed_of_pictures(doubled: Path) -> None:
    result = run("check", doubled)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(TABLE)
    assert "\n\nwith settings lowered, by:\n  handful train glyphs-leo --data " in result.stdout


def test_json_has_all_of_it(doubled: Path) -> None:
    found = checked(doubled)
    assert found["ok"] is True
    assert found["counts"] == {
        "sizes": {"20 × 24": 55, "30 × 24": 1}, "modes": {"L": 55, "RGB": 1}
    }  # fmt: skip
    train = found["parts"]["meta_train"]
    assert (train["largest_way"], train["largest_shot"], train["examples"]) == (9, 3, [4, 4, 4])
    assert [group["where"] for group in found["duplicates"]] == [
        "in two parts", "in two classes", "within a class"
    ]  # fmt: skip
    assert found["duplicates"][0]["places"] == [
        {"part": "meta_test", "label": "c00", "name": "c00/3.png"},
        {"part": "meta_train", "label": "c01", "name": "c01/2.png"},
    ]


def test_what_it_proposes_is_trained_and_one_more_is_refused(pictures: Path) -> None:
    recipes = {entry["recipe"]: entry for entry in checked(pictures)["recipes"]}
    proposed = recipes["omniglot-prototypical"]
    assert proposed["lowered"] == [
        "meta.way=[9]", "meta.validation_way=2", "meta.validation_queries=3",
        "meta.within=0.0", "meta.validation_within=false",
    ]  # fmt: skip
    handful, *words = shlex.split(proposed["command"])
    assert (handful, words.pop()) == ("handful", "RUN")
    short = settings("meta.steps=1", "meta.validation_episodes=2")
    assert run(*words, pictures.parent / "run", *short).exit_code == 0
    refused = run(*words, pictures.parent / "larger", *short, "--set", "meta.way=[10]")
    assert error(refused) == (
        "error: the meta-training split has 9 classes, a task needs 10\n"
        "\n"
        "hint: lower meta.way, or give the split more classes\n"
    )


def test_files_that_cannot_be_read_are_named_and_refused_as_by_training(pictures: Path) -> None:
    for name in ("c01/0.png", "c00/1.png"):
        (pictures / name).write_text("no picture")
    result = run("check", pictures)
    assert result.exit_code == 1
    assert (
        "unreadable files: 2\n"
        f"  {pictures}/c01/0.png is not a picture that can be read\n"
        f"  {pictures}/c00/1.png is not a picture that can be read\n"
    ) in result.stdout
    assert result.stderr == (
        "error: training would refuse these data:\n"
        "  2 files cannot be read: mend or remove them, or say --skip-bad\n"
    )
    assert "handful train" not in result.stdout
    options = ("--data", pictures, "--out", pictures.parent / "run", "--set", "data.split=random")
    assert run("train", "prototypical", *options).exit_code == 1
    found = checked(pictures, "--skip-bad")
    assert set(found["unreadable"]) == {"c01/0.png", "c00/1.png"}
    assert found["parts"]["meta_train"]["classes"]["c01"] == 3
    assert all(entry["command"].count("--skip-bad") == 1 for entry in found["recipes"])


def test_a_class_without_a_file_that_can_be_read(pictures: Path) -> None:
    for i in range(4):
        (pictures / "c01" / f"{i}.png").write_text("no picture")
    result = run("check", pictures, "--skip-bad")
    assert result.exit_code == 1
    assert "meta_train" not in result.stdout.split("unreadable")[0]
    assert result.stderr == (
        "error: training would refuse these data:\n"
        f"  class c01 in {pictures} has no examples that can be read\n"
    )


def test_parts_without_classes_or_examples_are_refused(pictures: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    parts = {"train": ["c00", "c01"], "val": ["c02"], "test": ["c03"]}
    split.write_text(json.dumps(parts))
    for i in range(1, 4):
        (pictures / "c01" / f"{i}.png").unlink()
    result = run("check", pictures, "--split", split)
    assert result.exit_code == 1
    assert result.stderr == (
        "error: training would refuse these data:\n"
        "  class c01 of meta_train has one example, wanted one to adapt to and another to ask"
        " about; --skip-small leaves it out\n"
    )
    assert (
        "note: meta_val has one class, c02, training validates on two or more: add classes, or list"
        " others in a split file\n"
    ) in result.stdout
    split.write_text(json.dumps({**parts, "val": []}))
    assert (
        f"  the split {split} leaves no classes for meta_val, the data have 14; a part needs as"
        " many classes as a task has: add classes, or set data.split\n"
    ) in run("check", pictures, "--split", split).stderr


def test_arrays_of_other_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 8)).astype(np.float32)
    x[59] = x[0]
    np.savez(tmp_path / "points.npz", points=x, names=np.repeat(np.arange(20), 3))
    found = checked(tmp_path / "points.npz", "--array", "points", "--labels", "names")
    assert found["counts"] == {"examples of float32": {"8": 60}}
    assert [p["name"] for p in found["duplicates"][0]["places"]] == ["19[2]", "0[0]"]
    means = next(r for r in found["recipes"] if r["recipe"] == "embeddings-means")
    assert means["refused"] is None
    assert " --set 'data.array=\"points\"' --set 'data.labels=\"names\"' " in means["command"]


def test_sounds_and_recordings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in range(14):
        for kind in ("words", "moves"):
            (tmp_path / kind / f"c{label:02d}").mkdir(parents=True)
        for i in range(3):
            with wave.open(str(tmp_path / "words" / f"c{label:02d}" / f"{i}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                file.writeframes(rng.integers(-999, 999, 8000 * (i + 1), dtype=np.int16).tobytes())
            readings = rng.normal(size=(20 + 10 * i, 3))
            np.save(tmp_path / "moves" / f"c{label:02d}" / f"{i}.npy", readings)
    words = checked(tmp_path / "words", "--rate", 16000)
    assert words["counts"] == {"samples a second": {"16000": 42}}
    assert words["ranges"] == {"seconds": [0.5, 1.0, 1.5]}
    keywords = next(r for r in words["recipes"] if r["recipe"] == "keywords-proto-maml")
    assert keywords["refused"] is None
    result = run("check", tmp_path / "words", "--rate", 8000)
    assert (result.exit_code, result.stdout.count("meta_train ")) == (1, 1)
    assert result.stderr == (
        "error: training would refuse these data:\n"
        "  data.log_mel.high is 7600 hertz, at 8000 samples a second there is nothing above 4000\n"
    )
    moves = checked(tmp_path / "moves", "--set", "data.window=20")
    assert moves["counts"] == {"channels": {"3": 42}}
    assert moves["ranges"] == {"readings a file": [20, 30.0, 40]}
    recipe = next(r for r in moves["recipes"] if r["recipe"] == "pen-proto-maml")
    assert recipe["refused"] is None
    assert " --set data.window=20 " in recipe["command"]


def test_turns_of_a_drawing_are_no_duplicates(tmp_path: Path) -> None:
    """A dot is itself upside down; quarter turns of characters are classes of their own."""
    dot = np.zeros((105, 105), np.uint8)
    dot[35:70, 35:70] = 1
    small = folders(tmp_path / "omniglot")
    character = small / "images_background" / "Back0" / "character01"
    (character / "0001_01.png").write_bytes(png(dot))
    found = checked("omniglot", "--set", f"data.path={small}", "--set", "data.split=lake")
    assert found["parts"]["meta_train"]["largest_way"] == 4 * 5
    assert {group["where"] for group in found["duplicates"]} == {"within a class"}


def test_recipes_that_do_not_fit_are_named_with_the_reason(tmp_path: Path) -> None:
    y = np.repeat(np.arange(20), 3)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "tiny.npz", x=pixels, y=y)
    printed = run("check", tmp_path / "tiny.npz").stdout
    assert (
        'note: omniglot-leo does not fit these data: learner.network.kind is "conv4", which halves'
        " images four times, the examples have 4 × 4 pixels\n"
    ) in printed
    assert "handful train omniglot-leo" not in printed
    assert "handful train omniglot-reptile" in printed
    np.savez(tmp_path / "odd.npz", x=np.zeros((60, 2, 2, 2, 2), np.float32), y=y)
    assert checked(tmp_path / "odd.npz")["remarks"] == [
        "0 of 4 test classes have 4 examples or more: `handful export` will refuse this run, it"
        " needs 2 to check a package on",
        "no recipe reads such examples; write one, see docs/training.md",
    ]


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    assert error(run("check", "sinusoid")) == (
        "error: tasks of sinusoid are made by a program, which has no examples to check\n"
        "\n"
        "hint: what can be checked: a folder, an .npz file, omniglot, glyphs\n"
    )
    assert error(run("check", tmp_path / "none")) == (
        f"error: no data source {tmp_path / 'none'}\n"
        "\n"
        "hint: there are: omniglot, glyphs, bands, sinusoid, sensor, navigation, cart, FOLDER,"
        " FILE.npz, MODULE:CLASS; no folder of that name exists\n"
    )
    assert error(run("check", "glyphs", "--set", "meta.way=[5]")) == (
        "error: --set: meta is set, data are checked by the settings of data alone\n"
        "\n"
        "hint: such as data.image_size=32 or data.window=64\n"
    )


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Twelve classes of nine points, and two of the meta-training ones with three."""
    rng = np.random.default_rng(0)
    names = [f"c{n:02d}" for n in range(14)]
    counts = [3 if n in (2, 5) else 9 for n in range(14)]
    x = np.concatenate(
        [10 * n + rng.normal(0, 1, (k, 6)) for n, k in enumerate(counts)]
    ).astype(np.float32)  # fmt: skip
    np.savez(tmp_path / "points.npz", x=x, y=np.repeat(names, counts))
    split = {"train": names[:8], "val": names[8:11], "test": names[11:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    return tmp_path / "points.npz"


STEPS = settings(
    *("meta.steps=1", "meta.way=[3]", "meta.shot=[1]", "meta.validation_way=3"),
    *("meta.validation_episodes=2", "meta.tasks=1"),
)


def test_small_classes_have_fewer_queries_or_are_left_out(uneven: Path) -> None:
    """The recipe asks for 15 queries; both ways are said, and a run begun so is resumed."""
    split = ("--set", f"data.split={uneven.parent / 'split.json'}")
    train = ("train", "embeddings-means", "--data", uneven, *split, *STEPS)
    folder = uneven.parent / "run"
    done = run(*train, "--out", folder)
    assert done.exit_code == 0, done.stderr
    for note in (
        "note: meta.queries 15 is lowered to 2: c02 has 3 examples\n",
        "note: meta.validation_queries 15 is lowered to 8: c08 has 9 examples\n",
    ):
        assert note in done.stderr
    config = json.loads((folder / "config.json").read_text())["meta"]
    assert (config["queries"], config["validation_queries"]) == (2, 8)
    assert run(*train, "--resume", "--out", folder).exit_code == 0

    eight = settings("meta.queries=8", "meta.validation_queries=8")
    kept = run(*train, *eight, "--skip-small", "--out", uneven.parent / "kept")
    assert kept.exit_code == 0, kept.stderr
    assert "note: meta_train: left out, with fewer than 9 examples: c02, c05\n" in kept.stderr
    assert "lowered" not in kept.stderr
    record = json.loads((uneven.parent / "kept" / "data.json").read_text())["parts"]
    assert [len(record[part]) for part in ("meta_train", "meta_val", "meta_test")] == [6, 3, 3]
    measured = run("evaluate", uneven.parent / "kept", "--way", 3, "--queries", 8, "--episodes", 2)
    assert measured.exit_code == 0, measured.stderr


def test_check_leaves_small_classes_out_as_training_would(uneven: Path) -> None:
    split = ("--split", uneven.parent / "split.json")
    plain = {r["recipe"]: r for r in checked("--data", uneven, *split)["recipes"]}
    assert "meta.queries=1" in plain["embeddings-means"]["lowered"]
    assert (
        "c02 has 3 examples, half of the classes of meta_train have 9 or more, and settings are"
        " lowered to the smallest: --skip-small leaves such classes out"
    ) in checked("--data", uneven, *split)["remarks"]
    small = ("--set", "data.seed=1", "--skip-small")
    found = {r["recipe"]: r for r in checked(uneven, *split, *small)["recipes"]}
    assert " --skip-small " in found["embeddings-means"]["command"]


@each("arguments", [(), ("glyphs", "--data", "glyphs")])
def test_the_data_are_named_once(arguments: tuple[str, ...]) -> None:
    result = run("check", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == (
        "Error: Name the data once: handful check DATA, or --data DATA."
    )


def test_photographs_come_first_and_a_backbone_embeds_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures in colour are; drawings stored as RGB are not."""
    rng = np.random.default_rng(0)
    for kind in ("photographs", "drawings"):
        for label in range(14):
            folder = tmp_path / kind / f"c{label:02d}"
            folder.mkdir(parents=True)
            for i in range(4):
                shape = (20, 20, 3) if kind == "photographs" else (20, 20, 1)
                pixels = np.broadcast_to(rng.integers(0, 256, shape, np.uint8), (20, 20, 3))
                Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{i}.png")
    photographs, drawings = (
        [recipe["recipe"] for recipe in checked(tmp_path / kind)["recipes"]]
        for kind in ("photographs", "drawings")
    )
    first = ["embeddings-leo", "embeddings-logistic", "embeddings-means", "embeddings-ridge"]
    assert photographs[:4] == first
    assert photographs[4:] == drawings
    assert not set(first) & set(drawings)
    line = checked(tmp_path / "photographs")["recipes"][2]["command"]
    assert "--set data.backbone=efficientnet-lite0" in line

    embedded: list[int] = []
    every = backbone.embed

    def embed(path: Path, pictures: Any, channels: Any) -> Any:
        embedded.append(len(pictures.x))
        return every(path, pictures, channels)

    monkeypatch.setattr(backbone, "embed", embed)
    file = means(tmp_path / "means.onnx", ("n", 3, 4, 4))
    found = checked(tmp_path / "photographs", "--backbone", file)
    assert [recipe["recipe"] for recipe in found["recipes"]] == first
    assert 0 < max(embedded) <= 16
    assert f'data.backbone="{file}"' in found["recipes"][0]["command"]
