"""The residual network: against torch's own layers, in both forms, and its refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.networks import NetworkConfig, build_network
from handful.trainer.operations.convolution import as_matrix
from handful.trainer.operations.normalise import EPSILON, Params
from handful.trainer.settings.errors import ConfigError

from .small import generator

CONFIG = NetworkConfig(kind="residual", filters=(3, 4, 5), normalisation="support")
SHAPE = (9, 12, 2)


def layer(params: Params, name: str, x: Tensor) -> Tensor:
    """A convolution of torch's and the normalisation by the batch's moments."""
    weight = params[f"{name}.weight"]
    kernel = weight.T[:, :, None, None] if weight.ndim == 2 else weight
    y = F.conv2d(x, kernel, padding=kernel.shape[2] // 2)
    gamma, beta = params[f"{name}.gamma"], params[f"{name}.beta"]
    return F.batch_norm(y, None, None, gamma, beta, training=True, eps=EPSILON)


def by_torch(params: Params, x: Tensor) -> Tensor:
    """A stem that is halved, a block, and a block on half the size."""
    x = F.relu(F.max_pool2d(layer(params, "stem", x.permute(0, 3, 1, 2)), 2))
    for i in range(2):
        x = F.max_pool2d(x, 2) if i else x
        inner = F.relu(layer(params, f"block{i}.conv0", x))
        x = F.relu(layer(params, f"block{i}.conv1", inner) + layer(params, f"block{i}.shortcut", x))
    return x.flatten(1)


def test_it_is_what_torch_makes_of_the_same_layers() -> None:
    network = build_network(CONFIG, SHAPE, "convolution")
    params = network.init(generator())
    params = {name: value + 0.1 * torch.randn(value.shape, generator=generator(i))
              for i, (name, value) in enumerate(params.items())}  # fmt: skip
    x = torch.randn(6, *SHAPE, generator=generator(9))
    h, _ = network(params, x)
    assert h.shape == (6, network.features) == (6, 5 * 2 * 3)  # 9 × 12 → 4 × 6 → 2 × 3
    torch.testing.assert_close(h, by_torch(params, x), rtol=1e-4, atol=1e-5)
    as_matrices = {n: as_matrix(v) if v.ndim == 4 else v for n, v in params.items()}
    other, _ = build_network(CONFIG, SHAPE, "matmul")(as_matrices, x)
    by_place = other.reshape(6, 2, 3, 5).permute(0, 3, 1, 2).flatten(1)
    torch.testing.assert_close(by_place, h, rtol=1e-4, atol=1e-5)


def test_the_mean_of_the_last_map_is_a_choice() -> None:
    config = NetworkConfig(kind="residual", filters=(3, 4), readout="mean")
    network = build_network(config, SHAPE, "convolution")
    assert network.features == 4
    h, _ = network(network.init(generator()), torch.randn(2, *SHAPE, generator=generator()))
    assert h.shape == (2, 4)


def test_widths_and_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError) as error:
        NetworkConfig(kind="residual", filters=8)
    assert str(error.value) == "filters is [8], wanted a list of 2 to 8, the stem's first"
    with pytest.raises(ConfigError) as error:
        build_network(NetworkConfig(kind="residual", filters=(8, 8, 8)), (3, 8, 1), "convolution")
    assert str(error.value) == (
        'learner.network.kind is "residual", which halves images twice,'
        " the examples have 3 × 8 pixels"
    )
