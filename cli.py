"""The `handful` command: parses, calls one function, prints; data to stdout, words to stderr.

First the commands of a device, which need no extra but for pictures, then those of training, whose
libraries each command imports when it runs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import handful
from handful.console import (
    INTERRUPTED,
    NAME_OR_PATH,
    PATH,
    Command,
    Group,
    Share,
    a_device,
    a_package,
    as_json,
    condition_options,
    downloading,
    fail,
    fail_for_each,
    moved_data,
    number,
    of_embed,
    plan_options,
    say,
    say_next,
    settings,
    several_workers,
    show,
    skip_small,
    trusted,
    with_yardsticks,
)

if TYPE_CHECKING:
    from handful.runtime.task import Task

F = TypeVar("F", bound=Callable[..., Any])
command = partial(click.command, cls=Command)
its_package = click.option("--package", help="The package of the task, where it is not found.")


def _changing(command: F) -> F:
    """Options of the commands that write a changed task."""
    for option in (
        its_package,
        click.option("--force", is_flag=True, help="Replace the file that is there."),
        click.option(
            "-o", "--out", type=PATH, help="The new task file.  [with --force: TASK itself]"
        ),
    ):
        command = option(command)
    return command


_new = click.option(
    "--new", multiple=True, metavar="LABEL", help="A class beyond those that the package names."
)


@command()
@a_package
@as_json
def verify(package: str, as_json: bool) -> None:
    """Check a package: hashes, graphs, golden vectors.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.text import format_verification
    from handful.runtime.tools.verify import verify as verify_package

    report = verify_package(package)
    show(
        format_verification(report),
        {**asdict(report), "worst": report.worst, "ok": report.ok},
        as_json,
    )
    if not report.ok:
        fail(
            f"{report.name} does not give what its trainer got: {', '.join(report.failed[:3])}",
            "export the package again",
        )


@command()
@a_package
@as_json
def inspect(package: str, as_json: bool) -> None:
    """Show a package: graphs, sizes, limits, accuracy.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.inspect import describe
    from handful.runtime.tools.text import format_description

    description = describe(package)
    show(format_description(description), description.as_json(), as_json)


@command()
@a_package
@click.argument("files", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The task file to write.")
@click.option("--others", type=PATH, help="A folder of other things, for predict --unknown.")
@_new
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def adapt(package: str, files: Path, out: Path, **how: Any) -> None:
    """Adapt a package to files; writes a task file.

    PACKAGE is a folder, or the name of a package that ships with handful. FILES is a folder of
    pictures, WAV files, or .npy and .csv files of readings, with one sub-folder a class. Where the
    package names its classes the sub-folders are called as these, and any of them may be left out.
    """
    from handful.runtime.tools.on_files import adapt_folder

    _say_task(out, adapt_folder(package, files, out, **how))


@command()
@click.argument("task", type=PATH)
@click.argument("files", type=PATH)
@_new
@_changing
def add(task: Path, files: Path, **how: Any) -> None:
    """Add examples to a task, of its classes or new ones.

    TASK is a file that `handful adapt` wrote, FILES is a folder as `adapt` takes it.
    """
    from handful.runtime.tools.on_files import add_folder

    _say_task(how["out"] or task, add_folder(task, files, **how))


@command()
@click.argument("task", type=PATH)
@click.argument("labels", nargs=-1, required=True)
@_changing
def remove(task: Path, labels: tuple[str, ...], **how: Any) -> None:
    """Remove classes from a task.

    TASK is a file that `handful adapt` wrote, LABELS are classes of it.
    """
    from handful.runtime.tools.on_files import remove_classes

    _say_task(how["out"] or task, remove_classes(task, labels, **how))


def _say_task(file: Path, task: Task) -> None:
    """What was written, with the examples of each class."""
    counts = ", ".join(f"{label} ({count})" for label, count in task.counts.items())
    say_next(f"wrote {file}: {counts}", ("predict", file, "FILE"))


@command()
@click.argument("task", type=PATH)
@click.argument("files", type=PATH, nargs=-1, required=True)
@its_package
@click.option(
    "--unknown", type=Share(), help="Print - for unknown inputs; X% of them may still get a label."
)
@click.option("--windows", is_flag=True, help="Cut recordings into windows, as a stream.")
@as_json
def predict(task: Path, files: tuple[Path, ...], as_json: bool, **how: Any) -> None:
    """Label files by a task: label, score, file.

    TASK is a file that `handful adapt` wrote, FILES are pictures, WAV files or readings, or folders
    of them.
    """
    from handful.runtime.tools import on_files, text

    unread: list[on_files.Unread] = []
    found = on_files.predict_files(task, files, unread=unread, **how)
    bad = [{"file": file.file, "error": file.error} for file in unread]
    if found or as_json:
        show(text.format_answers(found), [*map(asdict, found), *bad], as_json)
    fail_for_each(unread)


@command("test")
@click.argument("task", type=PATH)
@click.argument("folder", type=PATH)
@its_package
@click.option(
    "--unknown", type=Share(), help="Unknown inputs, as for predict; other classes may be tested."
)
@number("--worst", least=0, default=10, help="Wrong answers to list.")
@click.option("--png", type=PATH, help="Write the confusion matrix to this PNG file.")
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@as_json
def test_command(
    task: Path, folder: Path, worst: int, png: Path | None, force: bool, as_json: bool, **how: Any
) -> None:
    """Test a task on files of known classes.

    TASK is a file that `handful adapt` wrote, FOLDER has a sub-folder for each class, with other
    files than the task was adapted to.
    """
    from handful.runtime.tools.tested import as_text, check_place, measure_folder, write_confusion

    if png is not None:
        check_place(png, force=force)
    found = measure_folder(task, folder, **how)
    if png is not None:
        write_confusion(found, png)
    show(as_text(found, worst), found.as_json(), as_json)
    fail_for_each(found.unread)


@command()
@click.argument("task", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The HTML file to write.")
@click.option("--examples", type=PATH, help="The files it was adapted to, for names and pictures.")
@click.option("--test", type=PATH, help="A folder of other files, as for test.")
@click.option("--unknown", type=Share(), help="Unknown inputs, as for test.")
@its_package
@click.option("--force", is_flag=True, help="Replace a page that is there.")
def report(task: Path, out: Path, **how: Any) -> None:
    """Write a page about a task: examples, answers, advice.

    TASK is a file that `handful adapt` wrote.
    """
    from handful.runtime.tools.report import write_report

    found = write_report(task, out, **how)
    say(f"wrote {out}")
    fail_for_each(found.unread if found else ())


@command()
@a_package
@number("--way", least=2, default=5, help="Classes.")
@number("--shot", least=1, default=1, help="Examples a class.")
@number("--threads", least=1, default=1, help="Processor threads.")
@number("--runs", least=1, default=50, help="Repetitions, of which medians are taken.")
@as_json
def bench(package: str, as_json: bool, **how: int) -> None:
    """Time a package here: cold start, adapt, predict.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.bench import bench as measure
    from handful.runtime.tools.text import format_bench

    measured = measure(package, **how)
    show(format_bench(measured), asdict(measured), as_json)


@command()
@click.argument("package", required=False)
@number("--port", least=0, default=8000, help="Where to serve on this machine; 0: a free port.")
@click.option("-o", "--out", type=PATH, help="Write the site to this folder, and serve nothing.")
@click.option("--runtime", type=PATH, help="onnxruntime-web: a folder with its files, or its .tgz.")
@click.option("--open/--no-open", "opened", default=True, help="Open it in a browser.")
def demo(
    package: str | None, port: int, out: Path | None, runtime: Path | None, opened: bool
) -> None:
    """Try packages in a browser, on pages served here.

    PACKAGE is a folder, or the name of a package that ships with handful. The first time two files
    of onnxruntime-web are downloaded; after that no network is needed.
    """
    from handful.runtime.tools.site import make_site, serve, write_site
    from handful.runtime.tools.wasm import read_runtime

    site = make_site(package, read_runtime(runtime, progress=downloading("onnxruntime-web")))
    if out is not None:
        say(f"wrote {write_site(site, out)} files to {out}")
        return
    with serve(site, port) as server:
        address = f"http://localhost:{server.server_port}/{site.page}"
        show(address)
        say("Ctrl-C ends it")
        if opened:
            click.launch(address)
        server.serve_forever()


@command()
@a_package
@click.option("-o", "--out", type=PATH, help="The file to write.  [default: NAME.handful]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def pack(package: str, out: Path | None, force: bool) -> None:
    """Write a package as one file, NAME.handful.

    PACKAGE is a folder, or the name of a package that ships with handful. The same package gives
    the same bytes.
    """
    from handful.runtime.tools.packed import pack_package

    say(f"wrote {pack_package(package, out, force=force)}")


@command()
@click.argument("file", type=PATH)
@click.option("-o", "--out", type=PATH, help="The folder to make.  [default: the package's name]")
def unpack(file: Path, out: Path | None) -> None:
    """Write a package from one file as a folder.

    FILE is what `handful pack` wrote.
    """
    from handful.runtime.tools.packed import unpack_package

    say(f"wrote {unpack_package(file, out)}")


@command()
@click.argument("task", type=PATH)
@click.argument("model", type=PATH)
@its_package
@click.option(
    "--unknown", type=Share(), help="Index -1 for unknown inputs; X% may still get a label."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def freeze(task: Path, model: Path, **how: Any) -> None:
    """Write an adapted task as one ordinary ONNX file.

    TASK is a file that `handful adapt` wrote, MODEL is the .onnx file to write: from pictures,
    samples or readings to probabilities and the index of a label, without handful. It needs the
    extra `freeze`.
    """
    from handful.trainer.export.freeze import freeze_file

    say(f"wrote {model}: {freeze_file(task, model, **how)}")


DEVICE = (  # in the order of the help
    *(verify, inspect, adapt, add, remove, predict),
    *(test_command, report, bench, demo, pack, unpack, freeze),
)


OWN = ("split", "array", "labels")  # options that are short for settings of text


@click.command(cls=Command)
@click.argument("place", metavar="DATA", type=NAME_OR_PATH, required=False)
@click.option("--data", metavar="SOURCE", help="The same as DATA, as the other commands have it.")
@click.option("--backbone", help="Embeds the pictures: a name, or an ONNX file.")
@click.option("--split", metavar="HOW", help="random, or a JSON file; Omniglot: vinyals, lake.")
@click.option("--array", metavar="NAME", help="npz: the name of the examples.")
@click.option("--labels", metavar="NAME", help="npz: the name of their labels.")
@number("--rate", least=1, help="The examples are sounds: samples a second.")
@settings(help="A setting of the data, as data.window=64; may be repeated.")
@click.option("--skip-bad", is_flag=True, help="Do not fail for files that cannot be read.")
@skip_small
@as_json
def check(place: str | None, data: str | None, rate: int | None, as_json: bool, **how: Any) -> None:
    """Look at data before training on them.

    DATA is a folder with one sub-folder a class, an .npz file, omniglot or glyphs. Prints what each
    part holds, bad files and duplicates, and the commands that can train on it; fails where
    training would refuse it.
    """
    if (place is None) is (data is None):
        raise click.UsageError("Name the data once: handful check DATA, or --data DATA.")
    from handful.trainer.commands.check import Request, check_command
    from handful.trainer.training.progress import bars

    texts = [(name, text) for name in OWN if (text := how.pop(name)) is not None]
    short = [f"data.{name}={json.dumps(text, ensure_ascii=False)}" for name, text in texts]
    short += [f"data.rate={rate}"] if rate is not None else []
    with bars() as report:
        request = Request(**{**how, "changes": (*short, *how["changes"])})
        checked = check_command(str(place or data), request, report.fetching)
    show(checked.as_text(), checked.as_json(), as_json)
    if checked.refused:
        fail("training would refuse these data:\n  " + "\n  ".join(checked.refused))


@click.command(cls=Command)
@click.argument("recipe", required=False)
@click.option(
    "--data",
    metavar="SOURCE",
    help="omniglot, glyphs, a folder of images or an .npz file; with --resume: where it is now.",
)
@click.option("-o", "--out", type=PATH, required=True, help="The run's folder.")
@settings(help="A setting, as meta.lr=0.01; may be repeated.")
@click.option("--pretrained", type=PATH, metavar="RUN", help="Take over this run's pre-training.")
@a_device
@several_workers
@number("--threads", least=1, help="Threads of each worker.  [default: the cores, shared out]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be read.")
@skip_small
@trusted
@click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard.")
def train(out: Path, **asked: Any) -> None:
    """Meta-train a learner.

    RECIPE: a learner's name, the name of a recipe, or a TOML file.
    """
    if not asked["recipe"] and not asked["resume"]:
        raise click.UsageError("Missing argument 'RECIPE': a learner, a recipe or a TOML file.")
    from handful.trainer.commands.train import Request, train_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        done = train_command(out, Request(**asked), report)
    if not done.finished:
        again = shlex.join(["handful", "train", "--resume", "--out", str(out)])
        fail("interrupted, and saved", f"go on with: {again}", status=INTERRUPTED)
    follow = [("evaluate", out), *([("export", out, "FOLDER")] if done.exportable else [])]
    say_next(f"done: {out}", *follow)


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(handful.__version__, prog_name="handful")
def main() -> None:
    """Meta-train few-shot learners, export them as ONNX, adapt them on the device."""


main.add_command(check)
main.add_command(train)


@main.command()
@click.argument("run_or_package", type=NAME_OR_PATH)
@plan_options(shots=(1,))
@click.option("--transductive", is_flag=True, help="Normalise by the query batch (runs only).")
@condition_options
@with_yardsticks
@click.option("--data", help="Where the data are now; or omniglot, glyphs: test on these.")
@a_device
@several_workers
@trusted
@as_json
def evaluate(run_or_package: str, as_json: bool, **how: Any) -> None:
    """Measure accuracy ± 95 % on meta-test classes.

    RUN_OR_PACKAGE is the folder of either, or the name of a package that ships with handful. A
    run is measured in torch, a package through the runtime, both on the same tasks. Beside the
    accuracy stands what it has to beat: class means, logistic regression, fewer inner steps; and
    of a package what it promises of its confidence and of unknown inputs.
    """
    from handful.trainer.commands.evaluate import as_text, evaluate_command
    from handful.trainer.commands.subjects import make_plan
    from handful.trainer.training.progress import bars

    with bars() as report:
        results = evaluate_command(run_or_package, **make_plan(how), count=report.count)
    show(as_text(results), [result.as_json() for result in results], as_json)


@main.command()
@click.argument("run_or_package", type=NAME_OR_PATH, nargs=-1)
@plan_options(shots=(1, 5))
@condition_options
@click.option("--data", help="Your own data, or where a run's data are now.")
@click.option("--backbone", help="Embeds your own pictures: a name, or an ONNX file.")
@settings(help="A setting of your own data, as data.image_size=64; may be repeated.")
@skip_small
@click.option("--plot", type=PATH, help="Write a picture, accuracy over shots, to this PNG file.")
@click.option("--force", is_flag=True, help="Replace a picture that is there.")
@several_workers
@trusted
@as_json
@click.option("--markdown", is_flag=True, help="Print Markdown.")
def compare(run_or_package: tuple[str, ...], as_json: bool, markdown: bool, **how: Any) -> None:
    """Compare runs and packages; or baselines on your data.

    RUN_OR_PACKAGE are folders of either, or names of packages that ship with handful, all measured
    on the same tasks. Without any, --data is a folder of images or an .npz file: nothing is
    trained, and simple baselines on your own data are compared: class means, logistic and ridge
    regression, the nearest neighbour.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown are two ways to print the same.")
    if not run_or_package and how["data"] is None:
        raise click.UsageError("Missing argument 'RUN_OR_PACKAGE...', or --data of your own.")
    if run_or_package and (how["backbone"] or how["changes"] or how["skip_small"]):
        raise click.UsageError(
            "--backbone, --set and --skip-small are for --data without a run or a package."
        )
    from handful.trainer.commands.compare import Request, compare_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        compared = compare_command(run_or_package, Request(**how), report.count)
    text = compared.as_markdown() if markdown else compared.as_text()
    show(text, compared.as_json(), as_json)


@main.command()
@click.argument("run", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--name", help="The package's name.  [default: the folder's]")
@click.option("--force", is_flag=True, help="Replace a package that is there.")
@number("--episodes", least=0, default=1000, help="Tasks to measure on; 0: none.")
@with_yardsticks
@click.option("--licence", help="Of the package, as SPDX writes it.  [default: the run's]")
@click.option("--unfinished", is_flag=True, help="Export a run that has not taken all steps.")
@of_embed
@moved_data
@several_workers
@trusted
def export(run: Path, folder: Path, **how: Any) -> None:
    """Trace a run, gradients included, into a package.

    RUN is a folder made by `handful train`. The package is written to FOLDER, unless ONNX and torch
    differ anywhere.
    """
    from handful.runtime.tools.text import accuracies
    from handful.trainer.commands.export import Request, export_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        manifest = export_command(run, folder, Request(**how), report.count, say)
    size = sum(graph.bytes for graph in manifest.graphs.values())
    say(f"wrote {folder}: {len(manifest.graphs)} graphs, {size} bytes, {_as_torch(how)}")
    if manifest.evaluation:
        show(accuracies(manifest.evaluation))


@main.command()
@click.argument("folder", type=PATH)
@click.option("--backbone", default="efficientnet-lite0", help="Its name, or an ONNX file.")
@settings(help="How an ONNX file's pictures are prepared, as data.backbone_scale=0.00392.")
@click.option("--name", help="The package's name.  [default: the folder's]")
@click.option("--licence", help="Of the package, as SPDX writes it.  [default: the backbone's]")
@click.option(
    "--fit",
    type=click.Choice(("whole", "square")),
    help="The whole of each picture, on a padded square, or its middle.  [default: square]",
)
@click.option(
    "--features",
    type=click.Choice(("places", "mean")),
    help="Maps too, or their mean alone.  [default: places, where the backbone has maps]",
)
@click.option("--others", type=PATH, help="Other classes, to measure thresholds for --unknown on.")
@of_embed
@click.option("--force", is_flag=True, help="Replace a package that is there.")
def photos(folder: Path, **how: Any) -> None:
    """Write a package for photographs; no data needed.

    The package in FOLDER compares what a frozen backbone makes of pictures by closed forms.
    """
    from handful.trainer.commands.photos import Request, photos_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        size = photos_command(folder, Request(**how), say, report.count)
    follow = ("adapt", folder, "PICTURES", "--out", "task.npz")
    say_next(f"wrote {folder}: {size} bytes of graphs, {_as_torch(how)}", follow)


def _as_torch(how: dict[str, Any]) -> str:
    """How far the package was compared: torch has no lower precision."""
    whole = how["precision"] == "float32"
    return "as torch at every state" + ("" if whole else f" behind `embed` in {how['precision']}")


for command in DEVICE:
    main.add_command(command)


@main.command()
def learners() -> None:
    """List the learners and the recipes."""
    from handful.runtime.tools.text import pairs
    from handful.trainer.listing import described_learners, recipes

    show(f"{pairs(described_learners())}\n\nrecipes: {', '.join(recipes())}")


@main.group(cls=Group, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """List the data sources; or prepare downloads."""
    if context.invoked_subcommand is None:
        from handful.runtime.tools.text import pairs
        from handful.trainer.listing import SOURCES

        show(pairs(SOURCES.items()))


@data.command()
@click.argument("folder", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The folder to write to.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def prepare(folder: Path, out: Path, force: bool) -> None:
    """Prepare downloaded words and pen strokes for the recipes.

    FOLDER holds arabic_speech_commands or pen_strokes, or both. Writes words.npz and keywords.npz,
    strokes.npz and pen.npz, each with its split, a JSON file of the same name.
    """
    from handful.trainer.data.prepare import prepare as prepare_data

    for file in prepare_data(folder, out, force=force):
        say(f"wrote {file}")


@main.command()
def packages() -> None:
    """List the packages that ship with handful."""
    from handful.runtime.tools.text import pairs
    from handful.trainer.listing import described_packages

    show(pairs(described_packages()))
