"""Full context embeddings of a matching network (Vinyals et al. 2016, appendix A).

    support   g(x_i) = h→_i + h←_i + g′(x_i), a bidirectional LSTM over the support set
    query     ĥ_k, c_k = LSTM(f′(x), [h_{k−1}, r_{k−1}], c_{k−1}),  h_k = ĥ_k + f′(x)
              r_k = Σ_i a_i g(x_i),  a = softmax_i of ⟨h_k, g(x_i)⟩;  f(x) = h_K

h_0 and c_0 are 0, so that r_0 is the mean of g. The support set is read as a sequence: its order
counts. Each query is read by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .form import Tensors, part
from .recurrence import GATES, init_lstm, lstm

SUPPORT, QUERY = "support.", "query."


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
