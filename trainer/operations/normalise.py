"""Normalisation, a named choice: whose mean and variance a network divides by.

    support        of the support set under the current weights; queries read the stored statistics
    task           those blended with the input's own instance statistics by a learned weight that
                   depends on the support size (TaskNorm-I, Bronskill et al. 2020, arXiv:2003.03284)
    running        averages gathered in training, for networks that are frozen on the device: of
                   the very moments that training divided by, so of the biased variance, where
                   torch's own layer averages n / (n − 1) of it
    group, layer   of the input alone
    none           no normalisation
    transductive   of the query batch itself: for reproducing papers only, refused by export

Everything is written elementwise: under `torch.func.vmap` torch's own batch norm and instance norm
give a wrong second-order gradient (1 % off in float64, torch 2.13; central differences agree with
the loop). Group norm is right there. Where one task's gradient is not differentiated again torch's
batch norm is right, and three times as fast.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd import Function

from .convolution import is_first_order

Params = dict[str, Tensor]
Statistics = dict[str, Tensor]
Normalisation = Literal["support", "task", "running", "group", "layer", "none", "transductive"]
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)

# where the affine map may follow the maximum over windows, which it then leaves as it is
POOLED_FIRST: tuple[Normalisation, ...] = ("support", "task", "transductive", "none")
EPSILON = 1e-3  # the MAML authors' batch norm
GROUPS = 8


def init_normalisation(kind: Normalisation, name: str, channels: int) -> Params:
    """γ and β [C] of the layer `name`; TaskNorm's two scalars of the blend."""
    if kind == "none":
        return {f"{name}.beta": torch.zeros(channels)}
    params = {f"{name}.gamma": torch.ones(channels), f"{name}.beta": torch.zeros(channels)}
    if kind == "task":
        # α = sigmoid(scale · |S| + offset); equation 8 of the paper, started at α ≈ 0.5 for small S
        params |= {
            f"{name}.blend_scale": torch.tensor(0.01),
            f"{name}.blend_offset": torch.zeros(()),
        }
    if kind == "running":
        params |= {
            f"{name}.running_mean": torch.zeros(channels),
            f"{name}.running_var": torch.ones(channels),
        }
    return params


def normalise(
    kind: Normalisation,
    params: Params,
    name: str,
    x: Tensor,
    statistics: Statistics | None,
    channel: int,
    pool: Callable[[Tensor], Tensor] | None = None,
    together: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
    batch: int = 0,
) -> tuple[Tensor, Statistics]:
    """x [B, ...] normalised along `channel`, and the statistics that a later input may be given.

    With `statistics` None the moments are x's own (x is the support set, or the training batch).
    `pool` shrinks x once its moments are known, for `POOLED_FIRST` and γ that is not negative, and
    then the examples may lie along another dimension, `batch`;
    `together`, where it is given, finds both in one: mean, variance, and x pooled.
    """
    axes = tuple(d for d in range(x.ndim) if d not in (batch, channel % x.ndim))
    shape = [1] * x.ndim
    shape[channel] = -1
    gamma, beta = params.get(f"{name}.gamma"), params[f"{name}.beta"].reshape(shape)
    if gamma is None:
        return (pool(x) if pool else x) + beta, {}
    gamma = gamma.reshape(shape)
    if kind in ("group", "layer"):
        groups = GROUPS if kind == "group" else 1
        return _of_the_input(x, gamma, groups, channel) + beta, {}
    layer_statistics: Statistics = {}
    if statistics is None and (kind == "running" or (kind != "task" and is_first_order(x))):
        y, layer_statistics = _batch_norm(params, name, x, channel)
        return pool(y) if pool else y, layer_statistics
    if statistics is None and kind != "task" and pool is None:
        y, mean, var = standardise(x, gamma, (0, *axes))
        return y + beta, {f"{name}.mean": mean.reshape(-1), f"{name}.var": var.reshape(-1)}
    if statistics is None:
        if pool and together and kind != "task":  # which needs the moments of each example too
            (mean, var, x), pool = together(x), None
        else:
            mean, var = moments(x, (batch, *axes))
        layer_statistics = {f"{name}.mean": mean.reshape(-1), f"{name}.var": var.reshape(-1)}
    else:
        mean = statistics[f"{name}.mean"].reshape(shape)
        var = statistics[f"{name}.var"].reshape(shape)
    if kind == "task":
        if statistics is None:
            size = torch.full_like(params[f"{name}.blend_offset"], 1.0) * x.shape[batch]
            blend = params[f"{name}.blend_scale"] * size + params[f"{name}.blend_offset"]
            layer_statistics[f"{name}.alpha"] = torch.sigmoid(blend)
        alpha = (layer_statistics if statistics is None else statistics)[f"{name}.alpha"]
        mean, var = _blend(alpha, mean, var, *moments(x, axes)) if axes else (mean, var)
    scale = gamma * torch.rsqrt(var + EPSILON)
    x = pool(x) if pool else x
    return x * scale + (beta - mean * scale), layer_statistics


def scale_and_shift(
    kind: Normalisation,
    params: Params,
    name: str,
    statistics: Statistics | None,
    measured: Callable[[], tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Statistics]:
    """The layer as x · scale + shift, [C] each, for kinds without moments of one example.

    With `statistics` None the moments are those `measured`, which are the statistics then.
    """
    gamma, beta = params.get(f"{name}.gamma"), params[f"{name}.beta"]
    if gamma is None:
        return torch.ones_like(beta), beta, {}
    mean, var = measured() if statistics is None else _check_given(statistics, name)
    scale = gamma * torch.rsqrt(var + EPSILON)
    gathered = {f"{name}.mean": mean, f"{name}.var": var} if statistics is None else {}
    return scale, beta - mean * scale, gathered


def _check_given(statistics: Statistics, name: str) -> tuple[Tensor, Tensor]:
    return statistics[f"{name}.mean"], statistics[f"{name}.var"]


def _batch_norm(params: Params, name: str, x: Tensor, channel: int) -> tuple[Tensor, Statistics]:
    """torch's own, twice as fast on a CPU, and right for gradients of first order: a network with
    running averages has no others, for it is frozen while adapting. None reaches the statistics.
    """
    moved = x.movedim(channel, 1)
    gamma, beta = params[f"{name}.gamma"], params[f"{name}.beta"]
    y, mean, inverse = torch.native_batch_norm(moved, gamma, beta, None, None, True, 0.0, EPSILON)
    layer_statistics = {f"{name}.mean": mean, f"{name}.var": inverse.detach() ** -2 - EPSILON}
    return y.movedim(1, channel), layer_statistics


def _blend(
    alpha: Tensor, mean: Tensor, var: Tensor, own_mean: Tensor, own_var: Tensor
) -> tuple[Tensor, Tensor]:
    """Moments of the mixture α·context + (1 − α)·instance: equations 6 and 7 of TaskNorm."""
    blended = alpha * mean + (1 - alpha) * own_mean
    context, instance = mean - blended, own_mean - blended
    return blended, (
        alpha * (var + context * context) + (1 - alpha) * (own_var + instance * instance)
    )


def _of_the_input(x: Tensor, gamma: Tensor, groups: int, channel: int) -> Tensor:
    """Group normalisation of each example (Wu and He 2018); one group is layer normalisation."""
    channels = x.shape[channel]
    if channel % x.ndim == 1:  # [B, C, ...]
        grouped = x.reshape(x.shape[0], groups, channels // groups, *x.shape[2:])
        gamma = gamma.reshape(1, groups, channels // groups, *[1] * (x.ndim - 2))
        dims = tuple(range(2, grouped.ndim))
    else:  # [B, ..., C]
        grouped = x.reshape(*x.shape[:-1], groups, channels // groups)
        gamma = gamma.reshape(groups, channels // groups)
        dims = (*range(1, grouped.ndim - 2), grouped.ndim - 1)
    return standardise(grouped, gamma, dims)[0].reshape(x.shape)


def absorb_sign(params: Params, name: str) -> Params:
    """The layer's weight times the sign of γ, and |γ|: the same function, and one whose γ lets a
    maximum pass.
    """
    gamma = params.get(f"{name}.gamma")
    if gamma is None:
        return params
    sign = torch.where(gamma < 0, -torch.ones_like(gamma), torch.ones_like(gamma))
    weight = params[f"{name}.weight"] * sign  # [9 C, O]
    return {**params, f"{name}.weight": weight, f"{name}.gamma": gamma * sign}


def standardise(x: Tensor, gamma: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """γ (x − mean) / √(var + ε) by moments over `dims`, and these moments."""
    y, mean, var = _Standardise.apply(x, gamma, dims)  # type: ignore[no-untyped-call]
    return y, mean, var


class _Standardise(Function):
    """The gradient in five passes over the data; written out, autograd takes nine."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gamma: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = _moments(x, dims)
        return (x - mean) * (gamma * torch.rsqrt(var + EPSILON)), mean, var

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, gamma, ctx.dims = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, gamma, output[1], output[2])

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor | None, to_mean: Tensor | None, to_var: Tensor | None
    ) -> Any:
        x, gamma, mean, var = ctx.saved_tensors
        gradient = torch.zeros_like(x) if gradient is None else gradient
        centred, inverse = x - mean, torch.rsqrt(var + EPSILON)
        scaled = gradient * (gamma * inverse)
        away = scaled.mean(dim=ctx.dims, keepdim=True)
        along = (scaled * centred).mean(dim=ctx.dims, keepdim=True) * (inverse * inverse)
        count = x.numel() // mean.numel()
        away = away if to_mean is None else away - to_mean / count
        along = along if to_var is None else along - to_var * (2 / count)
        to_gamma = None
        if ctx.needs_input_grad[1]:
            to_gamma = (gradient * centred * inverse).sum_to_size(gamma.shape)
        return scaled - away - centred * along, to_gamma, None


def moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over `dims`, kept as axes of length 1."""
    mean, var = _Moments.apply(x, dims)  # type: ignore[no-untyped-call]
    return mean, var


class _Moments(Function):
    """The gradient in one pass over the data: a + b x, a and b of the moments' size."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        return _moments(x, dims)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, _ = inputs
        ctx.save_for_backward(x, output[0])

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor) -> Any:
        x, mean = ctx.saved_tensors
        count = x.numel() // mean.numel()
        b = to_var * (2 / count)
        return torch.addcmul(to_mean / count - b * mean, x, b), None


def _moments(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    mean = x.mean(dim=dims, keepdim=True)
    centred = x - mean
    return mean, (centred * centred).mean(dim=dims, keepdim=True)
