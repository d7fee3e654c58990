"""The nearest neighbour by hand."""

from __future__ import annotations

import pytest
import torch

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.nearest import Nearest, NearestConfig
from handful.trainer.settings.errors import ConfigError

from .small import IMAGE, conv4


def learner(temperature: float = 10.0) -> Nearest:
    return Nearest(NearestConfig(temperature=temperature), InputSpec(kind="array", shape=(2,)), 5)


def test_the_best_cosine_of_each_class_times_the_temperature() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])
    y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    nearest = learner(temperature=2.0)
    state = adapt(nearest, {}, Support(nearest.embed({}, x), y))
    logits = nearest.predict({}, state, nearest.embed({}, torch.tensor([[5.0, 0.0], [0.0, 0.1]])))
    # cosines (0.6, 0, −1) and (0.8, 1, 0)
    torch.testing.assert_close(logits, torch.tensor([[1.2, -2.0], [2.0, 0.0]]))


def test_opposite_examples_still_beat_absent_ones() -> None:
    """A class whose only example has cosine −1 scores −temperature, not the absent −2."""
    nearest = learner(temperature=1.0)
    y = torch.eye(2)
    state = adapt(
        nearest, {}, Support(nearest.embed({}, torch.tensor([[1.0, 0.0], [0.0, 1.0]])), y)
    )
    logits = nearest.predict({}, state, nearest.embed({}, torch.tensor([[-3.0, 0.0]])))
    torch.testing.assert_close(logits, torch.tensor([[-1.0, 0.0]]))


def test_an_example_of_zeros_stays_zero() -> None:
    torch.testing.assert_close(learner().embed({}, torch.zeros(1, 2)), torch.zeros(1, 2))


def test_pictures_are_compared_pixel_by_pixel() -> None:
    nearest = Nearest(NearestConfig(), IMAGE, 5)
    x = torch.rand(3, *IMAGE.shape)
    wanted = x.reshape(3, -1) / x.reshape(3, -1).norm(dim=1, keepdim=True)
    torch.testing.assert_close(nearest.embed({}, x), wanted)


def test_statistics_of_the_batch_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Nearest(NearestConfig(network=conv4("support")), IMAGE, 5)
    assert str(caught.value) == (
        'learner.network.normalisation is "support",'
        " but a frozen network embeds each example by itself"
    )
