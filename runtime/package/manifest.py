"""The manifest: what a package holds and how it is run, as frozen dataclasses.

Names in a package are plain on every system, and in every language that reads them.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

FORMAT = 1
FILE = "manifest.json"
GOLDEN = "conformance.npz"  # golden vectors, where the package has them
CARD = "README.md"  # the model card, for people
Fit = Literal["square", "whole"]  # of a picture: its middle, or all of it
Precision = Literal["float32", "float16", "int8"]
ChannelKind = Literal["value", "place", "state"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the meta-training examples were like, as the graphs see them: for warnings.

    Of each example the mean over all its values and their standard deviation were taken; given are
    their 1st and 99th percentiles over examples.
    """

    mean: tuple[float, float]
    deviation: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel of a series: what a recording calls it, and how it is read between readings.

    A `value` lies on a straight line between two readings, and so does a `place`, a coordinate of
    what moves: the way is measured along all places. A `state` is that of the way to a reading, as
    whether a pen was down, and holds back to the reading before.
    """

    name: str
    kind: ChannelKind
    text: str  # unit and direction, for people


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What an example is, and how a picture becomes one.

    A uint8 array, or a picture read from a file, is seen by the graphs as
    pixel * scale + offset; a float array is taken as it is. `invert` (files only): pictures are
    dark on light and the learner wants bright on dark. `resize`: the shorter side becomes this,
    then the centre of the shape's height and width is cut out; with `fit` whole the picture becomes
    as large as fits into these, on a padded ground. Of audio, `rate` is in hertz and the shape is
    the number of samples, from -1 to 1. Of a series [T, C], `whole` says that one recording is one
    example, its readings at even times or at even steps along the path; otherwise windows are cut,
    at `rate` hertz where that is given.
    """

    kind: Literal["image", "array", "audio"]
    shape: tuple[int, ...]  # of one example
    dtype: Literal["float32"] = "float32"
    layout: Literal["HWC", "CHW"] | None = None
    range: tuple[float, float] | None = None
    colour: Literal["grey", "rgb"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    invert: bool = False
    resize: int | None = None
    fit: Fit = "square"
    interpolation: Literal["lanczos", "bilinear", "bicubic", "box"] | None = None
    rate: int | float | None = None  # samples of audio, or readings of a series, a second
    whole: Literal["time", "path"] | None = None
    channels: tuple[Channel, ...] | None = None  # of a series, in their order
    seen: Seen | None = None

    @property
    def hertz(self) -> int:
        """The rate of audio, which is a whole number; 0 where there is none."""
        return int(self.rate or 0)


@dataclass(frozen=True)
class TensorSpec:
    """A graph's input or output; a dimension is a number or one of B, S, N, Q."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """One ONNX file of the package."""

    file: str
    sha256: str
    bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """init, then `steps` times step; both are names of graphs."""

    name: str
    init: str
    step: str | None = None
    steps: int = 0
    state: tuple[str, ...]  # what init returns, and step before its loss
    noise: tuple[str, ...] = ()  # inputs of init that are zeros unless samples are asked for


@dataclass(frozen=True)
class Bounds:
    """From min to max, both included; no max where the mathematics sets none."""

    min: int
    max: int | None = None


@dataclass(frozen=True)
class Limits:
    """Classes in a task, examples of a class, and examples in all.

    Regression: `shot` and `support` both count all examples.
    """

    way: Bounds = Bounds(2)
    shot: Bounds = Bounds(1)
    support: Bounds = Bounds(1)


TaskName = Literal["classification", "regression", "policy"]
Measure = Literal["accuracy", "mean_squared_error", "mean_return"]
MEASURES: dict[TaskName, Measure] = {  # what is measured of each kind of task
    "classification": "accuracy",
    "regression": "mean_squared_error",
    "policy": "mean_return",
}


def measured_one(*values: float | None) -> float:
    """The one of them that was measured."""
    return next(value for value in values if value is not None)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a measured accuracy, mean squared error or mean return has to beat.

    `difference` is how far the package is ahead on the same episodes: its accuracy or return less
    this one, or this error less its own; `interval` is the half width of its 95 % interval.
    """

    name: str
    accuracy: float | None = None
    mean_squared_error: float | None = None
    mean_return: float | None = None
    difference: float
    interval: float

    @property
    def value(self) -> float:
        """The one of the three that was measured."""
        return measured_one(self.accuracy, self.mean_squared_error, self.mean_return)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A measured mean, ± interval (95 %) over episodes, beside what it has to beat.

    Classification has an accuracy; regression, where `way` is 1, a mean squared error in squared
    units of the targets; a policy, where `way` is 1 too, a mean return after it was adapted once,
    to `shot` rollouts. Where the classes are named, `given` of them have examples, null: all, and
    with `persons` the mean is of each person's mean, and the interval over so many of them.
    """

    data: str
    split: str
    way: int
    shot: int
    given: int | None = None
    episodes: int
    persons: int | None = None
    accuracy: float | None = None
    mean_squared_error: float | None = None
    mean_return: float | None = None
    interval: float
    transductive: bool = False
    compared: tuple[Comparison, ...] = ()

    @property
    def value(self) -> float:
        """The one of the three that was measured."""
        return measured_one(self.accuracy, self.mean_squared_error, self.mean_return)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The score that accepts this share of queries of no class of the task, `false_accepts`.

    `known_kept` is the share of queries of the task's classes that it accepts.
    """

    false_accepts: float
    score: float
    known_kept: float


@dataclass(frozen=True, kw_only=True)
class PredictionSet:
    """Labels of at least this probability hold the right one for a share `coverage` of queries.

    `size` is the mean number of labels in such a set.
    """

    coverage: float
    probability: float
    size: float


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Confidence in answers, measured on meta-validation classes in tasks of one way and shot.

    A query's score is its largest logit less `others` times the mean of its other logits. The
    expected calibration error is that of softmax(logits / temperature).
    """

    way: int
    shot: int
    classes: int  # meta-validation classes that the tasks were drawn from
    queries: int  # queries of the tasks' classes; there were as many of other classes
    others: float
    temperature: float
    calibration_error: float
    thresholds: tuple[Threshold, ...]
    sets: tuple[PredictionSet, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a runtime has to know about a package.

    `classes` names those of every task, in the order of the answers' columns; null: every task has
    classes of its own. Of named classes any may have no example. Further ones may follow them where
    `limits.way` allows more. A policy answers with the means of its A actions and then their
    deviations; its targets are the A actions that were taken and their advantage.
    """

    format: int = FORMAT
    name: str
    learner: str
    task: TaskName
    classes: tuple[str, ...] | None = None
    input: InputSpec
    embed: str | None
    # of `embed`: the type of its weights, and of the tensors between convolutions where it is int8
    precision: Precision = "float32"
    graphs: dict[str, GraphSpec]
    stages: tuple[StageSpec, ...]
    predict: str
    limits: Limits = field(default_factory=Limits)
    evaluation: tuple[Evaluation, ...] = ()
    confidence: tuple[Confidence, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    licence: str

    @property
    def kept(self) -> tuple[TensorSpec, ...]:
        """What a task keeps of the state: what predict reads; of a policy, which goes on, all."""
        if self.task == "policy":
            made = (self.graphs[stage.init].outputs for stage in self.stages)
            return tuple({tensor.name: tensor for outputs in made for tensor in outputs}.values())
        inputs = self.graphs[self.predict].inputs
        return tuple(tensor for tensor in inputs if tensor.name != "query_x")

    @property
    def may_be_empty(self) -> bool:
        """Whether a task may have no examples: of named classes, and a policy before it acts."""
        return self.classes is not None or self.task == "policy"

    @property
    def targets(self) -> int | str | None:
        """The width of the targets [S, …]: of a regression its outputs, of a policy A + 1.

        None where there are labels; a symbol where the manifest is not one.
        """
        if self.task == "classification":
            return None
        outputs = self.graphs[self.predict].outputs
        width = outputs[0].shape[-1] if outputs and outputs[0].shape else 0
        if self.task == "policy" and isinstance(width, int):
            return width // 2 + 1
        return width


NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # of a package and its files
INNER = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9._-]{0,99}")  # of a graph, a stage or a tensor
HASH = re.compile(r"[0-9a-f]{64}")
CHANNEL = 100  # characters of a channel's name
PLAIN_HINT = "letters, digits, `.`, `_` and `-`, no folders, at most 100 characters"
INNER_HINT = (
    "a letter or `_` first, then letters, digits, `.`, `_` and `-`, at most 100 characters; not "
    "`__` first, and no name that every object of JavaScript has"
)
DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
OBJECTS = (  # what a lookup in an empty object of JavaScript finds
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "prototype",
    "toLocaleString", "toString", "valueOf",
)  # fmt: skip
ROLES = ("x", "h", "support_x", "support_y", "query_x", "loss", "logits", "outputs")
NEXT = ".next"  # the end of an output's name in the file, where an input has its own


def is_basename(text: str) -> bool:
    """Whether `text` names a file in the same folder, on every system."""
    plain = NAME.fullmatch(text) and not text.endswith(".")
    return bool(plain) and text.split(".")[0].casefold() not in DEVICES


def is_inner(text: str) -> bool:
    """Whether a graph, a stage or a tensor may have the name `text`."""
    return bool(INNER.fullmatch(text)) and text not in OBJECTS


def is_own(text: str) -> bool:
    """Whether a state or noise tensor may: the roles that the format gives are not its own."""
    return is_inner(text) and text not in ROLES and not text.endswith(NEXT)
