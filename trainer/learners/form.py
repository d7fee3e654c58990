"""The form of every learner: functions of tensors, written for a single task.

    embed    x → h                                frozen while adapting; may be the identity
    stages   init(state, support) → new tensors   the state is one dict of tensors that grows
             step(state, support) → tensors, loss    run `steps` times; the gradient is inside
    predict  (state, query) → logits [Q, N]       in regression outputs [Q, O]

These functions, and no others, are meta-trained (`vmap` makes one task T), evaluated and traced to
ONNX. Randomness is an argument: a learner names the noise tensors it reads, zeros give the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.networks import NetworkConfig

from .stage import Noise, Stage, Support, Tensors
from .task import CLASSIFICATION, REGRESSION, TaskKind, TaskName, cross_entropy

__all__ = [
    "Learner", "Noise", "Outcome", "Stage", "Support", "Tensors", "adapt", "cross_entropy",
    "embedded", "part",
]  # fmt: skip


class Outcome(NamedTuple):
    """What a meta-loss reports beside the loss."""

    metrics: Tensors  # scalars for the log
    buffers: Tensors  # new values of parameters that have no gradient (running statistics)


class Learner(ABC):
    """A learner for one kind of input; `params` are its meta-parameters, values in a dict."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    tasks: ClassVar[tuple[TaskName, ...]] = ("classification",)  # what it can learn

    max_way: int | None = (
        None  # a head with a fixed number of outputs serves up to this many classes
    )
    max_support: int | None = None  # examples in all, where memory grows faster than their number
    min_shot: int = 1
    frozen_embed: bool = False  # True: embed is not meta-trained, episodes are of embeddings
    has_embed: bool = False  # False: embed is the identity and the package carries no embed graph
    transductive: bool = False  # True: predictions depend on the query batch; export refuses
    usual_cause: ClassVar[str] = "a lower meta.lr helps"  # of a loss that is not finite
    symmetric: bool = True  # renaming the classes permutes the answers
    ordered: bool = False  # True: answers may depend on the order of the support set

    def __init__(self, config: Any, spec: InputSpec, way: int, targets: int | None = None) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task.

        `targets` are the numbers that a regression predicts; only a learner that names regression
        among its `tasks` is given any.
        """
        self.config = config
        self.spec = spec
        self.way = way
        self.targets = targets

    @property
    def task(self) -> TaskKind:
        """What it is asked for here: its loss, its measure, what its answers are called."""
        return CLASSIFICATION if self.targets is None else REGRESSION

    @abstractmethod
    def init(self, generator: torch.Generator) -> Tensors:
        """Fresh meta-parameters, buffers included."""

    def prepare(self, params: Tensors, x: Tensor, y: Tensor) -> Tensors:
        """Initialisation from data: `x` [M, ...] are some embedded meta-training examples.

        `y` [M] int64 are their meta-training classes, in regression [M, O] their targets.
        """
        return params

    def pretrained_network(self) -> NetworkConfig | None:
        """The network that can be pre-trained as a prototypical network, if the learner has one."""
        return None

    def with_pretrained(self, params: Tensors, pretrained: Tensors) -> Tensors:
        """`params` with the parameters of the network that `pretrained_network` names."""
        raise NotImplementedError

    def frozen(self, name: str) -> bool:
        """Whether the meta-optimiser leaves the parameter `name` unchanged."""
        return False

    def embed(self, params: Tensors, x: Tensor) -> Tensor:
        """x [B, ...] → h [B, ...], each example by itself."""
        return x

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
        """Logits [Q, N] of embedded queries [Q, ...]; in regression outputs [Q, O]."""

    def training_noise(self, episodes: Episode, generator: torch.Generator) -> Tensors:
        """The random tensors that the meta-loss reads, [T, ...] for a batch of episodes."""
        return {}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """The loss of one task whose gradient trains the meta-parameters.

        `progress` runs from 0 to 1 over the meta-training, for schedules.
        """
        support, query = embedded(self, params, episode)
        state = adapt(self, params, support, noise=noise, training=True)
        answers = self.predict(params, state, query)
        return self.task.loss(answers, episode.query_y), self.outcome(answers, episode.query_y)

    def outcome(self, answers: Tensor, y: Tensor, **metrics: Tensor) -> Outcome:
        """The measure on the queries, and what else the learner wants in the log."""
        values = {self.task.measure: self.task.measured(answers, y), **metrics}
        return Outcome({name: value.detach() for name, value in values.items()}, {})


def embedded(learner: Learner, params: Tensors, episode: Episode) -> tuple[Support, Tensor]:
    """The support set and the queries through `embed`, unless the episode is embedded already."""
    embed = (lambda _, x: x) if learner.frozen_embed else learner.embed
    support = Support(embed(params, episode.support_x), episode.support_y)
    return support, embed(params, episode.query_x)


def adapt(
    learner: Learner,
    params: Tensors,
    support: Support,
    *,
    noise: Noise | None = None,
    training: bool = False,
    observe: Callable[[str, int, Tensors], None] | None = None,
) -> Tensors:
    """Run the stages on one support set; `observe(stage, i, tensors)` sees every state.

    `noise` holds draws by name; what is not given is zero. Raises a LearnerError where a function
    of the learner does not return what a stage must.
    """
    state: Tensors = {}
    for stage in learner.stages(training=training):
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


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose name starts with `prefix`, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
