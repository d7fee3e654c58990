"""The commands of a device, which need no extra but for pictures; `handful.cli` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handful.console import (
    PATH,
    Command,
    Share,
    a_package,
    as_json,
    bars,
    downloading,
    fail,
    fail_for_each,
    number,
    say,
    say_next,
    show,
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
@click.argument("files", type=PATH, required=False)
@click.option("-o", "--out", type=PATH, required=True, help="The task file to write.")
@click.option("--others", type=PATH, help="A folder of other things, for predict --unknown.")
@_new
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def adapt(package: str, files: Path | None, out: Path, **how: Any) -> None:
    """Adapt a package to files; writes a task file.

    PACKAGE is a folder, or the name of a package that ships with handful. FILES is a folder of
    pictures, WAV files, or .npy and .csv files of readings, with one sub-folder a class. Where the
    package names its classes the sub-folders are called as these, and any of them may be left out.
    A policy takes an .npz file of what it did. Without FILES it is the task before it has learnt
    anything: a policy's, or everybody's classifier.
    """
    from handful.runtime.tools.on_files import adapt_folder

    with bars() as tell:
        written = adapt_folder(package, files, out, tell=tell, **how)
    _say_task(out, written)


@command()
@click.argument("task", type=PATH)
@click.argument("files", type=PATH)
@_new
@_changing
def add(task: Path, files: Path, **how: Any) -> None:
    """Add examples to a task, of its classes or new ones.

    TASK is a file that `handful adapt` wrote, FILES is a folder, or a policy's file, as `adapt`
    takes it.
    """
    from handful.runtime.tools.on_files import add_folder

    with bars() as tell:
        written = add_folder(task, files, tell=tell, **how)
    _say_task(how["out"] or task, written)


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
    if not task.classes:
        counts = f"{len(task._support.x)} readings"
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
    of them. Of a policy they are observations, and actions are printed: means, deviations.
    """
    from handful.runtime.inputs.folders import Unread
    from handful.runtime.tools import on_files, text

    unread: list[Unread] = []
    found = on_files.answer_files(task, files, unread=unread, **how)
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
@number("--port", least=0, default=8000, help="Where to serve it; 0: a free port.")
@click.option("-o", "--out", type=PATH, help="Write the site to this folder, and serve nothing.")
@click.option("--runtime", type=PATH, help="onnxruntime-web: a folder of it, or its .tgz.")
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
