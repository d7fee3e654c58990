"""The arrow goes one way: cli → trainer → runtime, and the runtime needs numpy and onnxruntime."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
RUNTIME, TRAINER, BENCHMARKS = (
    sorted((ROOT / part).rglob("*.py")) for part in ("runtime", "trainer", "benchmarks")
)
FILES = [*RUNTIME, *TRAINER, *BENCHMARKS, *sorted(ROOT.glob("*.py"))]
TRAINING_ONLY = {
    "torch", "onnx", "onnxscript", "onnx_ir", "pydantic", "pydantic_core", "rich", "safetensors",
    "matplotlib", "PIL", "handful.trainer",
}  # fmt: skip
RUNTIME_NEEDS = {*sys.stdlib_module_names, "numpy", "onnxruntime"}
# The rooms from the ground up: a room is a folder, or a file that lies beside folders, and knows
# those before it alone.
ROOMS = (
    "runtime/errors.py", "runtime/arrays.py", "runtime/progress.py", "runtime/ort.py",
    "runtime/vetting", "runtime/package",
    "runtime/inputs", "runtime/sessions.py", "runtime/unlike.py", "runtime/engine.py",
    "runtime/confidence.py", "runtime/rollout.py", "runtime/support.py", "runtime/negatives.py",
    "runtime/task_file.py",
    "runtime/task.py", "runtime/learner.py", "runtime/listener.py", "runtime/__init__.py",
    "runtime/tools", "__init__.py", "console.py",
    "trainer/__init__.py", "trainer/listing.py", "trainer/settings", "trainer/episodes.py",
    "trainer/operations", "trainer/networks", "trainer/form", "trainer/parts", "trainer/learners",
    "trainer/data/log_mel.py", "trainer/data/backbones",
    "trainer/data/config.py", "trainer/data/layout.py",
    "trainer/data/distortions", "trainer/data/labelled.py",
    "trainer/data/environments.py",
    "trainer/data/functions.py", "trainer/data/splits.py", "trainer/data/domains.py",
    "trainer/data/record.py",
    "trainer/data/sources", "trainer/data/prepare.py",
    "trainer/data/backbone.py",
    "trainer/data/__init__.py", "trainer/data/survey.py",
    "trainer/workers", "trainer/evaluation", "trainer/training", "trainer/export",
    "trainer/commands", "trainer/demo", "device.py", "cli.py", "__main__.py",
)  # fmt: skip
COMMAND_LINE = {"cli", "console", "device"}


class Import(NamedTuple):
    """One module that a file imports."""

    module: str
    inside: bool  # a function
    typing: bool  # only a type checker sees it


def dotted(path: Path) -> str:
    return ".".join(["handful", *path.relative_to(ROOT).with_suffix("").parts])


def named_in(module: str, name: str) -> str:
    """What `from module import name` imports: the module of that name where there is one."""
    folder = ROOT.joinpath(*module.split(".")[1:])
    own = module.partition(".")[0] == "handful"
    if module == "handful" or (own and file_of(folder / name)):
        return f"{module}.{name}"
    return module


def file_of(place: Path) -> Path | None:
    """The file of the module at this place: its own, or a folder's."""
    files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def imports_of(source: str, path: Path) -> Iterator[Import]:
    """Every import of a file that lies at `path` below the root."""
    tree = ast.parse(source)
    inside, typing = set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside |= {id(each) for each in ast.walk(node)}
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing |= {id(each) for statement in node.body for each in ast.walk(statement)}
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            folder = ["handful", *path.parts[: -node.level]] if node.level else []
            module = ".".join([*folder, *filter(None, [node.module])])
            modules = [named_in(module, alias.name) for alias in node.names]
        yield from (Import(module, id(node) in inside, id(node) in typing) for module in modules)


@functools.cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(imports_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT)))


def forbidden(path: Path, found: Import) -> str | None:
    """Why the file that lies at `path` below the root may not import this; None where it may."""
    top, part, room, *_ = [*found.module.split("."), "", ""]
    where = path.parts[0]
    if top == "onnxruntime" and path != Path("runtime/ort.py"):
        if found.inside and part == "quantization":  # its tools, after it and inside the package
            return None
        return "onnxruntime is imported in one place, where its telemetry is switched off first"
    if found.typing:
        return None
    if where == "runtime":
        if top == "PIL":  # the extra handful[images]
            uses = path.parts[1] == "inputs" or path == Path("runtime/tools/tested.py")
            return None if found.inside and uses else "Pillow waits until a picture is used"
        if (part not in ("", "runtime")) if top == "handful" else (top not in RUNTIME_NEEDS):
            return "the runtime needs numpy, onnxruntime and the standard library"
    elif where == "trainer":
        if part in COMMAND_LINE if top == "handful" else top in {"cli", "click"}:
            return "the trainer is a library and knows no command line"
        if top in {"trainer", "runtime"}:
            return "its name is handful"
        if path.parts[1] == "learners" and part == "trainer" and room in {"export", "training"}:
            return "a learner is the same functions, whoever trains, evaluates or traces it"
    elif where != "benchmarks" and top in {"torch", "onnx"} and not found.inside:
        return "only the trainer imports torch"
    return None


def test_no_part_of_the_runtime_loads_what_trains() -> None:
    """Nor click, which is the command line's. All are imported one after the other."""
    modules = [dotted(path) for path in RUNTIME if path.name != "__init__.py"]
    code = """
import importlib, json, sys
new = {}
for module in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(module)
    new[module] = sorted(set(sys.modules) - before)
print(json.dumps(new))
"""
    completed = subprocess.run(
        [sys.executable, "-c", code, json.dumps(["handful", *modules, "handful.cli"])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    new: dict[str, list[str]] = json.loads(completed.stdout)
    assert "numpy" not in new["handful"]  # so that `handful --help` waits for nothing
    loaded = {module: {*TRAINING_ONLY, "click"} & {*names} for module, names in new.items()}
    assert {module: names for module, names in loaded.items() if names} == {
        "handful.cli": {"click"}
    }


def test_each_part_imports_only_what_it_may() -> None:
    offenders = [
        f"{path.relative_to(ROOT)} imports {found.module}: {why}"
        for path in FILES
        for found in imports(path)
        if (why := forbidden(path.relative_to(ROOT), found))
    ]
    assert not offenders, "\n".join(offenders)
    assert "onnxruntime" in {found.module for found in imports(ROOT / "runtime" / "ort.py")}


def test_what_a_part_may_not_import_is_found() -> None:
    """The rules on lines that are not in the tree: each is refused in the first file alone."""
    lines = [
        ("runtime/task.py", "import torch", "trainer/listing.py"),
        ("runtime/task.py", "from handful.trainer import listing", "benchmarks/speed.py"),
        (
            "runtime/vetting/vet.py",
            "from ...trainer import listing",
            "trainer/data/sources/arrays.py",
        ),
        ("runtime/learner.py", "def f(): import click", "cli.py"),
        ("runtime/inputs/pictures.py", "from PIL import Image", "trainer/listing.py"),
        ("runtime/task.py", "def f(): from PIL import Image", "runtime/inputs/pictures.py"),
        ("runtime/task.py", "import onnxruntime.capi", "runtime/ort.py"),
        ("trainer/form.py", "from onnxruntime import quantization", "runtime/ort.py"),
        ("benchmarks/speed.py", "import onnxruntime as ort", "runtime/ort.py"),
        ("trainer/form.py", "from handful import console", "cli.py"),
        ("trainer/form.py", "import click", "cli.py"),
        ("trainer/form.py", "from runtime import task", "cli.py"),
        ("trainer/learners/leo.py", "from ..export import trace", "trainer/commands/export.py"),
        ("trainer/learners/leo.py", "import handful.trainer.training", "trainer/listing.py"),
        ("cli.py", "from torch import nn", "trainer/listing.py"),
    ]
    for refused, line, allowed in lines:
        for name, wanted in ((refused, True), (allowed, False)):
            (found,) = imports_of(line, Path(name))
            assert bool(forbidden(Path(name), found)) is wanted, (name, line)
    (checked,) = imports_of("if TYPE_CHECKING:\n import torch", Path("cli.py"))
    assert forbidden(Path("cli.py"), checked) is None


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A path of modules that leads back to its start; empty where there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for imported_module in sorted(graph.get(module, ())):
            if loop := walk(imported_module, [*path, module]):
                return loop
        done.add(module)
        return []

    return next((loop for module in sorted(graph) if (loop := walk(module, []))), [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    """What only a type checker sees counts as well: a reader follows it, too."""
    graph: dict[str, set[str]] = {}
    for path in (*RUNTIME, *TRAINER):
        if path.name != "__init__.py":
            graph[dotted(path)] = {found.module for found in imports(path)}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle(graph) == []


def room_of(path: Path) -> int:
    """The place in ROOMS of the file that lies at `path` below the root; -1 where it has none."""
    above = (path, *path.parents)
    rooms = (ROOMS.index(str(place)) for place in above if str(place) in ROOMS)
    return next(rooms, -1)


def arrows_up(graph: dict[Path, set[Path]]) -> list[str]:
    """The imports, by files below the root, of a room that comes later; and files without one."""
    homeless = [f"{path} has no room in ROOMS" for path in sorted(graph) if room_of(path) < 0]
    return homeless + [
        f"{path} imports {other}: {ROOMS[room_of(path)]} lies below {ROOMS[room_of(other)]}"
        for path in sorted(graph)
        for other in sorted(graph[path])
        if room_of(path) < room_of(other)
    ]


def test_no_arrow_between_rooms_runs_back_up() -> None:
    graph: dict[Path, set[Path]] = {}
    for path in (*RUNTIME, *TRAINER, *ROOT.glob("*.py")):
        own = (m.split(".")[1:] for m, *_ in imports(path) if m.partition(".")[0] == "handful")
        files = filter(None, (file_of(ROOT.joinpath(*parts)) for parts in own if parts))
        graph[path.relative_to(ROOT)] = {file.relative_to(ROOT) for file in files}
    up, down = Path("trainer/evaluation/x.py"), Path("trainer/export/y.py")
    assert arrows_up({down: {up}, up: {up}}) == []
    assert arrows_up({up: {down}}) == [
        f"{up} imports {down}: trainer/evaluation lies below trainer/export"
    ]
    assert arrows_up({Path("new/z.py"): set()}) == ["new/z.py has no room in ROOMS"]
    assert not arrows_up(graph), "\n".join(arrows_up(graph))
    assert {ROOMS[room_of(path)] for path in graph} == set(ROOMS)


def test_no_file_imports_a_learner_before_and_after_export() -> None:
    def learners(path: Path) -> set[str]:
        return {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and "Learner" in [a.name for a in node.names]
        }

    assert not [path for path in FILES if len(learners(path)) > 1]


def test_the_public_names_are_those_of_the_runtime() -> None:
    import handful
    from handful import runtime

    assert handful.__all__ == runtime.__all__
    for public in handful.__all__:
        assert getattr(handful, public) is getattr(runtime, public)
    with pytest.raises(AttributeError, match="module 'handful' has no attribute 'lode'"):
        _ = vars(handful)["__getattr__"]("lode")


def test_every_error_is_a_handful_error_with_room_for_a_hint() -> None:
    from handful import HandfulError
    from handful.trainer.settings.errors import ConfigError, DataError, ExportError
    from handful.trainer.training.checkpoint import CheckpointError, StorageError
    from handful.trainer.training.folder import LockError, RunError
    from handful.trainer.training.loop import TrainingError

    trainers = (CheckpointError, DataError, ExportError, ConfigError, TrainingError, RunError)
    for kind in (*trainers, LockError, StorageError):
        error = kind("what", hint="how")
        assert isinstance(error, HandfulError)
        assert (str(error), error.hint) == ("what", "how")
