"""The form of every learner: functions of tensors, written for a single task.

    embedding  x → h                              the same for all tasks; may be the identity
    stages     init(state, support) → new tensors the state is one dict of tensors that grows
               step(state, support) → tensors, loss  run `steps` times; the gradient is inside
    predict    (state, query) → logits [Q, N]     in regression outputs [Q, O]

These functions, and no others, are meta-trained (`vmap` makes one task T), evaluated and traced to
ONNX. Randomness is an argument: a learner names the noise tensors it reads, zeros give the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import CLASSES, Asked, Asks, Episode, EpisodeSource
from handful.trainer.networks import NetworkConfig
from handful.trainer.settings.errors import ConfigError

from .stage import Noise, Stage, Support, Tensors, fill_empty
from .task import CLASSIFICATION, POLICY, REGRESSION, TaskKind, cross_entropy

__all__ = [
    "Embedded",
    "Embedding",
    "Learner",
    "Noise",
    "Outcome",
    "Stage",
    "Support",
    "Tensors",
    "Untrained",
    "Variant",
    "adapt",
    "adapt_task",
    "add_prefix",
    "cross_entropy",
    "is_transductive",
    "part",
]  # fmt: skip

OF_THE_BATCH = ("support", "running")  # normalisations that have a transductive form


class Outcome(NamedTuple):
    """What a meta-loss reports beside the loss."""

    metrics: Tensors  # scalars for the log
    buffers: Tensors  # new values of parameters that have no gradient (running statistics)


class Embedded(NamedTuple):
    """A task as its stages and `predict` read it."""

    support: Support
    query: Tensor  # [Q, ...]
    buffers: Tensors  # new values of the parameters that embedding the task moves


@dataclass(frozen=True)
class Embedding:
    """What a learner does to each example before it adapts, the same for all tasks.

    `function(params, x, together)` takes x [B, ...] to h [B, ...] and new buffers. On a device each
    example is embedded by itself. In meta-training `together` is true and x are all examples of a
    task: a network may normalise by their moments, which also move its running averages.
    """

    function: Callable[[Tensors, Tensor, bool], tuple[Tensor, Tensors]]
    trained: bool = True  # False: frozen, so that training embeds its data once, ahead

    def each(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, ...], each example by itself: what a package holds as `embed`."""
        return self.function(params, x, False)[0]

    def task(self, params: Tensors, episode: Episode) -> Embedded:
        """Support set and queries of raw examples as one batch."""
        x = torch.cat([episode.support_x, episode.query_x])
        h, buffers = self.function(params, x, True)
        count = episode.support_x.shape[0]
        return Embedded(Support(h[:count], episode.support_y), h[count:], buffers)


def unchanged(params: Tensors) -> Tensors:
    """The parameters as they are."""
    return params


class Variant(NamedTuple):
    """A small form of a learner, in which the tests that all learners share try it."""

    config: Any  # its settings; `network` says which examples it reads: vectors, where it has none
    start: Callable[[Tensors], Tensors] = unchanged  # a start at which there is something to see
    named: bool = False  # whether it is tried on named classes

    def of_named(self) -> Variant:
        """The same, tried on named classes."""
        return self._replace(named=True)


class Untrained(NamedTuple):
    """Settings in which a learner needs no meta-training: `handful compare --data` measures it."""

    settings: Mapping[str, Any]
    yardstick: int | None = None  # its place among the yardsticks of every evaluation


class Learner(ABC):
    """A learner for one kind of input; `params` are its meta-parameters, values in a dict."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    tasks: ClassVar[tuple[Asked, ...]] = ("classification",)  # what it can learn

    # a head with a fixed number of outputs serves up to this many classes
    max_way: int | None = None
    max_support: int | None = None  # examples in all, where memory grows faster than their number
    takes_new: bool = False  # whether a task may have more classes beyond the named ones
    embedding: Embedding | None = None  # None: stages read the examples as they come
    usual_cause: ClassVar[str] = "a lower meta.lr helps"  # of a loss that is not finite
    untrained: ClassVar[tuple[Untrained, ...]] = ()  # in which it needs no meta-training
    ordered: bool = False  # True: answers may depend on the order of the support set

    def __init__(self, config: Any, spec: InputSpec, way: int, asks: Asks = CLASSES) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task.

        Tasks ask it for what it names among its `tasks` alone.
        """
        self.config = config
        self.spec = spec
        self.way = way
        self.asks = asks
        self.actions, self.named_way = asks.actions, asks.named_way
        # the width of the support set's y, where it has no classes: of a policy its actions and
        # their advantage
        self.targets = asks.targets if asks.actions is None else asks.actions + 1
        if asks.named_way is not None and not self.takes_new:
            self.max_way = asks.named_way

    @classmethod
    def for_tasks(cls, config: Any, spec: InputSpec, way: int, asks: Asks) -> Self:
        """The learner, told what it is asked for: of classes alone its constructor may not hear."""
        return cls(config, spec, way) if asks == CLASSES else cls(config, spec, way, asks)

    @property
    def task(self) -> TaskKind:
        """What it is asked for here: its loss, its measure, what its answers are called."""
        if self.actions is not None:
            return POLICY
        return CLASSIFICATION if self.targets is None else REGRESSION

    @property
    def outputs(self) -> int | None:
        """How many numbers `predict` gives: of a policy the means and deviations of its actions.

        None: the N logits.
        """
        return self.targets if self.actions is None else 2 * self.actions

    @abstractmethod
    def init(self, generator: torch.Generator) -> Tensors:
        """Fresh meta-parameters, buffers included."""

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """Initialisation from data: `x` [M, ...] are some embedded meta-training examples.

        `y` [M] int64 are their meta-training classes, in regression [M, O] their targets; `domain`
        [M] int64 is whose they are, one person's or device's each, and 0 where all are one's.
        """
        return params

    def pretrained_network(self) -> NetworkConfig | None:
        """The network that can be pre-trained as a prototypical network, if the learner has one."""
        return None

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """`params` with the parameters of the network that `pretrained_network` names."""
        raise NotImplementedError

    def is_frozen(self, name: str) -> bool:
        """Whether the meta-optimiser leaves the parameter `name` unchanged."""
        return False

    def rate_of(self, name: str) -> float:
        """How many times `meta.lr` the rate of the parameter `name` is."""
        return 1.0

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, ...], each example by itself, by the learner's `embedding`."""
        return x if self.embedding is None else self.embedding.each(params, x)

    def embed_task(self, params: Tensors, episode: Episode) -> Embedded:
        """What the meta-loss reads: the examples as one batch, unless they are embedded already."""
        if self.embedding is None or self.embeds_ahead:
            return Embedded(Support(episode.support_x, episode.support_y), episode.query_x, {})
        return self.embedding.task(params, episode)

    @property
    def embeds_ahead(self) -> bool:
        """Whether training embeds its data once, ahead, because the embedding is frozen."""
        return self.embedding is not None and not self.embedding.trained

    @property
    def transductive(self) -> bool:
        """Whether a prediction depends on the other queries, which `export` refuses."""
        return is_transductive(self.config)

    def transductive_form(self) -> Self:
        """The same parameters, normalised by each task's batch: published results may be so.

        Raises a ConfigError where the network reads no batch.
        """
        network = getattr(self.config, "network", None)
        if network is None or self.embeds_ahead or network.normalisation not in OF_THE_BATCH:
            raise ConfigError(
                f"{self.name} of this run has no transductive form",
                hint="only a learner whose network is meta-trained has one, with"
                " learner.network.normalisation = support or running",
            )
        network = replace(network, normalisation="transductive", views=1)
        changed = replace(self.config, network=network)
        return self.for_tasks(changed, self.spec, self.way, self.asks)

    @property
    def min_way(self) -> int:
        """The fewest classes of a task: all that are named."""
        return self.named_way or 2

    def training_source(self, source: EpisodeSource) -> EpisodeSource:
        """Which tasks it is trained on: those of the source."""
        return source

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Small forms that the shared tests try, by name: as it is, where it does not say."""
        return {cls.name: Variant(cls.Config())}

    def yardstick_features(self, params: Tensors, x: Tensor, sample: Tensor) -> Tensor:
        """What yardsticks are measured on: x [B, ...] → [B, D], each example by itself.

        They are the features that the learner adapts on before it centres or scales them itself,
        at its meta-learned start. `sample` [R, ...] are some meta-training examples, for a network
        that normalises by the moments of a set.
        """
        return self.embed(params, x).flatten(1)

    @abstractmethod
    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The stages in order; `training` may ask for fewer steps than evaluation."""

    @abstractmethod
    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """Logits [Q, N] of embedded queries [Q, ...]; in regression outputs [Q, O].

        Of a policy they are [Q, 2 A]: the mean of each action, then the deviation of each.
        """

    def training_noise(self, episodes: Episode, generator: torch.Generator) -> Tensors:
        """The random tensors that the meta-loss reads, [T, ...] for a batch of episodes."""
        return {}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """The loss of one task whose gradient trains the meta-parameters.

        `progress` runs from 0 to 1 over the meta-training, for schedules.
        """
        support, query, buffers = self.embed_task(params, episode)
        state = adapt_task(self, params, support, noise=noise)
        answers, y = self.predict(params, state, query), episode.query_y
        return self.task.query_loss(answers, y), self.outcome(answers, y, buffers)

    def outcome(self, answers: Tensor, y: Tensor, buffers: Tensors, **metrics: Tensor) -> Outcome:
        """The measure on the queries, new buffers, and what else the learner wants in the log."""
        values = {self.task.measure: self.task.compute_measure(answers, y), **metrics}
        return Outcome({name: value.detach() for name, value in values.items()}, buffers)


def is_transductive(config: Any) -> bool:
    """Whether a learner of these settings answers by the query batch: nothing else decides it."""
    network = getattr(config, "network", None)
    return getattr(network, "normalisation", None) == "transductive"


def adapt(
    learner: Learner,
    params: Tensors,
    support: Support,
    *,
    noise: Noise | None = None,
    training: bool = False,
    observe: Callable[[str, int, Tensors], None] | None = None,
    begun: Tensors | None = None,
) -> Tensors:
    """Run the stages on one support set; `observe(stage, i, tensors)` sees every state.

    `noise` holds draws by name; what is not given is zero. From a state that is `begun` a policy
    goes on: its first stage is not started, but starts there. Raises a LearnerError where a
    function of the learner does not return what a stage must.
    """
    state: Tensors = dict(begun or {})
    support = fill_empty(support)
    stages = learner.stages(training=training)
    for stage in stages:
        if begun is not None and stage is stages[0]:
            stage_state = {name: begun[name] for name in stage.begin(params, {}, support, noise)}
        else:
            stage_state = stage.begin(params, state, support, noise)
            state = {**state, **stage_state}
            if observe:
                observe(stage.name, 0, stage_state)
        for i in range(stage.steps if stage.step else 0):
            stage_state, loss = stage.advance(params, state, stage_state, support)
            state = {**state, **stage_state}
            if observe:
                observe(stage.name, i + 1, {**stage_state, "loss": loss})
    return state


def adapt_task(
    learner: Learner, params: Tensors, support: Support, *, noise: Noise | None = None
) -> Tensors:
    """The state that a meta-loss is of: after the support set, of a policy after each round.

    What a policy did has a leading axis, its rounds of rollouts, each of which goes on from the
    last: x [R, S, ...], y [R, S, A + 1].
    """
    if learner.actions is None:
        return adapt(learner, params, support, noise=noise, training=True)
    state: Tensors | None = None
    for x, y in zip(*support, strict=True):
        state = adapt(learner, params, Support(x, y), noise=noise, training=True, begun=state)
    assert state is not None
    return state


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose name starts with `prefix`, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def add_prefix(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors with `prefix` before their names: `part` undoes it."""
    return {prefix + name: value for name, value in tensors.items()}
