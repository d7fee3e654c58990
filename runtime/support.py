"""The support set: labelled examples → what the stages read, checked against the limits."""

from collections import Counter
from collections.abc import KeysView, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from handful.runtime.inputs.examples import find_empty, to_batch
from handful.runtime.inputs.folders import label_of
from handful.runtime.package.manifest import Limits, Manifest

from .arrays import FILLED, Array, Floats, is_masked
from .engine import Engine
from .errors import SupportSetError, quote
from .unlike import warn_of_empty

EXAMPLES = "the examples are"  # how a warning begins
LEARNT = "what is learnt from that means nothing"  # of an example with nothing in it
MAX_SUPPORT, MAX_WAY = 100_000, 10_000


@dataclass(frozen=True)
class Support:
    """Embedded examples with their classes, or with their targets."""

    x: Floats  # [S, ...] embedded
    y: Floats  # [S, N] one-hot; regression: targets [S, O]
    classes: tuple[str, ...]  # in the order of first appearance; regression: none

    def __post_init__(self) -> None:
        """Nothing may write to a task's arrays: tasks are shared between threads."""
        self.x.setflags(write=False)
        self.y.setflags(write=False)

    @property
    def labels(self) -> list[str]:
        """The label of each example."""
        return [self.classes[i] for i in self.y.argmax(axis=1)]

    def without(self, label: str) -> "Support":
        """The examples of all other classes."""
        labels = self.labels
        keep = [i for i, other in enumerate(labels) if other != label]
        return build_support(self.x[keep], [labels[i] for i in keep])


def gather(engine: Engine, examples: Any, labels: Any) -> Support:
    """Check, convert and embed labelled examples; the limits are checked by `check_limits`."""
    if engine.manifest.task == "regression":
        return _regression(engine, examples, labels)
    pairs = _pairs(engine.manifest, examples, labels)
    names = [label for _, label in pairs]
    x = np.concatenate([x for x, _ in pairs]) if pairs else _none(engine)
    repeated = [label for (x, _), label in zip(pairs, names, strict=True) for _ in range(len(x))]
    _check_cap(len(x), len(set(names)))
    found = find_empty(x, engine.manifest.input)
    engine.watch.look(x[~found] if found.any() else x, EXAMPLES)
    warn_of_empty(found, engine.manifest.input, lambda at: number_examples(repeated)[at], LEARNT)
    return build_support(_embed(engine, x), repeated)


def number_examples(labels: Sequence[str]) -> list[str]:
    """What examples with these labels are called: `example 2 of cup`."""
    seen: Counter[str] = Counter()
    names = []
    for label in labels:
        seen[label] += 1
        names.append(f"example {seen[label]} of {label}")
    return names


def build_support(x: Floats, labels: list[str]) -> Support:
    """A support set of embedded examples and one label for each."""
    classes = tuple(dict.fromkeys(labels))
    _check_cap(len(labels), len(classes))
    index = {label: i for i, label in enumerate(classes)}
    y = one_hot(np.array([index[label] for label in labels], np.int64), len(classes))
    return Support(x, y, classes)


def one_hot(classes: Array, way: int) -> Floats:
    """Rows [S, N] with a 1 where the class [S] of each is."""
    y = np.zeros((len(classes), way), np.float32)
    y[np.arange(len(classes)), classes] = 1
    return y


def embed_unlabelled(engine: Engine, examples: Any) -> Floats:
    """Embedded examples [M, ...] of no class: a list of them, or a batch."""
    x = _batch(engine.manifest, examples, "negative")
    _check_cap(len(x))
    return engine.embed(x, chunk=1)


def _embed(engine: Engine, x: Floats) -> Floats:
    limits, classes = engine.manifest.limits, engine.manifest.task == "classification"
    _check_few_enough(len(x), limits, " in all" if classes else "")  # before the work, not after it
    # one by one, so that an example's embedding has the same bits in any support set
    return engine.embed(x, chunk=1)


def _none(engine: Engine) -> Floats:
    return np.zeros((0, *engine.manifest.input.shape), np.float32)


def _pairs(manifest: Manifest, examples: Any, labels: Any) -> list[tuple[Floats, str]]:
    if isinstance(examples, Mapping):
        if labels is not None:
            raise SupportSetError(
                "labels beside a dict of examples",
                hint="give {label: [examples]}, or a list of examples and a list of labels",
            )
        return [_class(manifest, label, few) for label, few in examples.items()]
    if labels is None:
        raise SupportSetError(
            "no labels", hint="give a label for each example, or {label: [examples]}"
        )
    x = _batch(manifest, examples, "example")
    names = _list_labels(labels)
    _check_as_many(len(x), len(names), "labels")
    return [(x[i : i + 1], label_of(name, f"label {i}")) for i, name in enumerate(names)]


def _class(manifest: Manifest, label: object, examples: Any) -> tuple[Floats, str]:
    name = label_of(label, "label")
    x = _batch(manifest, examples, f"example of {quote(name)}")
    if not len(x):
        raise SupportSetError(
            f"no examples of {quote(name)}", hint="give one at least, or leave the class out"
        )
    return x, name


def _batch(manifest: Manifest, examples: Any, what: str) -> Floats:
    x, _ = to_batch(examples, manifest.input, what)
    return x


def _list_labels(labels: Any) -> list[Any]:
    """The labels in order; what has no order cannot say which label belongs to which example."""
    unordered = isinstance(labels, Set | Mapping) and not isinstance(labels, KeysView)
    # iter() also knows the sequences that have nothing but __getitem__
    if unordered or isinstance(labels, str | bytes | bytearray) or not np.iterable(labels):
        raise SupportSetError(
            f"labels is {type(labels).__name__}, wanted a list with a label for each example"
        )
    return list(islice(labels, MAX_SUPPORT + 1))  # which might not end


def _check_as_many(examples: int, labels: int, word: str) -> None:
    if examples != labels:
        raise SupportSetError(
            f"{examples} examples and {labels} {word}", hint=f"as many {word} as examples"
        )


def _regression(engine: Engine, examples: Any, targets: Any) -> Support:
    if isinstance(examples, Mapping) or targets is None:
        raise SupportSetError(
            "no targets", hint="a regression task takes examples and an array of targets"
        )
    x = _batch(engine.manifest, examples, "example")
    y = _numbers(targets)
    y = y[:, None] if y.ndim == 1 else y
    width = outputs(engine.manifest)
    if y.ndim != 2 or not y.shape[1] or y.shape[1] != (width or y.shape[1]):
        raise SupportSetError(f"targets have shape {list(y.shape)}, wanted [S, {width or 'O'}]")
    _check_as_many(len(x), len(y), "targets")
    _check_cap(len(x))
    engine.watch.look(x, EXAMPLES)
    return Support(_embed(engine, x.copy()), y, ())


def _numbers(targets: Any) -> Floats:
    if is_masked(targets):
        raise SupportSetError("targets are a masked array, whose mask is not seen", hint=FILLED)
    try:
        array: Array = np.asarray(targets)
    except Exception as error:  # ragged lists, objects whose own __array__ fails
        raise SupportSetError("targets are not all finite numbers") from error
    with np.errstate(over="ignore"):  # beyond float32: infinite, and refused
        y = np.array(array, np.float32, order="C") if array.dtype.kind in "fiu" else None
    if y is None or not np.isfinite(y).all():
        raise SupportSetError("targets are not all finite numbers")
    return y


def outputs(manifest: Manifest) -> int | None:
    """How many numbers a regression package predicts, where the manifest fixes it."""
    size = manifest.graphs[manifest.predict].outputs[0].shape[-1]
    return size if isinstance(size, int) else None


def is_one_hot(y: Array) -> bool:
    """Whether y [S, N] has a single 1 in every row, 0 beside it, and a 1 in every column."""
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all() and y.any(axis=0).all())


def join(first: Support, second: Support) -> Support:
    """The examples of both, in order."""
    x = np.concatenate([first.x, second.x])
    if not first.classes:
        return Support(x, np.concatenate([first.y, second.y]), ())
    return build_support(x, [*first.labels, *second.labels])


def check_limits(support: Support, limits: Limits) -> None:
    """Refuse a support set outside the package's limits."""
    if not len(support.x):
        raise SupportSetError("no examples", hint="give at least one example of each class")
    _check_cap(len(support.x), len(support.classes))
    of = " in all" if support.classes else ""
    _check_few_enough(len(support.x), limits, of)
    if not support.classes:
        for bounds in (limits.shot, limits.support):
            _check_between(len(support.x), bounds.min, bounds.max, "example")
        return
    way = len(support.classes)
    _check_between(way, limits.way.min, limits.way.max, "class")
    _check_between(len(support.x), limits.support.min, limits.support.max, "example", of)
    shots = support.y.sum(axis=0).astype(int)
    for label, shot in zip(support.classes, shots, strict=True):
        _check_between(
            int(shot), limits.shot.min, limits.shot.max, "example", f" of {quote(label)}"
        )


def _check_cap(examples: int, way: int = 0) -> None:
    """Refuse what no package takes, before memory for its labels is."""
    if examples > MAX_SUPPORT:
        raise SupportSetError(f"{examples} examples, at most {MAX_SUPPORT} are taken")
    if way > MAX_WAY:
        raise SupportSetError(f"{way} classes, at most {MAX_WAY} are taken")


def _check_few_enough(count: int, limits: Limits, of: str) -> None:
    if limits.support.max is not None and count > limits.support.max:
        _check_between(count, limits.support.min, limits.support.max, "example", of)


def _check_between(count: int, least: int, most: int | None, word: str, of: str = "") -> None:
    many = {"class": "classes", "example": "examples"}[word]
    if count < least or (most is not None and count > most):
        wanted = f"{least} or more" if most is None else f"{least} to {most}"
        words = f"{count} {word if count == 1 else many}"
        hint = f"add {many}" if count < least else f"leave some {many} out"
        raise SupportSetError(f"{words}{of}, this package takes {wanted}", hint=hint)
