"""Writing an exported package: graphs, manifest, golden vectors and card, whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from handful.runtime.errors import ManifestError, quote
from handful.runtime.package.decode import to_json
from handful.runtime.package.files import write_atomic
from handful.runtime.package.manifest import (
    Bounds,
    Confidence,
    Evaluation,
    Limits,
    Manifest,
    is_basename,
)
from handful.runtime.package.npz import pack_npz
from handful.runtime.package.rules import check
from handful.runtime.tools.golden import FILE as CONFORMANCE
from handful.runtime.tools.golden import (
    MOST_OF_ANSWERS,
    SCALE,
    SOUNDS,
    START,
    TOLERANCE,
    draw_pictures,
    draw_series,
    draw_sounds,
    tolerance_key,
)
from handful.runtime.tools.verify import tolerance_of
from handful.trainer.settings.errors import ExportError

from .card import card
from .conditioning import ALTERED, HEADROOM, run_in_torch, tolerances
from .graphs import Graphs, trace_learner
from .in_front import compose, put_in_front
from .parity import check_parity
from .precision import convert_precision
from .source import Source, choose_checkable

try:
    import fcntl
except ImportError:  # Windows: there their age tells what was left
    fcntl = None  # type: ignore[assignment]

PART = ".part"  # ends the name of a folder in which a package is being built
LONGEST = 86_400  # seconds that an export may take where nothing else tells that it has ended
Arrays = dict[str, np.ndarray[Any, Any]]
V = TypeVar("V")
GOLDEN = 8  # of many named classes so many have golden examples, and so many queries
THIN_ABOVE = 4096  # values of a golden tensor; larger ones keep every k-th


def export(
    source: Source,
    folder: Path,
    *,
    name: str | None = None,
    force: bool = False,
    say: Callable[[str], object] | None = None,
) -> Manifest:
    """Trace, write, check against torch; the folder appears only when everything agrees.

    A note is said where the learner magnifies rounding.
    """
    name = name or folder.name
    with in_place(folder, name, force=force) as place:
        return build(source, place, name=name, say=say)


def build(
    source: Source,
    place: Path,
    *,
    name: str,
    say: Callable[[str], object] | None = None,
) -> Manifest:
    """The package in the folder `place`, which is empty, checked against torch."""
    if source.learner.transductive:
        raise ExportError(
            f"{source.learner.name} with transductive normalisation cannot be exported:"
            " its predictions depend on the other queries",
            hint="train with learner.network.normalisation = support, task, group or layer",
        )
    # a checkpoint's order of parameters must not show: the same learner gives the same bytes
    params = dict(sorted(source.params.items()))
    source = replace(source, test=choose_checkable(source.test), params=params)
    graphs = trace_learner(source.learner, source.params)
    if source.backbone is not None:
        graphs = compose(graphs, source.backbone, source.test.input, source.channels)
    graphs = convert_precision(graphs, source.precision, source.calibration)
    if source.front is not None:
        graphs = put_in_front(graphs, source.front)
    if source.precision != "float32":
        embed = graphs.models["embed"].SerializeToString(deterministic=True)
        source = replace(source, lowered=embed)
    golden = golden_vectors(source)
    manifest = _write(source, graphs, golden, place, name)
    check_parity(source, place)
    if say is not None and (note := describe_magnified(golden)):
        say(f"note: {note}")
    return manifest


def check_place(folder: Path, name: str, *, force: bool) -> None:
    """Refuse a place where no package of this name can be written, before anything is computed."""
    if not is_basename(name):
        raise ExportError(
            f"a package cannot be called {quote(name)}",
            hint="name it with --name: letters, digits, - and _",
        )
    if os.path.lexists(folder) and not force:
        raise ExportError(
            f"{folder} exists", hint="choose another folder, or replace it with --force"
        )
    is_package = (folder / "manifest.json").is_file()
    if os.path.lexists(folder) and not folder.is_dir():
        raise ExportError(f"{folder} is a file, it is not replaced", hint="choose another folder")
    if folder.exists() and not is_package and any(folder.iterdir()):
        raise ExportError(f"{folder} is not an exported package, it is not replaced")
    above = next(place for place in folder.absolute().parents if os.path.lexists(place))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ExportError(
            f"cannot write {folder}: {above} is no folder that may be written",
            hint="choose another folder",
        )


def with_evaluation(
    folder: Path,
    manifest: Manifest,
    results: Sequence[Evaluation],
    confidence: Sequence[Confidence] = (),
) -> Manifest:
    """The package with measured accuracies and confidence in its manifest and card."""
    manifest = replace(manifest, evaluation=tuple(results), confidence=tuple(confidence))
    write_atomic(folder / "README.md", card(manifest).encode())
    write_atomic(folder / "manifest.json", to_json(manifest).encode())
    return manifest


def _write(source: Source, graphs: Graphs, golden: Arrays, folder: Path, name: str) -> Manifest:
    specs = {}
    for key, model in graphs.models.items():
        content = model.SerializeToString(deterministic=True)
        (folder / f"{key}.onnx").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        specs[key] = graphs.spec(key, f"{key}.onnx", content, digest)
    learner = source.learner
    # of named classes any may have no examples, and a policy has not acted yet
    least = 0 if learner.named_way or learner.actions else 1
    manifest = Manifest(
        name=name,
        learner=learner.name,
        task=learner.task.name,
        classes=source.test.named,
        input=replace(source.test.input, seen=source.seen),
        embed=graphs.embed,
        precision=source.precision,
        graphs=specs,
        stages=graphs.stages,
        predict=graphs.predict,
        limits=Limits(
            way=Bounds(learner.min_way, learner.max_way),
            # in regression both count all examples
            shot=Bounds(least, learner.max_support if learner.targets else None),
            support=Bounds(least, learner.max_support),
        ),
        training=source.training,
        licence=source.licence,
    )
    _check(manifest)
    (folder / "manifest.json").write_text(to_json(manifest), encoding="utf-8")
    (folder / "README.md").write_text(card(manifest), encoding="utf-8")
    if manifest.input.kind == "image":
        golden = golden | draw_pictures(manifest.input)
    if manifest.input.kind == "audio":
        golden = golden | draw_sounds(manifest.input)
    golden = golden | draw_series(manifest.input)
    (folder / CONFORMANCE).write_bytes(pack_npz(golden))
    return manifest


def _check(manifest: Manifest) -> None:
    """Refuse a package that no runtime could run, before its numbers are compared."""
    try:
        check(manifest)
    except ManifestError as error:
        raise ExportError(
            f"a package of {manifest.learner} breaks the format: {error}",
            hint=error.hint,
        ) from error


@torch.no_grad()
def golden_vectors(source: Source) -> Arrays:
    """Real support and query examples, every state on the way, the answers, as torch gets them.

    Beside what is conditioned so that another CPU may get more than the default from it stands by
    how much. ExportError where the answers themselves are.
    """
    learner, data = source.learner, source.test
    answer = learner.task.outputs
    way = learner.named_way or min(5, learner.max_way or 5)
    shots = [1 + i % 3 for i in range(way)]
    if learner.named_way:  # classes without examples, and beside them a task without any
        shots = [*shots[: min(GOLDEN, way - 1)], *[0] * max(1, way - GOLDEN)]
    while not data.holds(shots):
        shots.pop()
    support, y, query = data.draw_uneven(
        shots, queries=1, generator=torch.Generator().manual_seed(0)
    )
    if learner.named_way:
        query = query[:: -(-len(query) // GOLDEN)]
    if data.input.kind == "audio":  # 16 bits are half the bytes, and what most sounds come with
        support, query = (_in_steps(x) for x in (support, query))
    vectors = run_in_torch(source, support, y, query)
    found = tolerances(source, support, y, query)
    if learner.named_way:
        nothing = (support[:0], y[:0], query)
        vectors |= name_start(run_in_torch(source, *nothing))
        found |= name_start(tolerances(source, *nothing))
    vectors = {name: value for name, value in vectors.items() if not name.endswith("embed")}
    examples = {"support_x": support, "support_y": y, "query_x": query}
    arrays = dict(_thin(name, x.detach().cpu()) for name, x in {**examples, **vectors}.items())
    if not found[answer] <= MOST_OF_ANSWERS:
        raise ExportError(
            f"the answers of {learner.name} are rounding: they move by"
            f" {found[answer] / HEADROOM:.1e} of the largest when each number moves by"
            f" {ALTERED:.0e} of itself, at most {MOST_OF_ANSWERS / HEADROOM:.1e} can be exported",
            hint="the package was not written; a diverging inner step magnifies rounding,"
            " lower its learning rate",
        )
    least = tolerance_of(source.precision)
    arrays |= {
        tolerance_key(name): np.array(found[name], np.float32)
        for name in vectors
        if found[name] > least
    }
    if data.input.kind == "audio":
        arrays |= {name: (arrays[name] * SCALE).astype(np.int16) for name in SOUNDS}
    return arrays


def name_start(of: dict[str, V]) -> dict[str, V]:
    """What is of a task without examples, by the names that golden vectors of it have."""
    return {START + name: value for name, value in of.items()}


def describe_magnified(golden: Arrays) -> str | None:
    """A sentence about golden vectors whose tolerance is not the default, if there are any."""
    found = {
        key.removesuffix(TOLERANCE): float(value)
        for key, value in golden.items()
        if key.endswith(TOLERANCE)
    }
    if not found:
        return None
    worst = max(found, key=lambda name: found[name])
    return (
        f"rounding is magnified in {len(found)} golden vectors: another CPU may differ by"
        f" {found[worst]:.0e} of the largest value in {worst}"
    )


def _in_steps(x: Tensor) -> Tensor:
    """Samples from −1 to 1 as 16 bits have them."""
    return (x * SCALE).round().clamp(-SCALE, SCALE - 1) / SCALE


def _thin(name: str, value: Tensor) -> tuple[str, np.ndarray[Any, Any]]:
    """Large states keep every k-th value, and say so in their name: `inner/1/theta.w[::k]`."""
    array = value.numpy()
    if "/" not in name or array.size <= THIN_ABOVE:
        return name, array
    every = -(-array.size // THIN_ABOVE)
    return f"{name}[::{every}]", array.reshape(-1)[::every].copy()


@contextmanager
def in_place(folder: Path, name: str, *, force: bool) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place when the context ends well.

    A package is there when it is whole, measured included: whatever ends the process before leaves
    `folder` as it was, and the next export to it removes what was left beside it. ExportError where
    something is in the way.
    """
    check_place(folder, name, force=force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _tidy(folder)
    # what an export had moved aside when it was killed may be back
    check_place(folder, name, force=force)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=PART))
    held = _hold(temporary)
    try:
        os.chmod(temporary, 0o755)
        yield temporary
        _move(temporary, folder)
    finally:
        if held is not None:
            os.close(held)
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path) -> None:
    """Put the finished folder in place; an old one is moved aside first and then removed."""
    if not folder.exists():
        os.replace(temporary, folder)
        return
    aside = _aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(folder, aside)
    os.replace(temporary, folder)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    """Where a package is moved that another one replaces."""
    return folder.with_name(f".{folder.name}.old")


def _tidy(folder: Path) -> None:
    """Remove what exports to `folder` left when they were killed; put back what one moved aside."""
    aside = _aside(folder)
    if aside.is_dir() and not folder.exists():
        os.replace(aside, folder)
    shutil.rmtree(aside, ignore_errors=True)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*{PART}"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)


def _hold(temporary: Path) -> int | None:
    """A descriptor that holds the folder's flock, which ends with the process, however it ends."""
    if fcntl is None:
        return None
    descriptor = os.open(temporary, os.O_RDONLY)
    with suppress(OSError):  # a file system without it: such folders are told by their age
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_left(temporary: Path) -> bool:
    """Whether no process builds a package in the folder any more."""
    try:
        if fcntl is None:
            return time.time() - temporary.stat().st_mtime > LONGEST
        descriptor = os.open(temporary, os.O_RDONLY)
    except OSError:  # it is gone, or it is another user's
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime > LONGEST
    finally:
        os.close(descriptor)
    return True
