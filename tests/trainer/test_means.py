"""Class means by hand under each metric, and where the metric and the scale come from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.episodes import TaskSize, sample
from handful.trainer.evaluation import Features
from handful.trainer.evaluation.yardsticks import nearest_mean
from handful.trainer.form.learner import adapt
from handful.trainer.form.stage import Support
from handful.trainer.learners.means import Means, MeansConfig
from handful.trainer.parts.metric import POWER, Metric, whitening
from handful.trainer.settings.errors import ConfigError
from handful.trainer.training.gradient import meta_gradient

from ..each import each
from .cases import case, on_features
from .small import double, generator, uneven, vectors

PLANE = InputSpec(kind="array", shape=(2,))
# two classes of two, spread along the second axis alone
X = torch.tensor([[1.0, 0.0], [1.0, 4.0], [-1.0, -1.0], [-1.0, 1.0]])
Y = torch.tensor([3, 3, 8, 8])  # any numbers


def on_the_plane(metric: Metric, shrinkage: float = 3.0) -> tuple[Means, dict[str, Tensor]]:
    learner = Means(MeansConfig(metric=metric, shrinkage=shrinkage), PLANE, 5)
    params = learner.prepare(learner.init(generator()), X, Y, torch.zeros_like(Y))
    return learner, {**params, "log_scale": torch.tensor(math.log(2.0))}


def logits(metric: Metric, support: Tensor, query: Tensor) -> Tensor:
    learner, params = on_the_plane(metric)
    y = torch.eye(2)[torch.tensor([0, 0, 1])]
    state = adapt(learner, params, Support(support, y))
    return learner.predict(params, state, query)


def test_euclidean_by_hand() -> None:
    found = logits(
        "euclidean",
        torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]]),
        torch.tensor([[2.0, 1.0]]),
    )
    torch.testing.assert_close(found, torch.tensor([[-2 * 2.0, -2 * 25.0]]))


def test_cosine_by_hand() -> None:
    # the mean of X is (0, 1): the examples become (1, 0), (0, 1); (−1, 0) and the query (0.6, 0.8)
    found = logits(
        "cosine",
        torch.tensor([[2.0, 1.0], [0.0, 7.0], [-5.0, 1.0]]),
        torch.tensor([[3.0, 5.0]]),
    )
    to_first = 0.1**2 + 0.3**2  # from (½, ½)
    torch.testing.assert_close(found, torch.tensor([[-2 * to_first, -2 * (1.6**2 + 0.8**2)]]))


def test_whitening_by_hand() -> None:
    # about the class means: ±(0, 2) and ±(0, 1), of two degrees of freedom: variances 0 and 5;
    # the mean eigenvalue is 2.5, so γ = 0.4 adds 1 to each
    wanted = torch.diag(torch.tensor([1.0, 6.0]).rsqrt())
    torch.testing.assert_close(whitening(X, Y, 0.4), wanted)
    torch.testing.assert_close(whitening(X[[2, 0, 3, 1]], Y[[2, 0, 3, 1]], 0.4), wanted)


def test_within_class_distances_are_of_whitened_unit_vectors() -> None:
    learner, params = on_the_plane("within", shrinkage=0.4)
    h = torch.tensor([[3.0, 1 + 4 * 6**0.5]])  # less the mean (0, 1), whitened: (3, 4)
    torch.testing.assert_close(learner.apply_metric(params, h), torch.tensor([[0.6, 0.8]]))


def test_a_whitened_sample_has_the_spread_of_a_sphere() -> None:
    """With hardly any shrinkage the within-class covariance becomes the identity."""
    data = vectors(classes=40, each=20)
    skewed = data.x @ torch.randn(10, 10, generator=generator(1))
    white = skewed @ whitening(skewed, data.labels, 1e-6)
    parts = torch.split(white, data.counts.tolist())
    about = torch.cat([part - part.mean(dim=0) for part in parts])
    covariance = about.T @ about / (len(about) - len(parts))
    torch.testing.assert_close(covariance, torch.eye(10), rtol=1e-3, atol=1e-3)


def test_power_by_hand_reads_no_example_of_other_classes() -> None:
    learner, params = on_the_plane("power")
    assert set(params) == {"log_scale"}
    h = torch.tensor([[-7.0, 0.0], [-1.0, 2.0 ** (1 / POWER)]])
    torch.testing.assert_close(
        learner.apply_metric(params, h), torch.tensor([[-1.0, 0.0], [-(0.2**0.5), 0.8**0.5]])
    )


def test_centred_on_a_share_of_the_support_set_by_hand() -> None:
    learner = Means(MeansConfig(metric="euclidean", support_centre=0.5), PLANE, 5)
    params = {"log_scale": torch.tensor(0.0)}
    # class means (4, 0) and (0, 8): a is half their mean, (1, 2)
    x = torch.tensor([[3.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    state = adapt(learner, params, Support(x, torch.eye(2)[torch.tensor([0, 0, 1])]))
    torch.testing.assert_close(state["a"], torch.tensor([1.0, 2.0]))
    first = (torch.tensor([2.0, -2.0]) / 8**0.5 + torch.tensor([4.0, -2.0]) / 20**0.5) / 2
    second = torch.tensor([-1.0, 6.0]) / 37**0.5
    torch.testing.assert_close(state["c"], torch.stack([first, second]))
    found = learner.predict(params, state, torch.tensor([[4.0, 6.0]]))  # u((3, 4)) = (0.6, 0.8)
    distances = ((torch.tensor([0.6, 0.8]) - state["c"]) ** 2).sum(dim=1)
    torch.testing.assert_close(found, -distances[None])


def test_the_scale_of_the_logits_grows_with_the_shots() -> None:
    learner = Means(MeansConfig(metric="euclidean", shot_scale=True), PLANE, 5)
    params = {"log_scale": torch.tensor(0.0)}
    for shots, wanted in ((1, 1.0), (4, 1.6)):  # 2 / (1 + 1/K)
        x = torch.tensor([[1.0, 0.0]] * shots + [[0.0, 2.0]] * shots)
        state = adapt(learner, params, Support(x, torch.eye(2).repeat_interleave(shots, dim=0)))
        found = learner.predict(params, state, torch.zeros(1, 2))
        torch.testing.assert_close(found, torch.tensor([[-wanted, -4 * wanted]]))


@each("rows", [[0, 2], [0, 0, 2]])
def test_classes_without_a_spread_are_refused(rows: list[int]) -> None:
    with pytest.raises(ConfigError) as caught:
        whitening(X[rows], Y[rows], 1.0)
    assert str(caught.value) == (
        'learner.metric is "within", but the meta-training examples of each class do not differ'
    )
    assert caught.value.hint == (
        'set learner.metric = "cosine", or train on classes of two examples or more'
    )


def test_cosine_answers_are_those_of_the_yardstick() -> None:
    subject = on_features("means")
    features = Features(subject.data, subject.data.x, subject.params["centre"], "h")
    rows = torch.arange(40).reshape(5, 8)  # five classes of eight
    x = features.centre_features()
    y = torch.eye(5).repeat_interleave(3, dim=0)
    wanted = nearest_mean(x[rows[:, :3]].flatten(0, 1)[None], y, x[rows[:, 3:]].flatten(0, 1)[None])
    raw = subject.data.x
    found = subject.answer(raw[rows[:, :3]].flatten(0, 1), y, raw[rows[:, 3:]].flatten(0, 1))
    lengths = (x[rows[:, 3:]].flatten(0, 1) ** 2).sum(dim=1, keepdim=True)
    scale = float(subject.params["log_scale"].exp())
    torch.testing.assert_close(found, scale * (wanted[0] - lengths), rtol=1e-4, atol=1e-4)


def test_the_scale_alone_is_trained_towards_probabilities() -> None:
    """At the best scale of these tasks the gradient vanishes; below it, it asks for more."""
    subject = case("means")
    assert subject.trainable == ("log_scale",)
    data = subject.data.with_features(subject.learner.embed(subject.params, subject.data.x))
    episodes = sample(data, TaskSize(5, 1, 5), tasks=20, generator=generator())

    def slope(scale: float) -> float:
        params = {**subject.params, "log_scale": torch.tensor(scale)}
        gradient, _, _ = meta_gradient(
            subject.learner, params, ("log_scale",), episodes, {}, progress=0.0, chunk=20
        )
        return float(gradient["log_scale"])

    low, high = -3.0, 6.0
    assert slope(low) < 0 < slope(high)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    x, y, query = uneven(data, [1] * 5, queries=5, seed=3)
    params = {**subject.params, "log_scale": torch.tensor(low)}
    state = adapt(subject.learner, params, Support(x, y))
    certainty = subject.learner.predict(params, state, query).softmax(dim=1).amax(dim=1)
    assert 0.5 < float(certainty.mean()) < 1.0


def test_the_metric_is_frozen_and_read_in_float64_too() -> None:
    subject = case("means-within")
    assert subject.trainable == ("log_scale",)
    assert double(subject.params)["whitening"].dtype == torch.float64
