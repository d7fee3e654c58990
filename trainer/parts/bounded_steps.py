"""Inner steps that cannot run away: gradients of bounded length, rates that know how many examples.

    g ← g · min(1, most / ‖g‖)            ‖g‖ over all tensors that move
    α ← α · exp(u + v ln(1 + K))          K examples of a class on average, u and v learned

A step on one odd example of a person is as short as any other; without a bound the rates that are
best on usual persons throw off unusual ones. One example deserves another step than ten.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handful.trainer.form.stage import Support, Tensors

COUNT = "count."  # what the names of u and v begin with
TINY = 1e-12  # of a squared length


def bound_gradient(gradient: Tensors, most: float | None) -> Tensors:
    """The gradient, shortened to this length where it is longer; None: as it is."""
    if most is None:
        return gradient
    square = torch.stack([(g * g).sum() for g in gradient.values()]).sum()
    factor = torch.rsqrt((square / most**2).clamp(min=1.0))
    return {name: g * factor for name, g in gradient.items()}


def count_params() -> Tensors:
    """u and v at their start, where the number of examples says nothing."""
    return {COUNT + "offset": torch.zeros(()), COUNT + "slope": torch.zeros(())}


def count_factor(params: Tensors, support: Support) -> Tensor:
    """exp(u + v ln(1 + K)) of the classes that have examples; [] of a support set."""
    shots = support.y.sum(dim=0)
    examples = shots.sum() / shots.clamp(max=1).sum().clamp(min=1)
    return torch.exp(params[COUNT + "offset"] + params[COUNT + "slope"] * torch.log1p(examples))


def labelled_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of the rows of y [B, N] that are examples; 0 where none is."""
    return -(y * torch.log_softmax(logits, dim=-1)).sum() / y.sum().clamp(min=1)
