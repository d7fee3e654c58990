"""A learner run once at two sizes, in torch, before it is traced: the shape of every tensor.

Every size is found from the two runs to be a number or one of S and N, and what no package may
hold is refused by the name of the function that returned it. Where a function of the user's fails,
the error names the innermost cause in one line, and where it lies in the user's own file.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from handful.runtime.errors import HandfulError
from handful.trainer.form.learner import Learner
from handful.trainer.form.stage import Stage, Support, Tensors, name_of
from handful.trainer.settings.errors import ExportError, LearnerError

Shape = tuple[int | str, ...]
R = TypeVar("R")


@torch.no_grad()
def attempt(learner: Learner, params: Tensors, sizes: Mapping[str, int]) -> Trial:
    """Embed, adapt and predict once; a LearnerError names the function that does not keep the form.

    A step is run once, and the next stage starts from where this one's init left the state.
    """
    x = torch.rand(sizes["B"], *learner.spec.shape)
    inner = tuple(_embed(learner, params, x).shape[1:])
    y = _labels(learner, sizes)
    support = Support(torch.rand(sizes["S"], *inner), y)
    trial = Trial(sizes, x, support, torch.rand(sizes["Q"], *inner))
    state: Tensors = {}
    for stage in learner.stages():
        if stage.name in trial.returned:
            raise LearnerError(f"two stages of {learner.name} are called `{stage.name}`")
        trial.noise[stage.name] = stage.zero_noise(support)
        returned = _call(stage.init, sizes, stage.begin, params, state, support)
        for name, tensor in returned.items():
            _check_type(tensor, (torch.float32, torch.int64), f"`{name}`", name_of(stage.init))
        trial.returned[stage.name] = returned
        state |= returned
        if stage.step is not None and stage.steps:
            _, loss = _call(stage.step, sizes, stage.advance, params, state, returned, support)
            _check_type(loss, (torch.float32,), "the loss", name_of(stage.step))
    answers = _call(learner.predict, sizes, learner.predict, params, state, trial.query_x)
    _answers(learner, answers, sizes)
    return trial


@dataclass(frozen=True)
class Trial:
    """One run of the learner, and the tensors on the way."""

    sizes: Mapping[str, int]  # of B, Q, S and N
    x: Tensor  # [B, ...]
    support: Support
    query_x: Tensor  # [Q, ...], embedded
    noise: dict[str, Tensors] = field(default_factory=dict)  # stage → its noise
    returned: dict[str, Tensors] = field(default_factory=dict)  # stage → what its init returned


def _embed(learner: Learner, params: Tensors, x: Tensor) -> Tensor:
    if learner.embedding is None:
        return x
    function = learner.embedding.function
    result = _call(function, {"B": len(x)}, function, params, x, False)
    name = name_of(function)
    if not isinstance(result, tuple) or len(result) != 2:
        raise LearnerError(
            f"`{name}` returns {_shape(result)}, wanted the embedded examples and new buffers",
            hint="return h, {} where embedding a task moves no parameter",
        )
    embedded = result[0]
    if not isinstance(embedded, Tensor) or embedded.ndim < 2 or len(embedded) != len(x):
        raise LearnerError(
            f"`{name}` returns {_shape(embedded)} for {len(x)} examples, wanted [{len(x)}, ...]"
        )
    _check_type(embedded, (torch.float32,), "embeddings", name)
    return embedded


def _call(function: object, sizes: Mapping[str, int], call: Callable[..., R], *arguments: Any) -> R:
    try:
        return call(*arguments)
    except HandfulError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise ExportError(
            f"`{name_of(function)}` fails at {_quote(sizes)}: {reason(error, function)}"
        ) from error


def _quote(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())


def reason(error: BaseException, function: object) -> str:
    """The first line of the innermost cause, and the line of the function's file that led to it.

    torch wraps an error several times on its way out, and the outermost speaks of the wrapping.
    """
    chain = list(_chain(error))
    text = next((line for e in reversed(chain) if (line := _first_line(e))), "")
    place = next((place for e in reversed(chain) if (place := _place(e, function))), "")
    return f"{text or f'{type(chain[-1]).__name__}: {chain[-1]}'}{place}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause …"""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        context = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or context


def _first_line(error: BaseException) -> str:
    # a failed look-up says a key and nothing else: what followed from it says more
    if isinstance(error, LookupError | StopIteration):
        return ""
    return next(iter(str(error).strip().splitlines()), "")


def _place(error: BaseException, function: object) -> str:
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))  # type: ignore[arg-type]
    except TypeError:
        return ""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return str(list(value.shape))
    return f"a value of type {type(value).__name__}"


def _check_type(tensor: Tensor, dtypes: tuple[torch.dtype, ...], what: str, function: str) -> None:
    if tensor.dtype not in dtypes:
        words = [str(dtype).removeprefix("torch.") for dtype in (tensor.dtype, *dtypes)]
        raise LearnerError(
            f"`{function}` returns {what} as {words[0]}, wanted {' or '.join(words[1:])}"
        )


def _labels(learner: Learner, sizes: Mapping[str, int]) -> Tensor:
    """One-hot labels [S, N], every class with an example; or targets [S, …]."""
    if learner.targets is not None:
        return torch.rand(sizes["S"], learner.targets)
    return torch.eye(sizes["N"])[torch.arange(sizes["S"]) % sizes["N"]]


def _answers(learner: Learner, answers: object, sizes: Mapping[str, int]) -> None:
    """Refuse what `predict` returned, unless it is float32 [Q, N], or in regression [Q, O]."""
    width, symbol, asked = sizes["N"], "N", f"{sizes['N']} classes"
    if learner.outputs is not None:
        width, symbol, asked = learner.outputs, "O", f"{learner.targets} targets"
    if learner.actions is not None:
        symbol, asked = "2 A", f"{learner.actions} actions"
    wanted = (sizes["Q"], width)
    if not isinstance(answers, Tensor) or tuple(answers.shape) != wanted:
        raise LearnerError(
            f"`{name_of(learner.predict)}` returns {_shape(answers)} for {wanted[0]}"
            f" queries and {asked}, wanted [Q, {symbol}]: {list(wanted)}"
        )
    _check_type(answers, (torch.float32,), learner.task.outputs, name_of(learner.predict))


def example_sizes(learner: Learner, params: Tensors) -> dict[str, int]:
    """Sizes to trace with: primes that no tensor of the learner has, since equal sizes are taken to
    be one symbol, and a size that is compared with a fixed one loses its own.
    """
    embedded = _embed(learner, params, torch.rand(2, *learner.spec.shape))
    shapes = [tuple(p.shape) for p in params.values()]
    noise = [shape for stage in learner.stages() for shape in stage.noise.values()]
    taken = {
        size
        for shape in (*shapes, *noise, learner.spec.shape, embedded.shape[1:])
        for size in shape
    }
    free = [p for p in range(5, 500) if p not in taken and all(p % d for d in range(2, p))]
    way = next(size for size in free if size > (learner.named_way or 0))
    if has_one_way(learner):
        way = learner.min_way
    elif learner.max_way is not None:
        # below the limit, so that a slice of the head keeps its size free
        below = list(range(min(5, learner.max_way - 1), 1, -1)) or [2]
        way = next((size for size in below if size not in taken), below[0])
    rest = [size for size in free if size > way]
    return {"N": way, "Q": rest[0], "S": rest[1], "B": rest[2]}


def has_one_way(learner: Learner) -> bool:
    """Whether all its tasks have one number of classes, so that N is no free size."""
    return learner.max_way == learner.min_way


def other_sizes(learner: Learner, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes to compare with, each of them another one, unless N can have no other."""
    more = 0 if has_one_way(learner) else 1 if learner.named_way else -1
    return {"N": sizes["N"] + more, "Q": sizes["Q"] + 1, "S": sizes["S"] + 3, "B": sizes["B"] + 2}


def same_embedding(learner: Learner, trial: Trial, other: Trial) -> tuple[int, ...]:
    """The shape of one embedded example, which no batch may change."""
    shape, other_shape = (tuple(t.support.x.shape[1:]) for t in (trial, other))
    if shape != other_shape:
        raise LearnerError(
            f"`{_embedder(learner)}` returns {list(shape)} for an example among"
            f" {trial.sizes['B']} and {list(other_shape)} for one among {other.sizes['B']},"
            " wanted the same shape"
        )
    return shape


def _embedder(learner: Learner) -> str:
    """What the learner's file calls the function of its embedding."""
    return name_of(learner.embedding.function if learner.embedding else learner.embed)


def symbolic_shapes(trial: Trial, other: Trial, stage: Stage) -> dict[str, Shape]:
    """The shapes of what the stage's init returned, S and N where a size follows theirs."""
    tensors, other_tensors = trial.returned[stage.name], other.returned[stage.name]
    if list(tensors) != list(other_tensors):
        raise LearnerError(
            f"`{name_of(stage.init)}` returns {', '.join(tensors)} at {_quote(trial.sizes)} and"
            f" {', '.join(other_tensors)} at {_quote(other.sizes)}, wanted the same tensors"
        )
    shapes: dict[str, Shape] = {}
    for name in tensors:
        shape, other_shape = tuple(tensors[name].shape), tuple(other_tensors[name].shape)
        pairs = zip(shape, other_shape, strict=False)
        sizes = [_symbol(pair, trial.sizes, other.sizes) for pair in pairs]
        if len(shape) != len(other_shape) or None in sizes:
            raise LearnerError(
                f"`{name_of(stage.init)}` returns `{name}` as {list(shape)} at"
                f" {_quote(trial.sizes)} and as {list(other_shape)} at {_quote(other.sizes)}:"
                " every size has to be a number, S or N"
            )
        shapes[name] = tuple(size for size in sizes if size is not None)
    return shapes


def _symbol(
    pair: tuple[int, int], sizes: Mapping[str, int], others: Mapping[str, int]
) -> int | str | None:
    """What a size is that was the first of the pair at `sizes` and the second at `others`."""
    for symbol in "SN":
        if pair == (sizes[symbol], others[symbol]) and len(set(pair)) > 1:
            return symbol
    return pair[0] if pair[0] == pair[1] else None
