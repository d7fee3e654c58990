"""Matching network (Vinyals et al. 2016, arXiv:1606.04080).

    embed    h = f′(x)
    state    g(x_i) and y_i of the support set
    predict  log p(y | x),  p(y | x) = Σ_i a(x, x_i) y_i,  a = softmax_i of c · cos(f(x), g(x_i))

f = g = f′, unless `context_steps` is set: full context embeddings, appendix A.

    support   g(x_i) = h→_i + h←_i + g′(x_i), a bidirectional LSTM over the support set
    query     ĥ_k, c_k = LSTM(f′(x), [h_{k−1}, r_{k−1}], c_{k−1}),  h_k = ĥ_k + f′(x)
              r_k = Σ_i a_i g(x_i),  a = softmax_i of ⟨h_k, g(x_i)⟩;  f(x) = h_K

h_0 and c_0 are 0, so that r_0 is the mean of g. The support set is read as a sequence: its order
counts. Each query is read by itself. The paper has c = 1. The logits are the logarithms of its
probabilities, computed as log Σ exp over a class's examples, so that none underflows.

Differs from the paper: with full context embeddings each training task reads its support set in a
new random order, since a device may get it in any; `scale` is c (100 in Chen et al. 2019,
arXiv:1904.04232, who also take the ReLU of the cosine, which leaves features that are 0 or more as
they are); with `metric = "squared"` a reads −c ‖f(x) − g(x_i)‖² instead, which does better in a
re-implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import Episode
from handful.trainer.form.learner import Outcome, Variant, add_prefix, part
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, OF_VECTORS, EmbeddingLearner
from handful.trainer.parts.features import squared_distance, unit_length
from handful.trainer.parts.lstm import GATES, init_lstm, lstm
from handful.trainer.parts.memory import MEMORY, log_probability, remember
from handful.trainer.settings.read import check_numbers

SUPPORT, QUERY = "support.", "query."
CONTEXT = "context."  # what the names of full context embeddings' parameters begin with


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """The hyperparameters."""

    metric: Literal["cosine", "squared"] = "cosine"
    scale: float = 1.0  # c
    context_steps: int = 0  # K of full context embeddings; 0: none
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"context_steps": 0})


class Matching(EmbeddingLearner):
    """Attention over the labelled examples."""

    name = "matching"
    Config = MatchingConfig

    def __init__(self, config: MatchingConfig, spec: InputSpec, way: int) -> None:
        """The learner for examples of `spec`; `way` is the most classes of a training task."""
        super().__init__(config, spec, way)
        self.ordered = config.context_steps > 0

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """Each kind of attention."""
        return {
            "matching": Variant(cls.Config(scale=5.0, network=OF_VECTORS)),
            "matching-context": Variant(cls.Config(scale=5.0, context_steps=2, network=OF_VECTORS)),
            "matching-squared": Variant(cls.Config(metric="squared", network=OF_PICTURES)),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """The network's parameters, and those of full context embeddings."""
        params = self.network_params(generator)
        if not self.config.context_steps:
            return params
        context = init_context(self.features, generator)
        return params | add_prefix(context, CONTEXT)

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The support set is the state, in its context if there is one."""
        if not self.config.context_steps:
            return (MEMORY,)
        return (Stage(name="memory", init=in_context, init_name="context"),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """log p(y | x) for h [Q, D]: [Q, N]."""
        g, steps = state["memory_x"], self.config.context_steps
        f = query_in_context(part(params, CONTEXT), query_x, g, steps) if steps else query_x
        likeness = self.likeness(f, g)
        attention = torch.log_softmax(float(self.config.scale) * likeness, dim=-1)
        return log_probability(attention, state["memory_y"])

    def likeness(self, f: Tensor, g: Tensor) -> Tensor:
        """What attention is paid by: f [Q, D] and g [S, D] → [Q, S]."""
        if self.config.metric == "squared":
            return -squared_distance(f, g)
        return unit_length(f) @ unit_length(g).T

    def training_noise(self, episodes: Episode, generator: torch.Generator) -> Tensors:
        """An order [T, S] of each support set, where it counts."""
        if not self.ordered:
            return {}
        keys = torch.rand(episodes.support_y.shape[:2], generator=generator)
        return {"order": keys.argsort(dim=1).to(episodes.support_y.device)}

    def meta_loss(
        self, params: Tensors, episode: Episode, noise: Noise, progress: float
    ) -> tuple[Tensor, Outcome]:
        """−log p(y | x) of the queries, after a support set in the order that was drawn."""
        if "order" in noise:
            order = noise["order"]
            x, y = episode.support_x[order], episode.support_y[order]
            episode = episode._replace(support_x=x, support_y=y)
        return super().meta_loss(params, episode, noise, progress)


def in_context(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """g [S, D] and the labels [S, N]."""
    g = support_in_context(part(params, CONTEXT), support.x)
    return remember(params, state, Support(g, support.y), noise)


def support_in_context(params: Tensors, x: Tensor) -> Tensor:
    """g [S, D] of the embedded support set [S, D], in its order."""
    return lstm(part(params, SUPPORT), x).sum(dim=1) + x


def query_in_context(params: Tensors, x: Tensor, g: Tensor, steps: int) -> Tensor:
    """f [Q, D] of embedded queries [Q, D] after `steps` looks at g [S, D]."""
    weight, bias = params[QUERY + "weight"], params[QUERY + "bias"]
    size = x.shape[1]
    given = x @ weight[:size] + bias  # the same at every step
    h = c = x * 0.0
    for _ in range(steps):
        r = torch.softmax(h @ g.T, dim=1) @ g
        gates = given + torch.cat([h, r], dim=1) @ weight[size:]
        i, o, f, z = gates.chunk(GATES, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(z)
        h = torch.sigmoid(o) * torch.tanh(c) + x
    return h


def init_context(size: int, generator: torch.Generator) -> Tensors:
    """Weights of both LSTMs for features [D]: the query's reads f′, h and r side by side."""
    rows = GATES * size
    bound = size**-0.5
    weights = {
        "weight": torch.rand(3 * size, rows, generator=generator) * 2 - 1,
        "bias": torch.rand(rows, generator=generator) * 2 - 1,
    }
    both = init_lstm(size, size, directions=2, generator=generator)
    return {
        **{SUPPORT + name: value for name, value in both.items()},
        **{QUERY + name: bound * value for name, value in weights.items()},
    }
