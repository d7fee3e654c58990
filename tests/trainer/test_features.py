"""Squared distances: of any axes, and of points that lie far from the origin."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck

from handful.trainer.parts.features import squared_distance

from .small import generator


def test_squared_distances_are_those_of_the_differences() -> None:
    x = torch.randn(4, 3, 5, generator=generator(1), dtype=torch.float64)
    points = torch.randn(6, 5, generator=generator(2), dtype=torch.float64)
    wanted = (x[:, :, None, :] - points).square().sum(dim=-1)
    torch.testing.assert_close(squared_distance(x, points), wanted, rtol=1e-12, atol=1e-12)
    leaves = (x[0].clone().requires_grad_(), points.clone().requires_grad_())
    assert gradcheck(squared_distance, leaves)


def test_squared_distances_far_from_the_origin_keep_their_digits() -> None:
    # ‖x‖² is 4 · 10⁶, of which float32 keeps a quarter; the distances are below 10
    near = torch.randn(5, 4, generator=generator(3))
    x, points = near + 1000, near[:3] + 1000
    wanted = torch.cdist(x.double(), points.double()).square().float()
    torch.testing.assert_close(squared_distance(x, points), wanted, rtol=1e-4, atol=1e-4)
