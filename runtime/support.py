"""The support set: labelled examples → what the stages read, checked against the limits."""

import difflib
from collections import Counter
from collections.abc import Iterable, KeysView, Mapping, Sequence, Set
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
from .progress import UNTOLD, Meter
from .rollout import Rollout
from .unlike import warn_of_empty

NAMED = 20  # classes in a hint
EXAMPLES = "the examples are"  # how a warning begins
LEARNT = "what is learnt from that means nothing"  # of an example with nothing in it
MAX_SUPPORT, MAX_WAY = 100_000, 10_000


@dataclass(frozen=True)
class Support:
    """Embedded examples with their classes, or with their targets."""

    x: Floats  # [S, ...] embedded
    y: Floats  # [S, N] one-hot; else targets: [S, O], of a policy [S, A + 1]
    classes: tuple[str, ...]  # in the order of first appearance; none where there are targets
    named: int = (
        0  # how many of them, the first, are those of the package: they stay without examples
    )

    def __post_init__(self) -> None:
        """Nothing may write to a task's arrays: tasks are shared between threads."""
        self.x.setflags(write=False)
        self.y.setflags(write=False)

    @property
    def labels(self) -> list[str]:
        """The label of each example."""
        return [self.classes[i] for i in self.y.argmax(axis=1)]

    def without(self, label: str) -> "Support":
        """The examples of all other classes; a class that the package names stays without any."""
        labels = self.labels
        keep = [i for i, other in enumerate(labels) if other != label]
        return build_support(self.x[keep], [labels[i] for i in keep], self.classes[: self.named])


def gather(
    engine: Engine,
    examples: Any,
    labels: Any,
    *,
    new: Iterable[str] = (),
    known: Sequence[str] = (),
    meter: Meter = UNTOLD,
) -> Support:
    """Check, convert and embed labelled examples; the limits are checked by `check_limits`.

    Where the package names its classes, `new` names those beyond them, and `known` those that a
    task has already. `meter` counts the examples that are embedded.
    """
    if engine.manifest.task == "policy":
        return _policy(engine, examples, labels, meter)
    if isinstance(examples, Rollout):
        raise SupportSetError(
            f"a rollout, but package {engine.manifest.name} is no policy",
            hint="give it labelled examples: learner.adapt({label: [examples]})",
        )
    if engine.manifest.task == "regression":
        return _regression(engine, examples, labels, meter)
    pairs = _pairs(engine.manifest, examples, labels)
    # examples stay in the batches that they came in: all in one would take their memory again
    batches, names = [x for x, _ in pairs], [label for _, label in pairs]
    repeated = [label for x, label in pairs for _ in range(len(x))]
    _check_cap(len(repeated), len(set(names)))
    _check_named(engine.manifest, names, new, known)
    empty = [find_empty(x, engine.manifest.input) for x in batches]
    full = (x[~found] if found.any() else x for x, found in zip(batches, empty, strict=True))
    engine.watch.look(full, EXAMPLES)
    found = np.concatenate(empty) if empty else np.zeros(0, bool)
    warn_of_empty(found, engine.manifest.input, lambda at: number_examples(repeated)[at], LEARNT)
    return build_support(_embed(engine, batches, meter), repeated, engine.manifest.classes or ())


def build_empty(engine: Engine) -> Support:
    """The support set without an example, of a package that names its classes, or of a policy."""
    if engine.manifest.task == "policy":
        nothing = np.zeros((0, target_width(engine.manifest) or 0), np.float32)
        return Support(engine.embed(_none(engine)), nothing, ())
    return build_support(engine.embed(_none(engine)), [], engine.manifest.classes or ())


def _check_named(
    manifest: Manifest, names: Sequence[str], new: Iterable[str], known: Sequence[str]
) -> None:
    """Refuse a label that is neither one of the package's classes nor said to be a new one."""
    beyond = [new] if isinstance(new, str) else list(new)
    beyond = [label_of(name, "a new class") for name in beyond]
    if manifest.classes is None:
        if beyond:
            raise SupportSetError(
                f"new is given, but package {manifest.name} names no classes",
                hint="any label may be given to it: leave new out",
            )
        return
    more = manifest.limits.way.max is None or manifest.limits.way.max > len(manifest.classes)
    if beyond and not more:
        raise SupportSetError(
            f"package {manifest.name} takes no classes beyond those that it names",
            hint=f"they are: {few(manifest.classes)}",
        )
    for name in names:
        if name in manifest.classes or name in beyond or name in known:
            continue
        hint = list_classes(manifest.classes, [name])
        if more:
            hint += f"; for a class beyond them say so: new=[{name!r}], or --new"
        raise SupportSetError(f"package {manifest.name} has no class {quote(name)}", hint=hint)


def list_classes(classes: Sequence[str], wanted: Sequence[str]) -> str:
    """The classes that there are, after those that were meant perhaps: a slip, another case."""
    folded = {label.casefold(): label for label in reversed(classes)}
    close = [difflib.get_close_matches(name.casefold(), folded, n=1) for name in wanted[:NAMED]]
    meant = few([*dict.fromkeys(folded[name] for names in close for name in names)])
    return (
        f"did you mean {meant}? Its classes: {few(classes)}"
        if meant
        else (f"its classes: {few(classes)}")
    )


def few(names: Sequence[str]) -> str:
    """The first of them, and that there are more."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def number_examples(labels: Sequence[str]) -> list[str]:
    """What examples with these labels are called: `example 2 of cup`."""
    seen: Counter[str] = Counter()
    names = []
    for label in labels:
        seen[label] += 1
        names.append(f"example {seen[label]} of {label}")
    return names


def build_support(x: Floats, labels: list[str], named: Sequence[str] = ()) -> Support:
    """A support set of embedded examples and one label for each; `named` classes come first."""
    classes = tuple(dict.fromkeys([*named, *labels]))
    _check_cap(len(labels), len(classes))
    index = {label: i for i, label in enumerate(classes)}
    y = one_hot(np.array([index[label] for label in labels], np.int64), len(classes))
    return Support(x, y, classes, len(named))


def one_hot(classes: Array, way: int) -> Floats:
    """Rows [S, N] with a 1 where the class [S] of each is."""
    y = np.zeros((len(classes), way), np.float32)
    y[np.arange(len(classes)), classes] = 1
    return y


def embed_unlabelled(engine: Engine, examples: Any, meter: Meter) -> Floats:
    """Embedded examples [M, ...] of no class: a list of them, or a batch."""
    x = _batch(engine.manifest, examples, "negative")
    _check_cap(len(x))
    return _embed_one_by_one(engine, [x], meter)


def _embed(engine: Engine, batches: Sequence[Floats], meter: Meter) -> Floats:
    limits, classes = engine.manifest.limits, engine.manifest.task == "classification"
    count = sum(map(len, batches))
    _check_few_enough(count, limits, " in all" if classes else "")  # before the work, not after it
    return _embed_one_by_one(engine, batches or [_none(engine)], meter)


def _embed_one_by_one(engine: Engine, batches: Sequence[Floats], meter: Meter) -> Floats:
    """h [S, ...] of all batches, of which each example has the same bits in any of them."""
    if engine.manifest.embed is not None:
        meter.expect(sum(map(len, batches)))
    return np.concatenate([engine.embed(x, chunk=1, meter=meter) for x in batches])


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
    if not len(x) and manifest.classes is None:
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


def _regression(engine: Engine, examples: Any, targets: Any, meter: Meter) -> Support:
    if isinstance(examples, Mapping) or targets is None:
        raise SupportSetError(
            "no targets", hint="a regression task takes examples and an array of targets"
        )
    x = _batch(engine.manifest, examples, "example")
    y = _numbers(targets)
    y = y[:, None] if y.ndim == 1 else y
    width = target_width(engine.manifest)
    if y.ndim != 2 or not y.shape[1] or y.shape[1] != (width or y.shape[1]):
        raise SupportSetError(f"targets have shape {list(y.shape)}, wanted [S, {width or 'O'}]")
    _check_as_many(len(x), len(y), "targets")
    _check_cap(len(x))
    engine.watch.look([x], EXAMPLES)
    return Support(_embed(engine, [x], meter), y, ())


def _policy(engine: Engine, rollout: Any, labels: Any, meter: Meter) -> Support:
    """The readings of a rollout; an advantage of its own stands behind the actions of each."""
    if not isinstance(rollout, Rollout) or labels is not None:
        raise SupportSetError(
            f"package {engine.manifest.name} is a policy: it learns from what it did, not from"
            " labelled examples",
            hint="learner.adapt(handful.Rollout(observations, actions, advantages))",
        )
    observations, y = rollout.rows()
    x = _batch(engine.manifest, observations, "observation")
    width = target_width(engine.manifest)
    if not len(x) or y.shape[1] != width:
        raise SupportSetError(
            f"a rollout of {len(x)} readings and {y.shape[1] - 1} actions, wanted 1 reading or"
            f" more and {(width or 1) - 1}"
        )
    _check_cap(len(x))
    engine.watch.look([x], "the observations are")
    return Support(_embed(engine, [x], meter), y, ())


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


def target_width(manifest: Manifest) -> int | None:
    """How many numbers a target of a regression or of a policy is; None where there are labels."""
    width = manifest.targets
    return width if isinstance(width, int) else None


def is_one_hot(y: Array, named: int = 0) -> bool:
    """Whether y [S, N] has a single 1 in every row, 0 beside it, and a 1 in every column.

    The first `named` columns need none.
    """
    rows = ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()
    return bool(rows and y[:, named:].any(axis=0).all())


def join(first: Support, second: Support) -> Support:
    """The examples of both, in order."""
    x = np.concatenate([first.x, second.x])
    if not first.classes:
        return Support(x, np.concatenate([first.y, second.y]), ())
    labels, named = [*first.labels, *second.labels], first.classes[: first.named]
    return build_support(x, labels, named)


def check_limits(support: Support, limits: Limits) -> None:
    """Refuse a support set outside the package's limits."""
    if not len(support.x) and limits.support.min:
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
