"""The command line: help, usage, lists, and what a person reads of what cannot be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import handful
from handful.__main__ import run as program
from handful.cli import main
from handful.console import spread
from handful.trainer.learners import LEARNERS
from handful.trainer.listing import recipes
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.config import MetaConfig
from handful.trainer.training.recipes import read_recipe

from .commands.called import error, run
from .each import each

SHIPPED = [
    "activity-personal", "cart-maml", "keywords-proto-maml", "myo-personal", "omniglot-lake",
    "omniglot-leo", "omniglot-maml", "omniglot-prototypical", "pen-proto-maml", "sensor-maml",
    "strokes-leo", "words-personal",
]  # fmt: skip


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
        "  check     Look at data before training on them.\n"
        "  train     Meta-train a learner.\n"
        "  evaluate  Measure accuracy ± 95 % on meta-test classes.\n"
        "  compare   Compare runs and packages; or baselines on your data.\n"
        "  export    Trace a run, gradients included, into a package.\n"
        "  photos    Write a package for photographs; no data needed.\n"
        "  verify    Check a package: hashes, graphs, golden vectors.\n"
        "  inspect   Show a package: graphs, sizes, limits, accuracy.\n"
        "  adapt     Adapt a package to files; writes a task file.\n"
        "  add       Add examples to a task, of its classes or new ones.\n"
        "  remove    Remove classes from a task.\n"
        "  predict   Label files by a task: label, score, file.\n"
        "  test      Test a task on files of known classes.\n"
        "  report    Write a page about a task: examples, answers, advice.\n"
        "  bench     Time a package here: cold start, adapt, predict.\n"
        "  demo      Try packages in a browser, on pages served here.\n"
        "  pack      Write a package as one file, NAME.handful.\n"
        "  unpack    Write a package from one file as a folder.\n"
        "  freeze    Write an adapted task as one ordinary ONNX file.\n"
        "  learners  List the learners and the recipes.\n"
        "  data      List the data sources; or prepare downloads.\n"
        "  packages  List the packages that ship with handful.\n"
    )


@each("command", main.commands.values())
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
    assert [line.split()[0] for line in done.stdout.splitlines()] == SHIPPED


def test_several_numbers_stand_after_one_option() -> None:
    names = {"--way", "--shot"}
    wanted = ["x", "--way=5", "--way=20", "--shot=1"]
    assert spread(["x", "--way", "5", "20", "--shot", "1"], names) == wanted
    assert spread(["x", "--way", "5,20", "--shot=1"], names) == wanted
    assert spread(["--way", "5", "--json", "20"], names) == ["--way=5", "--json", "20"]
    assert spread(["--way", "--shot", "five"], names) == ["--way", "--shot", "five"]


@each(
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
        (("predict", "task.npz"), "Error: Missing argument 'FILES...'."),
        (
            ("predict", "task.npz", "a.png", "--unknown", "few"),
            "Error: Invalid value for '--unknown': 'few' is not a share, wanted 5% or 0.05",
        ),
    ],
)
def test_a_command_line_that_cannot_be_read_is_a_usage_error(
    arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith(words)


@each("command", ["verify", "inspect", "bench"])
def test_a_folder_that_is_no_package_says_so(command: str, tmp_path: Path) -> None:
    assert error(run(command, tmp_path)) == (
        f"error: no file manifest.json in {tmp_path}\n"
        "\n"
        "hint: an exported package is a folder made by `handful export`\n"
    )


@each("command", ["verify", "inspect", "bench", "evaluate"])
def test_a_name_that_is_no_package_says_which_there_are(command: str) -> None:
    assert error(run(command, "nothing")) == (
        "error: no folder or file nothing, and no shipped package of that name\n"
        "\n"
        f"hint: shipped packages: {', '.join(SHIPPED)}\n"
    )


@each("command", [("evaluate",), ("export", "to")])
def test_a_folder_that_is_no_run_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    assert error(run(command[0], tmp_path, *command[1:])) == (
        f"error: no config.json in {tmp_path}\n\nhint: a run is a folder made by `handful train`\n"
    )


@each(
    ("arguments", "words"),
    [
        (
            ("nonsense",),
            "error: no recipe and no learner nonsense\n"
            "\n"
            f"hint: there are: {', '.join([*LEARNERS, *recipes()])}, "
            "a file.toml, or module:Class of your own\n",
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
            f"hint: did you mean omniglot-leo? there are: {', '.join(recipes())}; "
            "these are named without .toml\n",
        ),
        (
            ("leo", "--set", "meta.sped=3"),
            "error: omniglot-leo.toml: there is no setting meta.sped\n"
            "\n"
            "hint: did you mean meta.seed? there are: batching, chunk, ",
        ),
        (("leo", "--set", "meta"), "error: a setting is written name=value, found: meta\n"),
        (
            ("leo", "--data", "absent"),
            "error: no data source absent\n"
            "\n"
            "hint: there are: omniglot, glyphs, bands, sinusoid, sensor, navigation, cart, FOLDER,"
            " FILE.npz, MODULE:CLASS; no folder of that name exists\n",
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


def test_lists_name_what_there_is() -> None:
    lines = run("learners").stdout.splitlines()
    assert lines[0] == (
        "baseline      Baseline, Baseline++: a linear or a cosine head by SGD"
        " (Chen et al. 2019, arXiv:1904.04232)."
    )
    assert lines[-1] == f"recipes: {', '.join(recipes())}"
    sources = [line.split()[0] for line in run("data").stdout.splitlines()]
    wanted = "omniglot glyphs bands sinusoid sensor navigation cart FOLDER FILE.npz MODULE:CLASS"
    assert sources == wanted.split()


@each(
    ("arguments", "argument"),
    [
        (("evaluate", ""), "'RUN_OR_PACKAGE'"),
        (("train", "leo", "--out", ""), "'-o' / '--out'"),
        (("export", "", "there"), "'RUN'"),
        (("verify", ""), "'PACKAGE'"),
        (("adapt", "omniglot-leo", "", "--out", "task.npz"), "'[FILES]'"),
        (("predict", "task.npz", "cup.jpg", ""), "'FILES...'"),
    ],
)
def test_an_empty_path_is_not_this_folder(arguments: tuple[str, ...], argument: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"\nError: Invalid value for {argument}: it is empty\n")


def test_help_uses_the_words_that_people_search_for() -> None:
    shown = {name: " ".join(run(name, "--help").stdout.split()) for name in ("predict", "compare")}
    assert "Print - for unknown inputs; X% of them may still get a label." in shown["predict"]
    assert "simple baselines on your own data" in shown["compare"]


CODE_PAGES = ("ascii", "cp1252", "cp437", "shift_jis", "utf-8")


def test_output_is_written_in_any_code_page(tmp_path: Path) -> None:
    """Labels that the code page lacks, arrows and minus signs: no traceback, and JSON is JSON."""
    labels = ("猫", "café", "🍎")
    x = np.zeros((3, 28, 28), np.float32)
    x[0, 5:9], x[1, :, 5:9], x[2, 5:20, 5:20] = 1, 1, 1
    handful.load("omniglot-leo").adapt(x, list(labels)).save(tmp_path / "t.npz")
    for i, pixels in enumerate(x):
        file = tmp_path / "d" / labels[i] / "1.png"
        file.parent.mkdir(parents=True)
        Image.fromarray((255 * (1 - pixels)).astype(np.uint8)).save(file)
    code = f"""
import sys
from handful.__main__ import run as program
from handful.cli import main
for arguments in (["predict", {str(tmp_path / "t.npz")!r}, {str(tmp_path / "d")!r}],
                  ["test", {str(tmp_path / "t.npz")!r}, {str(tmp_path / "d")!r}, "--json"],
                  ["inspect", "omniglot-leo"], ["packages"], ["learners"], ["--help"]):
    try:
        main(arguments)
    except SystemExit as done:
        assert not done.code, (arguments, done.code)
    print("----")
"""
    for page in CODE_PAGES:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={
                "PYTHONPATH": str(Path(handful.__file__).parents[1]),
                "PYTHONIOENCODING": page,
                "PYTHONUTF8": "1",
            },
            capture_output=True,
        )
        assert done.returncode == 0, (page, done.stderr)
        # click takes a terminal of ASCII alone for one that was set up wrongly
        parts = done.stdout.decode(page.replace("ascii", "utf-8")).split("----")
        assert tuple(json.loads(parts[1])["classes"]) == labels, page
        arrow = "->" if page in ("cp1252", "cp437") else "→"
        assert f"embed {arrow} encoder" in parts[2], page


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_and_a_missing_folder_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    for command, out, words in (
        ("packages", "/dev/full", "error: No space left on device"),
        ("--help", "/dev/full", "error: No space left on device"),
        ("train leo --out run", os.devnull, "error: the working directory is gone"),
        ("predict t.npz x.png", os.devnull, "error: no file t.npz in ."),
    ):
        code = "import os; os.rmdir(os.getcwd()); from handful.cli import main; main()"
        (tmp_path / "gone").mkdir(exist_ok=True)
        with open(out, "wb") as stdout:
            done = subprocess.run(
                [sys.executable, "-c", code, *command.split()],
                cwd=tmp_path / "gone",
                env={"PYTHONPATH": str(Path(handful.__file__).parents[1])},
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert (done.returncode, done.stderr.splitlines()[0]) == (1, words), command


def test_packages_say_what_they_are_for() -> None:
    lines = dict(line.split("  ", 1) for line in run("packages").stdout.splitlines())
    assert [*lines] == SHIPPED
    assert "classes of sound, 1 s at 16000 Hz: Proto-MAML on spoken" in lines["keywords-proto-maml"]
    assert "et al. alone" in lines["omniglot-lake"]


def test_a_place_is_checked_before_a_backbone_is_converted(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    for folder, words in (("there", "exists"), ("file/in", "cannot write"), ("a b", "called")):
        said = error(run("photos", tmp_path / folder, "--backbone", tmp_path / "none.onnx"))
        assert words in said, said


def test_ctrl_c_at_any_time_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # while the command is imported, while its arguments are read, while it works
    monkeypatch.setattr("handful.cli.main", interrupted)
    with pytest.raises(SystemExit) as done:
        program()
    assert (done.value.code, capsys.readouterr().err) == (130, "error: interrupted\n")
    monkeypatch.undo()
    for place in ("handful.runtime.tools.text.pairs", "handful.console.Command.parse_args"):
        monkeypatch.setattr(place, interrupted)
        result = run("packages")
        assert (result.exit_code, result.stderr) == (130, "error: interrupted\n"), place
        monkeypatch.undo()
