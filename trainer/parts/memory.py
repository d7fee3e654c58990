"""The support set as a state: kept whole, scored example by example, or read in mini-batches."""

from __future__ import annotations

import torch
from torch import Tensor

from handful.trainer.form.stage import Noise, Stage, Support, Tensors

ABSENT = 1e30  # what an example of another class falls short by, beyond any score


def remember(params: Tensors, state: Tensors, support: Support, noise: Noise) -> Tensors:
    """The embedded support set [S, ...] and its labels [S, N]."""
    return {"memory_x": support.x * 1.0, "memory_y": support.y * 1.0}


MEMORY = Stage(name="memory", init=remember)


def best_of_class(scores: Tensor, y: Tensor) -> Tensor:
    """The largest of the scores [Q, S] of each class's examples, labels y [S, N]: [Q, N]."""
    return (scores[:, None, :] + (y.T[None] - 1) * ABSENT).amax(dim=-1)


def log_probability(attention: Tensor, y: Tensor) -> Tensor:
    """log Σ_i a_i y_i of the attention log a [Q, S] and the labels y [S, N]: [Q, N]."""
    return torch.logsumexp(attention[:, None, :] + (y.T[None] - 1) * ABSENT, dim=-1)


ORDER, CURSOR = "batch_order", "batch_cursor"


def first_batch(y: Tensor, *, classes: bool = True) -> Tensors:
    """What the state holds before the first batch: the order [S] of labels [S, N], and place 0.

    Targets of a regression (`classes` False) are taken as they stand.

    Mini-batches follow a fixed rule, which a graph can carry with S free.

        order   o = the examples by how many of their class stand before them; where these are
                equal, as they stand in the support set: one of every class, then a second of each,
                and so on; in regression as they stand
        batch   the next min(B, S) examples of o, from the first again after the last

    So batches hold the classes as evenly as the shots allow, a batch may straddle two passes, and B
    or fewer examples are one batch with equal weights. The order and the place in it are part of
    the state; nothing is divided, because a package may not divide integers by what is not a
    constant.
    """
    order = torch.arange(y.shape[0], device=y.device)
    if classes:
        before = ((y.cumsum(dim=0) - y) * y).sum(dim=1)  # [S], of the same class
        order = torch.argsort(before.to(torch.int64) * y.shape[0] + order)
    return {ORDER: order, CURSOR: torch.zeros((), dtype=torch.int64, device=y.device)}


def next_batch(state: Tensors, support: Support, size: int) -> tuple[Support, Tensors]:
    """The next min(size, S) examples, and what the state holds afterwards."""
    examples = support.y.shape[0]
    # not `min`, which would fix the size while tracing
    count = torch.sym_min(size, examples)  # type: ignore[no-untyped-call]
    places = state[CURSOR] + torch.arange(count, device=support.y.device)
    rows = state[ORDER].index_select(0, _wrap(places, examples))
    batch = Support(*(t.index_select(0, rows) for t in support))
    return batch, {ORDER: state[ORDER], CURSOR: _wrap(state[CURSOR] + count, examples)}


def _wrap(place: Tensor, examples: int) -> Tensor:
    """Places of 0 … 2 S − 1 in an order that begins again after S."""
    return torch.where(place >= examples, place - examples, place)
