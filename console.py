"""What all commands share: errors as words, numbers after one option, output, common options."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args

import click

from handful.runtime.errors import (
    HandfulError,
    InputNote,
    InputWarning,
    escape_controls,
    hint_extra,
)
from handful.runtime.package.manifest import Precision
from handful.runtime.tools.text import use_any_encoding

if TYPE_CHECKING:
    from handful.runtime.inputs.folders import Unread
    from handful.runtime.progress import Progress, Tell

F = TypeVar("F", bound=Callable[..., Any])
TRAIN_EXTRA = (
    "torch", "onnx", "onnxscript", "onnx_ir", "pydantic", "pydantic_core", "rich", "safetensors",
    "matplotlib", "PIL",
)  # fmt: skip
WAYS = "Classes in a task, several as 5 20."
DISTORT = "Distort the test examples, as rotation=15; may be repeated."
SHOTS = "Support examples a class, as 1 5."
TRAINING = ("check", "train", "evaluate", "compare", "export", "photos", "prepare")
GONE, CHANGE = "the working directory is gone", "change to another one"
PATIENCE = 1.0  # seconds that a part of the work takes before it has a bar
PARTS = 1000  # of a bar
INTERRUPTED = 130  # what a shell reports of a process that Ctrl-C ended


class NotEmpty(click.Path):
    """A path as it was typed; an empty one, an unset shell variable often, is not the folder `.`"""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


PATH, NAME_OR_PATH = NotEmpty(path_type=Path), NotEmpty()


class Command(click.Command):
    """A command whose errors are an error and a hint, exit status 1, and never a traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let whole numbers that may be given several times stand together: `--way 5 20`."""
        numbers = [p for p in self.params if isinstance(p.type, click.IntRange)]
        several = {p.opts[0] for p in numbers if isinstance(p, click.Option) and p.multiple}
        return super().parse_args(ctx, spread(args, several))

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        if self.name in TRAINING and not _has_folder():  # torch would end the process
            fail(GONE, CHANGE)
        with in_words(self.name), warnings.catch_warnings():
            warnings.simplefilter("always", InputWarning)
            warnings.showwarning = _show_warning
            return super().invoke(ctx)


@contextmanager
def in_words(name: str | None = None) -> Iterator[None]:
    """Errors as words, whatever happens meanwhile; `name` is the command's."""
    try:
        yield
    except HandfulError as error:
        fail(str(error), error.hint)
    except ModuleNotFoundError as error:
        top = (error.name or "").split(".")[0]
        if top not in TRAIN_EXTRA:
            raise
        if top == "PIL":
            fail("Pillow is not installed", "pip install pillow")
        extra = name if name in ("photos", "freeze") else "train"
        fail(f"{error.name} is not installed", hint_extra(extra))
    except KeyboardInterrupt:
        fail("interrupted", status=INTERRUPTED)
    except MemoryError:
        fail("there is not enough memory")
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read the output has had enough
            _drop_output()
            sys.exit(1)
        if error.filename is None and error.errno == errno.ENOSPC:
            _drop_output()  # which would be tried again when the process ends
        place = f": {error.filename}" if error.filename is not None else ""
        hint = None if _has_folder() else f"{GONE}: {CHANGE}"
        fail(f"{error.strerror or error}{place}", hint)


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Let what stdout still holds go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """A warning of ours in a line on stderr, another one as Python shows it."""
    text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    word = "note" if issubclass(category, InputNote) else "warning"
    say(f"{word}: {message}" if issubclass(category, InputWarning) else text)


class Share(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.2 on
    """A share as a number or in percent: 0.05, 5%."""

    name = "share"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """As people write it."""
        return "X%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; a usage error where it is none."""
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self.fail(f"{value!r} is not a share, wanted 5% or 0.05", param, ctx)


class Group(click.Group):
    """Commands in the order in which they are written here; all output is theirs."""

    command_class = Command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line."""
        use_any_encoding()
        with in_words():  # help, too, may be written to a full disk
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, or say what is wrong."""
        with in_words():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Train first, adapt later."""
        return list(self.commands)


def spread(args: list[str], names: set[str]) -> list[str]:
    """`--way 5 20` and `--way 5,20` as `--way=5 --way=20`."""
    expanded: list[str] = []
    option = ""
    for arg in args:
        if option and re.fullmatch(r"\d+(,\d+)*", arg):
            if expanded[-1] == option:
                expanded.pop()
            expanded += [f"{option}={number}" for number in arg.split(",")]
        else:
            option = arg if arg in names else ""
            expanded.append(arg)
    return expanded


def fail(message: str, hint: str | None = None, *, status: int = 1) -> NoReturn:
    """Say what is wrong and how to put it right, then exit."""
    say(f"error: {message}" + (f"\n\nhint: {hint}" if hint else ""))
    sys.exit(status)


def say(text: str) -> None:
    """Words, which do not belong to the data."""
    click.echo(escape_controls(text), err=True)


def fail_for_each(unread: Sequence[Unread]) -> None:
    """Say what is wrong with each file, and exit with 1 if there is any."""
    if not unread:
        return
    hints = [file.hint for file in unread if file.hint]
    lines = [f"error: {file.error}" for file in unread]
    say("\n".join([*lines, *(f"\nhint: {hint}" for hint in dict.fromkeys(hints))]))
    sys.exit(1)


def downloading(what: str) -> Callable[[int, int | None], None]:
    """Says once, as the first bytes come, what is downloaded and how large it is."""
    said = False

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        if not said:
            say(f"downloading {what}, once" + (f": {total / 2**20:.0f} MiB" if total else ""))
        said = True

    return progress


@contextmanager
def bars() -> Iterator[Tell]:
    """A bar on stderr for each part of the work that takes seconds, where that is a terminal.

    `trainer.training.progress` has those of a training, which need rich.
    """
    with ExitStack() as shown:

        def tell(part: str) -> Progress:
            began, bar = time.monotonic(), None

            def progress(share: float) -> None:
                nonlocal bar
                late = time.monotonic() - began >= PATIENCE
                if bar is None and late and share < 1 and sys.stderr.isatty():
                    bar = click.progressbar(length=PARTS, label=part, file=sys.stderr)
                    shown.enter_context(bar)
                if bar is not None:
                    bar.update(round(share * PARTS) - bar.pos)
                if share == 1:
                    shown.close()  # what is said next begins a line

            return progress

        yield tell


def _as_argument(word: object) -> str:
    """The word; a path that begins as an option does is given with its folder."""
    text = str(word)
    return os.path.join(os.curdir, text) if isinstance(word, Path) and text[:1] == "-" else text


def say_next(done: str, *commands: Sequence[object]) -> None:
    """What was done, and the commands that may follow, as a shell reads them."""
    lines = [shlex.join(map(_as_argument, ("handful", *command))) for command in commands]
    say("\n      ".join([f"{done}\nnext: {lines[0]}", *lines[1:]]))


def show(text: str, data: Any = None, as_json: bool = False) -> None:
    """Data: as text, or as JSON."""
    if as_json:
        text = json.dumps(data, indent=2, ensure_ascii=False)
        try:
            text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
        except UnicodeEncodeError:  # JSON has signs of its own for what an encoding lacks
            text = json.dumps(data, indent=2)
    click.echo(escape_controls(text))


def plan_options(*, shots: Sequence[int]) -> Callable[[F], F]:
    """Options of the tasks to measure on, as the fields of a Plan."""

    def add(command: F) -> F:
        for option in (
            number("--seed", least=0, default=0, help="The seed that tasks are drawn from."),
            number("--queries", least=1, default=15, help="Queries a class."),
            number("--episodes", least=2, default=1000, help="Tasks to measure on."),
            number("--shot", "shots", least=1, default=shots, help=SHOTS),
            number("--way", "ways", least=2, default=(5,), help=WAYS),
        ):
            command = option(command)
        return command

    return add


def condition_options(command: F) -> F:
    """Options of how the test differs from the training, as the fields of Conditions."""
    for option in (
        click.option("--distort", multiple=True, metavar="NAME=X", help=DISTORT),
        click.option("--upright", is_flag=True, help="Without quarter turns as classes."),
        click.option("--within", is_flag=True, help="Each task within one group, as one alphabet."),
    ):
        command = option(command)
    return command


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
a_package = click.argument("package", type=NAME_OR_PATH)
with_yardsticks = click.option(
    "--no-yardsticks",
    "yardsticks",
    flag_value=False,
    default=True,
    show_default=False,
    help="Leave out what the accuracy has to beat.",
)
of_embed = click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    metavar="TYPE",
    default="float32",
    help="Of `embed`: float32, float16 (its weights) or int8.",
)
skip_small = click.option(
    "--skip-small", is_flag=True, help="Leave out classes with too few examples, and name them."
)
trusted = click.option(
    "--trust", is_flag=True, help="Import the module of its own that a run names: it runs."
)
moved_data = click.option("--data", help="Where the data are now, if they were moved.")
a_device = click.option("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def number(
    *names: str, least: int, help: str, default: int | Sequence[int] | None = None
) -> Callable[[F], F]:
    """An option for a whole number of `least` or more; for several where the default is a list."""
    several = isinstance(default, Sequence)
    return click.option(
        *names,
        type=click.IntRange(least),
        multiple=several,
        default=default,
        metavar="N..." if several else "N",
        help=help,
    )


def settings(*, help: str) -> Callable[[F], F]:
    """The option --set, which may be repeated."""
    return click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help=help)


several_workers = number("--workers", least=1, help="Processes.  [default: one a core]")
