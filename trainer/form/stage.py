"""A stage of adaptation: its functions, and the checks on what they return.

`begin` and `advance` call a learner's `init` and `step`. Training, evaluation and tracing all go
through them, so a learner's mistake is named wherever it shows first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from handful.runtime.package.manifest import INNER_HINT, NEXT, ROLES, is_own
from handful.trainer.settings.errors import LearnerError

Tensors = dict[str, Tensor]
Noise = Mapping[str, Tensor]


class Support(NamedTuple):
    """The labelled examples of one task, embedded.

    A task of named classes may have none: its support set is one row of zeros, of no class.
    """

    x: Tensor  # [S, ...]
    y: Tensor  # [S, N], one-hot float32; zeros where the row is no example


def fill_empty(support: Support) -> Support:
    """The support set, or one row of zeros in place of none: no graph is run on an empty axis."""
    if support.x.shape[0]:
        return support
    return Support(*(t.new_zeros(1, *t.shape[1:]) for t in support))


Init = Callable[[Tensors, Tensors, Support, Noise], Tensors]
Step = Callable[[Tensors, Tensors, Support], tuple[Tensors, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: `init` adds tensors to the state, and `step` updates them `steps` times."""

    name: str
    init: Init  # (params, state, support, noise) → the tensors that this stage adds to the state
    step: Step | None = None  # (params, state, support) → the same tensors after one step, the loss
    steps: int = 0
    init_name: str = ""  # the graph's name in the package; that of the function if it is not given
    step_name: str = ""
    # {"z_noise": ("N", 64)}; a size is a number, S (examples) or N (classes)
    noise: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name the graphs after their functions."""
        for role, function in (("init_name", self.init), ("step_name", self.step)):
            if function is not None and not getattr(self, role):
                object.__setattr__(self, role, name_of(function).rpartition(".")[2])

    def begin(
        self, params: Tensors, state: Tensors, support: Support, noise: Noise | None = None
    ) -> Tensors:
        """What `init` adds to the state; noise that is not given is zero."""
        draws = {
            **self.zero_noise(support),
            **{n: t for n, t in (noise or {}).items() if n in self.noise},
        }
        result = self.init(params, state, support, draws)
        where = f"`{name_of(self.init)}`, init of stage `{self.name}`,"
        _tensors(result, where)
        for name in result:
            if name in self.noise or not is_own(name):
                raise LearnerError(
                    f"{where} returns a tensor called `{name}`, a name that it may not have",
                    hint=f"{INNER_HINT}; not {', '.join(ROLES)}, no name of noise, none that ends"
                    f" in {NEXT}",
                )
        return result

    def advance(
        self, params: Tensors, state: Tensors, stage_state: Tensors, support: Support
    ) -> tuple[Tensors, Tensor]:
        """One inner step: the stage's tensors after it, and the loss that it descended.

        `stage_state` are the tensors that `begin` returned. The new ones come in their order,
        whatever order the learner returns them in.
        """
        assert self.step is not None
        where = f"`{name_of(self.step)}`, step of stage `{self.name}`,"
        result = self.step(params, {**state, **stage_state}, support)
        if not isinstance(result, tuple) or len(result) != 2:
            raise LearnerError(f"{where} returns {_kind(result)}, wanted the tensors and the loss")
        tensors, loss = result
        _tensors(tensors, where)
        _same_names(tensors, stage_state, where)
        for name, old in stage_state.items():
            new = tensors[name]
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                raise LearnerError(
                    f"{where} returns `{name}` as {_describe(new)}, wanted {_describe(old)}"
                    " as before the step"
                )
        if not isinstance(loss, Tensor) or loss.ndim:
            raise LearnerError(
                f"{where} returns the loss as {_describe(loss)}, wanted a tensor of one number, []"
            )
        return {name: tensors[name] for name in stage_state}, loss

    def zero_noise(self, support: Support) -> Tensors:
        """The noise tensors as they are when nothing is drawn."""
        sizes = {"S": support.y.shape[0], "N": support.y.shape[1]}
        return {
            name: torch.zeros(
                [self._size(name, size, sizes) for size in shape],
                device=support.y.device,
                dtype=support.y.dtype,
            )
            for name, shape in self.noise.items()
        }

    def _size(self, name: str, size: str | int, sizes: Mapping[str, int]) -> int:
        number = sizes.get(size) if isinstance(size, str) else size
        if number is None:
            raise LearnerError(
                f"noise `{name}` of stage `{self.name}` has the size {size!r},"
                " wanted a number, S or N"
            )
        return number


def name_of(function: object) -> str:
    """What the learner's file calls the function: `LEO.predict`."""
    return str(getattr(function, "__qualname__", type(function).__name__))


def _tensors(result: object, where: str) -> None:
    if not isinstance(result, dict):
        raise LearnerError(f"{where} returns {_kind(result)}, wanted a dict of tensors")
    for name, value in result.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise LearnerError(
                f"{where} returns {_kind(value)} under {name!r}, wanted tensors by name",
                hint="a counter is a tensor, too: torch.zeros((), dtype=torch.int64)",
            )


def _same_names(tensors: Tensors, stage_state: Tensors, where: str) -> None:
    missing, extra = stage_state.keys() - tensors.keys(), tensors.keys() - stage_state.keys()
    hint = f"a step returns every tensor that the stage's init returned: {', '.join(stage_state)}"
    if missing:
        raise LearnerError(f"{where} does not return `{min(missing)}`", hint=hint)
    if extra:
        raise LearnerError(f"{where} returns `{min(extra)}`, which its init does not", hint=hint)


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _describe(value: object) -> str:
    if not isinstance(value, Tensor):
        return _kind(value)
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
