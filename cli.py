"""The `handful` command: parses, calls one function, prints; data to stdout, words to stderr."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

import handful
from handful.runtime.errors import HandfulError

TRAIN_EXTRA = (
    "torch", "onnx", "onnxscript", "onnx_ir", "pydantic", "pydantic_core", "rich", "safetensors",
    "matplotlib", "PIL",
)  # fmt: skip
PATH = click.Path(path_type=Path)
INTERRUPTED = 130  # what a shell reports of a process that Ctrl-C ended


class Command(click.Command):
    """A command whose errors are an error and a hint, exit status 1, and never a traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let whole numbers that may be given several times stand together: `--way 5 20`."""
        numbers = [p for p in self.params if isinstance(p.type, click.IntRange)]
        several = {p.opts[0] for p in numbers if isinstance(p, click.Option) and p.multiple}
        return super().parse_args(ctx, spread(args, several))

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except HandfulError as error:
            fail(str(error), error.hint)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in TRAIN_EXTRA:
                raise
            fail(f"{error.name} is not installed", "pip install 'handful[train]'")
        except KeyboardInterrupt:
            fail("interrupted", status=INTERRUPTED)
        except OSError as error:
            if error.filename is None:  # a closed pipe, say, on which click ends quietly
                raise
            fail(f"{error.strerror}: {error.filename}")


class Group(click.Group):
    """Commands in the order in which they are written here."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Train first, adapt later."""
        return list(self.commands)


def spread(args: list[str], names: set[str]) -> list[str]:
    """`--way 5 20` and `--way 5,20` as `--way=5 --way=20`."""
    found: list[str] = []
    option = ""
    for arg in args:
        if option and re.fullmatch(r"\d+(,\d+)*", arg):
            if found[-1] == option:
                found.pop()
            found += [f"{option}={number}" for number in arg.split(",")]
        else:
            option = arg if arg in names else ""
            found.append(arg)
    return found


def fail(message: str, hint: str | None = None, *, status: int = 1) -> NoReturn:
    """Say what is wrong and how to put it right, then exit."""
    say(f"error: {message}" + (f"\n\nhint: {hint}" if hint else ""))
    sys.exit(status)


def say(text: str) -> None:
    """Words, which do not belong to the data."""
    click.echo(text, err=True)


def say_next(done: str, *commands: Sequence[object]) -> None:
    """What was done, and the commands that may follow, as a shell reads them."""
    lines = [shlex.join(map(str, ("handful", *command))) for command in commands]
    say("\n      ".join([f"{done}\nnext: {lines[0]}", *lines[1:]]))


def show(text: str, data: Any, as_json: bool) -> None:
    """Data: as text, or as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False) if as_json else text)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
a_package = click.argument("package")
a_device = click.option("--device", default="cpu", help="cpu, cuda, cuda:1, …")


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(handful.__version__, prog_name="handful")
def main() -> None:
    """Meta-train few-shot learners, export them as ONNX, adapt them on the device."""


@main.command()
@click.argument("recipe", required=False)
@click.option(
    "--data", metavar="SOURCE", help="omniglot, glyphs, a folder of images or an .npz file."
)
@click.option("--out", type=PATH, required=True, help="The run's folder.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting, as meta.lr=0.01; may be repeated.",
)
@a_device
@click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Processor threads.  [default: torch's]"
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
def train(
    recipe: str | None, data: str | None, out: Path, changes: tuple[str, ...], **how: Any
) -> None:
    """Meta-train a learner.

    RECIPE: a learner's name, the name of a recipe, or a TOML file.
    """
    if not recipe and not how["resume"]:
        raise click.UsageError("Missing argument 'RECIPE': a learner, a recipe or a TOML file.")
    from handful.trainer.commands.train import train_command
    from handful.trainer.training.progress import bars

    source = [f"data.source={json.dumps(data, ensure_ascii=False)}"] if data else []
    with bars() as report:
        done = train_command(recipe, out, changes=[*source, *changes], report=report, **how)
    if not done.finished:
        again = shlex.join(["handful", "train", "--resume", "--out", str(out)])
        fail("interrupted, and saved", f"go on with: {again}", status=INTERRUPTED)
    follow = [("evaluate", out), *([("export", out, "FOLDER")] if done.exportable else [])]
    say_next(f"done: {out}", *follow)


@main.command()
@click.argument("run_or_package")
@click.option(
    "--way",
    "ways",
    type=click.IntRange(2),
    multiple=True,
    default=[5],
    metavar="N...",
    help="Classes in a task, several as 5 20.",
)
@click.option(
    "--shot",
    "shots",
    type=click.IntRange(1),
    multiple=True,
    default=[1],
    metavar="N...",
    help="Support examples a class, several as 1 5.",
)
@click.option(
    "--episodes", type=click.IntRange(2), default=1000, metavar="N", help="Tasks to measure on."
)
@click.option("--queries", type=click.IntRange(1), default=15, metavar="N", help="Queries a class.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="The seed that tasks are drawn from.",
)
@click.option("--transductive", is_flag=True, help="Normalise by the query batch (runs only).")
@a_device
@as_json
def evaluate(
    run_or_package: str,
    as_json: bool,
    transductive: bool,
    device: str,
    **sizes: Any,
) -> None:
    """Measure accuracy ± 95 % on meta-test classes.

    RUN_OR_PACKAGE is the folder of either, or the name of a package that ships with handful. A
    run is measured in torch, a package through the runtime, both on the same tasks.
    """
    from handful.runtime.tools.text import accuracies
    from handful.trainer.commands.evaluate import Plan, evaluate_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        found = evaluate_command(
            run_or_package,
            Plan(**sizes),
            transductive=transductive,
            device=device,
            count=report.count,
        )
    show(accuracies(found), [asdict(result) for result in found], as_json)


@main.command()
@click.argument("run", type=PATH)
@click.argument("folder", type=PATH)
@click.option("--name", help="The package's name.  [default: the folder's]")
@click.option("--force", is_flag=True, help="Replace a package that is there.")
@click.option(
    "--episodes",
    type=click.IntRange(0),
    default=1000,
    metavar="N",
    help="Tasks to measure accuracy on; 0: none.",
)
def export(run: Path, folder: Path, **how: Any) -> None:
    """Trace a run, gradients included, into a package.

    RUN is a folder made by `handful train`. The package is written to FOLDER, unless ONNX and torch
    differ anywhere.
    """
    from handful.runtime.tools.text import accuracies
    from handful.trainer.commands.export import export_command
    from handful.trainer.training.progress import bars

    with bars() as report:
        found = export_command(run, folder, count=report.count, **how)
    size = sum(graph.bytes for graph in found.graphs.values())
    say(f"wrote {folder}: {len(found.graphs)} graphs, {size} bytes, as torch at every state")
    if found.evaluation:
        click.echo(accuracies(found.evaluation))


@main.command()
@a_package
@as_json
def verify(package: str, as_json: bool) -> None:
    """Check a package: hashes, graphs, golden vectors.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.text import verified
    from handful.runtime.tools.verify import verify as verify_package

    found = verify_package(package)
    show(verified(found), {**asdict(found), "worst": found.worst, "ok": found.ok}, as_json)
    if not found.ok:
        fail(
            f"{found.name} does not give what its trainer got: {', '.join(found.failed[:3])}",
            "export the package again",
        )


@main.command()
@a_package
@as_json
def inspect(package: str, as_json: bool) -> None:
    """Show a package: graphs, sizes, limits, accuracy.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.inspect import describe
    from handful.runtime.tools.text import described

    found = describe(package)
    show(described(found), found.as_json(), as_json)


@main.command()
@a_package
@click.argument("pictures", type=PATH)
@click.option("--out", type=PATH, required=True, help="The task file to write.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def adapt(package: str, pictures: Path, out: Path, force: bool) -> None:
    """Adapt a package to pictures; writes a task file.

    PACKAGE is a folder, or the name of a package that ships with handful. PICTURES is a folder with
    one sub-folder a class.
    """
    from handful.runtime.tools.on_files import adapt_folder

    task = adapt_folder(package, pictures, out, force=force)
    counts = ", ".join(f"{label} ({count})" for label, count in task.counts.items())
    say_next(f"wrote {out}: {counts}", ("predict", "--package", package, out, "PICTURE"))


@main.command()
@click.argument("task", type=PATH)
@click.argument("pictures", type=PATH, nargs=-1, required=True)
@click.option("--package", help="The package that made the task, if it does not ship with handful.")
@as_json
def predict(task: Path, pictures: tuple[Path, ...], package: str | None, as_json: bool) -> None:
    """Label pictures by a task: label, score, file.

    TASK is a file that `handful adapt` wrote, PICTURES are files of pictures.
    """
    from handful.runtime.tools.on_files import predict_files

    found = predict_files(task, pictures, package=package)
    lines = (f"{answer.label}\t{answer.score:.3f}\t{answer.file}" for answer in found)
    show("\n".join(lines), [asdict(answer) for answer in found], as_json)


@main.command()
@a_package
@click.option("--way", type=click.IntRange(2), default=5, metavar="N", help="Classes.")
@click.option("--shot", type=click.IntRange(1), default=1, metavar="N", help="Examples a class.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, metavar="N", help="Processor threads."
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=50,
    metavar="N",
    help="Repetitions, of which medians are taken.",
)
@as_json
def bench(package: str, as_json: bool, **how: int) -> None:
    """Time a package here: cold start, adapt, predict.

    PACKAGE is a folder, or the name of a package that ships with handful.
    """
    from handful.runtime.tools.bench import bench as measure
    from handful.runtime.tools.text import benched

    found = measure(package, **how)
    show(benched(found), asdict(found), as_json)


@main.command()
def learners() -> None:
    """List the learners and the recipes."""
    from handful.runtime.tools.text import pairs
    from handful.trainer.listing import described_learners, recipes

    click.echo(pairs(described_learners()))
    click.echo(f"\nrecipes: {', '.join(recipes())}")


@main.command()
def data() -> None:
    """List the data sources."""
    from handful.runtime.tools.text import pairs
    from handful.trainer.listing import SOURCES

    click.echo(pairs(SOURCES.items()))


@main.command()
def packages() -> None:
    """List the packages that ship with handful."""
    from handful.runtime.package.shipped import shipped

    click.echo("\n".join(shipped()))
