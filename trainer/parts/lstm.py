"""An LSTM over a free number of examples, which a learner may train and export.

A Python loop over the support set fixes S in a traced graph, and torch's own LSTM neither exports
with S free nor runs under `vmap`. Here it is one operator: torch computes it step by step, with its
gradient of any order written out, and the exporter makes one ONNX `LSTM` of it (Hochreiter and
Schmidhuber 1997, with a forget gate):

    i, o, f = σ(W x_t + b + R h_{t−1} + b′),  z = tanh(W x_t + b + R h_{t−1} + b′)
    c_t = f ⊙ c_{t−1} + i ⊙ z,  h_t = o ⊙ tanh(c_t)

The gates are rows of W, R, b and b′ in ONNX's order i, o, f, z (torch's is i, f, z, o). Only what
is computed forward can be exported: a step that descends a loss through the recurrence cannot.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from handful.trainer.settings.errors import LearnerError

GATES = 4


def init_lstm(
    inputs: int, hidden: int, *, directions: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """W [directions, 4 H, D], R [directions, 4 H, H], b and b′ [directions, 8 H], as in torch."""
    rows = GATES * hidden
    shapes = {"w": (rows, inputs), "r": (rows, hidden), "b": (2 * rows,)}
    bound = hidden**-0.5
    return {
        name: (torch.rand(directions, *shape, generator=generator) * 2 - 1) * bound
        for name, shape in shapes.items()
    }


def lstm(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """h [S, directions, H] of the sequence x [S, D]; the second direction reads it from the end."""
    h: Tensor = _LSTM.apply(x[:, None], params["w"], params["r"], params["b"])  # type: ignore[no-untyped-call]
    return h[:, :, 0]


@torch.library.custom_op("handful::lstm", mutates_args=())
def lstm_operator(x: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
    """h [S, directions, B, H] of B sequences x [S, B, D]: what the exporter finds in a graph."""
    gates = _turn(_from_input(x, w, b))
    h = c = x.new_zeros(len(w), x.shape[1], r.shape[2])
    steps = []
    for t in range(x.shape[0]):
        i, o, f, z = _activate(gates[:, t] + h @ r.mT)
        c = f * c + i * z
        h = o * torch.tanh(c)
        steps.append(h)
    return _turn(torch.stack(steps, dim=1)).transpose(0, 1).contiguous()


@lstm_operator.register_fake
def _(x: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], w.shape[0], x.shape[1], r.shape[2])


class _LSTM(Function):
    """The operator with its gradient, and many tasks as one batch of sequences."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, r: Tensor, b: Tensor) -> Tensor:
        h: Tensor = lstm_operator(x, w, r, b)
        return h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, to_h: Tensor) -> Any:
        x, w, r, b, h = ctx.saved_tensors
        return _gradient(x, w, r, b, h, to_h)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], x: Tensor, *weights: Tensor
    ) -> tuple[Tensor, int]:
        tasks = info.batch_size
        if dims[0] is not None and dims[1:] == (None, None, None):  # the tasks share the weights
            x = x.movedim(dims[0], 1)
            h = _LSTM.apply(x.flatten(1, 2), *weights)  # type: ignore[no-untyped-call]
            return h.unflatten(2, (tasks, x.shape[2])), 2
        given = zip((x, *weights), dims, strict=True)
        each = [t.expand(tasks, *t.shape) if d is None else t.movedim(d, 0) for t, d in given]
        one_by_one = [_LSTM.apply(*task) for task in zip(*each, strict=True)]  # type: ignore[no-untyped-call]
        return torch.stack(one_by_one), 0


def _gradient(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor, h: Tensor, to_h: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Back through time, of what is differentiable itself; the gates are computed once more."""
    if isinstance(x.shape[0], torch.SymInt):
        raise LearnerError(
            "the gradient of an LSTM over a free number of examples cannot be exported",
            hint="a stage's init and predict may hold an LSTM, a step may not descend through it",
        )
    after = _turn(h.transpose(0, 1))  # [directions, S, B, H] in the order of reading
    before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
    gates = _turn(_from_input(x, w, b)) + before @ r[:, None].mT
    i, o, f, z = _activate(gates)
    cells = [torch.zeros_like(after[:, 0])]
    for t in range(x.shape[0]):
        cells.append(f[:, t] * cells[t] + i[:, t] * z[:, t])
    to_after = _turn(to_h.transpose(0, 1))
    to_before = to_cell = torch.zeros_like(cells[0])
    slopes: list[Tensor] = []
    for t in reversed(range(x.shape[0])):
        squashed = torch.tanh(cells[t + 1])
        to_state = to_after[:, t] + to_before
        to_cell = to_cell + to_state * o[:, t] * (1 - squashed * squashed)
        to_gates = torch.cat(
            [
                to_cell * z[:, t] * i[:, t] * (1 - i[:, t]),
                to_state * squashed * o[:, t] * (1 - o[:, t]),
                to_cell * cells[t] * f[:, t] * (1 - f[:, t]),
                to_cell * i[:, t] * (1 - z[:, t] * z[:, t]),
            ],
            dim=-1,
        )
        slopes.append(to_gates)
        to_before = to_gates @ r
        to_cell = to_cell * f[:, t]
    slope = torch.stack(slopes[::-1], dim=1)  # [directions, S, B, 4 H]
    at_input, to_bias = _turn(slope), slope.sum(dim=(1, 2))
    return (
        torch.matmul(at_input, w[:, None]).sum(dim=0),
        torch.einsum("dsbg,sbi->dgi", at_input, x),
        torch.einsum("dsbg,dsbh->dgh", slope, before),
        torch.cat([to_bias, to_bias], dim=1),
    )


def _from_input(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """W x_t + b + b′: [directions, S, B, 4 H]."""
    both = b.unflatten(1, (2, -1)).sum(dim=1)  # type: ignore[no-untyped-call]
    gates: Tensor = torch.matmul(x, w[:, None].mT) + both[:, None, None]
    return gates


def _activate(gates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """i, o, f and z from their sums [.., 4 H]."""
    i, o, f, z = gates.chunk(GATES, dim=-1)
    return torch.sigmoid(i), torch.sigmoid(o), torch.sigmoid(f), torch.tanh(z)


def _turn(x: Tensor) -> Tensor:
    """x [directions, S, ...] with the second direction from the end; its own inverse."""
    return x if len(x) == 1 else torch.stack([x[0], x[1].flip(0)])
