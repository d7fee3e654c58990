"""No tensor is left on the CPU when training runs on a GPU: every learner on the `meta` device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from handful.trainer.episodes import Episode, sample
from handful.trainer.evaluation import embed_set
from handful.trainer.form.stage import Tensors
from handful.trainer.learners import LEARNERS
from handful.trainer.training.gradient import meta_gradient

from .cases import CASES, case
from .small import generator

TASKS = 2


class OneDevice(TorchDispatchMode):  # type: ignore[misc, unused-ignore]  # torch's is untyped
    """Refuses an operator whose tensors lie on two devices; `meta` itself takes some of them.

    A tensor of no axes on the CPU may be among them, as CUDA allows: `vmap` makes one of every
    number that a tensor is multiplied by. Indices may not, though CUDA would copy them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.on_meta = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_meta = any(x.device.type == "meta" for x in given)
        if on_meta and any(x.device.type != "meta" and x.ndim for x in given):
            raise AssertionError(f"{func} of {[(x.device.type, list(x.shape)) for x in given]}")
        self.on_meta += on_meta
        return func(*args, **kwargs)


FIRST = [next(iter(kind.variants())) for kind in LEARNERS.values()]


@pytest.mark.parametrize("name", CASES)
def test_a_meta_gradient_stays_on_its_device(name: str) -> None:
    a_meta_gradient_stays_on_its_device(name, chunk=TASKS)


@pytest.mark.parametrize("name", FIRST)
def test_and_that_of_one_task_after_another(name: str) -> None:
    a_meta_gradient_stays_on_its_device(name, chunk=1)


def a_meta_gradient_stays_on_its_device(name: str, *, chunk: int) -> None:
    subject = case(name)
    learner, data = subject.learner, subject.data
    if learner.embeds_ahead:
        data = embed_set(learner, subject.params, data)
    episodes = sample(data, data.size(4, 2, 2), tasks=TASKS, generator=generator())
    noise = on_meta(learner.training_noise(episodes, generator()))
    params = on_meta(subject.params)
    episodes = Episode(*(x.to("meta") for x in episodes))
    with OneDevice() as mode:
        gradient, loss, outcome = meta_gradient(
            learner, params, subject.trainable, episodes, noise, progress=0.5, chunk=chunk
        )
    assert mode.on_meta > 10  # the mode has seen what vmap and torch.func call
    found = [loss, *gradient.values(), *outcome.metrics.values(), *outcome.buffers.values()]
    assert {x.device.type for x in found} == {"meta"}


def test_a_tensor_left_on_the_cpu_is_found() -> None:
    left = torch.zeros(3)
    with OneDevice(), pytest.raises(AssertionError, match=r"^aten\.mul\.Tensor of .*'cpu', \[3\]"):
        torch.func.vmap(lambda x: torch.func.grad(lambda x: (x * left).sum())(x))(
            torch.zeros(2, 3, device="meta")
        )


def on_meta(tensors: Tensors) -> Tensors:
    return {name: x.to("meta") for name, x in tensors.items()}
