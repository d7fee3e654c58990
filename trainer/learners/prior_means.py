"""Class means shrunk to those of a population, for named classes: the same ones, another person.

    embed     φ(x) = A (f(x) − μ)
    prior     δ = s · mean over the classes with examples of (mean of φ(x) − p_n);  q_n = p_n + δ
    state     c_n = (m q_n + Σ φ(x)) / (m + K_n)      over the K_n examples of class n
              v_n = 1 + 1 / (m + K_n)
    predict   −τ/2 Σ_d ((φ(x) − c_n)² / v_n + ln v_n) + b_n

p_n are the means of the population, and m [D] says for each direction how many examples they are
worth: few where persons differ, many where they are alike. s says how far all classes move with
those that have examples, τ how sharp the answers are and b_n how frequent. Without any example
c_n = p_n: the classifier for everybody. A class beyond the named ones has no prior, m = 0: its c_n
is its mean.

With s = 0, τ = 1 and b = 0 that is PLDA (Ioffe 2006): class means are normally distributed over
persons around p_n with the variance 1/m, examples around them with the variance 1, and an answer is
the logarithm of the density of x under the posterior. Prior and body are meta-trained through it,
on tasks whose classes have few examples or none.

All starts from meta-training examples: A whitens the covariance within a person's class and makes
that between persons diagonal, μ and p_n are means, and m is 1 over the variance between persons.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from handful.trainer.form.learner import Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.embedding import OF_PICTURES, EmbeddingLearner
from handful.trainer.parts.features import scaled_distance
from handful.trainer.parts.whitening import fit_persons, no_whitening, whiten
from handful.trainer.settings.read import check_numbers

MEANS, WORTH, SHIFT = "prior.means", "prior.worth", "prior.shift"  # p, ln m, s
SHARPNESS, BIAS = "answer.sharpness", "answer.bias"  # ln τ, b
WORTHS = (0.05, 30.0)  # of m at the start, in examples
OF_THE_TASK = 5.0  # times the rate of the network: these few numbers have far to go


@dataclass(frozen=True, kw_only=True)
class PriorMeansConfig:
    """The hyperparameters."""

    shift: float = 0.7  # s at the start
    sharpness: float = 0.25  # τ at the start
    train_network: bool = True  # meta-train the network with the rest
    network: NetworkConfig | None = field(default_factory=NetworkConfig)  # None: x are features

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"shift": 0})


class PriorMeans(EmbeddingLearner):
    """Shrunken class means of a learned embedding."""

    name = "prior-means"
    Config = PriorMeansConfig
    tasks = ("named classes",)
    takes_new = True

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On pictures."""
        return {"prior-means": Variant(cls.Config(network=OF_PICTURES), named=True)}

    def init(self, generator: torch.Generator) -> Tensors:
        """The network, a map that changes nothing, and means at the origin until `prepare`."""
        return self.network_params(generator) | {
            **no_whitening(self.features),
            MEANS: torch.zeros(self.way, self.features),
            WORTH: torch.zeros(self.features),
            SHIFT: torch.tensor(float(self.config.shift)),
            SHARPNESS: torch.tensor(self.config.sharpness).log(),
            BIAS: torch.zeros(self.way),
        }

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """A, μ, p_n and m of embedded examples x [M, D] of the classes y [M] of persons [M]."""
        found, means, between = fit_persons(x, y, domain, self.way)
        return params | found | {MEANS: means, WORTH: (1 / between).clamp(*WORTHS).log()}

    def rate_of(self, name: str) -> float:
        """The prior and the answers move faster than the network."""
        return OF_THE_TASK if name in (MEANS, WORTH, SHIFT, SHARPNESS, BIAS) else 1.0

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """φ(x) [B, D] of x [B, ...], each example by itself, also where they come `together`.

        The examples of a task are one person's: their moments are not those of everybody, and
        running averages stay as the pre-training of the network left them.
        """
        h, buffers = super().embed_batch(params, x, together=together and self.transductive)
        return whiten(params, h), buffers

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """One stage without steps: the shrunken means."""
        return (Stage(name="means", init=shrunken_means),)

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−τ/2 Σ_d ((φ − c_n)² / v_n + ln v_n) + b_n for φ [Q, D]: [Q, N]."""
        near = scaled_distance(query_x, state["c"], state["v"]) + state["v"].log().sum(dim=1)
        return state["b"] - params[SHARPNESS].exp() / 2 * near


def shrunken_means(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """c and v [N, D] and b [N] of φ [S, D], where any class may have no example."""
    p, m = params[MEANS], params[WORTH].exp()
    count, total = support.y.sum(dim=0)[:, None], support.y.T @ support.x
    has = count.clamp(max=1)  # [N, 1], whether there are examples
    # N may be larger than the number of named classes: theirs are the first columns
    named = (support.y.new_ones(support.y.shape[1]).cumsum(dim=0) - 1)[:, None]
    prior = (named == torch.arange(len(p), device=p.device)).to(p.dtype)  # [N, C]
    known = prior.sum(dim=1, keepdim=True)
    moved = known * has * (total / count.clamp(min=1) - prior @ p)
    shift = params[SHIFT] * moved.sum(dim=0) / (known * has).sum().clamp(min=1)
    weight = m * known  # [N, D]
    precision = (weight + count).clamp(min=1e-6)
    c = (weight * (prior @ p + shift) + total) / precision
    return {"c": c, "v": 1 + 1 / precision, "b": prior @ params[BIAS]}
