"""A 3×3 convolution with weights [9 C, O], and its two gradients, closed under differentiation.

    product   y = x ∗ w            ∂x = to_input(∂y, w)      ∂w = to_weight(x, ∂y)
    to_input  ∂x of ∂y and w       linear in each, so its own gradients are the other two
    to_weight ∂w of x and ∂y       likewise

On a CPU they run as torch's convolutions, channels last: three times as fast as torch's matrix
products, and under `vmap` tasks that share the weights are one batch, others run one after the
other, where a grouped convolution would be slow. On a GPU, and in a traced graph, they are matrix
products of the nine shifted inputs side by side.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.fx.experimental.proxy_tensor import get_proxy_mode

aten = torch.ops.aten


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """x [B, H, W, C] and weight [9 C, O] → [B, ⌈H / stride⌉, ⌈W / stride⌉, O], padding 1."""
    return _product(x, weight, stride)


class _Linear(Function):
    """What the three have in common: two tensors in, both saved; the rule for vmap."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[1])
        ctx.rest = inputs[2:]


class _Product(_Linear):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        if not _as_convolution(x):
            return _flat(patches(x, stride), weight)
        return _channels_last(F.conv2d(_nchw(x), _kernel(weight, x), stride=stride, padding=1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        (stride,) = ctx.rest
        to_x, to_weight = ctx.needs_input_grad[:2]
        return (
            _to_input(gradient, weight, stride, x.shape[1], x.shape[2]) if to_x else None,
            _to_weight(x, gradient, stride) if to_weight else None,
            None,
        )

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, int]:
        return _batched(_product, info, dims, x, weight, stride)


class _ToInput(_Linear):
    @staticmethod
    def forward(gradient: Tensor, weight: Tensor, stride: int, height: int, width: int) -> Tensor:
        channels = weight.shape[0] // 9
        if not _as_convolution(gradient):
            if stride == 1:
                turned = weight.reshape(9, channels, -1).transpose(1, 2).reshape(-1, channels)
                return _flat(patches(gradient, 1, turned=True), turned)
            spread = _flat(gradient, weight.t())
            return unpatches(spread, height, width)
        x = gradient.new_empty(()).expand(gradient.shape[0], channels, height, width)
        kernel = _kernel(weight, x.permute(0, 2, 3, 1))
        return _channels_last(_backward(gradient, x, kernel, stride, (True, False))[0])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        y, weight = ctx.saved_tensors
        stride = ctx.rest[0]
        to_y, to_weight = ctx.needs_input_grad[:2]
        return (
            _product(gradient, weight, stride) if to_y else None,
            _to_weight(gradient, y, stride) if to_weight else None,
            None,
            None,
            None,
        )

    @staticmethod
    def vmap(info: Any, dims: Any, y: Tensor, weight: Tensor, *rest: int) -> tuple[Tensor, int]:
        return _batched(_to_input, info, dims, y, weight, *rest)


class _ToWeight(_Linear):
    @staticmethod
    def forward(x: Tensor, gradient: Tensor, stride: int) -> Tensor:
        channels, outputs = x.shape[3], gradient.shape[3]
        if not _as_convolution(x):
            return patches(x, stride).reshape(-1, 9 * channels).t() @ gradient.reshape(-1, outputs)
        kernel = x.new_empty(()).expand(outputs, channels, 3, 3)
        to_kernel = _backward(gradient, _nchw(x), kernel, stride, (False, True))[1]
        return to_kernel.permute(2, 3, 1, 0).reshape(9 * channels, outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, y = ctx.saved_tensors
        (stride,) = ctx.rest
        to_x, to_y = ctx.needs_input_grad[:2]
        return (
            _to_input(y, gradient, stride, x.shape[1], x.shape[2]) if to_x else None,
            _product(x, gradient, stride) if to_y else None,
            None,
        )

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor, y: Tensor, stride: int) -> tuple[Tensor, int]:
        return _batched(_to_weight, info, dims, x, y, stride)


_product: Callable[..., Tensor] = _Product.apply
_to_input: Callable[..., Tensor] = _ToInput.apply
_to_weight: Callable[..., Tensor] = _ToWeight.apply


def _batched(
    apply: Callable[..., Tensor], info: Any, dims: Any, one: Tensor, two: Tensor, *rest: int
) -> tuple[Tensor, int]:
    """T tasks: as one batch where the second operand is shared weights, else one by one."""
    first, second = dims[0], dims[1]
    one = one if first is None else one.movedim(first, 0)
    two = two if second is None else two.movedim(second, 0)
    if second is None and two.ndim == 2:
        together = apply(one.flatten(0, 1), two, *rest)
        return together.reshape(info.batch_size, -1, *together.shape[1:]), 0
    ones = [one] * info.batch_size if first is None else one.unbind()
    twos = [two] * info.batch_size if second is None else two.unbind()
    return torch.stack([apply(a, b, *rest) for a, b in zip(ones, twos, strict=True)]), 0


def tracing() -> bool:
    """Whether a graph is being made of what is computed."""
    return get_proxy_mode() is not None


def _as_convolution(x: Tensor) -> bool:
    return x.device.type == "cpu" and not tracing()


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _kernel(weight: Tensor, x: Tensor) -> Tensor:
    return weight.reshape(3, 3, x.shape[3], -1).permute(3, 2, 0, 1)


def _backward(
    gradient: Tensor, x: Tensor, kernel: Tensor, stride: int, mask: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    gradients = aten.convolution_backward(
        _nchw(gradient), x, kernel, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1,
        [*mask, False],
    )  # fmt: skip
    return gradients[0], gradients[1]


def _flat(x: Tensor, matrix: Tensor) -> Tensor:
    """x [B, H, W, D] times a matrix [D, E], as one product of two dimensions."""
    batch, height, width, size = x.shape
    return (x.reshape(-1, size) @ matrix).reshape(batch, height, width, matrix.shape[1])


def patches(x: Tensor, stride: int, *, turned: bool = False) -> Tensor:
    """[B, H, W, C] → [B, H′, W′, 9 C]: for each output pixel its 3×3 neighbourhood, row by row;
    `turned` from the last to the first.
    """
    batch, height, width, channels = x.shape
    if stride == 1:
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
        return torch.cat(shifted[::-1] if turned else shifted, dim=-1)
    # stride 2: two neighbours are one pixel of twice the channels, and the last of the pair before
    rows, columns = (height + 1) // 2, (width + 1) // 2
    if height % 2 or width % 2:
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    pairs = x.reshape(batch, 2 * rows, columns, 2 * channels)
    wide = torch.cat([_before(pairs[..., channels:], 2), pairs], dim=-1)
    wide = wide.reshape(batch, rows, 2, columns, 3 * channels)
    upper, lower = wide[:, :, 0], wide[:, :, 1]
    return torch.cat([_before(lower, 1), upper, lower], dim=-1)


def unpatches(spread: Tensor, height: int, width: int) -> Tensor:
    """The gradient of `patches` with stride 2: [B, H′, W′, 9 C] → [B, H, W, C]."""
    batch, rows, columns, size = spread.shape
    third, channels = size // 3, size // 9
    above, upper, lower = spread.chunk(3, dim=-1)
    wide = torch.stack([upper, lower + _after(above, 1)], dim=2)
    wide = wide.reshape(batch, 2 * rows, columns, third)
    left = _after(wide[..., :channels], 2)
    pairs = torch.cat(
        [wide[..., channels : 2 * channels], wide[..., 2 * channels :] + left], dim=-1
    )
    return pairs.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width]


def _before(x: Tensor, dim: int) -> Tensor:
    """x moved on by one along `dim`, a zero first."""
    return F.pad(x.narrow(dim, 0, x.shape[dim] - 1), [0, 0] * (x.ndim - 1 - dim) + [1, 0])


def _after(x: Tensor, dim: int) -> Tensor:
    """x moved back by one along `dim`, a zero last."""
    return F.pad(x.narrow(dim, 1, x.shape[dim] - 1), [0, 0] * (x.ndim - 1 - dim) + [0, 1])
