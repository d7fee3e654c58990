"""The `handful` command: parses, calls one function, prints; data to stdout, words to stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from handful.runtime.errors import HandfulError

TRAIN_EXTRA = ("torch", "onnx", "onnxscript", "onnx_ir", "rich", "safetensors", "matplotlib", "PIL")
FOLDER = click.Path(path_type=Path)


class Command(click.Command):
    """A command whose own errors are two lines and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; nothing that a user can cause shows a traceback."""
        try:
            return super().invoke(ctx)
        except HandfulError as error:
            fail(str(error), error.hint)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in TRAIN_EXTRA:
                raise
            fail(f"{error.name} is not installed", "pip install 'handful[train]'")
        except KeyboardInterrupt:
            fail("interrupted", None, status=130)
        except OSError as error:
            if error.filename is None:
                raise
            fail(f"{error.strerror}: {error.filename}", None)


class Group(click.Group):
    """Commands in the order in which they are written here."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Train first, adapt later."""
        return list(self.commands)


def fail(message: str, hint: str | None, *, status: int = 1) -> None:
    """Say what is wrong and how to put it right, then exit."""
    click.echo(f"error: {message}" + (f"\n\nhint: {hint}" if hint else ""), err=True)
    sys.exit(status)


def say(text: str) -> None:
    """Words, which do not belong to the data."""
    click.echo(text, err=True)


def show(data: Any) -> None:
    """Data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def many(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[int]:
    """`--way 5 --way 20` or `--way 5,20`."""
    try:
        found = [int(part) for item in value for part in item.split(",")]
    except ValueError:
        raise click.BadParameter(f"{', '.join(value)} is not a list of whole numbers") from None
    if min(found) < 1:
        raise click.BadParameter("must be positive")
    return found


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(package_name="handful")
def main() -> None:
    """Meta-train few-shot learners, export them as ONNX, adapt them on the device."""


@main.command()
@click.argument("recipe", required=False, default="leo")
@click.option("--data", help="omniglot, glyphs, a folder of images or an .npz file")
@click.option("--out", type=FOLDER, required=True, help="the run's folder")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="change a setting, as meta.lr=0.01",
)
@click.option("--device", default="cpu", help="cpu, cuda, cuda:1, …")
@click.option("--threads", type=click.IntRange(1), help="processor threads")
@click.option("--resume", is_flag=True, help="go on with the run in --out")
def train(
    recipe: str,
    data: str | None,
    out: Path,
    changes: tuple[str, ...],
    device: str,
    threads: int | None,
    resume: bool,
) -> None:
    """Meta-train by RECIPE: a learner's name, a recipe's name or a TOML file."""
    from handful.trainer.commands import train_command
    from handful.trainer.progress import bars

    given = [*([f"data.source={json.dumps(data)}"] if data else []), *changes]
    with bars() as report:
        done = train_command(
            recipe, out, changes=given, device=device, resume=resume, threads=threads, report=report
        )
    if not done.finished:
        say(f"stopped and saved; go on with: handful train --resume --out {out}")
        sys.exit(130)
    say(f"done: {out}; next: handful evaluate {out}, handful export {out} FOLDER")


@main.command()
@click.argument("run_or_package", type=FOLDER)
@click.option(
    "--way", multiple=True, default=["5"], callback=many, help="classes in a task; several: 5,20"
)
@click.option(
    "--shot", multiple=True, default=["1"], callback=many, help="examples a class; several: 1,5"
)
@click.option("--queries", type=click.IntRange(1), default=15, help="queries a class")
@click.option("--episodes", type=click.IntRange(2), default=1000)
@click.option("--seed", default=0)
@click.option("--transductive", is_flag=True, help="normalise by the query batch (runs only)")
@click.option("--device", default="cpu")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def evaluate(
    run_or_package: Path,
    way: list[int],
    shot: list[int],
    queries: int,
    episodes: int,
    seed: int,
    transductive: bool,
    device: str,
    as_json: bool,
) -> None:
    """Accuracy ± 95 % on meta-test classes: of a run in torch, of a package in the runtime."""
    from handful.trainer.commands import evaluate_package, evaluate_run
    from handful.trainer.progress import bars

    sizes: dict[str, Any] = {
        "ways": way,
        "shots": shot,
        "queries": queries,
        "episodes": episodes,
        "seed": seed,
    }
    with bars() as report:
        if (run_or_package / "manifest.json").exists():
            if transductive:
                raise click.UsageError("a package is never transductive: evaluate the run")
            results = evaluate_package(run_or_package, **sizes, count=report.count)
        else:
            results = evaluate_run(
                run_or_package,
                **sizes,
                transductive=transductive,
                device=device,
                count=report.count,
            )
    if as_json:
        show([dataclasses.asdict(result) for result in results])
        return
    rows = [
        (
            r.way,
            r.shot,
            r.episodes,
            f"{100 * r.accuracy:.2f} ± {100 * r.interval:.2f}",
            "transductive" if r.transductive else "",
        )
        for r in results
    ]
    table(("way", "shot", "episodes", "accuracy %", ""), rows)


@main.command()
@click.argument("run", type=FOLDER)
@click.argument("folder", type=FOLDER)
@click.option("--name", help="the package's name; else the folder's")
@click.option("--force", is_flag=True, help="replace a package that is there")
@click.option(
    "--episodes", type=click.IntRange(0), default=1000, help="measure over so many; 0: not"
)
def export(run: Path, folder: Path, name: str | None, force: bool, episodes: int) -> None:
    """Trace RUN with its gradients into the package FOLDER; refused where ONNX and torch differ."""
    from handful.trainer.commands import export_command
    from handful.trainer.progress import bars

    with bars() as report:
        manifest = export_command(
            run, folder, name=name, force=force, episodes=episodes, count=report.count
        )
    size = sum(graph.bytes for graph in manifest.graphs.values())
    say(
        f"wrote {folder}: {len(manifest.graphs)} graphs, {size} bytes; agrees with torch at every state"
    )


@main.command()
@click.argument("package", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def verify(package: Path, as_json: bool) -> None:
    """Check hashes and graphs, replay the golden vectors."""
    from handful.runtime.verify import verify as verify_package

    report = verify_package(package)
    if as_json:
        show(dataclasses.asdict(report) | {"ok": report.ok, "worst": report.worst})
    else:
        click.echo(
            f"{report.name}: {report.files} files, {report.bytes} bytes,"
            f" {len(report.differences)} golden vectors, worst difference {report.worst:.1e}"
        )
    if not report.ok:
        fail(
            f"{report.name} does not give what its trainer got: {', '.join(report.failed[:3])}",
            "export the package again",
        )


@main.command()
@click.argument("package", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def inspect(package: Path, as_json: bool) -> None:
    """Graphs, sizes, operations, limits, accuracy."""
    from handful.runtime.inspect import describe

    found = describe(package)
    if as_json:
        show(found.as_json())
        return
    manifest = found.manifest
    way, shot = manifest.limits.way, manifest.limits.shot
    click.echo(f"{manifest.name}: {manifest.learner}, {manifest.task}, {found.bytes} bytes")
    click.echo(
        f"input   {manifest.input.kind} {list(manifest.input.shape)}, licence {manifest.licence}"
    )
    click.echo(
        f"limits  way {way.min} to {way.max or 'any'}, shot {shot.min} to {shot.max or 'any'}"
    )
    click.echo(f"order   {' → '.join(found.order)}\n")
    rows = [
        (
            g.name,
            g.bytes,
            g.nodes,
            g.parameters,
            ", ".join(f"{k} {v}" for k, v in list(g.operators.items())[:5]),
        )
        for g in found.graphs
    ]
    table(("graph", "bytes", "nodes", "values", "operators"), rows)
    if manifest.evaluation:
        click.echo()
        table(
            ("data", "way", "shot", "episodes", "accuracy %"),
            [
                (
                    e.data,
                    e.way,
                    e.shot,
                    e.episodes,
                    f"{100 * e.accuracy:.2f} ± {100 * e.interval:.2f}",
                )
                for e in manifest.evaluation
            ],
        )


@main.command()
@click.argument("package", type=FOLDER)
@click.argument("examples", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="the task file to write")
@click.option("--force", is_flag=True, help="replace a file that is there")
def adapt(package: Path, examples: Path, out: Path, force: bool) -> None:
    """Adapt PACKAGE to the images in EXAMPLES, one sub-folder a class; writes a task file."""
    from handful.runtime.images import read_folder
    from handful.runtime.packages import load

    if out.exists() and not force:
        fail(f"{out} exists", "choose another file, or replace it with --force")
    learner = load(str(package))
    task = learner.adapt(read_folder(examples, learner.input))
    task.save(out)
    counts = ", ".join(f"{label} ({count})" for label, count in task.counts.items())
    say(f"wrote {out}: {counts}")


@main.command()
@click.argument("package", type=FOLDER)
@click.argument("task", type=FOLDER)
@click.argument("images", type=FOLDER, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="print JSON, all probabilities")
def predict(package: Path, task: Path, images: tuple[Path, ...], as_json: bool) -> None:
    """Label each of IMAGES by TASK, which `handful adapt` made from PACKAGE: label, score, file."""
    from handful.runtime.images import read_image
    from handful.runtime.packages import load

    learner = load(str(package))
    adapted = learner.load_task(task)
    pictures = [read_image(image, learner.input) for image in images]
    rows = [adapted.predict_proba(picture) for picture in pictures]
    if as_json:
        show(
            [
                {
                    "file": str(image),
                    "probabilities": dict(zip(adapted.classes, map(float, row), strict=True)),
                }
                for image, row in zip(images, rows, strict=True)
            ]
        )
        return
    for image, row in zip(images, rows, strict=True):
        best = int(row.argmax())
        click.echo(f"{adapted.classes[best]}\t{row[best]:.3f}\t{image}")


@main.command()
@click.argument("package", type=FOLDER)
@click.option("--way", type=click.IntRange(2), default=5)
@click.option("--shot", type=click.IntRange(1), default=1)
@click.option("--threads", type=click.IntRange(1), default=1)
@click.option("--runs", type=click.IntRange(1), default=50)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def bench(package: Path, way: int, shot: int, threads: int, runs: int, as_json: bool) -> None:
    """Cold start, adapt, predict, memory, on this machine."""
    from handful.runtime.bench import bench as measure

    found = dataclasses.asdict(measure(package, way=way, shot=shot, threads=threads, runs=runs))
    if as_json:
        show(found)
        return
    for name, value in found.items():
        click.echo(f"{name:14} {value:.3f}" if isinstance(value, float) else f"{name:14} {value}")


@main.command()
def learners() -> None:
    """The learners that can be trained, and the recipes there are."""
    from handful.trainer.commands import recipes
    from handful.trainer.learners import LEARNERS

    for name, learner in LEARNERS.items():
        click.echo(f"{name:14} {(learner.__doc__ or '').splitlines()[0]}")
    say("recipes: " + ", ".join(name for name in recipes() if name not in LEARNERS))


@main.command()
def data() -> None:
    """The data sources there are."""
    from handful.trainer.data import SOURCES

    for name, text in SOURCES.items():
        click.echo(f"{name:14} {text}")


@main.command()
def packages() -> None:
    """The packages that ship with handful."""
    from handful.runtime.packages import shipped

    for name in shipped():
        click.echo(name)


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Columns as wide as they must be; numbers to the right."""
    cells = [head, *[tuple(str(cell) for cell in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    right: list[Callable[[str, int], str]] = [
        str.rjust if rows and isinstance(rows[0][i], int | float) else str.ljust
        for i in range(len(head))
    ]
    for row in cells:
        click.echo("  ".join(f(c, w) for f, c, w in zip(right, row, widths, strict=True)).rstrip())
