"""What is asked of a learner, a class or numbers, with the loss and the score that go with it."""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

from handful.trainer.operations.convolution import is_tracing

TaskName = Literal["classification", "regression"]
# what tasks are of: classes that are others each time, the same named classes, or numbers
Asked = Literal["classification", "named classes", "regression"]
Measure = Literal["accuracy", "mean_squared_error"]


@dataclass(frozen=True)
class TaskKind:
    """One kind of task; `y` are one-hot labels [B, N] or targets [B, O]."""

    name: TaskName
    measure: Measure
    outputs: str  # what packages call the answers

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over examples that inner and outer loops descend: []."""
        if self.name == "classification":
            return cross_entropy(outputs, y)
        return squared_error(outputs, y)

    def compute_measure(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The measure on these examples: a share of 1, or an error in squared units of y: []."""
        if self.name == "classification":
            return hits(outputs, y)
        return squared_error(outputs, y)

    @property
    def sign(self) -> int:
        """+1 where more of the measure is better, −1 where less is."""
        return 1 if self.name == "classification" else -1


CLASSIFICATION = TaskKind("classification", "accuracy", "logits")
REGRESSION = TaskKind("regression", "mean_squared_error", "outputs")


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


def hits(logits: Tensor, y: Tensor) -> Tensor:
    """The share of examples whose largest logit is that of their class; both [B, N]."""
    return (logits.argmax(dim=-1) == y.argmax(dim=-1)).to(logits.dtype).mean()
