"""What exporting produces, a package may hold: the pieces of real networks, and gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad

from handful.runtime.vetting.vet import vet
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, slice_backward, trace

from ..each import each

Function = Callable[[Tensor], Tensor]


class Pieces(nn.Module):
    """The pieces of ResNet, MobileNet and EfficientNet: [B, 3, 16, 16] → [B, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.LayerNorm(8)])
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, 8)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        batch_norm, group_norm, layer_norm = self.norms
        x = F.max_pool2d(F.relu(batch_norm(self.stem(x))), 3, stride=1, padding=1)
        x = F.hardswish(group_norm(self.depthwise(x))) + F.relu6(x)
        gate = self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        x = F.avg_pool2d(x * torch.sigmoid(gate), 2)
        x = layer_norm(F.dropout(x.mean(dim=(2, 3)), 0.5, training=False))
        answer: Tensor = F.gelu(self.head(x))
        return answer


CELL = nn.LSTMCell(4, 4).requires_grad_(False)


def memory(x: Tensor) -> Tensor:
    """A recurrent cell over the support set, as matching networks and the LSTM learner have it."""
    h, c = x * 0, x * 0
    for _ in range(2):
        h, c = CELL(x, (h, c))
    return torch.cat([h, *c.chunk(2, dim=1)], dim=1)


def attention(x: Tensor) -> Tensor:
    """Cosine attention, the nearest two of them, and sizes that are divided."""
    likeness = F.cosine_similarity(x[:, None], x[None], dim=-1).masked_fill(
        torch.eye(x.shape[0]) > 0, -1e9
    )
    nearest = likeness.topk(2, dim=1).values
    return torch.cat([likeness.softmax(dim=1) @ x, nearest], dim=1)[: x.shape[0] // 2]


def slope(function: Function) -> Function:
    """The gradient of the sum of squares, which is what an inner step takes."""
    return grad(lambda x: function(x).square().sum())


VECTORS = ("S", 4)
PICTURES = ("B", 3, 16, 16)
CASES: dict[str, tuple[Function, tuple[int | str, ...]]] = {
    "pieces of backbones": (Pieces(), PICTURES),
    "a recurrent cell": (memory, VECTORS),
    "its gradient": (slope(memory), VECTORS),
    "attention": (attention, VECTORS),
    "the gradient of pooling": (
        slope(lambda x: F.max_pool2d(F.conv2d(x, torch.ones(2, 3, 3, 3)), 2)), PICTURES,
    ),
}  # fmt: skip


@each("name", CASES)
def test_what_is_traced_passes_the_vetting(name: str) -> None:
    function, shape = CASES[name]
    x = torch.rand([7 if isinstance(size, str) else size for size in shape])
    port = Port("x", shape)
    traced = trace(lambda tensors: {"y": function(tensors["x"])}, {"x": x}, [port], ["y"])
    size = function(x).shape
    free = tuple(f"d{i}" if i == 0 else d for i, d in enumerate(size))
    model = simplify(traced, [port], {"y": free})
    assert vet(model.SerializeToString(), name).operators.total() > 0


@each(("start", "end"), [(0, 3), (2, 2**63 - 1), (0, -1), (-2, 2**63 - 1), (-4, -1), (1, 9)])
def test_the_gradient_of_a_slice_is_torchs(start: int, end: int) -> None:
    """Also where it counts from the end."""
    x = torch.zeros(2, 5)
    gradient = torch.rand(x[:, start:end].shape)
    wanted = torch.ops.aten.slice_backward(gradient, [2, 5], 1, start, end, 1)
    assert torch.equal(slice_backward(gradient, [2, 5], 1, start, end, 1), wanted)
