"""What a manifest must hold to be runnable, beyond the types of its fields.

Sizes have to fit each other and what a runtime can hold; the rules of a kind of input are those of
`check_sound` and `check_series`; what was measured lies within its bounds, and confidence on a
whole grid of sizes.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from handful.runtime.errors import ManifestError, is_one_line

from . import manifest
from .flow import flow
from .manifest import (
    CARD,
    FILE,
    GOLDEN,
    HASH,
    MEASURES,
    Bounds,
    Comparison,
    Confidence,
    Evaluation,
    GraphSpec,
    InputSpec,
    Limits,
    Manifest,
    Seen,
    TaskName,
    TensorSpec,
    is_basename,
    is_inner,
)
from .strict import shorten

MAX_EVALUATIONS, MAX_TEXT = 1000, 500  # entries of a list, characters for people
MAX_ERROR = 1e30  # of a mean squared error, and of a mean return on either side of 0
MAX_SIZES, MAX_RATES = 256, 32  # entries of `confidence`, and of each list in one
MAX_SCORE, MAX_TEMPERATURE = 1e30, 1e9
MIN_RATE, MAX_RATE = 1000, 192_000  # samples a second
MAX_SAMPLES = 2**24  # of an example: five minutes at 48 kHz
RANGE = (-1.0, 1.0)
SCALE, OFFSET = 1 / 128, -1.0  # of 8-bit samples, whose middle is 128
SLOWEST, FASTEST = 1e-3, 1e6  # readings of a series a second
SIZES = "up to 8 positive numbers with a product up to 2²⁶"
SYMBOLS = ("B", "S", "N", "Q")
TAKEN = (FILE, GOLDEN, CARD.lower())
MAX_CLASSES = 1000  # that are named
MAX_GRAPHS, MAX_AXES, MAX_TENSORS = 64, 8, 1000  # of a package, of a tensor, of a graph's side
MAX_VALUES = 2**26  # the product of a tensor's fixed sizes
MAX_GRAPH_BYTES, MAX_PACKAGE_BYTES = 2**29, 2**30
MAX_NUMBER = 1e30  # of an input's range, scale and offset: far inside float32


def check(manifest: Manifest) -> None:
    """Raise a ManifestError at the first thing that no runtime could run."""
    _name(manifest.name, "name", "a plain name")
    check_words(manifest.learner, "learner")
    check_words(manifest.licence, "licence")
    _input(manifest.input)
    check_classes(manifest)
    _bounds(manifest.limits, empty=manifest.may_be_empty)
    _files(manifest.graphs)
    for name, graph in manifest.graphs.items():
        for side, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            _tensors(tensors, f"graphs.{name}.{side}")
    if manifest.embed is None and manifest.precision != "float32":
        raise ManifestError(
            f"`precision` is {manifest.precision}, wanted float32: there is no `embed`"
        )
    used = flow(manifest)
    for name in manifest.graphs:
        if name not in used:
            raise ManifestError(f"`graphs.{name}` is used by no stage", hint="leave it out")
    check_evaluation(manifest)
    check_confidence(manifest)


def _name(text: str, place: str, wanted: str) -> None:
    if not is_basename(text):
        raise ManifestError(
            f"`{place}` is {shorten(text)!r}, wanted {wanted}", hint=manifest.PLAIN_HINT
        )


def check_words(text: str, place: str) -> None:
    """A line for people: what a terminal shows as it is."""
    if not is_one_line(text) or len(text) > MAX_TEXT:
        raise ManifestError(
            f"`{place}` is {shorten(text)!r},"
            f" wanted up to {MAX_TEXT} characters that can be printed"
        )


def _input(spec: InputSpec) -> None:
    image = spec.kind == "image"
    if not 0 < len(spec.shape) < MAX_AXES or not _sizes(spec.shape):
        raise ManifestError(f"`input.shape` is {list(spec.shape[:9])}, wanted {SIZES}")
    kind = {"image": "an image", "array": "an array", "audio": "audio"}[spec.kind]
    for name in ("layout", "colour", "resize", "interpolation"):
        if image and getattr(spec, name) is None:
            raise ManifestError(f"`input.{name}` is null, wanted a value: the input is an image")
        if not image and getattr(spec, name) is not None:
            raise ManifestError(f"`input.{name}` is given, wanted null: the input is {kind}")
    if not image and spec.fit != "square":
        raise ManifestError(f"`input.fit` is {spec.fit}, wanted square: the input is {kind}")
    if not image and spec.invert:
        raise ManifestError(f"`input.invert` is true, wanted false: the input is {kind}")
    if spec.rate is not None and spec.kind != "audio" and (image or len(spec.shape) != 2):
        raise ManifestError(f"`input.rate` is given, wanted null: the input is {kind}")
    for i, value in enumerate(spec.range or ()):
        _number(value, f"input.range[{i}]")
    if spec.range is not None and not spec.range[0] < spec.range[1]:
        raise ManifestError(f"`input.range` is {list(spec.range)}, wanted low before high")
    if not (math.isfinite(spec.scale) and math.isfinite(spec.offset) and spec.scale):
        raise ManifestError("`input.scale` is 0 or not finite, wanted a finite number")
    _number(spec.scale, "input.scale")
    _number(spec.offset, "input.offset")
    if spec.seen is not None:
        _seen(spec.seen)
    if image:
        _image(spec)
    if spec.kind == "audio":
        check_sound(spec)
    check_series(spec)


def _sizes(shape: tuple[int, ...]) -> bool:
    return all(size > 0 for size in shape) and math.prod(shape) <= MAX_VALUES


def _number(value: float, place: str) -> None:
    if not abs(value) <= MAX_NUMBER:
        raise ManifestError(f"`{place}` is {value!r}, wanted a number within ±{MAX_NUMBER:g}")


def _seen(seen: Seen) -> None:
    for name, pair in (("mean", seen.mean), ("deviation", seen.deviation)):
        for i, value in enumerate(pair):
            _number(value, f"input.seen.{name}[{i}]")
        if pair[0] > pair[1]:
            raise ManifestError(f"`input.seen.{name}` is {list(pair)}, wanted low before high")
    if seen.deviation[0] < 0:
        raise ManifestError(f"`input.seen.deviation` is {list(seen.deviation)}, wanted 0 or more")


def _image(spec: InputSpec) -> None:
    channels = 1 if spec.colour == "grey" else 3
    at = -1 if spec.layout == "HWC" else 0
    if len(spec.shape) != 3 or spec.shape[at] != channels:
        raise ManifestError(
            f"`input.shape` is {list(spec.shape)}, wanted {spec.layout} with {channels} channels"
        )
    sides = spec.shape[:2] if spec.layout == "HWC" else spec.shape[1:]
    if spec.resize is not None and not max(sides) <= spec.resize <= 4096:
        raise ManifestError(f"`input.resize` is {spec.resize}, wanted {max(sides)} to 4096")


def check_sound(spec: InputSpec) -> None:
    """Raise a ManifestError where audio is not mono samples from -1 to 1 at a known rate."""
    if len(spec.shape) != 1 or spec.shape[0] > MAX_SAMPLES:
        raise ManifestError(
            f"`input.shape` is {list(spec.shape)}, wanted one number of samples,"
            f" up to {MAX_SAMPLES}: the input is audio"
        )
    if not isinstance(spec.rate, int) or not MIN_RATE <= spec.rate <= MAX_RATE:
        raise ManifestError(f"`input.rate` is {spec.rate}, wanted {MIN_RATE} to {MAX_RATE} hertz")
    if spec.range != RANGE:
        found = spec.range and list(spec.range)
        raise ManifestError(f"`input.range` is {found}, wanted [-1, 1]: the input is audio")
    if (spec.scale, spec.offset) != (SCALE, OFFSET):
        raise ManifestError(
            f"`input.scale` and `offset` are {spec.scale:g} and {spec.offset:g},"
            f" wanted {SCALE:g} and {OFFSET:g}: the input is audio"
        )


def check_series(spec: InputSpec) -> None:
    """Raise a ManifestError where a recording could not become an example as the manifest says."""
    series = spec.kind == "array" and len(spec.shape) == 2
    for name in ("whole", "channels"):
        if not series and getattr(spec, name) is not None:
            raise ManifestError(
                f"`input.{name}` is given, wanted null: the input is no series [T, C]"
            )
    if not series:
        return
    if spec.rate is not None and (spec.whole or not SLOWEST <= spec.rate <= FASTEST):
        wanted = "null beside `whole`" if spec.whole else f"{SLOWEST:g} to {FASTEST:g} hertz"
        raise ManifestError(f"`input.rate` is {spec.rate}, wanted {wanted}")
    if spec.whole and spec.shape[0] < 2:
        raise ManifestError("`input.whole` is given, wanted null: an example is one reading")
    channels = spec.channels or ()
    if spec.channels is not None and len(channels) != spec.shape[1]:
        raise ManifestError(
            f"`input.channels` has {len(channels)} entries, wanted {spec.shape[1]} as in the shape"
        )
    for i, channel in enumerate(channels):
        place = f"input.channels[{i}]"
        check_words(channel.text, f"{place}.text")
        if not is_channel(channel.name):
            raise ManifestError(
                f"`{place}.name` is {shorten(channel.name)!r}, wanted 1 to {manifest.CHANNEL}"
                " characters that can be printed, without blanks around them, and no number"
            )
    if len({channel_key(channel.name) for channel in channels}) < len(channels):
        raise ManifestError("`input.channels` has two of one name", hint="A and a count as one")
    if spec.whole == "path" and not any(channel.kind == "place" for channel in channels):
        raise ManifestError("`input.whole` is 'path', wanted a channel of kind `place` for it")


def is_channel(name: str) -> bool:
    """Whether a channel may be called so: a table's header must tell it from a number."""
    try:
        float(name)
    except ValueError:
        return is_one_line(name) and name == name.strip() and 0 < len(name) <= manifest.CHANNEL
    return False


def channel_key(name: str) -> str:
    """By which channels and columns of tables are compared: upper and lower case are the same."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def check_classes(manifest: Manifest) -> None:
    """Refuse names of classes that are not some different words, or not what the limits say."""
    names = manifest.classes
    if names is None:
        return
    if manifest.task != "classification":
        raise ManifestError(f"`classes` is given, wanted null: the task is {manifest.task}")
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) < len(names):
        raise ManifestError(
            f"`classes` has {len(names)} names, wanted 2 to {MAX_CLASSES}, each once"
        )
    for i, name in enumerate(names):
        plain = name.strip() and is_one_line(name)
        if not plain or len(name) > MAX_TEXT or unicodedata.normalize("NFC", name) != name:
            raise ManifestError(
                f"`classes[{i}]` is {shorten(name)!r}, wanted a line of text in its composed form"
            )
    if manifest.limits.way.min != len(names):
        raise ManifestError(
            f"`limits.way.min` is {manifest.limits.way.min}, wanted {len(names)} as in `classes`"
        )


def _bounds(limits: Limits, *, empty: bool) -> None:
    """Low to high; with `empty` a task may have no examples."""
    pairs: tuple[tuple[str, Bounds], ...] = (
        ("way", limits.way),
        ("shot", limits.shot),
        ("support", limits.support),
    )
    for name, bounds in pairs:
        least = 0 if empty and name != "way" else 1
        low = bounds.min == 0 if least == 0 else bounds.min >= 1
        if not low or (bounds.max is not None and bounds.max < bounds.min):
            span = f"{bounds.min} to {bounds.max}"
            raise ManifestError(f"`limits.{name}` is {span}, wanted low to high, from {least}")


def _files(graphs: dict[str, GraphSpec]) -> None:
    if len(graphs) > MAX_GRAPHS:
        raise ManifestError(f"`graphs` has {len(graphs)} entries, at most {MAX_GRAPHS} are read")
    seen: dict[str, str] = {}
    for name, graph in graphs.items():
        if not is_inner(name):
            raise ManifestError(
                f"`graphs` is {shorten(name)!r}, wanted plain names", hint=manifest.INNER_HINT
            )
        _file(name, graph, seen)
    size = sum(graph.bytes for graph in graphs.values())
    if size > MAX_PACKAGE_BYTES:
        raise ManifestError(f"`graphs` have {size} bytes, at most {MAX_PACKAGE_BYTES} are read")


def _file(name: str, graph: GraphSpec, seen: dict[str, str]) -> None:
    """One graph's file; `seen` has the others by their names in small letters."""
    place = f"graphs.{name}"
    _name(graph.file, f"{place}.file", "a plain file name")
    folded = graph.file.casefold()
    if folded in TAKEN:
        raise ManifestError(f"`{place}.file` is {graph.file!r}, a name that the format uses")
    if folded in seen:
        raise ManifestError(
            f"`{place}.file` is {graph.file!r}, the file of `graphs.{seen[folded]}`",
            hint="give each graph its own file; upper and lower case count as the same",
        )
    seen[folded] = name
    if not HASH.fullmatch(graph.sha256):
        raise ManifestError(f"`{place}.sha256` is not 64 lower-case hexadecimal digits")
    if not 0 < graph.bytes <= MAX_GRAPH_BYTES:
        raise ManifestError(f"`{place}.bytes` is {graph.bytes}, wanted 1 to {MAX_GRAPH_BYTES}")


def _tensors(tensors: tuple[TensorSpec, ...], place: str) -> None:
    if len(tensors) > MAX_TENSORS:
        raise ManifestError(f"`{place}` has {len(tensors)} tensors, at most {MAX_TENSORS} are read")
    counts = Counter(tensor.name for tensor in tensors)
    for i, tensor in enumerate(tensors):
        if not is_inner(tensor.name):
            raise ManifestError(
                f"`{place}[{i}].name` is {shorten(tensor.name)!r}, wanted a plain name",
                hint=manifest.INNER_HINT,
            )
        if counts[tensor.name] > 1:
            raise ManifestError(f"`{place}` names {tensor.name!r} twice")
        fixed = tuple(size for size in tensor.shape if not isinstance(size, str))
        symbols = {size for size in tensor.shape if isinstance(size, str)}
        if len(tensor.shape) > MAX_AXES or not _sizes(fixed) or not symbols <= set(SYMBOLS):
            raise ManifestError(
                f"`{place}[{i}].shape` is {_quote_shape(tensor.shape)}, "
                f"wanted {SIZES}, or {', '.join(SYMBOLS)} among them"
            )


def _quote_shape(shape: tuple[Any, ...]) -> list[Any]:
    """The beginning of a shape, for a message."""
    return [shorten(size) if isinstance(size, str) else size for size in shape[: MAX_AXES + 1]]


def check_evaluation(manifest: Manifest) -> None:
    """Refuse a list that is too long, words that cannot be shown, numbers that cannot be."""
    evaluation, task = manifest.evaluation, manifest.task
    _short(evaluation, "evaluation")
    for i, entry in enumerate(evaluation):
        place = f"evaluation[{i}]"
        check_words(entry.data, f"{place}.data")
        check_words(entry.split, f"{place}.split")
        named = manifest.classes is not None
        for name, low in (("way", 1), ("shot", 0 if named else 1), ("episodes", 1)):
            if (value := getattr(entry, name)) < low:
                raise ManifestError(f"`{place}.{name}` is {value}, wanted {low} or more")
        for name, highest in (("given", entry.way - 1), ("persons", entry.episodes)):
            number: int | None = getattr(entry, name)
            if number is not None and not (named and 1 <= number <= highest):
                wanted = f"null, or 1 to {highest}" if named else "null: no class is named"
                raise ManifestError(f"`{place}.{name}` is {number}, wanted {wanted}")
        if task != "classification" and entry.way != 1:
            raise ManifestError(f"`{place}.way` is {entry.way}, wanted 1: the task is {task}")
        _measure(entry, place, task)
        _short(entry.compared, f"{place}.compared")
        for j, comparison in enumerate(entry.compared):
            inner = f"{place}.compared[{j}]"
            check_words(comparison.name, f"{inner}.name")
            _measure(comparison, inner, task)
            most = 1 if task == "classification" else MAX_ERROR
            check_within(comparison.difference, f"{inner}.difference", -most, most)


def _short(entries: tuple[object, ...], place: str) -> None:
    if len(entries) > MAX_EVALUATIONS:
        raise ManifestError(
            f"`{place}` has {len(entries)} entries, at most {MAX_EVALUATIONS} are read"
        )


def _measure(entry: Evaluation | Comparison, place: str, task: TaskName) -> None:
    """One of the means, the one of the task, and an interval."""
    wanted = MEASURES[task]
    found = [name for name in MEASURES.values() if getattr(entry, name) is not None]
    if found != [wanted]:
        raise ManifestError(f"`{place}` wants `{wanted}` alone, the task is {task}")
    most = 1 if task == "classification" else MAX_ERROR
    least = -most if task == "policy" else 0
    check_within(getattr(entry, wanted), f"{place}.{wanted}", least, most)
    check_within(entry.interval, f"{place}.interval", 0, most)


def check_within(value: float, place: str, least: float, most: float) -> None:
    """Refuse a number that is not between the two."""
    if not least <= value <= most:
        raise ManifestError(f"`{place}` is {value!r}, wanted {least:g} to {most:g}")


def check_confidence(manifest: Manifest) -> None:
    """Refuse what cannot be interpolated: a grid with gaps, entries that differ in their kind."""
    entries = manifest.confidence
    if entries and manifest.task != "classification":
        raise ManifestError(f"`confidence` has entries, wanted none: the task is {manifest.task}")
    if len(entries) > MAX_SIZES:
        raise ManifestError(
            f"`confidence` has {len(entries)} entries, at most {MAX_SIZES} are read"
        )
    for i, entry in enumerate(entries):
        _entry(entry, manifest, f"confidence[{i}]")
        _check_alike(entry, entries[0], f"confidence[{i}]")
    ways, shots = (sorted({getattr(e, name) for e in entries}) for name in ("way", "shot"))
    if [(e.way, e.shot) for e in entries] != [(way, shot) for way in ways for shot in shots]:
        raise ManifestError(
            "`confidence` wants each way with each shot once, in the order of way, then shot"
        )


def _entry(entry: Confidence, manifest: Manifest, place: str) -> None:
    _check_inside(entry.way, manifest.limits.way, f"{place}.way", least=2)
    _check_inside(entry.shot, manifest.limits.shot, f"{place}.shot", least=manifest.limits.shot.min)
    if manifest.classes is not None and entry.classes != entry.way:
        raise ManifestError(
            f"`{place}.classes` is {entry.classes}, wanted the {entry.way} that are named"
        )
    if manifest.classes is None and entry.classes <= entry.way:
        raise ManifestError(
            f"`{place}.classes` is {entry.classes}, wanted more than the {entry.way} of a task"
        )
    if entry.queries < 1:
        raise ManifestError(f"`{place}.queries` is {entry.queries}, wanted 1 or more")
    check_within(entry.others, f"{place}.others", 0, 1)
    check_within(entry.temperature, f"{place}.temperature", 1 / MAX_TEMPERATURE, MAX_TEMPERATURE)
    check_within(entry.calibration_error, f"{place}.calibration_error", 0, 1)
    for name, entries in (("thresholds", entry.thresholds), ("sets", entry.sets)):
        if not 0 < len(entries) <= MAX_RATES:
            raise ManifestError(
                f"`{place}.{name}` has {len(entries)} entries, wanted 1 to {MAX_RATES}"
            )
    for j, threshold in enumerate(entry.thresholds):
        inner = f"{place}.thresholds[{j}]"
        check_within(threshold.score, f"{inner}.score", -MAX_SCORE, MAX_SCORE)
        check_within(threshold.known_kept, f"{inner}.known_kept", 0, 1)
    for j, labels in enumerate(entry.sets):
        inner = f"{place}.sets[{j}]"
        check_within(labels.probability, f"{inner}.probability", 0, 1)
        check_within(labels.size, f"{inner}.size", 0, entry.way)
    _check_monotonous(
        [t.false_accepts for t in entry.thresholds],
        [t.score for t in entry.thresholds],
        f"{place}.thresholds",
        ("false_accepts", "score"),
    )
    _check_monotonous(
        [s.coverage for s in entry.sets],
        [s.probability for s in entry.sets],
        f"{place}.sets",
        ("coverage", "probability"),
    )


def _check_inside(value: int, bounds: Bounds, place: str, *, least: int) -> None:
    least = max(least, bounds.min)
    if value < least or (bounds.max is not None and value > bounds.max):
        wanted = f"{least} or more" if bounds.max is None else f"{least} to {bounds.max}"
        raise ManifestError(f"`{place}` is {value}, wanted {wanted}")


def _check_monotonous(
    rates: Sequence[float], values: Sequence[float], place: str, names: tuple[str, str]
) -> None:
    """Rates between 0 and 1 in rising order, each with a value that is no larger than the last."""
    for rate in rates:
        if not 0 < rate < 1:
            raise ManifestError(f"`{place}` has a `{names[0]}` of {rate!r}, wanted between 0 and 1")
    rising = all(a < b for a, b in pairwise(rates))
    if not rising or any(a < b for a, b in pairwise(values)):
        raise ManifestError(f"`{place}` wants rising `{names[0]}` and no rising `{names[1]}`")


def _check_alike(entry: Confidence, first: Confidence, place: str) -> None:
    """All entries have one kind of score and the same rates, so that a value lies between two."""
    if entry.others != first.others:
        raise ManifestError(
            f"`{place}.others` is {entry.others!r}, wanted {first.others!r} as in the first entry"
        )
    for name, rate in (("thresholds", "false_accepts"), ("sets", "coverage")):
        rates, wanted = ([getattr(x, rate) for x in getattr(e, name)] for e in (entry, first))
        if rates != wanted:
            raise ManifestError(f"`{place}.{name}` wants the `{rate}` of the first entry")


def sound_spec(rate: int, samples: int) -> InputSpec:
    """The `input` of a package that takes so many samples at `rate` hertz."""
    return InputSpec(
        kind="audio", shape=(samples,), range=RANGE, scale=SCALE, offset=OFFSET, rate=rate
    )
