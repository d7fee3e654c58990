"""Examples and labels from an .npz file: embeddings, other arrays, or pictures of one size."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from handful.runtime.arrays import Array
from handful.runtime.inputs.folders import label_of
from handful.runtime.package.manifest import InputSpec
from handful.trainer.data.config import DataConfig
from handful.trainer.data.domains import (
    DomainSet,
    add_domains,
    choose_domains,
    fingerprint_domains,
)
from handful.trainer.data.labelled import LabelledSet
from handful.trainer.data.layout import join_domain
from handful.trainer.data.record import RecordedPart, of_examples
from handful.trainer.data.splits import Part, read_names, split
from handful.trainer.settings.errors import DataError

from . import sounds
from .recordings import describe

FORM = "examples are [M, …] numbers, or [M, H, W, C] uint8 pixels with 1 or 3 channels"


def load_arrays(
    config: DataConfig, part: Part, *, recorded: RecordedPart | None = None
) -> LabelledSet:
    """The part's classes, sorted by label; their examples keep the order of the file.

    Where the classes are named: all classes, with the examples of the part's domains.
    """
    path = Path(config.source)
    if config.files:
        raise DataError(
            f"data.files is set, and {path} is a file",
            hint="in an .npz file data.domain and data.recording name arrays",
        )
    beside = (*config.domain, *filter(None, [config.recording]))
    arrays = read_arrays(path, (config.array, config.labels, *beside))
    where = f"{path} `{config.array}`"
    if config.rate is None:
        x, spec = _examples(arrays[config.array], where)
        spec = describe(spec, config, where) if spec.kind == "array" else spec
    else:
        x, spec = sounds.examples(arrays[config.array], config, where)
    y = _labels(arrays[config.labels], len(x), f"{path} `{config.labels}`")
    values, counts = np.unique(y, return_counts=True)
    names = class_names(config.split, values.tolist(), f"{path} `{config.labels}`")
    order = np.argsort(y, kind="stable")
    data = LabelledSet(torch.from_numpy(x[order]), torch.from_numpy(counts), names, spec)
    classes = list(recorded.classes) if recorded else None
    if config.domain:
        columns = [_column(arrays[name], len(x), f"{path} `{name}`")[order] for name in beside]
        return _of_domains(data, columns, config, part, classes)
    chosen = split(data, config.split, part, config.seed, classes)
    return replace(chosen, facts=of_examples(chosen))


def _of_domains(
    data: LabelledSet,
    columns: Sequence[Array],
    config: DataConfig,
    part: Part,
    recorded: Sequence[str] | None,
) -> DomainSet:
    """The part's domains; `columns` are of the settings' domain, then of its recording."""
    texts = [[str(value) for value in column.tolist()] for column in columns]
    count = len(config.domain)
    domain = [join_domain(values, config.source) for values in zip(*texts[:count], strict=True)]
    whole = add_domains(data, domain, texts[count] if config.recording else None)
    whole = whole.take_classes(config.classes)
    chosen = whole.take_domains(
        choose_domains(whole.domains, config.split, part, config.seed, recorded)
    )
    return replace(chosen, facts=fingerprint_domains(chosen))


def _column(column: Array, count: int, where: str) -> Array:
    """A name or a number of each example."""
    if column.ndim != 1 or len(column) != count or column.dtype.kind not in "iuU":
        raise DataError(
            f"{where} is {column.dtype} {list(column.shape)}, wanted integers or text [{count}]"
        )
    return column


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """The named arrays of the archive, none of them unpickled."""
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a whole npz archive: {error}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"{path} is a single array, wanted an npz archive", hint="np.savez")
    with archive:
        return {name: _member(archive, name, path) for name in names}


def _member(archive: Mapping[str, Array], name: str, path: Path) -> Array:
    if name not in archive:
        raise DataError(
            f"no array `{name}` in {path}, there are: {', '.join(archive)}",
            hint="data.array names the examples, data.labels their labels",
        )
    try:
        return archive[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            raise DataError(
                f"{path} `{name}` holds Python objects, wanted numbers or text",
                hint="they would be unpickled, which can run any code; save a plain array",
            ) from error
        raise DataError(f"{path} `{name}` cannot be read: {error}") from error


def _examples(x: Array, where: str) -> tuple[Array, InputSpec]:
    """Pixels as they are, other numbers as float32, and what they are."""
    wrong = f"{where} is {x.dtype} {list(x.shape)}"
    if not x.size:
        raise DataError(f"{wrong}, wanted at least one example", hint=FORM)
    if x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] in (1, 3):
        return x, _pixels(x.shape[1], x.shape[2], x.shape[3])
    if x.dtype.kind not in "fiu" or x.dtype == np.uint8 or x.ndim < 2:
        raise DataError(f"{wrong}, wanted another type or shape", hint=FORM)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is named below
        x = x.astype(np.float32)
    finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not finite.all():
        raise DataError(f"{where} has a value that is not finite in row {finite.argmin()}")
    return x, InputSpec(kind="array", shape=x.shape[1:])


def _pixels(height: int, width: int, channels: int) -> InputSpec:
    return InputSpec(
        kind="image",
        shape=(height, width, channels),
        layout="HWC",
        range=(0.0, 1.0),
        colour="grey" if channels == 1 else "rgb",
        scale=1 / 255,
        resize=max(height, width),
        interpolation="lanczos",
    )


def _labels(y: Array, count: int, where: str) -> Array:
    if y.ndim != 1 or y.dtype.kind not in "iuU":
        raise DataError(f"{where} is {y.dtype} {list(y.shape)}, wanted [M] integers or text")
    if len(y) != count:
        raise DataError(f"{where} has {len(y)} labels for {count} examples")
    if y.dtype.kind != "U":
        return y
    labels, which = np.unique(y, return_inverse=True)
    return np.array([label_of(str(one), f"a label of {where}", DataError) for one in labels])[which]


def class_names(how: str, labels: Sequence[int | str], where: str) -> tuple[str, ...]:
    """Text labels as they are; numbers by the list `classes` of the split file, if it has one."""
    names = None if how == "random" else _index_names(Path(how))
    if names is None:
        return tuple(map(str, labels))
    for label in labels:
        if isinstance(label, int) and not 0 <= label < len(names):
            raise DataError(f"{where} has label {label}, {how} names classes 0 to {len(names) - 1}")
    return tuple(
        label_of(names[label], f"a class in {how}", DataError) if isinstance(label, int) else label
        for label in labels
    )


def _index_names(path: Path) -> list[str] | None:
    """The list `classes` of an index file; what else is wrong with the file, the split will say."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return read_names(content, path)
