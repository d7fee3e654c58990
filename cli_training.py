"""`handful check` and `handful train`: what comes before there is a run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from handful.console import (
    INTERRUPTED,
    NAME_OR_PATH,
    PATH,
    Command,
    a_device,
    as_json,
    fail,
    number,
    say_next,
    settings,
    several_workers,
    show,
)

OWN = ("split", "array", "labels")  # options that are short for settings of text


@click.command(cls=Command)
@click.argument("data", type=NAME_OR_PATH)
@click.option("--split", metavar="HOW", help="random, or a JSON file; Omniglot: vinyals, lake.")
@click.option("--array", metavar="NAME", help="npz: the name of the examples.")
@click.option("--labels", metavar="NAME", help="npz: the name of their labels.")
@number("--rate", least=1, help="The examples are sounds: samples a second.")
@settings(help="A setting of the data, as data.window=64; may be repeated.")
@click.option("--skip-bad", is_flag=True, help="Do not fail for files that cannot be read.")
@as_json
def check(data: str, rate: int | None, as_json: bool, skip_bad: bool, **how: Any) -> None:
    """Look at data before training on them.

    DATA is a folder with one sub-folder a class, an .npz file, omniglot or glyphs. Prints what each
    part holds, bad files and duplicates, and the commands that can train on it; fails where
    training would refuse it.
    """
    from handful.trainer.commands.check import Request, check_command
    from handful.trainer.training.progress import bars

    texts = [(name, how[name]) for name in OWN if how[name] is not None]
    short = [f"data.{name}={json.dumps(text, ensure_ascii=False)}" for name, text in texts]
    short += [f"data.rate={rate}"] if rate is not None else []
    with bars() as report:
        request = Request(changes=(*short, *how["changes"]), skip_bad=skip_bad)
        checked = check_command(data, request, report.fetching)
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
@click.option("--out", type=PATH, required=True, help="The run's folder.")
@settings(help="A setting, as meta.lr=0.01; may be repeated.")
@click.option("--pretrained", type=PATH, metavar="RUN", help="Take over this run's pre-training.")
@a_device
@several_workers
@number("--threads", least=1, help="Threads of each worker.  [default: the cores, shared out]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be read.")
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
