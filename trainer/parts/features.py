"""Features of one example at a time: running averages, class means, lengths and distances."""

from __future__ import annotations

import torch
from torch import Tensor

from handful.trainer.form.learner import add_prefix, part
from handful.trainer.form.stage import Tensors
from handful.trainer.networks import Network, NetworkConfig, build_network
from handful.trainer.networks.wrapped import is_standardisation
from handful.trainer.operations.normalise import Statistics
from handful.trainer.settings.errors import SettingError

MOMENTUM = 0.1  # the share of the newest batch in a running average, torch's default
OF_A_SET = ("support", "task", "transductive")  # normalisations that read the moments of a set


def embedding_network(config: NetworkConfig, shape: tuple[int, ...], *, trained: bool) -> Network:
    """The network of an embedding; one that is `trained` may read the batch, as papers report."""
    of_a_set = config.normalisation in OF_A_SET
    if of_a_set and not (trained and config.normalisation == "transductive"):
        raise frozen_body("learner.network.normalisation", config.normalisation)
    return build_network(config, shape, "convolution")


def embed_by(
    network: Network, prefix: str, params: Tensors, x: Tensor, together: bool
) -> tuple[Tensor, Tensors]:
    """x [B, ...] → h [B, D] by a network whose parameters stand under `prefix`; new buffers.

    Each example by itself under the running averages; or all `together`, normalised by their
    moments, which move the averages.
    """
    own = part(params, prefix)
    h, moments = network(own, x, None if together else running_statistics(own))
    return h, add_prefix(update_buffers(own, moments), prefix) if together else {}


def features_at(network: Network, own: Tensors, x: Tensor, sample: Tensor | None) -> Tensor:
    """x [B, ...] → [B, D], each by itself; under the moments of the sample, where one is given."""
    moments = running_statistics(own) if sample is None else network(own, sample)[1]
    return network(own, x, moments)[0]


def is_buffer(name: str) -> bool:
    """Whether a network's parameter is measured and not trained: by the batches, or by the data."""
    return ".running_" in name or is_standardisation(name)


def frozen_body(name: str, normalisation: str) -> SettingError:
    """The error of a setting `name` that normalises by the batch what is embedded one by one."""
    return SettingError(
        name,
        f'is "{normalisation}", but a frozen network embeds each example by itself',
        hint="set learner.network.normalisation to running, group, layer or none",
    )


def moving_body() -> SettingError:
    """The error of a network whose weights move under averages that were gathered before."""
    return SettingError(
        "network.normalisation",
        'is "running", but every inner step changes the weights that the averages are of',
        hint="set learner.network.normalisation to support, task, group, layer or none",
    )


def moving_scale() -> SettingError:
    """The error of a network all of whose numbers move, those of its scale as well."""
    return SettingError(
        "network.standardise",
        'is "data", but every inner step moves all numbers of the network',
        hint='set learner.network.standardise = "example", which has none of its own',
    )


def no_network() -> SettingError:
    """The error of a network that is to be trained and is not there."""
    return SettingError(
        "train_network", "is true, but there is no network", hint="set learner.network.kind"
    )


def running_statistics(params: Tensors) -> Statistics | None:
    """The running averages among the parameters as the statistics a network reads."""
    averages = {
        name.replace(".running_", "."): value.detach()
        for name, value in params.items()
        if ".running_" in name
    }
    return averages or None


def update_buffers(params: Tensors, statistics: Statistics) -> Tensors:
    """The running averages after one more batch with these statistics."""
    new: Tensors = {}
    for name, value in params.items():
        if ".running_" in name:
            batch = statistics[name.replace(".running_", ".")].detach()
            new[name] = (1 - MOMENTUM) * value + MOMENTUM * batch
    return new


def class_means(h: Tensor, y: Tensor) -> Tensor:
    """Means [N, D] of the examples h [S, D] of each class of y [S, N]; shots may differ."""
    return (y.T @ h) / y.sum(dim=0)[:, None]


def unit_length(h: Tensor) -> Tensor:
    """h / ‖h‖ along the last axis; a zero vector stays zero."""
    return h * torch.rsqrt((h * h).sum(dim=-1, keepdim=True) + 1e-12)


def squared_distance(x: Tensor, points: Tensor) -> Tensor:
    """‖x − p‖² for x [..., D] and points [P, D]: [..., P].

    Expanded: the differences themselves would fill [..., P, D], which is gigabytes where a support
    set is compared with itself. Squares lose the digits of what is common to both, so that the
    points' mean is taken from both first.
    """
    origin = points.mean(dim=0)
    x, points = x - origin, points - origin
    squares = (x * x).sum(dim=-1, keepdim=True) + (points * points).sum(dim=-1)
    return squares - 2 * x @ points.T


def scaled_distance(x: Tensor, points: Tensor, variance: Tensor) -> Tensor:
    """Σ_d (x_d − p_d)² / v_d for x [..., D], points and their variances [P, D]: [..., P].

    Expanded about the points' mean, as `squared_distance` is.
    """
    origin = points.mean(dim=0)
    x, points, weight = x - origin, points - origin, 1 / variance
    near = (x * x) @ weight.T - 2 * x @ (points * weight).T
    return near + (points * points * weight).sum(dim=-1)
