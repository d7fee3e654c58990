"""Class means shrunk to those of a population, for named classes: the same ones, another person.

    embed     φ(x) = A (f(x) − μ)
    prior     δ = s · mean over the classes with examples of (mean of φ(x) − p_n)
              q_n = p_n + δ + Σ_r z_r w_rn
    state     c_n = (m q_n + Σ φ(x)) / (m + K_n)      over the K_n examples of class n
              v_n = 1 + 1 / (m + K_n) + (m / (m + K_n))² Σ_rs w_rn (G⁻¹)_rs w_sn
    step      c, b ← c − α_k g_c, b − α_k g_b, `steps` times; g = ∇ −mean ln p(y | φ(x)), |g| ≤ 1
    predict   −τ/2 Σ_d ((φ(x) − c_n)² / v_n + ln v_n) + b_n

p_n are the means of the population, and m [D] says for each direction how many examples they are
worth: few where persons differ, many where they are alike. s says how far all classes move with
those that have examples, τ how sharp the answers are and b_n how frequent. Without any example
c_n = p_n: the classifier for everybody. A class beyond the named ones has no prior, m = 0: its c_n
is its mean.

A person who wears a band another way moves all classes at once, each its own way. `factors` R are
such ways, w_rn [D], and z [R] how far this person goes along each, normally distributed around 0
with the variance 1. With u_n = K_n m / (m + K_n), the precision of a class mean about q_n,

    G_rs = 1[r = s] + Σ_n ⟨w_rn, u_n w_sn⟩
    z    = G⁻¹ Σ_n w_n u_n (mean of φ(x) − p_n − δ)   over the classes with examples

is the posterior's mean, and classes without examples move as those with examples say. In speaker
recognition these are eigenvoices beside a diagonal term (Kenny et al. 2007, joint factor analysis).

Steps, where there are any, fit the answers to the examples from there, first-order. α of c and of b
is learned for each step, with a factor of the number of examples (parts/bounded_steps.py).

With R = 0, s = 0, τ = 1 and b = 0 that is PLDA (Ioffe 2006): class means are normally distributed
over persons around p_n with the variance 1/m, examples around them with the variance 1, and an
answer is the logarithm of the density of x under the posterior. Prior and body are meta-trained
through it, on tasks whose classes have few examples or none.

All starts from meta-training examples: A whitens the covariance within a person's class and makes
that between persons diagonal, μ and p_n are means, w are the principal components of persons' class
means about p_n, all classes side by side, and m is 1 over the variance that is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from handful.trainer.form.learner import Variant
from handful.trainer.form.stage import Noise, Stage, Support, Tensors
from handful.trainer.networks import NetworkConfig
from handful.trainer.parts.bounded_steps import (
    COUNT,
    bound_gradient,
    count_factor,
    count_params,
    labelled_loss,
)
from handful.trainer.parts.embedding import OF_PICTURES, OF_VECTORS, EmbeddingLearner
from handful.trainer.parts.features import scaled_distance
from handful.trainer.parts.inner_gradient import grad_and_value
from handful.trainer.parts.metric import inverse
from handful.trainer.parts.whitening import LEAST, fit_persons, no_whitening, whiten
from handful.trainer.settings.read import check_numbers

MEANS, WORTH, SHIFT = "prior.means", "prior.worth", "prior.shift"  # p, ln m, s
FACTORS = "prior.factors"  # w
SHARPNESS, BIAS = "answer.sharpness", "answer.bias"  # ln τ, b
MEANS_RATE, BIAS_RATE = "rate.means", "rate.bias"  # ln α of c and of b, of each step
TASK = (MEANS, WORTH, SHIFT, FACTORS, SHARPNESS, BIAS, MEANS_RATE, BIAS_RATE)
FITTED = ("fitted_c", "fitted_b")
LONGEST = 1.0  # of an inner gradient
WORTHS = (0.05, 30.0)  # of m at the start, in examples
CONDITION = 1e5  # of G at most, whose least eigenvalue is 1: as of thousands of examples
OF_THE_TASK = 5.0  # times the rate of the network: these few numbers have far to go


@dataclass(frozen=True, kw_only=True)
class PriorMeansConfig:
    """The hyperparameters."""

    shift: float = 0.7  # s at the start
    sharpness: float = 0.25  # τ at the start
    factors: int = 0  # R, in how many ways a person moves all classes together
    steps: int = 0  # on the support set's loss, from the shrunken means
    step_rate: float = 2.0  # α of c at the start; of b a quarter
    train_network: bool = True  # meta-train the network with the rest
    network: NetworkConfig | None = field(default_factory=NetworkConfig)  # None: x are features

    def __post_init__(self) -> None:
        """Check what the types do not say."""
        check_numbers(self, least={"shift": 0, "factors": 0, "steps": 0})


class PriorMeans(EmbeddingLearner):
    """Shrunken class means of a learned embedding."""

    name = "prior-means"
    Config = PriorMeansConfig
    tasks = ("named classes",)
    takes_new = True

    @classmethod
    def variants(cls) -> dict[str, Variant]:
        """On pictures, and on vectors with steps."""
        config = cls.Config(network=OF_PICTURES, factors=2)
        stepping = cls.Config(network=OF_VECTORS, factors=1, steps=2)
        return {
            "prior-means": Variant(config, named=True),
            "prior-means-steps": Variant(stepping, named=True),
        }

    def init(self, generator: torch.Generator) -> Tensors:
        """The network, a map that changes nothing, and means at the origin until `prepare`."""
        factors = torch.zeros(self.way, self.config.factors, self.features)
        return self.network_params(generator) | {
            **no_whitening(self.features),
            MEANS: torch.zeros(self.way, self.features),
            WORTH: torch.zeros(self.features),
            SHIFT: torch.tensor(float(self.config.shift)),
            SHARPNESS: torch.tensor(self.config.sharpness).log(),
            BIAS: torch.zeros(self.way),
            **({FACTORS: factors} if self.config.factors else {}),
            **(self._rates() if self.config.steps else {}),
        }

    def _rates(self) -> Tensors:
        rate = torch.full((self.config.steps,), self.config.step_rate).log()
        return {MEANS_RATE: rate, BIAS_RATE: rate - math.log(4), **count_params()}

    def prepare(self, params: Tensors, x: Tensor, y: Tensor, domain: Tensor) -> Tensors:
        """A, μ, p_n, w and m of embedded examples x [M, D] of the classes y [M] of persons [M]."""
        found, means, between = fit_persons(x, y, domain, self.way)
        if self.config.factors:
            at = whiten(found, x)
            found[FACTORS], between = fit_factors(at, y, domain, means, self.config.factors)
        return params | found | {MEANS: means, WORTH: (1 / between).clamp(*WORTHS).log()}

    def rate_of(self, name: str) -> float:
        """The prior and the answers move faster than the network."""
        return OF_THE_TASK if name in TASK or name.startswith(COUNT) else 1.0

    def embed_batch(self, params: Tensors, x: Tensor, together: bool) -> tuple[Tensor, Tensors]:
        """φ(x) [B, D] of x [B, ...], each example by itself, also where they come `together`.

        The examples of a task are one person's: their moments are not those of everybody, and
        running averages stay as the pre-training of the network left them.
        """
        h, buffers = super().embed_batch(params, x, together=together and self.transductive)
        return whiten(params, h), buffers

    def stages(self, *, training: bool = False) -> tuple[Stage, ...]:
        """The shrunken means, without a step; then the steps, where there are any."""
        means = Stage(name="means", init=shrunken_means)
        if not self.config.steps:
            return (means,)
        fitted = Stage(
            name="fitted",
            init=start_fitting,
            step=self.fit,
            step_name="fit_step",
            steps=self.config.steps,
        )
        return (means, fitted)

    def fit(self, params: Tensors, state: Tensors, support: Support) -> tuple[Tensors, Tensor]:
        """One step of c and b, and the loss that it descends, a mean over examples."""

        def support_loss(moving: Tensors) -> Tensor:
            return labelled_loss(self.predict(params, {**state, **moving}, support.x), support.y)

        moving = {name: state[name] for name in FITTED}
        gradient, loss = grad_and_value(support_loss, constant=True)(moving)
        gradient = bound_gradient(gradient, LONGEST)
        # steps beyond those of training would use the rate of the last one
        index = state["fitted_count"].clamp(max=self.config.steps - 1).reshape(1)
        factor = count_factor(params, support)
        rates = {"fitted_c": MEANS_RATE, "fitted_b": BIAS_RATE}
        moved = {
            name: moving[name]
            - factor * params[rates[name]].exp().gather(0, index).reshape(()) * gradient[name]
            for name in FITTED
        }
        return {**moved, "fitted_count": state["fitted_count"] + 1}, loss

    def predict(self, params: Tensors, state: Tensors, query_x: Tensor) -> Tensor:
        """−τ/2 Σ_d ((φ − c_n)² / v_n + ln v_n) + b_n for φ [Q, D]: [Q, N]."""
        c, b = (state[name] for name in (FITTED if self.config.steps else ("c", "b")))
        near = scaled_distance(query_x, c, state["v"]) + state["v"].log().sum(dim=1)
        return b - params[SHARPNESS].exp() / 2 * near


def start_fitting(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """c and b as they are, and the step's number."""
    count = torch.zeros((), dtype=torch.int64, device=support.y.device)
    return {"fitted_c": state["c"], "fitted_b": state["b"], "fitted_count": count}


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
    q, v = prior @ p + shift, 1 + 1 / precision
    if FACTORS in params:
        gap = total / count.clamp(min=1) - q
        moved, doubt = person_moves(prior, params[FACTORS], gap, known * count * m / (m + count))
        q, v = q + moved, v + known * (m / (m + count)) ** 2 * doubt
    c = (weight * q + total) / precision
    return {"c": c, "v": v, "b": prior @ params[BIAS]}


def person_moves(
    prior: Tensor, factors: Tensor, gap: Tensor, sure: Tensor
) -> tuple[Tensor, Tensor]:
    """Σ_r z_r w_rn and Σ_rs w_rn (G⁻¹)_rs w_sn of each class, [N, D] each.

    Of w [C, R, D], how far each class mean is from its prior, and u [N, D].
    """
    count = factors.shape[1]
    w = (prior @ factors.flatten(1)).reshape(-1, count, factors.shape[2])  # [N, R, D]
    along = (w * sure[:, None]).transpose(0, 1).flatten(1)  # [R, N D]
    flat = w.transpose(0, 1).flatten(1)
    precision = torch.eye(count, dtype=w.dtype, device=w.device) + along @ flat.T
    found = inverse(precision, CONDITION)
    z = found @ (along @ gap.flatten())
    return (z[:, None] * w).sum(dim=1), ((found @ w) * w).sum(dim=1)


def fit_factors(
    x: Tensor, y: Tensor, domain: Tensor, p: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """w [C, R, D] and the variance between persons that is left [D] of x [M, D] about p [C, D]."""
    classes, features = p.shape
    persons = int(domain.max()) + 1
    group = domain * classes + y
    gap = x.double().new_zeros(persons * classes, features)
    gap.index_add_(0, group, x.double() - p[y].double())
    number = group.bincount(minlength=len(gap))
    away = (gap / number.clamp(min=1)[:, None]).reshape(persons, classes, features)
    away = away[number.reshape(persons, classes).sum(dim=1) > 0]
    left, size, right = torch.linalg.svd(away.flatten(1), full_matrices=False)
    # domains fewer than factors: the others stay at nothing
    factors = right.new_zeros(count, right.shape[1])
    found = size[:count, None] * right[:count]
    factors[: len(found)] = found / math.sqrt(len(away))
    rest = (away.flatten(1) - left[:, :count] @ found).reshape(away.shape)
    between = rest.square().mean(dim=(0, 1)).clamp(min=LEAST)
    factors = factors.reshape(count, classes, features).transpose(0, 1)
    return factors.to(x.dtype).contiguous(), between.to(x.dtype)
