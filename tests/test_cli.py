"""The command line: what a person reads, exit statuses, no traceback for what a user can cause."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

import handful
from handful.cli import main
from handful.console import spread
from handful.runtime.tools.inspect import describe
from handful.trainer.config import MetaConfig
from handful.trainer.errors import ConfigError
from handful.trainer.listing import recipes
from handful.trainer.recipe import read_recipe

SMALL = (
    "learner.latent_dim=8",
    "learner.network={kind='mlp', hidden=[8], normalisation='running'}",
    *(
        f"{section}.{setting}"
        for section, steps in (("pretrain", 4), ("meta", 2))
        for setting in (
            f"steps={steps}",
            "way=[5]",
            "shot=[1]",
            "queries=2",
            "validation_way=5",
            "validation_queries=2",
            "validate_every=1",
            "validation_episodes=5",
        )
    ),
)


def run(*arguments: object) -> Result:
    """The command as a person calls it; an exception that is not an exit fails the test."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def settings(*changes: str) -> list[str]:
    """Each under a --set of its own."""
    return [part for change in changes for part in ("--set", change)]


def error(result: Result) -> str:
    """What an error said, which ended the command with status 1 and without data."""
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


def test_help_lists_the_commands_in_the_order_of_the_work() -> None:
    assert run("--help").stdout == (
        "Usage: main [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Meta-train few-shot learners, export them as ONNX, adapt them on the device.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
        "Commands:\n"
        "  train     Meta-train a learner.\n"
        "  evaluate  Measure accuracy ± 95 % on meta-test classes.\n"
        "  export    Trace a run, gradients included, into a package.\n"
        "  verify    Check a package: hashes, graphs, golden vectors.\n"
        "  inspect   Show a package: graphs, sizes, limits, accuracy.\n"
        "  adapt     Adapt a package to pictures; writes a task file.\n"
        "  predict   Label pictures by a task: label, score, file.\n"
        "  bench     Time a package here: cold start, adapt, predict.\n"
        "  learners  List the learners and the recipes.\n"
        "  data      List the data sources.\n"
        "  packages  List the packages that ship with handful.\n"
    )


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: command.name)
def test_help_fits_80_columns_and_says_what_each_argument_is(command: click.Command) -> None:
    text = run(command.name, "-h").stdout
    assert max(map(len, text.splitlines())) < 80
    assert "RANGE" not in text
    usage, _, description = text.partition("\n")
    for parameter in command.params:
        name = parameter.human_readable_name
        if isinstance(parameter, click.Argument):
            assert name in usage
            assert name in description
        else:
            assert isinstance(parameter, click.Option)
            assert parameter.help


def test_help_shows_defaults() -> None:
    shown = " ".join(run("evaluate", "--help").stdout.split())
    assert "[default: 5; x>=2]" in shown
    assert "[default: 1000; x>=2]" in shown


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"handful, version {handful.__version__}\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "handful", "packages"],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["omniglot-leo", "omniglot-maml"]


def test_several_numbers_stand_after_one_option() -> None:
    names = {"--way", "--shot"}
    wanted = ["x", "--way=5", "--way=20", "--shot=1"]
    assert spread(["x", "--way", "5", "20", "--shot", "1"], names) == wanted
    assert spread(["x", "--way", "5,20", "--shot=1"], names) == wanted
    assert spread(["--way", "5", "--json", "20"], names) == ["--way=5", "--json", "20"]
    assert spread(["--way", "--shot", "five"], names) == ["--way", "--shot", "five"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--nonsense"), "Error: No such option '--nonsense'"),
        (
            ("train", "--out", "x"),
            "Error: Missing argument 'RECIPE': a learner, a recipe or a TOML file.",
        ),
        (
            ("evaluate", "x", "--way", "five"),
            "Error: Invalid value for '--way': 'five' is not a valid integer range.",
        ),
        (
            ("evaluate", "x", "--way", "1"),
            "Error: Invalid value for '--way': 1 is not in the range x>=2.",
        ),
        (("predict", "task.npz"), "Error: Missing argument 'PICTURES...'."),
    ],
)
def test_a_command_line_that_cannot_be_read_is_a_usage_error(
    arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(words)


@pytest.mark.parametrize("command", ["verify", "inspect", "bench"])
def test_a_folder_that_is_no_package_says_so(command: str, tmp_path: Path) -> None:
    assert error(run(command, tmp_path)) == (
        f"error: no manifest.json in {tmp_path}\n"
        "\n"
        "hint: an exported package is a folder made by `handful export`\n"
    )


@pytest.mark.parametrize("command", ["verify", "inspect", "bench", "evaluate"])
def test_a_name_that_is_no_package_says_which_there_are(command: str) -> None:
    assert error(run(command, "nothing")) == (
        "error: no folder nothing, and no shipped package of that name\n"
        "\n"
        "hint: shipped packages: omniglot-leo, omniglot-maml\n"
    )


@pytest.mark.parametrize("command", [("evaluate",), ("export", "to")])
def test_a_folder_that_is_no_run_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    assert error(run(command[0], tmp_path, *command[1:])) == (
        f"error: no config.json in {tmp_path}\n\nhint: a run is a folder made by `handful train`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("nonsense",),
            "error: no recipe and no learner nonsense\n"
            "\n"
            "hint: there are: leo, maml, nearest, prototypical, embeddings-leo, glyphs-leo, "
            "omniglot-leo, omniglot-maml, omniglot-maml-scratch, omniglot-maml-transductive, "
            "or a file.toml\n",
        ),
        (
            ("omniglot-meo",),
            "error: no recipe and no learner omniglot-meo\n"
            "\n"
            "hint: did you mean omniglot-leo? there are: ",
        ),
        (
            ("omniglot_leo.toml",),
            "error: no recipe file omniglot_leo.toml\n"
            "\n"
            "hint: did you mean omniglot-leo? there are: embeddings-leo, glyphs-leo, "
            "omniglot-leo, omniglot-maml, omniglot-maml-scratch, omniglot-maml-transductive; "
            "these are named without .toml\n",
        ),
        (
            ("leo", "--set", "meta.sped=3"),
            "error: omniglot-leo.toml: there is no setting meta.sped\n"
            "\n"
            "hint: did you mean meta.seed? there are: batching, chunk, clip_norm, clip_value, ",
        ),
        (("leo", "--set", "meta"), "error: a setting is written name=value, found: meta\n"),
        (
            ("leo", "--data", "absent"),
            "error: no data source absent\n"
            "\n"
            "hint: there are: omniglot, glyphs, FOLDER, FILE.npz; "
            "no folder of that name exists\n",
        ),
        (
            ("leo", "--device", "abacus"),
            "error: no device abacus on this machine\n"
            "\n"
            "hint: cpu, or cuda with a CUDA build of torch\n",
        ),
    ],
)
def test_what_train_cannot_do_is_said(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    assert error(run("train", *arguments, "--out", tmp_path / "run")).startswith(words)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_recipe_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_bytes(b"\xff\xfe")
    assert error(run("train", recipe, "--out", tmp_path / "run")) == (
        f"error: {recipe} is not text in UTF-8: 'utf-8' codec can't decode byte 0xff in position 0:"
        " invalid start byte\n"
    )
    recipe.unlink()
    recipe.mkdir()
    assert error(run("train", recipe, "--out", tmp_path / "run")) == (
        f"error: recipe file {recipe} cannot be read: Is a directory\n"
    )
    inside = tmp_path / "r.toml" / ("x" * 300 + ".toml")
    assert error(run("train", inside, "--out", tmp_path / "run")) == (
        f"error: recipe file {inside} cannot be read: File name too long\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_recipe("a\0.toml", ())
    assert str(caught.value) == "'a\\x00.toml' is no name of a file: embedded null byte"


def test_every_recipe_is_read_and_a_learner_takes_that_of_its_data() -> None:
    for name in recipes():
        assert isinstance(read_recipe(name, ()).meta, MetaConfig)
    assert read_recipe("leo", ['data.source="glyphs"']) == read_recipe("glyphs-leo", ())
    assert read_recipe("leo", ()) == read_recipe("omniglot-leo", ())
    assert read_recipe("nearest", ()).meta == MetaConfig()


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty classes of twelve points each, in a file."""
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 256, (30, 8))
    x = np.concatenate([b + rng.normal(0, 5, (12, 8)) for b in bases]).astype(np.float32)
    file = tmp_path_factory.mktemp("points") / "points.npz"
    np.savez(file, x=x, y=np.repeat(np.arange(30), 12))
    return file


@pytest.fixture(scope="module")
def trained(points: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    split = settings("data.split=random", "data.rotations=false", *SMALL)
    result = run("train", "leo", "--data", points, "--out", folder, *split)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.endswith(
        f"done: {folder}\nnext: handful evaluate {folder}\n      handful export {folder} FOLDER\n"
    )
    return folder


@pytest.fixture(scope="module")
def package(trained: Path) -> Path:
    """Its package."""
    folder = trained.parent / "package"
    result = run("export", trained, folder, "--episodes", 5)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "way  shot  episodes  accuracy %"
    return folder


def test_train_writes_a_run_with_its_curves(trained: Path) -> None:
    found = {path.name for path in trained.iterdir()}
    assert found == {
        "config.json",
        "metrics.jsonl",
        "curves.png",
        "best.safetensors",
        "last.safetensors",
        "pretrained",
    }
    with Image.open(trained / "curves.png") as picture:
        assert picture.width > picture.height > 300
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2]


def test_no_export_is_proposed_where_it_would_be_refused(points: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my run"
    mlp = "learner.network={kind='mlp', hidden=[8], normalisation='transductive'}"
    small = (s for s in SMALL if s.startswith("meta."))
    changes = settings("data.split=random", "data.rotations=false", mlp, *small)
    result = run("train", "maml", "--data", points, "--out", folder, *changes)
    assert result.stderr.endswith(f"done: {folder}\nnext: handful evaluate '{folder}'\n")
    assert error(run("export", folder, tmp_path / "package")).startswith(
        "error: maml with transductive normalisation cannot be exported"
    )


def test_a_run_is_never_overwritten(trained: Path) -> None:
    assert error(run("train", "leo", "--out", trained)) == (
        f"error: {trained} holds a run already\n"
        "\n"
        "hint: go on with it by --resume, or name another folder with --out\n"
    )


def test_a_run_is_resumed_with_its_own_settings_alone(trained: Path) -> None:
    assert run("train", "--resume", "--out", trained).exit_code == 0
    changed = run("train", "--resume", "--out", trained, "--set", "meta.steps=9")
    assert error(changed) == (
        f"error: {trained} holds a run with other settings\n"
        "\n"
        "hint: resume without changing settings, or name another folder with --out\n"
    )


def test_ctrl_c_saves_and_says_how_to_go_on(points: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    source = settings("data.split=random", "data.rotations=false", *SMALL, "meta.steps=100000")
    command = [sys.executable, "-m", "handful", "train", "leo", "--data", points, "--out", folder]
    process = subprocess.Popen(
        [*map(str, command), *source],
        env={"PYTHONPATH": str(Path(handful.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "last.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, words = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert words.endswith(
        "error: interrupted, and saved\n"
        "\n"
        f"hint: go on with: handful train --resume --out {folder}\n"
    )
    assert (folder / "curves.png").is_file()


def test_a_run_and_its_package_see_the_same_tasks(trained: Path, package: Path) -> None:
    sizes = ("--way", 2, 5, "--shot", 1, 3, "--episodes", 5, "--queries", 2, "--json")
    through_torch, through_onnx = (
        json.loads(run("evaluate", folder, *sizes).stdout) for folder in (trained, package)
    )
    assert [(r["way"], r["shot"]) for r in through_onnx] == [(2, 1), (2, 3), (5, 1), (5, 3)]
    assert through_torch == through_onnx


def test_evaluate_prints_a_line_for_each_size(package: Path) -> None:
    result = run("evaluate", package, "--way", "2,5", "--episodes", 5, "--queries", 2)
    head, *lines = result.stdout.splitlines()
    assert head == "way  shot  episodes  accuracy %"
    assert [line.split()[:3] for line in lines] == [["2", "1", "5"], ["5", "1", "5"]]


def test_what_evaluate_cannot_do_is_said(trained: Path, package: Path) -> None:
    assert error(run("evaluate", package, "--transductive")) == (
        "error: a package is never transductive\n\nhint: evaluate the run that made it\n"
    )
    assert error(run("evaluate", trained, "--transductive")) == (
        "error: leo of this run has no transductive form\n"
        "\n"
        'hint: only maml with learner.network.normalisation = "support" has one\n'
    )
    assert error(run("evaluate", package, "--way", 20)) == (
        "error: the meta-test split has 6 classes, a task needs 20\n"
        "\n"
        "hint: lower --way, or give the split more classes\n"
    )
    assert error(run("evaluate", trained, "--queries", 20)) == (
        "error: class 1 of the meta-test split has 12 examples, a task needs 1 + 20\n"
        "\n"
        "hint: lower --shot or --queries, or leave the class out\n"
    )


def test_export_replaces_a_package_only_by_force(trained: Path, package: Path) -> None:
    assert error(run("export", trained, package)) == (
        f"error: {package} exists\n\nhint: choose another folder, or replace it with --force\n"
    )
    result = run("export", trained, package, "--force", "--name", "points", "--episodes", 5)
    assert (result.exit_code, describe(package).manifest.name) == (0, "points")


def test_a_package_says_what_it_is(package: Path) -> None:
    lines = run("inspect", package).stdout.splitlines()
    assert lines[1:4] == [
        "input   array [8]",
        "limits  way 2 or more, shot 1 or more",
        "order   embed → encoder → latent_step × 5 → decoder → finetune_step × 5 → predict",
    ]
    assert [line.split()[0] for line in lines[7:13]] == list(describe(package).manifest.graphs)
    found = json.loads(run("inspect", package, "--json").stdout)
    assert found["manifest"]["learner"] == "leo"


def test_verify_exits_one_where_a_vector_differs(package: Path, tmp_path: Path) -> None:
    whole = run("verify", package)
    assert whole.exit_code == 0
    assert "23 golden vectors, worst difference" in whole.stdout
    for file in package.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with np.load(package / "conformance.npz") as golden:
        changed = {**golden, "logits": golden["logits"] + 1}
    np.savez(tmp_path / "conformance.npz", **changed)
    broken = run("verify", tmp_path, "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["ok"] is False
    assert broken.stderr.endswith(
        " does not give what its trainer got: logits\n\nhint: export the package again\n"
    )


def test_bench_measures(package: Path) -> None:
    found = json.loads(run("bench", package, "--way", 3, "--runs", 2, "--json").stdout)
    assert found["way"] == 3
    assert found["cold_start_ms"] > found["adapt_ms"] > 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder for each of two shapes, dark on light, and a new one of each beside them."""
    for x in range(2):
        for name, corners in (("bar", (11, 2, 15, 25)), ("dash", (2, 11, 25, 15))):
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            picture = Image.new("L", (28, 28), 255)
            ImageDraw.Draw(picture).rectangle([c + x for c in corners], fill=0)
            picture.save(folder / f"{x}.png" if x else tmp_path / f"new {name}.png")
    return tmp_path / "photos"


def test_from_photographs_to_answers(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    adapted = run("adapt", "omniglot-leo", photos, "--out", task)
    assert (adapted.exit_code, adapted.stdout) == (0, "")
    assert adapted.stderr == (
        f"wrote {task}: bar (1), dash (1)\n"
        f"next: handful predict --package omniglot-leo {task} PICTURE\n"
    )
    new = [tmp_path / "new bar.png", tmp_path / "new dash.png"]
    for package in ((), ("--package", "omniglot-leo")):
        lines = run("predict", task, *new, *package).stdout.splitlines()
        assert [line.split("\t")[::2] for line in lines] == [
            ["bar", str(new[0])],
            ["dash", str(new[1])],
        ]
    found = json.loads(run("predict", task, new[0], "--json").stdout)
    assert found[0]["label"] == "bar"
    assert found[0]["score"] == found[0]["probabilities"]["bar"]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)


def test_what_may_follow_is_quoted_for_a_shell(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "Anna's cups; $HOME.npz"
    line = run("adapt", "omniglot-leo", photos, "--out", task).stderr.splitlines()[-1]
    assert shlex.split(line) == [
        *("next:", "handful", "predict", "--package", "omniglot-leo", str(task), "PICTURE")
    ]


def test_a_task_file_is_replaced_only_by_force(photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    task.write_text("mine")
    assert error(run("adapt", "omniglot-leo", photos, "--out", task)) == (
        f"error: {task} exists\n\nhint: name another file, or replace it with --force\n"
    )
    assert task.read_text() == "mine"
    assert run("adapt", "omniglot-leo", photos, "--out", task, "--force").exit_code == 0


def test_a_task_belongs_to_its_package(package: Path, photos: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.npz"
    with np.load(package / "conformance.npz") as golden:
        x, y = golden["support_x"], golden["support_y"]
    handful.load(package).adapt(x, [str(i) for i in y.argmax(axis=1)]).save(task)
    assert error(run("predict", task, tmp_path / "new bar.png")) == (
        "error: task.npz was saved with a package that does not ship with handful\n"
        "\n"
        "hint: name the package: --package FOLDER\n"
    )
    other = run("predict", task, tmp_path / "new bar.png", "--package", "omniglot-leo")
    assert error(other) == (
        "error: task.npz was saved with another package than omniglot-leo as it is now\n"
        "\n"
        "hint: load it with the package that made it, or adapt again\n"
    )
    assert error(run("adapt", package, photos, "--out", tmp_path / "other.npz")) == (
        "error: the package takes arrays, not pictures\n"
        "\n"
        "hint: give the arrays it was trained on to adapt and predict\n"
    )


def test_what_is_no_task_says_so(tmp_path: Path) -> None:
    (tmp_path / "task.npz").write_bytes(b"no archive")
    assert error(run("predict", tmp_path / "task.npz", "a.png")).startswith("error: task.npz ")
    assert error(run("predict", tmp_path / "absent.npz", "a.png")).startswith(
        f"error: no file absent.npz in {tmp_path}\n"
    )


def test_lists_name_what_there_is() -> None:
    lines = run("learners").stdout.splitlines()
    assert lines[0] == (
        "leo           LEO: Latent Embedding Optimization (Rusu et al. 2019, arXiv:1807.05960)."
    )
    assert lines[-1] == f"recipes: {', '.join(recipes())}"
    sources = [line.split()[0] for line in run("data").stdout.splitlines()]
    assert sources == ["omniglot", "glyphs", "FOLDER", "FILE.npz"]
