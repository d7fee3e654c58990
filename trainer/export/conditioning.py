"""How far torch alone moves when its numbers move by float32's rounding, and what may differ so.

No two CPUs add in the same order. Where a learner magnifies rounding (the first step of Adam is
slope / |slope|, batch normalisation divides by the spread of equal examples), a fixed tolerance
measures the CPU and not the export. So the tolerance of a tensor follows from its conditioning:

    moved      the largest relative difference of the tensor over DRAWS runs in torch, in each of
               which every example and every parameter is altered by up to ALTERED of itself
    tolerance  HEADROOM × moved, and never less than the default
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from handful.runtime.tools.golden import AGAIN
from handful.runtime.tools.verify import relative_difference
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support, Tensors

from .source import Source

# eight units of float32's rounding: about what summing some hundred products in another order does
ALTERED = 8 * 2.0**-23
DRAWS = 8
HEADROOM = 4.0  # how far beyond what was seen in DRAWS runs another CPU may be


def run_in_torch(
    source: Source,
    support: Tensor,
    y: Tensor,
    query: Tensor,
    *,
    alter: Callable[[Tensor], Tensor] | None = None,
) -> Tensors:
    """The embedded support set, the tensors of every stage and step, and the answers, by name.

    Of a policy also those of going on from there, by the same readings once more.
    `alter` is applied to examples and parameters. Examples are altered behind an `embed` in a
    lower precision, since a small change before it is a whole level or nothing.
    """
    answer = source.learner.task.outputs
    embed: Callable[[Tensor], Tensor] = source.embed
    if alter is not None:
        source = replace(source, params={name: alter(p) for name, p in source.params.items()})
        embed = _alter(source, alter)
    tensors: Tensors = {"embed": embed(support)}

    def adapted(prefix: str, begun: Tensors | None) -> Tensors:
        state = adapt(
            source.learner,
            source.params,
            Support(tensors["embed"], y),
            observe=lambda stage, i, values: tensors.update(
                {f"{prefix}{stage}/{i}/{name}": value for name, value in values.items()}
            ),
            begun=begun,
        )
        tensors[prefix + answer] = source.learner.predict(source.params, state, embed(query))
        return state

    state = adapted("", None)
    if source.learner.actions is not None:
        adapted(AGAIN, state)
    return tensors


def _alter(source: Source, alter: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if source.lowered is not None:
        return lambda x: alter(source.embed(x))
    return lambda x: source.embed(alter(x))


@torch.no_grad()
def tolerances(source: Source, support: Tensor, y: Tensor, query: Tensor) -> dict[str, float]:
    """HEADROOM times how far each tensor of `run_in_torch` moves, be it ever so little.

    Zeros stay zeros, so that on them nothing more is allowed.
    """
    generator = torch.Generator().manual_seed(2)

    def alter(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        draw = 2 * torch.rand(x.shape, generator=generator, dtype=torch.float64) - 1
        return (x * (1 + ALTERED * draw)).to(x.dtype)

    exact = run_in_torch(source, support, y, query)
    moved = dict.fromkeys(exact, 0.0)
    for _ in range(DRAWS):
        altered = run_in_torch(source, support, y, query, alter=alter)
        for name, tensor in exact.items():
            difference = relative_difference(altered[name].numpy(), tensor.numpy(), name)
            if math.isfinite(difference):
                moved[name] = max(moved[name], difference)
    return {name: HEADROOM * value for name, value in moved.items()}
