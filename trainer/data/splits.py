"""Splits by class: which classes meta-train, which validate, which test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from handful.runtime.inputs.folders import compose
from handful.trainer.settings.errors import DataError

from .labelled import LabelledSet

# "all" is every class of a folder or an npz file, for data that nothing is trained on
Part = Literal["meta_train", "meta_val", "meta_test", "all"]
PARTS: tuple[Part, ...] = ("meta_train", "meta_val", "meta_test")  # in which no class is twice
MOVED = "put them back, say where they are with --data, or train a new run"
MANY = {"class": "classes", "person": "persons", "domain": "domains"}
SHOWN = 8  # names in a message
SHARES = {"meta_train": 0.64, "meta_val": 0.16, "meta_test": 0.20}  # as miniImageNet: 64/16/20


def random_split(count: int, part: Part, seed: int) -> list[int]:
    """The classes of a part of a random split, in ascending order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    train = round(count * SHARES["meta_train"])
    val = train + round(count * SHARES["meta_val"])
    bounds = {"meta_train": (0, train), "meta_val": (train, val), "meta_test": (val, count)}
    first, last = bounds[part]
    return sorted(order[first:last])


def read_split(path: Path, classes: Sequence[str], part: Part, *, what: str = "class") -> list[int]:
    """The classes of a part as listed in a JSON file: part → names (or indices) of classes.

    `train`, `val` and `test` are read as short names; an index file with `class_split` is read too.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"no split file {path}",
            hint='data.split is "random" or a JSON file; Omniglot has "vinyals" and "lake"',
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"split file {path} is not JSON: {error}") from error
    numbered = classes
    if isinstance(content, Mapping) and isinstance(content.get("class_split"), Mapping):
        if what == "class":  # an index file numbers its own classes
            numbered = read_names(content, path) or classes
        content = content["class_split"]
    if not isinstance(content, Mapping):
        raise DataError(f"split file {path} is not an object of meta_train, meta_val, meta_test")
    # a file may have a name in another Unicode form than the data
    known: dict[str | int, int] = {compose(name): i for i, name in enumerate(classes)}
    composed = [compose(name) for name in numbered]
    if what == "class":  # a person's number is a name
        known |= {i: known[name] for i, name in enumerate(composed) if name in known}
    else:
        known |= {int(name): i for name, i in known.items() if str(name).isdecimal()}
    lists = {name: _indices(content, name, known, path, what) for name in PARTS}
    for one in PARTS:
        for other in PARTS:
            if one < other and (both := set(lists[one]) & set(lists[other])):
                raise DataError(
                    f"split file {path} has {what} {classes[min(both)]} in {one} and in {other}",
                    hint=f"a {what} belongs to one part",
                )
    return lists[part]


def read_names(content: object, path: Path) -> list[str] | None:
    """The list `classes` of an index file, where it has one."""
    names = content.get("classes") if isinstance(content, Mapping) else None
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"`classes` in {path} is not a list of names")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"`classes` in {path} has {twice} twice")
    return names


def _indices(
    content: Mapping[str, object],
    part: str,
    known: Mapping[str | int, int],
    path: Path,
    what: str,
) -> list[int]:
    names = content.get(part, content.get(part.removeprefix("meta_")))
    if not isinstance(names, list):
        raise DataError(f"split file {path} has no list {part}")
    chosen: list[int] = []
    for name in names:
        index = None
        if type(name) in (int, str):
            index = known.get(compose(name) if isinstance(name, str) else name)
        if index is None:
            raise DataError(
                f"split file {path} lists {name} in {part}, the data have no such {what}",
                hint=f"the data have, for one, {next(iter(known))}",
            )
        if index in chosen:
            raise DataError(f"split file {path} lists {name} twice in {part}")
        chosen.append(index)
    return chosen


def choose(
    classes: Sequence[str],
    how: str,
    part: Part,
    seed: int,
    recorded: Sequence[str] | None = None,
    *,
    what: Literal["class", "person", "domain"] = "class",
) -> list[int]:
    """The classes of the part, by position: `random`, or as listed in the JSON file `how`.

    Where a run has recorded its classes these are taken, and nothing is drawn. Persons are chosen
    by their names as classes are; the classes that an index file numbers are not they.
    """
    if recorded is not None:
        return known_classes(classes, part, recorded, MANY[what])
    if part == "all":
        return list(range(len(classes)))
    if how in ("vinyals", "lake"):
        raise DataError(f"the split {how} is Omniglot's", hint='set data.split = "random"')
    if how == "random":
        chosen = random_split(len(classes), part, seed)
    else:
        chosen = read_split(Path(how), classes, part, what=what)
    if not chosen:
        many = MANY[what]
        raise DataError(
            f"the split {how} leaves no {many} for {part}, the data have {len(classes)}",
            hint=f"add {many}, or set data.split"
            if what == "person"
            else "a part needs as many classes as a task has: add classes, or set data.split",
        )
    return chosen


def known_classes(
    classes: Sequence[str], part: Part, recorded: Sequence[str], many: str = "classes"
) -> list[int]:
    """The positions of the recorded classes, all of which the data must have."""
    positions = {compose(name): i for i, name in enumerate(classes)}
    if missing := [name for name in recorded if compose(name) not in positions]:
        raise DataError(
            f"the data lack {many} of {part} that were recorded: {shorten(missing)}", hint=MOVED
        )
    return [positions[compose(name)] for name in recorded]


def shorten(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def split(
    data: LabelledSet, how: str, part: Part, seed: int, recorded: Sequence[str] | None = None
) -> LabelledSet:
    """The part of the set, chosen as by `choose`."""
    return data.take(choose(data.classes, how, part, seed, recorded))
