"""What is asked of a learner: a class, numbers, an action; the loss and the score of each."""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from handful.runtime.package.manifest import MEASURES, Measure, TaskName
from handful.trainer.operations.convolution import is_tracing

Score = Callable[[Tensor, Tensor], Tensor]  # of answers and y, both of B examples: []


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One kind of task; `y` are one-hot labels [B, N], targets [B, O], or what a policy did.

    Each score is a mean over examples. `y` of a policy's support set is [B, A + 1], its actions and
    their advantage; of its queries [B, 2 A + 1], see `pathwise_loss`.
    """

    name: TaskName
    outputs: str  # what packages call the answers
    loss: Score  # that the inner loop descends on the support set
    query_loss: Score  # that the outer loop descends on the queries
    compute_measure: Score  # on the queries: a share of 1, an error in squared units, a return
    sign: int  # +1 where more of the measure is better, −1 where less is

    @property
    def measure(self) -> Measure:
        """What its measure is called."""
        return MEASURES[self.name]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over examples of −Σ y log softmax(logits); logits and one-hot y [B, N]."""
    if is_tracing():
        loss: Tensor = _CrossEntropy.apply(logits, y)  # type: ignore[no-untyped-call]
        return loss
    return _cross_entropy(logits, y)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    weights = y / y.shape[-2]  # dividing first gives a gradient of fewer operations
    return -(weights * torch.log_softmax(logits, dim=-1)).sum()


class _CrossEntropy(Function):
    """With its gradient in closed form, (softmax(logits) − y) / B: three operations of an exported
    step where autograd's have eight. In eager torch a function of one's own costs more than that.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, y: Tensor) -> Tensor:
        return _cross_entropy(logits, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        logits, y = ctx.saved_tensors
        share = (torch.softmax(logits, dim=-1) - y) / y.shape[-2]
        return gradient * share, None


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean over examples and outputs of (output − y)²; both [B, O]."""
    difference = outputs - y
    return (difference * difference).mean()


def policy_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """−mean over examples of advantage · log N(action; mean, deviation), but for a constant.

    The policy gradient (Williams 1992); `outputs` [B, 2 A] are means, then deviations, y [B, A + 1]
    actions, then their advantage. An advantage of 0 says nothing of an action.
    """
    mean, deviation = outputs.chunk(2, dim=-1)
    actions, advantage = y[:, :-1], y[:, -1]
    z = (actions - mean) / deviation
    log_density = -(0.5 * z * z + torch.log(deviation)).sum(dim=-1)
    return -(advantage * log_density).mean()


def pathwise_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """−mean return, with its exact gradient by the policy: y [B, 2 A + 1] is what the policy did.

    Of each reading y has the A draws z of its noise, the slopes of the return by its A actions
    a = mean + deviation · z, whatever they lead to included, times the readings of a rollout, and
    the return of its rollout. The value is that of the returns; the gradient, slope · a, is that
    through the environment, in which it was played once, outside this function.
    """
    mean, deviation = outputs.chunk(2, dim=-1)
    count = mean.shape[-1]
    noise, slopes, returns = y[:, :count], y[:, count : 2 * count], y[:, -1]
    gain = (slopes * (mean + deviation * noise)).sum(dim=-1).mean()
    return -(returns.mean() + gain - gain.detach())


def mean_return(outputs: Tensor, y: Tensor) -> Tensor:
    """The mean over the rollouts that the queries are of."""
    return y[:, -1].mean()


def hits(logits: Tensor, y: Tensor) -> Tensor:
    """The share of examples whose largest logit is that of their class; both [B, N]."""
    return (logits.argmax(dim=-1) == y.argmax(dim=-1)).to(logits.dtype).mean()


CLASSIFICATION = TaskKind(
    name="classification",
    outputs="logits",
    loss=cross_entropy,
    query_loss=cross_entropy,
    compute_measure=hits,
    sign=1,
)
REGRESSION = TaskKind(
    name="regression",
    outputs="outputs",
    loss=squared_error,
    query_loss=squared_error,
    compute_measure=squared_error,
    sign=-1,
)
POLICY = TaskKind(
    name="policy",
    outputs="outputs",
    loss=policy_loss,
    query_loss=pathwise_loss,
    compute_measure=mean_return,
    sign=1,
)
