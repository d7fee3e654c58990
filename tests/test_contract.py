"""The arrow goes one way: cli → trainer → runtime, and the runtime needs numpy and onnxruntime."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUNTIME, TRAINER = (sorted((ROOT / part).rglob("*.py")) for part in ("runtime", "trainer"))
TRAINING_ONLY = (
    "torch", "onnx", "onnxscript", "onnx_ir", "pydantic", "pydantic_core", "rich", "safetensors",
    "matplotlib", "PIL",
)  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, *, typing_only: bool = False) -> Iterator[tuple[str, bool]]:
    """Every module that the file imports, and whether inside a function.

    What only a type checker sees is not imported, and counts with `typing_only` alone.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.If)
            and not typing_only
            and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            node.body = []
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            folder = path.relative_to(ROOT).parts[: -node.level]
            yield ".".join(["handful", *folder, *filter(None, [node.module])]), id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            if node.module == "handful":
                yield from ((f"handful.{a.name}", id(node) in inside) for a in node.names)
            else:
                yield node.module or "", id(node) in inside


def imported(modules: str) -> set[str]:
    """The packages that are loaded after importing `modules` in a fresh interpreter."""
    code = f"import {modules}, sys; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    completed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(completed.stdout.split())


@pytest.mark.parametrize("modules", ["handful", "handful.runtime"])
def test_importing_handful_loads_nothing_heavy(modules: str) -> None:
    loaded = imported(modules)
    assert "handful" in loaded
    assert not loaded & {*TRAINING_ONLY, "click"}


@pytest.mark.parametrize(
    "module", [path for path in RUNTIME if path.name != "__init__.py"], ids=name
)
def test_no_part_of_the_runtime_loads_what_trains(module: Path) -> None:
    loaded = imported(f"handful.{'.'.join(module.relative_to(ROOT).with_suffix('').parts)}")
    assert not loaded & {*TRAINING_ONLY, "click"}
    assert not [m for m in loaded if m.startswith("trainer")]


def test_the_command_line_loads_click_and_nothing_that_trains() -> None:
    loaded = imported("handful.cli")
    assert "click" in loaded
    assert not loaded & {*TRAINING_ONLY}


@pytest.mark.parametrize("path", RUNTIME, ids=name)
def test_the_runtime_imports_numpy_onnxruntime_and_the_standard_library(path: Path) -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "onnxruntime"}
    for module, inside in imports(path):
        top = module.partition(".")[0]
        if top == "handful":
            assert module.split(".")[1:2] in ([], ["runtime"]), module
        elif top == "PIL":  # the extra handful[images], only where a file is read
            assert inside, module
            assert path.name == "images.py" or path.parent.name == "pictures", module
        else:
            assert top in allowed, module


@pytest.mark.parametrize("path", TRAINER, ids=name)
def test_the_trainer_never_imports_the_command_line(path: Path) -> None:
    for module, _ in imports(path):
        handfuls = [["handful", part] for part in ("cli", "cli_device", "cli_training", "console")]
        assert module.split(".")[:2] not in handfuls, module
        assert module.partition(".")[0] not in ("cli", "click", "trainer", "runtime"), module


def test_only_the_trainer_imports_torch() -> None:
    for path in (*RUNTIME, *ROOT.glob("*.py")):
        tops = {module.partition(".")[0] for module, inside in imports(path) if not inside}
        assert not tops & {"torch", "onnx"}, path


def test_onnxruntime_is_imported_in_one_place() -> None:
    """Where its telemetry is switched off first; its tools come after that, inside the package."""
    importing = {
        name(path)
        for path in (*RUNTIME, *TRAINER, *ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py"))
        if "onnxruntime"
        in {
            module.partition(".")[0]
            for module, inside in imports(path)
            if not (inside and module.startswith("onnxruntime.quantization"))
        }
    }
    assert importing == {"runtime/ort.py"}


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
            module = ".".join(["handful", *path.relative_to(ROOT).with_suffix("").parts])
            graph[module] = {m for m, _ in imports(path, typing_only=True)}
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle(graph) == []


def test_the_learners_know_nothing_of_export_or_the_loop() -> None:
    """What is trained, evaluated and traced is the same functions, whoever calls them."""
    for path in sorted((ROOT / "trainer" / "learners").glob("*.py")):
        for module, _ in imports(path):
            parts = module.split(".")
            assert parts[:3] != ["handful", "trainer", "export"], path
            assert parts[:3] != ["handful", "trainer", "training"], path


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
    from handful.trainer.data.errors import DataError
    from handful.trainer.errors import ConfigError, ExportError
    from handful.trainer.training.checkpoint import CheckpointError
    from handful.trainer.training.files import StorageError
    from handful.trainer.training.folder import RunError
    from handful.trainer.training.lock import LockError
    from handful.trainer.training.loop import TrainingError

    trainers = (CheckpointError, DataError, ExportError, ConfigError, TrainingError, RunError)
    for kind in (*trainers, LockError, StorageError):
        error = kind("what", hint="how")
        assert isinstance(error, HandfulError)
        assert (str(error), error.hint) == ("what", "how")
