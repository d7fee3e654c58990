"""Pre-trained weights, taken over by a network with another normalisation or form.

Pre-training normalises by running averages; the network that adapts may not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handful.trainer.operations.convolution import Form, as_matrix
from handful.trainer.operations.normalise import EPSILON, Normalisation, Params

# of the support set or the batch; and none, since training from scratch wants one
NOT_ALONE = ("support", "task", "transductive", "none")


def pretraining_normalisation(normalisation: Normalisation) -> Normalisation:
    """The normalisation for pre-training a network, which then embeds each example by itself."""
    return "running" if normalisation in NOT_ALONE else normalisation


def transfer(trained: Params, normalisation: Normalisation, form: Form) -> Params:
    """`trained`, in the form "convolution", for the same network as it is used.

    Without normalisation the running averages and γ are absorbed by the weights and β: the network
    computes what it did. Where a set's own moments take the averages' place, these are dropped.
    """
    params: Params = {}
    for name, value in trained.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight":
            value = as_matrix(value) if form == "matmul" and value.ndim == 4 else value
        if normalisation == "none" and f"{layer}.running_var" in trained:
            value = _absorb(trained, layer, kind, value)
        averaged = kind in ("running_mean", "running_var")
        if (averaged and normalisation != "running") or (
            kind == "gamma" and normalisation == "none"
        ):
            continue
        params[name] = value.contiguous()
    return params


def _absorb(trained: Params, layer: str, kind: str, value: Tensor) -> Tensor:
    """Weight or β of a layer y = γ (w x − mean) / √(var + ε) + β, written as w′ x + β′."""
    scale = trained[f"{layer}.gamma"] * torch.rsqrt(trained[f"{layer}.running_var"] + EPSILON)
    if kind == "weight":
        outputs_first = value.ndim == 4
        return value * (scale.reshape(-1, 1, 1, 1) if outputs_first else scale)
    if kind == "beta":
        return value - trained[f"{layer}.running_mean"] * scale
    return value
