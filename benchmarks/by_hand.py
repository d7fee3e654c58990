"""MAML by hand in torch, the benchmarks' measure: F.conv2d, F.batch_norm, F.max_pool2d."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from handful.trainer.episodes import Episode
from handful.trainer.form.stage import Tensors
from handful.trainer.operations.normalise import EPSILON

BLOCKS = 4


def network(theta: Tensors, x: Tensor, *, stride: int) -> Tensor:
    """Conv4 on images [B, C, H, W]; the batch's own statistics, so transductive."""
    for block in range(BLOCKS):
        gamma, beta = theta[f"conv{block}.gamma"], theta[f"conv{block}.beta"]
        x = F.conv2d(x, theta[f"conv{block}.weight"], stride=stride, padding=1)
        x = F.relu(F.batch_norm(x, None, None, gamma, beta, training=True, eps=EPSILON))
        x = F.max_pool2d(x, 2) if stride == 1 else x
    return x.flatten(1) @ theta["head.weight"] + theta["head.bias"]


def inner_step(
    theta: Tensors, x: Tensor, y: Tensor, *, inner_lr: float, stride: int, second_order: bool
) -> Tensors:
    """θ′ ← θ′ − α N ∇θ′ L, all but γ and β."""
    moving = [name for name in theta if name.endswith(".weight") or name == "head.bias"]
    logits = network(theta, x, stride=stride)
    loss = F.cross_entropy(logits, y) * logits.shape[1]
    result = torch.autograd.grad(loss, [theta[n] for n in moving], create_graph=second_order)
    return theta | {n: theta[n] - inner_lr * g for n, g in zip(moving, result, strict=True)}


def meta_gradient(
    theta: Tensors, episodes: Episode, *, steps: int, inner_lr: float, stride: int
) -> Tensors:
    """The mean over tasks of ∇θ L_query(θ′), one task after the other."""
    leaves = {name: p.detach().requires_grad_() for name, p in theta.items()}
    tasks = len(episodes.query_y)
    total = {name: torch.zeros_like(p) for name, p in theta.items()}
    for task in range(tasks):
        support_x, support_y, query_x, query_y, _ = (t[task] for t in episodes)
        support, query = (x.permute(0, 3, 1, 2).contiguous() for x in (support_x, query_x))
        moved = dict(leaves)
        for _ in range(steps):
            moved = inner_step(
                moved, support, support_y.argmax(-1), inner_lr=inner_lr, stride=stride,
                second_order=True,
            )  # fmt: skip
        loss = F.cross_entropy(network(moved, query, stride=stride), query_y.argmax(-1)) / tasks
        result = torch.autograd.grad(loss, list(leaves.values()))
        for name, g in zip(leaves, result, strict=True):
            total[name] += g
    return total


def theta_of(params: Tensors) -> Tensors:
    """Our parameters in torch's layout: [9 C, O] → [O, C, 3, 3], the head for torch's order of
    pixels: channel, row, column.
    """
    theta = {}
    for name, p in params.items():
        name = name.removeprefix("theta.")
        if name.startswith("conv") and name.endswith(".weight"):
            p = p.reshape(3, 3, -1, p.shape[1]).permute(3, 2, 0, 1).contiguous()
        if name == "head.weight":
            p = in_torch_order(p, params["theta.conv3.gamma"].shape[0])
        theta[name] = p
    return theta


def in_torch_order(head: Tensor, channels: int) -> Tensor:
    """Rows by pixel and channel → rows by channel and pixel."""
    columns = head.shape[1]
    return head.reshape(-1, channels, columns).transpose(0, 1).reshape(-1, columns).contiguous()
