"""The `handful` command: parses, calls one function, prints; data to stdout, words to stderr.

The commands of a device are in device.py. Those of training are here, and import their libraries
when they run.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import handful
from handful.console import (
    INTERRUPTED,
    NAME_OR_PATH,
    PATH,
    Command,
    Group,
    a_device,
    as_json,
    condition_options,
    fail,
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
from handful.device import DEVICE

if TYPE_CHECKING:
    pass
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
    from handful.trainer.listing import describe_learners, recipes

    show(f"{pairs(describe_learners())}\n\nrecipes: {', '.join(recipes())}")


@main.group(cls=Group, invoke_without_command=True)
@click.pass_context
def data(context: click.Context) -> None:
    """List the data sources; or prepare downloads."""
    if context.invoked_subcommand is None:
        from handful.runtime.tools.text import pairs
        from handful.trainer.listing import SOURCES

        show(pairs(SOURCES.items()))


class OfCollections(Command):
    """A command that reads downloaded collections, whose help lists them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The collections, then the options."""
        from handful.trainer.listing import COLLECTIONS

        with formatter.section("Collections"):
            formatter.write_dl(
                (name, ", ".join(f"{made}.npz" for made in files))
                for name, files in COLLECTIONS.items()
            )
        super().format_options(ctx, formatter)


@data.command(cls=OfCollections)
@click.argument("folder", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="The folder to write to.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
def prepare(folder: Path, out: Path, force: bool) -> None:
    """Prepare downloaded collections for the recipes.

    FOLDER holds one or more of the collections below, a folder each. Of each the files beside it
    are made, with a split, a JSON file of the same name.
    """
    from handful.trainer.data.prepare import prepare as prepare_data

    for file in prepare_data(folder, out, force=force):
        say(f"wrote {file}")


@main.command()
def packages() -> None:
    """List the packages that ship with handful."""
    from handful.runtime.tools.text import pairs
    from handful.trainer.listing import describe_packages

    show(pairs(describe_packages()))
