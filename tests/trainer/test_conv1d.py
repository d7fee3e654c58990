"""Conv1d: torch's own convolution along time and its pooling, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from handful.trainer.networks import Conv1d, NetworkConfig, build_network
from handful.trainer.settings.errors import ConfigError

from ..each import each
from .small import generator


@each("samples", [16, 39])
@each("readout", ["flatten", "mean"])
def test_it_is_torch_s_convolution_and_pooling(samples: int, readout: str) -> None:
    config = NetworkConfig(
        kind="conv1d",
        filters=6,
        readout=readout,  # type: ignore[arg-type]
        normalisation="none",
    )
    network = build_network(config, (samples, 3), "convolution")
    assert isinstance(network, Conv1d)
    params = {name: p.double() for name, p in network.init(generator()).items()}
    x = torch.randn(2, samples, 3, generator=generator(1), dtype=torch.float64)
    h, _ = network(params, x)
    expected = x.mT
    for block in range(4):
        kernel = params[f"conv{block}.weight"].reshape(5, -1, 6).permute(2, 1, 0)
        expected = F.relu(F.max_pool1d(F.conv1d(expected, kernel, padding=2), 2))
    expected = expected.mean(dim=2) if readout == "mean" else expected.mT.flatten(1)
    torch.testing.assert_close(h, expected)
    assert h.shape == (2, network.features)
    energies = build_network(config, (samples, 3, 1), "convolution")  # a sound's
    torch.testing.assert_close(energies(params, x[..., None])[0], h)


@each("shape", [(15, 3), (28, 28, 3), (64,)])
def test_what_is_no_series_or_too_short_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(NetworkConfig(kind="conv1d"), shape, "convolution")
    assert str(caught.value) == (
        'learner.network.kind is "conv1d", which reads series [T, C] and halves T four times,'
        f" the examples have the shape {list(shape)}"
    )
    assert caught.value.hint == "T has to be 16 or more; images have conv4, vectors mlp"
