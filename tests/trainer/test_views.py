"""Views: each moves, turns or reverses as it says, and what examples do not have is refused."""

from __future__ import annotations

import pytest
import torch

from handful.trainer.parts.views import ViewsConfig, check_views, views
from handful.trainer.settings.errors import SettingError

from ..each import each

TRACE = torch.tensor([[1.0, 0.0, 7.0], [0.0, 2.0, 8.0], [3.0, 0.0, 9.0]])  # x, y, pen


def test_the_example_comes_first_and_then_its_views_in_order() -> None:
    config = ViewsConfig(shifts=(1, -2), turns=(90.0,), reverse=True)
    made = views(config, torch.stack([TRACE, TRACE + 1]))
    assert made.shape == (2, config.count, 3, 3) == (2, 5, 3, 3)
    same, later, earlier, turned, reversed_ = made[0]
    assert torch.equal(same, TRACE)
    assert torch.equal(later, TRACE[[0, 0, 1]])
    assert torch.equal(earlier, TRACE[[2, 2, 2]])
    quarter = torch.tensor([[0.0, 1.0, 7.0], [-2.0, 0.0, 8.0], [0.0, 3.0, 9.0]])
    torch.testing.assert_close(turned, quarter)
    assert torch.equal(reversed_, TRACE[[2, 1, 0]])
    assert torch.equal(made[1, 0], TRACE + 1)


def test_images_shift_along_their_rows() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4, 1)
    made = views(ViewsConfig(shifts=(1,)), image)
    assert torch.equal(made[0, 1], image[0][[0, 0, 1]])


def test_vectors_without_views_are_one_view() -> None:
    x = torch.randn(4, 6)
    assert torch.equal(views(ViewsConfig(), x), x[:, None])


@each(
    ("config", "shape", "text"),
    [
        (
            ViewsConfig(shifts=(1,)),
            (6,),
            "learner.views.shifts moves the first axis of series and images,"
            " the examples have the shape [6]",
        ),
        (
            ViewsConfig(reverse=True),
            (6,),
            "learner.views.reverse moves the first axis of series and images,"
            " the examples have the shape [6]",
        ),
        (
            ViewsConfig(shifts=(2, -16)),
            (16, 3),
            "learner.views.shifts has -16, wanted less than 16 rows",
        ),
        (
            ViewsConfig(turns=(10.0,)),
            (16, 1),
            "learner.views.turns turns series [T, C] whose first two channels are a plane,"
            " the examples have the shape [16, 1]",
        ),
    ],
)
def test_views_that_the_examples_do_not_have_are_refused(
    config: ViewsConfig, shape: tuple[int, ...], text: str
) -> None:
    with pytest.raises(SettingError) as caught:
        check_views(config, shape)
    assert str(caught.value) == text


def test_a_turn_beyond_the_circle_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        ViewsConfig(turns=(400.0,))
    assert str(caught.value) == "turns is [400.0], wanted less than 361"
