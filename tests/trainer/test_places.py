"""Places: what a part misses of each example fitted to all others, and how parts are weighed."""

from __future__ import annotations

import torch
from torch import Tensor

from handful.runtime.package.manifest import InputSpec
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Support
from handful.trainer.learners.places import TRUSTED, Places, PlacesConfig
from handful.trainer.learners.ridge import Ridge, RidgeConfig

WAY, SIZE = 3, 6
PARTS = (SIZE,) * 4


def spec(size: int) -> InputSpec:
    return InputSpec(kind="array", shape=(size,))


def params_of(learner: Learner) -> dict[str, Tensor]:
    return learner.init(torch.Generator().manual_seed(0))


def test_an_example_left_out_is_scored_by_a_fit_to_all_others() -> None:
    x = torch.randn(9, SIZE, generator=torch.Generator().manual_seed(1))
    y = torch.eye(WAY).repeat(3, 1)
    learner = Ridge(RidgeConfig(metric="euclidean"), spec(SIZE), WAY)
    params = params_of(learner)
    _, missed = learner.solve_and_leave_out(params, Support(x, y))
    gram, _ = learner._system(params, x)  # λ's unit and the constant coordinate are those of all
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        scores = gram[i, others] @ torch.linalg.solve(gram[others][:, others], y[others])
        torch.testing.assert_close(y[i] - missed[i], scores, rtol=1e-4, atol=1e-5)


def weights_at(shot: int) -> Tensor:
    """Where the first and the last part tell the classes apart and the others are noise."""
    generator = torch.Generator().manual_seed(2)
    y = torch.eye(WAY).repeat_interleave(shot, 0)
    noise = torch.rand(len(y), sum(PARTS), generator=generator)
    signal = y @ torch.rand(WAY, SIZE, generator=generator)
    noise[:, :SIZE] = signal + 0.1 * noise[:, :SIZE]
    noise[:, -SIZE:] = signal + 0.1 * noise[:, -SIZE:]
    learner = Places(PlacesConfig(parts=PARTS), spec(sum(PARTS)), WAY)
    return learner.solve(params_of(learner), {}, Support(noise, y), {})["weights"]


def test_with_one_example_the_first_parts_count_alike_and_others_nothing() -> None:
    torch.testing.assert_close(weights_at(1), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_parts_that_miss_less_count_for_more() -> None:
    first, *noise, last = weights_at(5).tolist()
    assert 5 * max(noise) < last < first
    assert abs(first + sum(noise) + last - TRUSTED) < 1e-5
