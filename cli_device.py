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
    fail,
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
        click.option("--out", type=PATH, help="The new task file.  [with --force: TASK itself]"),
    ):
        command = option(command)
    return command


@command()
@a_package
@as_json
def verify(package: str, as_json: bool) -> None:
    """Check a package: hashes, graphs, golden vectors.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.text import verified
    from handful.runtime.tools.verify import verify as verify_package

    report = verify_package(package)
    show(verified(report), {**asdict(report), "worst": report.worst, "ok": report.ok}, as_json)
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
    from handful.runtime.tools.text import described

    description = describe(package)
    show(described(description), description.as_json(), as_json)


@command()
@a_package
@click.argument("files", type=PATH)
@click.option("--out", type=PATH, required=True, help="The task file to write.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def adapt(package: str, files: Path, out: Path, force: bool) -> None:
    """Adapt a package to files; writes a task file.

    PACKAGE is a folder, or the name of a package that ships with handful. FILES is a folder of
    pictures, WAV files, or .npy and .csv files of readings, with one sub-folder a class.
    """
    from handful.runtime.tools.on_files import adapt_folder

    _say_task(out, adapt_folder(package, files, out, force=force))


@command()
@click.argument("task", type=PATH)
@click.argument("files", type=PATH)
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
@as_json
def predict(task: Path, files: tuple[Path, ...], as_json: bool, **how: Any) -> None:
    """Label files by a task: label, score, file.

    TASK is a file that `handful adapt` wrote, FILES are pictures, WAV files or readings, or folders
    of them.
    """
    from handful.runtime.tools import on_files, text

    found = on_files.predict_files(task, files, **how)
    show(text.answered(found), [asdict(answer) for answer in found], as_json)


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
    from handful.runtime.tools.tested import as_text, measure_folder

    if png is not None:
        from handful.trainer.commands.confusion import check_place, write_confusion

        check_place(png, force=force)
    found = measure_folder(task, folder, **how)
    if png is not None:
        write_confusion(found, png)
    show(as_text(found, worst), found.as_json(), as_json)


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

    write_report(task, out, **how)
    say(f"wrote {out}")


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
    from handful.runtime.tools.text import benched

    measured = measure(package, **how)
    show(benched(measured), asdict(measured), as_json)


DEVICE = (  # in the order of the help
    *(verify, inspect, adapt, add, remove, predict),
    *(test_command, report, bench),
)
