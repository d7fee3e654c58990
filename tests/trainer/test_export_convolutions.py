"""The gradients of convolutions as they are exported, against torch's own, on odd sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad

from handful.runtime.ort import onnxruntime as ort
from handful.runtime.vetting.vet import vet
from handful.trainer.export.convolutions import convolution_backward
from handful.trainer.export.simplify import simplify
from handful.trainer.export.trace import Port, trace

from ..each import each
from .small import generator

CHANNELS = {  # inputs, outputs, groups
    "plain": (3, 5, 1),
    "depthwise": (4, 4, 4),
    "two outputs a channel": (4, 8, 4),
    "two groups": (6, 4, 2),
}
SIZES = ((10, 9), (7, 7), (5, 6))
KERNELS = ((3, 3), (5, 5), (1, 1), (2, 3))
STRIDES = ((1, 1), (2, 2), (3, 2))
PADDINGS = ((0, 0), (1, 1), (2, 1))


@each("name", CHANNELS)
def test_they_are_torchs(name: str) -> None:
    inputs, outputs, groups = CHANNELS[name]
    draw = generator()
    for size, kernel, stride, padding, dilation in itertools.product(
        SIZES, KERNELS, STRIDES, PADDINGS, ((1, 1), (2, 1))
    ):
        x = torch.randn(2, inputs, *size, generator=draw).double()
        weight = torch.randn(outputs, inputs // groups, *kernel, generator=draw).double()
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(n + 2 * p <= r for n, p, r in zip(size, padding, reach, strict=True)):
            continue
        form = (list(stride), list(padding), list(dilation), False, [0, 0], groups)
        y = torch.ops.aten.convolution(x, weight, None, *form)
        slopes = torch.randn(y.shape, generator=draw).double()
        asked = (slopes, x, weight, [outputs], *form, [True] * 3)
        wanted = torch.ops.aten.convolution_backward(*asked)
        for ours, torchs in zip(convolution_backward(*asked), wanted, strict=True):
            torch.testing.assert_close(ours, torchs)


def test_what_is_not_traced_is_refused() -> None:
    x, weight = torch.zeros(1, 4, 5), torch.zeros(4, 1, 3)
    for transposed, groups in ((True, 1), (False, 4)):
        with pytest.raises(ValueError, match="is not traced with its gradient"):
            convolution_backward(
                x, x, weight, None, [1], [1], [1], transposed, [0], groups, [True] * 3
            )


@each("name", ["depthwise", "two groups"])
def test_an_exported_gradient_is_torchs_for_any_number_of_examples(name: str) -> None:
    """Of the input and of the kernel, at stride 2 and padding on one side, through a ReLU6."""
    inputs, outputs, groups = CHANNELS[name]
    draw = generator(1)
    fixed = torch.randn(inputs, 1, 3, 3, generator=draw)
    start = torch.randn(outputs, inputs // groups, 3, 3, generator=draw)

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        x = F.relu6(F.conv2d(F.pad(x, [0, 1, 0, 1]), fixed, stride=2, groups=inputs))
        return F.relu6(F.conv2d(x, weight, padding=1, groups=groups)).square().sum()

    def slopes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        to_x, to_weight = grad(loss, argnums=(0, 1))(tensors["x"], tensors["weight"])
        return {"to_x": to_x, "to_weight": to_weight}

    ports = [Port("x", ("S", inputs, 9, 7)), Port("weight", tuple(start.shape))]
    examples = {"x": torch.randn(3, inputs, 9, 7, generator=draw), "weight": start}
    outputs_of = {"to_x": ("S", inputs, 9, 7), "to_weight": tuple(start.shape)}
    model = simplify(trace(slopes, examples, ports, list(outputs_of)), ports, outputs_of)
    content = model.SerializeToString()
    vet(content, name)
    assert "ConvTranspose" not in {node.op_type for node in model.graph.node}
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    for examples_given in (1, 4):
        x = torch.randn(examples_given, inputs, 9, 7, generator=draw)
        found = session.run(list(outputs_of), {"x": x.numpy(), "weight": start.numpy()})
        for value, wanted in zip(found, slopes({"x": x, "weight": start}).values(), strict=True):
            scale = float(wanted.abs().max())
            found_here = torch.from_numpy(np.asarray(value))
            torch.testing.assert_close(found_here, wanted, rtol=1e-4, atol=1e-5 * scale)
