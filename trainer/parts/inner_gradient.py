"""The gradient of an inner loss: by autograd for one task at a time, else by torch.func.

Under torch.func.grad each call of an autograd function of one's own costs milliseconds, since a new
class is made for it; autograd itself has no such cost, but is unknown to `vmap` and to tracing.
What is computed is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.func
from torch import Tensor
from torch._C._functorch import get_interpreter_stack
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.utils._pytree import tree_flatten, tree_unflatten

from handful.trainer.operations.convolution import assume_first_order


def grad_and_value(
    function: Callable[[Any], Any], *, has_aux: bool = False, constant: bool = False
) -> Callable[[Any], tuple[Any, Any]]:
    """As torch.func.grad_and_value; nothing flows back through a `constant` gradient.

    `function` takes a tensor or a dict of them and returns a scalar, with `has_aux` a pair of it
    and whatever else. The result is the gradient, in that form, and what `function` returned.
    Where the gradient is not differentiated again, a network may take kernels that allow no more,
    and nothing flows back through the statistics that it returns.
    """

    def evaluate(at: Any) -> tuple[Any, Any]:
        tensors, form = tree_flatten(at)
        recorded = torch.is_grad_enabled()
        varies = recorded and any(tensor.requires_grad for tensor in tensors)
        elsewhere = recorded and not (varies or constant)  # what is recorded is not known here
        if elsewhere or get_interpreter_stack() or get_proxy_mode() is not None:
            gradient, result = torch.func.grad_and_value(function, has_aux=has_aux)(at)
            return (_detach(gradient) if constant else gradient), result
        again = varies and not constant  # the gradient is differentiated once more
        with torch.enable_grad(), nullcontext() if again else assume_first_order():
            leaves = [_variable(tensor, recorded) for tensor in tensors]
            result = function(tree_unflatten(leaves, form))
            slopes = torch.autograd.grad(
                result[0] if has_aux else result,
                leaves,
                create_graph=again,
                retain_graph=varies,
                materialize_grads=True,
            )
        return tree_unflatten(slopes, form), result if varies else _detach(result)

    return evaluate


def _variable(tensor: Tensor, recorded: bool) -> Tensor:
    """The tensor as a variable of its own: another use of it by the function does not count."""
    if recorded and tensor.requires_grad:
        return tensor.view_as(tensor)
    return tensor.detach().requires_grad_()


def _detach(values: Any) -> Any:
    tensors, form = tree_flatten(values)
    return tree_unflatten([t.detach() for t in tensors], form)
