"""Hostile manifests of the package `head`: how each is made, and what has to come of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..runtime import edit

Case = tuple[Callable[[Path], object], str]  # spoils the folder; how its outcome begins


def text(replace: str, by: str) -> Callable[[Path], object]:
    """The manifest with one part of its text replaced."""

    def spoil(folder: Path) -> None:
        file = folder / "manifest.json"
        content = file.read_text()
        assert replace in content
        file.write_text(content.replace(replace, by, 1))

    return spoil


def data(content: bytes) -> Callable[[Path], object]:
    """Other bytes for the manifest."""
    return lambda folder: (folder / "manifest.json").write_bytes(content)


def encoded(codec: str) -> Callable[[Path], object]:
    """The manifest in another encoding."""

    def spoil(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_bytes(file.read_text().encode(codec))

    return spoil


def changed(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """The manifest altered as a tree of JSON."""
    return lambda folder: edit.manifest(folder, change)


def keys(count: int) -> bytes:
    """An object of many different keys."""
    return ("{" + ",".join(f'"{i}":0' for i in range(count)) + "}").encode()


def nested(content: Any, levels: int) -> Any:
    """`content` in so many lists."""
    for _ in range(levels):
        content = [content]
    return content


def folder_instead(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def many_stages(content: Any) -> None:
    stage = content["stages"][0]
    content["stages"] = [{**stage, "name": f"s{i}", "steps": 9000} for i in range(2)]


def many_vectors(content: Any) -> None:
    content["stages"][0] |= {"steps": 9000, "state": ["w"] * 9000}


def renamed(old: str, new: str) -> Callable[[Path], object]:
    """Another name for a tensor of the state, wherever the manifest has it."""

    def change(content: Any) -> None:
        for graph in content["graphs"].values():
            for tensor in (*graph["inputs"], *graph["outputs"]):
                if tensor["name"] == old:
                    tensor["name"] = new
        content["stages"][0]["state"] = [new]

    return changed(change)


def noise(*shape: Any) -> Callable[[Path], object]:
    def change(content: Any) -> None:
        content["graphs"]["start"]["inputs"][0]["shape"] = list(shape)

    return changed(change)


def state(*shape: Any) -> Callable[[Path], object]:
    def change(content: Any) -> None:
        content["graphs"]["start"]["outputs"][0]["shape"] = list(shape)

    return changed(change)


def policy(actions: int) -> Callable[[Path], object]:
    """A policy of so many actions instead, whose targets are still those of classes."""

    def change(content: Any) -> None:
        free = {"min": 0, "max": None}
        content.update(task="policy", confidence=[])
        content["limits"].update(shot=free, support=free)
        outputs = {"name": "outputs", "dtype": "float32", "shape": ["Q", 2 * actions]}
        content["graphs"]["predict"]["outputs"] = [outputs]

    return changed(change)


def measured(**values: Any) -> Callable[[Path], object]:
    entry = {
        "data": "d", "split": "meta_test", "way": 5, "shot": 1, "given": None, "episodes": 1000,
        "persons": None, "accuracy": 0.9, "mean_squared_error": None, "mean_return": None,
        "interval": 0.01, "transductive": False, "compared": [],
    }  # fmt: skip
    return changed(lambda content: content.update(evaluation=[{**entry, **values}]))


def named(*classes: str) -> Callable[[Path], object]:
    return changed(lambda content: content.update(classes=list(classes)))


def compared(**values: Any) -> Callable[[Path], object]:
    entry = {
        "name": "class means", "accuracy": 0.9, "mean_squared_error": None, "mean_return": None,
        "difference": 0.0, "interval": 0.0,
    }  # fmt: skip
    return measured(compared=[{**entry, **values}])


WRONG = "ManifestError: "
CASES: dict[str, Case] = {
    "format 1.0": (text('"format": 1', '"format": 1.0'), WRONG + "manifest has format 1.0, this"),
    "format 1e0": (text('"format": 1', '"format": 1e0'), WRONG + "manifest has format 1.0, this"),
    "a byte-order mark": (encoded("utf-8-sig"), WRONG + "manifest.json begins with a byte-order"),
    "UTF-16": (encoded("utf-16"), WRONG + "manifest.json begins with a byte-order mark"),
    "UTF-16 without a mark": (encoded("utf-16-le"), WRONG + "manifest.json is not JSON"),
    "Latin-1": (data(b'{"name": "\xe9"}'), WRONG + "manifest.json is not UTF-8 at byte 10"),
    "an integer beyond every float": (
        text('"scale": 0.00', f'"offset": 1{"0" * 400}, "scale": 0.00'),
        WRONG + f"1{'0' * 56}... in manifest, integers are at most 9007199254740992",
    ),
    "an integer of 5000 digits": (data(b"9" * 5000), WRONG + "9999"),
    "1e400": (text('"scale": 0.00', '"scale": 1e400, "x": 0.00'), WRONG + "1e400 in manifest"),
    "1e400 where anything goes": (
        text('"training": {}', '"training": {"lr": 1e400}'), WRONG + "1e400 in manifest",
    ),
    "20 000 keys": (data(keys(20_000)), WRONG),
    "100 000 keys": (data(keys(100_000)), WRONG),
    "nested lists where anything goes": (
        changed(lambda content: content.update(training={"a": nested(0, 900)})),
        WRONG + "manifest.json is nested more than 64 levels deep",
    ),
    "half a character": (
        text('"training": {}', '"training": {"\\ud800": 1}'),
        WRONG + "manifest.json has half a character",
    ),
    "a folder": (folder_instead, WRONG),
    "a list for all": (data(json.dumps([0] * 500_000).encode()), WRONG),
    "steps in all": (changed(many_stages), WRONG + "`stages` have 18000 steps, at most 10000"),
    "states in all": (changed(many_vectors), WRONG + "`stages` have 81018001 states and losses"),
    "noise of gigabytes": (noise("N", 2**25), WRONG + "`stages[0].noise` is too large, wanted"),
    "noise of S to the eighth": (noise(*["S"] * 8), WRONG + "`stages[0].noise` is too large"),
    "noise of B": (noise("B", 5), WRONG + "`graphs.start.inputs` has 'w_noise': ['B', 5], wanted"),
    "noise of Q": (noise("Q", 5), WRONG + "`graphs.start.inputs` has 'w_noise': ['Q', 5], wanted"),
    "policy of classes": (
        changed(lambda content: content.update(task="policy")),
        WRONG + "`limits.shot` is 1 to None, wanted low to high, from 0",
    ),
    "policy that draws": (policy(2), WRONG + "`stages[0].noise` is given, wanted none"),
    "policy of a million actions": (policy(2**20), WRONG + "`stages[0].noise` is given"),
    "state of B": (state("B", 5), WRONG + "`graphs.start.outputs` has 'w': ['B', 5], wanted"),
    "state of Q": (state("Q", 5), WRONG + "`graphs.start.outputs` has 'w': ['Q', 5], wanted"),
    "state called loss": (renamed("w", "loss"), WRONG + "`graphs.step.outputs` names 'loss' twice"),
    "state called x": (renamed("w", "x"), WRONG + "`graphs.start.outputs` has 'x', a name"),
    "state called support_x": (renamed("w", "support_x"), WRONG),
    "state called w.next": (renamed("w", "w.next"), WRONG + "`graphs.start.outputs` has 'w.next'"),
    "state called __proto__": (renamed("w", "__proto__"), WRONG + "`graphs.start.outputs[0].name`"),
    "state called constructor": (renamed("w", "constructor"), WRONG + "`graphs.start.outputs[0]"),
    "state with a slash": (renamed("w", "a/b"), WRONG + "`graphs.start.outputs[0].name` is 'a/b'"),
    "a stage called __proto__": (
        changed(lambda content: content["stages"][0].update(name="__proto__")),
        WRONG + "`stages[0].name` is '__proto__', wanted a plain name",
    ),
    "a graph called toString": (
        text('"embed": {', '"toString": {'), WRONG + "`graphs` is 'toString', wanted plain names",
    ),
    "one class named twice": (
        named("a", "a", "b", "c", "d"), WRONG + "`classes` has 5 names, wanted 2 to 1000, each",
    ),
    "a class that is an escape sequence": (
        named("a", "b", "c", "d", "\x1b[2J"), WRONG + "`classes[4]` is '\\x1b[2J', wanted a line",
    ),
    "classes beside limits from 2": (
        named("a", "b", "c", "d", "e"), WRONG + "`limits.way.min` is 2, wanted 5 as in `classes`",
    ),
    "given where none is named": (
        measured(given=2), WRONG + "`evaluation[0].given` is 2, wanted null: no class is named",
    ),
    "no examples where none is named": (
        changed(lambda content: content["limits"]["shot"].update(min=0)),
        WRONG + "`limits.shot` is 0 to None, wanted low to high, from 1",
    ),
    "accuracy 5.0": (measured(accuracy=5.0), WRONG + "`evaluation[0].accuracy` is 5.0, wanted 0"),
    "no accuracy": (
        measured(accuracy=None), WRONG + "`evaluation[0]` wants `accuracy` alone, the task is",
    ),
    "an error of a classification": (
        measured(mean_squared_error=0.1), WRONG + "`evaluation[0]` wants `accuracy` alone",
    ),
    "compared by an error": (
        compared(accuracy=None, mean_squared_error=0.1),
        WRONG + "`evaluation[0].compared[0]` wants `accuracy` alone",
    ),
    "a negative interval": (measured(interval=-0.1), WRONG + "`evaluation[0].interval` is -0.1"),
    "no way": (measured(way=0), WRONG + "`evaluation[0].way` is 0, wanted 1 or more"),
    "a difference of 2": (compared(difference=2.0), WRONG + "`evaluation[0].compared[0].diff"),
    "an escape sequence": (
        measured(data="\x1b[2J\x1b]0;owned\x07"), WRONG + "`evaluation[0].data` is",
    ),
    "an escape sequence in an unknown field": (
        changed(lambda content: content.update({"\x1b[31m": 1})), WRONG + "unknown field",
    ),
    "writing turned round": (
        changed(lambda content: content.update(licence="\u202eMIT")), WRONG + "`licence` is",
    ),
    "32 GiB of graphs": (
        changed(lambda c: [graph.update(bytes=2**29) for graph in c["graphs"].values()]),
        WRONG + "`graphs` have 2147483648 bytes, at most 1073741824 are read",
    ),
    "a shape of 100 000 axes": (
        noise(*[1] * 100_000), WRONG + "`graphs.start.inputs[0].shape` is [1, 1, 1, 1, 1, 1, 1,",
    ),
    "an array that is inverted": (
        changed(lambda c: c["input"].update(
            kind="array", layout=None, colour=None, resize=None, interpolation=None)),
        WRONG + "`input.invert` is true, wanted false: the input is an array",
    ),
    "a range beyond float32": (
        changed(lambda c: c["input"].update(range=[0, 1e39])),
        WRONG + "`input.range[1]` is 1e+39, wanted a number within ±1e+30",
    ),
}  # fmt: skip
