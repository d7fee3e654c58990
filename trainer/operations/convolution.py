"""3×3 convolution and 2×2 pooling in three forms: torch's own, matrix products, fused kernels.

    "convolution"  on [B, C, H, W] by F.conv2d: for networks that are frozen while adapting
    "matmul"       on [B, H, W, C] with weights [9 C, O], rows by kernel row, kernel column and
                   channel: for weights that a task adapts. In an exported graph it is the nine
                   shifted inputs side by side, times that matrix; its gradients are products too,
                   so the step needs no transposed convolution and no large kernels
    eager          the same for one task at a time on a CPU, by torch's fused kernels, whose maps
                   [B, C, H, W] have channels last in memory: ten times as fast as elsewhere

"matmul" is closed under differentiation:

    product   y = x ∗ w            ∂x = to_input(∂y, w)      ∂w = to_weight(x, ∂y)
    to_input  ∂x of ∂y and w       linear in each, so its own gradients are the other two
    to_weight ∂w of x and ∂y       likewise

On a CPU the three run as torch's convolutions, channels last: three times as fast as torch's matrix
products, and under `vmap` tasks that share the weights are one batch, others run one after the
other, where a grouped convolution would be slow. Where one derivative is enough,
`assume_first_order` says so, and normalise.py takes torch's batch norm.
"""

# torch declares backward(ctx, *grad_outputs) and asks for subclasses that name them
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack
from torch.autograd import Function
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from .pooling import larger_half

aten = torch.ops.aten
_first_order: ContextVar[bool] = ContextVar("first_order", default=False)
FEW = 3  # channels, up to which a product of patches is faster than torch's convolution
WINDOW = [2, 2]
Form = Literal["convolution", "matmul"]


def init_conv3x3(form: Form, inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Glorot-uniform weights of a 3×3 convolution, [O, C, 3, 3] or [9 C, O]."""
    bound = math.sqrt(6 / (9 * (inputs + outputs)))
    weight = (torch.rand(9 * inputs, outputs, generator=generator) * 2 - 1) * bound
    if form == "matmul":
        return weight
    return weight.reshape(3, 3, inputs, outputs).permute(3, 2, 0, 1).contiguous()


def as_matrix(weight: Tensor) -> Tensor:
    """[O, C, 3, 3] as [9 C, O]."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0])


def conv3x3(form: Form, x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """A 3×3 convolution with padding 1 and no bias; the output is ⌈H / stride⌉ wide."""
    if form == "convolution":
        return F.conv2d(x, weight, stride=stride, padding=1)
    return convolve(x, weight, stride)


def max_pool2x2(form: Form, x: Tensor) -> Tensor:
    """Maximum over 2×2 windows; an odd last row or column is dropped."""
    if form == "convolution":
        return F.max_pool2d(x, 2)
    batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    if height % 2 or width % 2:
        x = x[:, : 2 * rows, : 2 * columns]
    # across first: then the first of equals is the one that torch's own pooling finds
    x = larger_half(x.reshape(batch, 2 * rows, columns, 2 * channels))
    return larger_half(x.reshape(batch, rows, 2 * columns * channels)).reshape(
        batch, rows, columns, channels
    )


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
            return _multiply_flat(patches(x, stride), weight)
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
        return _batch(_product, info, dims, x, weight, stride)


_product: Callable[..., Tensor] = _Product.apply


class _ToInput(_Linear):
    @staticmethod
    def forward(gradient: Tensor, weight: Tensor, stride: int, height: int, width: int) -> Tensor:
        channels = weight.shape[0] // 9
        if not _as_convolution(gradient):
            if stride == 1:
                turned = weight.reshape(9, channels, -1).transpose(1, 2).reshape(-1, channels)
                return _multiply_flat(patches(gradient, 1, turned=True), turned)
            spread = _multiply_flat(gradient, weight.t())
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
        return _batch(_to_input, info, dims, y, weight, *rest)


_to_input: Callable[..., Tensor] = _ToInput.apply


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
        return _batch(_to_weight, info, dims, x, y, stride)


_to_weight: Callable[..., Tensor] = _ToWeight.apply


def _batch(
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


def _as_convolution(x: Tensor) -> bool:
    return x.device.type == "cpu" and not is_tracing()


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


def _multiply_flat(x: Tensor, matrix: Tensor) -> Tensor:
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
    wide = torch.cat([_shift_forward(pairs[..., channels:], 2), pairs], dim=-1)
    wide = wide.reshape(batch, rows, 2, columns, 3 * channels)
    upper, lower = wide[:, :, 0], wide[:, :, 1]
    return torch.cat([_shift_forward(lower, 1), upper, lower], dim=-1)


def unpatches(spread: Tensor, height: int, width: int) -> Tensor:
    """The gradient of `patches` with stride 2: [B, H′, W′, 9 C] → [B, H, W, C]."""
    batch, rows, columns, size = spread.shape
    third, channels = size // 3, size // 9
    above, upper, lower = spread.chunk(3, dim=-1)
    wide = torch.stack([upper, lower + _shift_back(above, 1)], dim=2)
    wide = wide.reshape(batch, 2 * rows, columns, third)
    left = _shift_back(wide[..., :channels], 2)
    pairs = torch.cat(
        [wide[..., channels : 2 * channels], wide[..., 2 * channels :] + left], dim=-1
    )
    return pairs.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width]


def _shift_forward(x: Tensor, dim: int) -> Tensor:
    """x moved on by one along `dim`, a zero first."""
    return F.pad(x.narrow(dim, 0, x.shape[dim] - 1), [0, 0] * (x.ndim - 1 - dim) + [1, 0])


def _shift_back(x: Tensor, dim: int) -> Tensor:
    """x moved back by one along `dim`, a zero last."""
    return F.pad(x.narrow(dim, 1, x.shape[dim] - 1), [0, 0] * (x.ndim - 1 - dim) + [0, 1])


def convolve_eagerly(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """x [B, C, H, W] and weight [9 C, O] → [B, O, ⌈H / stride⌉, ⌈W / stride⌉], padding 1."""
    channels, outputs = x.shape[1], weight.shape[1]
    if channels <= FEW:
        cut = patches(x.permute(0, 2, 3, 1), stride)
        y = cut.reshape(-1, weight.shape[0]) @ weight
        return y.reshape(*cut.shape[:3], outputs).permute(0, 3, 1, 2)
    kernel = weight.reshape(3, 3, channels, outputs).permute(3, 2, 0, 1)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, kernel, stride=stride, padding=1)


def pooled_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, C, H, W] → mean and biased variance [1, C, 1, 1], and the maximum over 2×2 windows.

    Of equals in a window the first has the gradient, row by row.
    """
    moments_and_pooled: tuple[Tensor, ...] = _PooledMoments.apply(x)  # type: ignore[no-untyped-call]
    mean, var, pooled, _ = moments_and_pooled
    return mean, var, pooled


class _PooledMoments(Function):
    """Together, so that both gradients of x are one tensor: a + b x, and those of the windows."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var = aten.batch_norm_update_stats(x, None, None, 0.0)
        pooled, places = aten.max_pool2d_with_indices(x, WINDOW, WINDOW)
        return mean.reshape(1, -1, 1, 1), var.reshape(1, -1, 1, 1), pooled, places

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        mean, _, _, places = output
        ctx.mark_non_differentiable(places)
        ctx.save_for_backward(inputs[0], mean, places)

    @staticmethod
    def backward(ctx: Any, to_mean: Tensor, to_var: Tensor, to_pooled: Tensor, _: Any) -> Tensor:
        x, mean, places = ctx.saved_tensors
        count = x.numel() // mean.numel()
        b = to_var * (2 / count)
        gradient: Tensor = _Unpooled.apply(x, to_mean / count - b * mean, b, to_pooled, places)  # type: ignore[no-untyped-call]
        return gradient


class _Unpooled(Function):
    """a + b x, and at its place in each window the entry of `windows`; linear but for b x."""

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, windows: Tensor, places: Tensor) -> Tensor:
        spread: Tensor = aten.max_pool2d_with_indices_backward(
            windows, x, WINDOW, WINDOW, [0, 0], [1, 1], False, places
        )
        return spread.addcmul_(x, b).add_(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, _, b, _, places = inputs
        ctx.save_for_backward(x, b, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, b, places = ctx.saved_tensors
        to_a = gradient.sum((0, 2, 3), keepdim=True)
        to_b = (gradient * x).sum((0, 2, 3), keepdim=True)
        return gradient * b, to_a, to_b, _take(gradient, places), None


def _take(x: Tensor, places: Tensor) -> Tensor:
    """The entry of x [B, C, H, W] at each window's place [B, C, H′, W′]."""
    flat, index = (t.permute(0, 2, 3, 1).flatten(1, 2) for t in (x, places))
    batch, channels, height, width = places.shape
    taken: Tensor = flat.gather(1, index)
    return taken.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def is_tracing() -> bool:
    """Whether a graph is being made of what is computed."""
    return get_proxy_mode() is not None


def is_eager(x: Tensor) -> bool:
    """Whether x is computed with as it is: on a CPU, not traced, and not one of many under vmap."""
    if x.device.type != "cpu" or is_tracing():
        return False
    return all(level.key() != TransformType.Vmap for level in get_interpreter_stack() or ())


@contextmanager
def assume_first_order() -> Iterator[None]:
    """Within it no gradient is differentiated once more, and none reaches the statistics."""
    before = _first_order.set(True)
    try:
        yield
    finally:
        _first_order.reset(before)


def is_first_order(x: Tensor) -> bool:
    """Whether kernels will do for x whose gradient has none."""
    return _first_order.get() and is_eager(x)
